//! What an uncontended acquire and release costs, beside the floor: open, flock, unlock, unlink, close.

use std::fs::File;
use std::time::{Duration, Instant};

use dlock_core::{Claim, ClaimId, Clock, Connect, ConnectContext, Metadata, Mode, Namespace, Queue, Requested, Why};

const ROUNDS: u32 = 20_000;

fn main() {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let path = dir.path().join("floor");
    let floor = best_of(|| {
        let file = File::create(&path).expect("a file can be made");
        file.lock().expect("nobody else has it");
        file.unlock().expect("it is locked");
        std::fs::remove_file(&path).expect("it is there");
    });
    println!("floor (open, flock, unlock, unlink, close): {floor:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cycle = runtime.block_on(cycle(dir.path()));
    println!("acquire and release: {cycle:?}, {:.1} times the floor", cycle.as_secs_f64() / floor.as_secs_f64());
}

async fn cycle(dir: &std::path::Path) -> Duration {
    let context = ConnectContext { namespace: Namespace::default(), clock: Clock::system() };
    let backend = Box::new(dlock_file::FileConfig::new(dir)).connect(context).await.expect("the directory can be used");
    let mut claim = Claim {
        id: ClaimId::random(),
        name: "bench".parse().expect("a name"),
        mode: Mode::Exclusive,
        ttl: Duration::from_secs(30),
        metadata: Metadata::of_this_process("bench"),
    };
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            claim.id = ClaimId::random();
            let answer = backend.request(&claim, Queue::Yes).await.expect("the directory can be used");
            assert!(matches!(answer, Requested::Held(..)));
            backend.withdraw(&claim.to_ref(), Why::Release).await.expect("the claim is there");
        }
        best = best.min(start.elapsed() / ROUNDS);
    }
    best
}

fn best_of(mut work: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        best = best.min(start.elapsed() / ROUNDS);
    }
    best
}
