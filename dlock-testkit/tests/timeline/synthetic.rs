//! Histories for pictures: what a run of the lab writes down, without the lab.

use dlock_core::Token;
use dlock_testkit::history::{Event, FaultInfo, History, Register, What};
use dlock_testkit::timeline::{Mark, Verdict};

const MS: u64 = 1_000_000;
/// Clocks do not begin at 0.
pub(crate) const START: u64 = 86_400_000 * MS;

/// A run of 5 processes with 4 owners each that take turns at 3 names, under faults.
pub(crate) struct Synthetic {
    random: fastrand::Rng,
    events: Vec<Event>,
    /// Of each name: since when it is free, and its last token.
    names: Vec<(String, u64, u64)>,
    values: u64,
    next_op: [u64; 5],
}

impl Synthetic {
    /// A run of `operations`, and nothing wrong with it.
    pub(crate) fn run(operations: usize) -> History {
        let mut run = Self {
            random: fastrand::Rng::with_seed(7),
            events: Vec::new(),
            names: ["orders", "stock/eu-west", "mail"].map(|name| (name.to_owned(), START, 1_000)).to_vec(),
            values: 0,
            next_op: [0; 5],
        };
        let command = "cargo run -p dlock-testkit --bin chaos -- --store etcd --seed 7".to_owned();
        run.push(START, "lab", What::About { store: "etcd".to_owned(), seed: 7, command });
        let mut free = [START + MS; 20];
        for _ in 0..operations {
            let owner = (0..20).min_by_key(|owner| free[*owner]).expect("there are twenty");
            free[owner] = run.operation(owner, free[owner]);
        }
        let end = free.into_iter().max().expect("there are twenty") + 5 * MS;
        run.faults(end);
        run.push(end - (end - START) / 20, "lab", What::Healed);
        run.push(end, "lab", What::Scanned { claims: 0, entries: Some(0) });
        run.events.sort_by_key(|event| event.at);
        History::of(run.events).expect("the run goes together")
    }

    /// One operation that begins at `from`, and when its owner is free again.
    fn operation(&mut self, owner: usize, from: u64) -> u64 {
        let (process, op) = (format!("w{}", owner / 4 + 1), self.next_op[owner / 4]);
        self.next_op[owner / 4] += 1;
        let owner = format!("{process}/o{}", owner % 4 + 1);
        let which = self.random.usize(..self.names.len());
        let (name, free, last) = self.names[which].clone();
        self.push(from, &process, What::Invoke { op, owner: owner.clone(), name: name.clone() });
        let luck = self.random.u32(..100);
        if luck < 3 || free > from + 400 * MS {
            let why = "not acquired within 20ms: the queue is long".to_owned();
            self.push(from + 20 * MS, &process, What::Fail { op, why });
            return from + 25 * MS;
        }
        if luck < 5 {
            let why = "timed out: the request may have been executed".to_owned();
            self.push(from + 60 * MS, &process, What::Unknown { op, why });
            return from + 61 * MS;
        }
        let since = free.max(from) + self.random.u64(MS / 2..3 * MS);
        let held = self.random.u64(2 * MS..24 * MS);
        let token = Token { epoch: 1, value: last + self.random.u64(1..4) };
        self.push(since, &process, What::Ok { op, token: Some(token), until: Some(since + 100 * MS) });
        self.write(&owner, &name, token, since + held / 2, true);
        let end = if luck < 8 {
            // It stood still over the end of its validity, and wrote as soon as it went on.
            let until = since + 100 * MS;
            self.write(&owner, &name, token, until + 45 * MS, false);
            self.push(until + 46 * MS, &process, What::Lost { op, until, why: "its validity ended".to_owned() });
            self.names[which] = (name, until + 46 * MS, token.value);
            until + 47 * MS
        } else {
            let released = since + held + self.random.u64(MS / 4..2 * MS);
            self.push(since + held, &process, What::Release { op, until: Some(since + 100 * MS) });
            let error = (luck == 99).then(|| "connection reset".to_owned());
            self.push(released, &process, What::Released { op, error });
            self.names[which] = (name, since + held, token.value);
            released
        };
        end + self.random.u64(MS..30 * MS)
    }

    fn write(&mut self, owner: &str, name: &str, token: Token, at: u64, accepted: bool) {
        self.values += 1;
        for (register, accepted) in [(Register::Fenced, accepted), (Register::Unfenced, true)] {
            let (owner, name, token) = (owner.to_owned(), name.to_owned(), Some(token));
            self.push(at, "resource", What::Write { register, name, owner, token, value: self.values, accepted });
        }
    }

    fn faults(&mut self, end: u64) {
        let count = ((end - START) / (300 * MS)).min(200);
        let every = (end - START) / (count + 1);
        let kinds = [("stop client", "w3"), ("kill leader", "member 1 (leader)"), ("cut network", "member 2")];
        for fault in 0..count {
            let begun = START + every * fault + self.random.u64(..every / 2);
            let (kind, target) = kinds[self.random.usize(..kinds.len())];
            let (kind, target) = (kind.to_owned(), target.to_owned());
            let info = FaultInfo {
                fault,
                kind,
                target,
                worker: None,
                name: None,
                breaks_exclusion_for: None,
                takes_history: false,
            };
            self.push(begun, "lab", What::FaultBegun(info));
            let lasts = self.random.u64(every / 8..every);
            self.push(begun + lasts, "lab", What::FaultEnded { fault });
        }
    }

    fn push(&mut self, at: u64, process: &str, what: What) {
        self.events.push(Event { at, process: process.to_owned(), what });
    }
}

/// Marks on `history`, as a checker could set them: each on two neighbouring holds of one name.
pub(crate) fn marks(history: &History, count: usize) -> Vec<Mark> {
    let holds: Vec<_> = history.ops.iter().filter(|op| op.hold().is_some() && op.name == "orders").collect();
    let every = holds.len() / (count + 1);
    let mark = |i: usize| {
        let pair = &holds[every * (i + 1)..][..2];
        let since = pair[1].hold().expect("only holds are here").since;
        let verdict = if i % 4 == 3 { Verdict::NotPromised } else { Verdict::Violation };
        Mark {
            verdict,
            kind: "overlap".to_owned(),
            from: since,
            to: since + 9 * MS,
            name: Some("orders".to_owned()),
            register: None,
            ops: pair.iter().map(|op| (op.process.clone(), op.op)).collect(),
            message: format!("{} and {} both believed that they held orders", pair[0].owner, pair[1].owner),
        }
    };
    (0..count).map(mark).collect()
}

/// A short run with everything in it that can happen to an operation, and an overlap from 60 to
/// 75 ms.
pub(crate) fn every_shape() -> (History, Vec<Mark>) {
    let at = |ms: u64| START + ms * MS;
    let event = |ms, process: &str, what| Event { at: at(ms), process: process.to_owned(), what };
    let invoke = |op, owner: &str, name: &str| What::Invoke { op, owner: owner.to_owned(), name: name.to_owned() };
    let ok = |op, value, until| What::Ok { op, token: Some(Token { epoch: 1, value }), until: Some(at(until)) };
    let write = |register, owner: &str, token, value, accepted| What::Write {
        register,
        name: "orders".to_owned(),
        owner: owner.to_owned(),
        token: Some(Token { epoch: 1, value: token }),
        value,
        accepted,
    };
    let lost = |op, until, why: &str| What::Lost { op, until: at(until), why: why.to_owned() };
    let stop = FaultInfo {
        fault: 0,
        kind: "stop client".to_owned(),
        target: "w1".to_owned(),
        worker: Some("w1".to_owned()),
        name: None,
        breaks_exclusion_for: None,
        takes_history: false,
    };
    let events = vec![
        event(0, "w1", invoke(0, "w1/o1", "orders")),
        event(5, "w1", ok(0, 33, 75)),
        event(8, "w2", invoke(0, "w2/o1", "orders")),
        event(10, "w3", invoke(0, "w3/o1", "mail")),
        event(14, "w3", What::Unknown { op: 0, why: "timed out".to_owned() }),
        event(15, "resource", write(Register::Fenced, "w1/o1", 33, 1, true)),
        event(15, "resource", write(Register::Unfenced, "w1/o1", 33, 1, true)),
        event(20, "lab", What::FaultBegun(stop)),
        event(22, "w4", invoke(0, "w4/o1", "mail")),
        event(30, "w4", ok(0, 7, 120)),
        event(32, "w3", invoke(1, "w3/o1", "mail")),
        event(55, "w3", What::Fail { op: 1, why: "not within 20ms".to_owned() }),
        event(60, "w2", ok(0, 34, 160)),
        event(64, "resource", write(Register::Fenced, "w2/o1", 34, 2, true)),
        event(64, "resource", write(Register::Unfenced, "w2/o1", 34, 2, true)),
        event(70, "w3", invoke(2, "w3/o1", "mail")),
        event(90, "lab", What::Gone { who: "w4".to_owned() }),
        event(92, "lab", What::FaultEnded { fault: 0 }),
        event(95, "resource", write(Register::Fenced, "w1/o1", 33, 2, false)),
        event(95, "resource", write(Register::Unfenced, "w1/o1", 33, 2, true)),
        event(96, "w1", lost(0, 75, "its validity ended")),
        event(100, "lab", What::Healed),
        event(110, "w2", What::Release { op: 0, until: Some(at(160)) }),
        event(114, "w2", What::Released { op: 0, error: None }),
        event(116, "w1", invoke(1, "w1/o1", "orders")),
        event(118, "w1", ok(1, 35, 190)),
        event(120, "w2", invoke(1, "w2/o1", "orders")),
        event(130, "w1", What::Release { op: 1, until: Some(at(190)) }),
        event(134, "w1", What::Released { op: 1, error: Some("connection reset".to_owned()) }),
        event(136, "w2", ok(1, 36, 200)),
        event(150, "lab", What::Scanned { claims: 1, entries: None }),
    ];
    let overlap = Mark {
        verdict: Verdict::Violation,
        kind: "overlap".to_owned(),
        from: at(60),
        to: at(75),
        name: Some("orders".to_owned()),
        register: None,
        ops: vec![("w1".to_owned(), 0), ("w2".to_owned(), 0)],
        message: "w1/o1 and w2/o1 both believed that they held orders".to_owned(),
    };
    (History::of(events).expect("the run goes together"), vec![overlap])
}
