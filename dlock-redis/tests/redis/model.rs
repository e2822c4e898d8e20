//! Random requests, withdrawals and conversions, compared step by step with `Mode::admission`.

use dlock_core::{Admission, Claim, ClaimId, ErrorKind, Mode, Queue, Requested, Why, Withdrawn};

use crate::support::{Client, LONG, World, claim, permit};

const NAMES: [&str; 2] = ["a", "b"];
const STEPS: usize = 1500;

/// Who stands in line for one name, in order.
#[derive(Default)]
struct Line(Vec<Claim>);

impl Line {
    fn admission(&self, mode: Mode) -> Admission {
        mode.admission(self.0.iter().map(|claim| claim.mode))
    }

    fn holders_and_waiters(&self) -> (Vec<ClaimId>, Vec<ClaimId>) {
        let (mut holders, mut waiters) = (Vec::new(), Vec::new());
        for (rank, claim) in self.0.iter().enumerate() {
            match claim.mode.admission(self.0[..rank].iter().map(|before| before.mode)) {
                Admission::Held => holders.push(claim.id),
                Admission::Wait => waiters.push(claim.id),
                Admission::Mismatch(_) => panic!("it was refused"),
            }
        }
        (holders, waiters)
    }
}

#[tokio::test]
async fn the_scripts_follow_the_admission_rule() {
    let Some(world) = World::start().await else { return };
    let clients = [world.client().await, world.client().await];
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut lines = [Line::default(), Line::default()];
    for _ in 0..STEPS {
        let at = random.usize(..NAMES.len());
        let client = &clients[random.usize(..clients.len())];
        match random.u8(..10) {
            0..5 => request(client, &mut random, NAMES[at], &mut lines[at]).await,
            5..9 => withdraw(client, &mut random, &mut lines[at]).await,
            _ => convert(client, &mut lines[at]).await,
        }
        let state = client.inspect(NAMES[at]).await;
        let ids = |infos: &[dlock_core::ClaimInfo]| infos.iter().map(|info| info.claim.id).collect::<Vec<_>>();
        assert_eq!((ids(&state.holders), ids(&state.waiters)), lines[at].holders_and_waiters());
        assert!(state.damaged.is_empty());
    }
    for line in &mut lines {
        while !line.0.is_empty() {
            withdraw(&clients[0], &mut random, line).await;
        }
    }
    assert_eq!(world.keys().await, ["dlock:{0}:tokens"]);
}

async fn request(client: &Client, random: &mut fastrand::Rng, name: &str, line: &mut Line) {
    let mode = [Mode::Exclusive, Mode::Shared, Mode::Shared, permit(2), permit(2), permit(3)][random.usize(..6)];
    // Most claims fit the present use, or little would ever queue.
    let mode = match line.0.first() {
        Some(first) if random.u8(..8) > 0 && !mode.combines_with(first.mode) => first.mode,
        _ => mode,
    };
    let claim = claim(name, mode, LONG);
    let queue = if random.bool() { Queue::Yes } else { Queue::No };
    let requested = client.backend.request(&claim, queue).await;
    match (line.admission(mode), queue) {
        (Admission::Mismatch(_), _) => {
            assert_eq!(requested.unwrap_err().kind(), ErrorKind::Mismatch);
            return;
        }
        (Admission::Held, _) => assert!(matches!(requested.unwrap(), Requested::Held(..))),
        (Admission::Wait, Queue::Yes) => assert!(matches!(requested.unwrap(), Requested::Queued(_))),
        (Admission::Wait, Queue::No) => {
            assert_eq!(requested.unwrap(), Requested::Refused);
            return;
        }
    }
    line.0.push(claim);
}

async fn withdraw(client: &Client, random: &mut fastrand::Rng, line: &mut Line) {
    if line.0.is_empty() {
        return;
    }
    let claim = line.0.remove(random.usize(..line.0.len()));
    let why = [Why::Release, Why::Cancel, Why::Break][random.usize(..3)];
    assert_eq!(client.backend.withdraw(&claim.to_ref(), why).await.unwrap(), Withdrawn::Removed);
    assert_eq!(client.backend.withdraw(&claim.to_ref(), why).await.unwrap(), Withdrawn::Absent);
}

async fn convert(client: &Client, line: &mut Line) {
    let Some(first) = line.0.first_mut() else { return };
    let converted = client.backend.convert(&first.to_ref(), Mode::Shared).await;
    if matches!(first.mode, Mode::Permit { .. }) {
        assert_eq!(converted.unwrap_err().kind(), ErrorKind::Lost);
    } else {
        converted.unwrap();
        first.mode = Mode::Shared;
    }
}
