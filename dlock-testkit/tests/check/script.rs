//! Histories written by hand. Times are in milliseconds.

use dlock_core::Token;
use dlock_testkit::check::{Breach, Report, check};
use dlock_testkit::history::{Event, FaultInfo, History, ReadError, Register, What};

pub(crate) const MS: u64 = 1_000_000;

/// A history in the making.
#[derive(Clone, Default)]
pub(crate) struct Script {
    events: Vec<Event>,
}

impl Script {
    /// A run that is complete: one hold and one write before the end of the faults at 1000 ms, and a
    /// scan at 2000 ms that finds nothing. All of it on a name of its own.
    pub(crate) fn complete() -> Self {
        Self::default()
            .hold("w0", 0, "other", (1, 3), 1)
            .writes("w0", 2, "other", 1, 1)
            .event(1000, "lab", What::Healed)
            .event(2000, "lab", What::Scanned { claims: 0, entries: Some(0) })
    }

    pub(crate) fn event(mut self, at: u64, process: &str, what: What) -> Self {
        self.events.push(Event { at: at * MS, process: process.to_owned(), what });
        self
    }

    pub(crate) fn invoke(self, at: u64, who: &str, op: u64, name: &str) -> Self {
        self.event(at, who, What::Invoke { op, owner: owner(who), name: name.to_owned() })
    }

    pub(crate) fn granted(self, at: u64, who: &str, op: u64, token: Token, until: Option<u64>) -> Self {
        self.event(at, who, What::Ok { op, token: Some(token), until: until.map(|ms| ms * MS) })
    }

    /// `who` holds from `since` to `until`, and releases.
    pub(crate) fn hold(self, who: &str, op: u64, name: &str, (since, until): (u64, u64), value: u64) -> Self {
        self.hold_with(who, op, name, (since, until), token(value))
    }

    pub(crate) fn hold_with(self, who: &str, op: u64, name: &str, (since, until): (u64, u64), token: Token) -> Self {
        self.invoke(since.saturating_sub(1), who, op, name)
            .granted(since, who, op, token, None)
            .event(until, who, What::Release { op, until: None })
            .event(until + 1, who, What::Released { op, error: None })
    }

    pub(crate) fn lost(self, at: u64, who: &str, op: u64, until: u64) -> Self {
        self.event(at, who, What::Lost { op, until: until * MS, why: "not renewed in time".to_owned() })
    }

    pub(crate) fn gone(self, at: u64, who: &str) -> Self {
        self.event(at, "lab", What::Gone { who: who.to_owned() })
    }

    /// `who` writes the fenced register of `name`.
    pub(crate) fn writes(self, who: &str, at: u64, name: &str, token_value: u64, value: u64) -> Self {
        self.writes_with(who, at, name, Some(token(token_value)), value)
    }

    pub(crate) fn writes_with(self, who: &str, at: u64, name: &str, token: Option<Token>, value: u64) -> Self {
        let (name, owner) = (name.to_owned(), owner(who));
        let write = What::Write { register: Register::Fenced, name, owner, token, value, accepted: true };
        self.event(at, "resource", write)
    }

    pub(crate) fn fault(self, (begun, ended): (u64, u64), info: FaultInfo) -> Self {
        let fault = info.fault;
        self.event(begun, "lab", What::FaultBegun(info)).event(ended, "lab", What::FaultEnded { fault })
    }

    /// The events in order of time.
    pub(crate) fn events(mut self) -> Vec<Event> {
        self.events.sort_by_key(|event| event.at);
        self.events
    }

    pub(crate) fn history(self) -> Result<History, ReadError> {
        History::of(self.events())
    }

    pub(crate) fn report(self) -> Report {
        check(&self.history().expect("events that go together"))
    }

    /// What is found that is not excused.
    pub(crate) fn breaches(self) -> Vec<Breach> {
        breaches(&self.report())
    }
}

pub(crate) fn breaches(report: &Report) -> Vec<Breach> {
    assert_eq!(report.incomplete, Vec::<String>::new());
    report.violations.iter().map(|violation| violation.breach).collect()
}

pub(crate) fn owner(who: &str) -> String {
    format!("{who}/0")
}

pub(crate) fn token(value: u64) -> Token {
    Token { epoch: 1, value }
}

/// A fault that hits nobody in particular.
pub(crate) fn fault(fault: u64, kind: &str) -> FaultInfo {
    FaultInfo {
        fault,
        kind: kind.to_owned(),
        target: "everybody".to_owned(),
        worker: None,
        name: None,
        breaks_exclusion_for: None,
        takes_history: false,
    }
}

pub(crate) fn fault_of_worker(number: u64, kind: &str, worker: &str) -> FaultInfo {
    FaultInfo { worker: Some(worker.to_owned()), target: worker.to_owned(), ..fault(number, kind) }
}
