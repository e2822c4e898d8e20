//! Folds events into operations and faults.

use std::collections::HashMap;

use super::{End, Event, Fault, Hold, Op, Outcome, ReadError, What};

/// What the events so far amount to.
#[derive(Default)]
pub(super) struct Fold<'a> {
    ops: Vec<Op>,
    faults: Vec<Fault>,
    processes: HashMap<&'a str, Process>,
    running: HashMap<u64, usize>,
    last: u64,
}

#[derive(Default)]
struct Process {
    /// Where its operations stand, by their number in the process.
    ops: HashMap<u64, usize>,
    gone: bool,
}

impl<'a> Fold<'a> {
    pub(super) fn add(&mut self, event: &'a Event) -> Result<(), ReadError> {
        let at = event.at;
        self.last = at;
        if self.processes.get(event.process.as_str()).is_some_and(|process| process.gone) {
            return Err(contradiction(event, "it does something, after it was gone".to_owned()));
        }
        match &event.what {
            What::Invoke { op, owner, name } => {
                let process = self.processes.entry(&event.process).or_default();
                if process.ops.insert(*op, self.ops.len()).is_some() {
                    return Err(contradiction(event, format!("operation {op} was invoked twice")));
                }
                self.ops.push(Op {
                    process: event.process.clone(),
                    op: *op,
                    owner: owner.clone(),
                    name: name.clone(),
                    invoked: at,
                    outcome: Outcome::Pending,
                });
            }
            What::Ok { op, token, until } => {
                let (token, until) = (*token, until.unwrap_or(u64::MAX));
                self.answer(event, *op, Outcome::Held(Hold { since: at, until, noticed: at, token, end: End::Open }))?;
            }
            What::Fail { op, why } => self.answer(event, *op, Outcome::Failed { at, why: why.clone() })?,
            What::Unknown { op, why } => self.answer(event, *op, Outcome::Unknown { at, why: why.clone() })?,
            What::Renewed { op, until } => self.hold(event, *op)?.renew(*until),
            What::Lost { op, until, why } => self.hold(event, *op)?.lose(at, *until, why),
            What::Release { op, until } => self.hold(event, *op)?.release(at, *until),
            What::Released { op, error } => self.hold(event, *op)?.answer_release(at, error.as_ref()),
            What::FaultBegun(info) => {
                if self.running.insert(info.fault, self.faults.len()).is_some() {
                    return Err(contradiction(event, format!("fault {} began twice", info.fault)));
                }
                self.faults.push(Fault { info: info.clone(), begun: at, ended: None });
            }
            What::FaultEnded { fault } => match self.running.remove(fault) {
                Some(index) => self.faults[index].ended = Some(at),
                None => return Err(contradiction(event, format!("fault {fault} ended, which was not under way"))),
            },
            What::Gone { who } => self.bury(who, at),
            What::Read { .. }
            | What::Write { .. }
            | What::EpochAccepted { .. }
            | What::Healed
            | What::Scanned { .. }
            | What::About { .. } => {}
        }
        Ok(())
    }

    /// The operations and faults, when no more events come.
    pub(super) fn end(mut self) -> (Vec<Op>, Vec<Fault>) {
        for op in &mut self.ops {
            if let Outcome::Held(hold) = &mut op.outcome
                && hold.end == End::Open
            {
                hold.until = hold.until.min(self.last);
                hold.noticed = self.last;
            }
        }
        (self.ops, self.faults)
    }

    fn op(&mut self, event: &Event, op: u64) -> Result<&mut Op, ReadError> {
        let process = self.processes.get(event.process.as_str());
        match process.and_then(|process| process.ops.get(&op)) {
            Some(index) => Ok(&mut self.ops[*index]),
            None => Err(contradiction(event, format!("something came of operation {op}, which was not invoked"))),
        }
    }

    fn answer(&mut self, event: &Event, op: u64, outcome: Outcome) -> Result<(), ReadError> {
        let found = self.op(event, op)?;
        if found.outcome != Outcome::Pending {
            return Err(contradiction(event, format!("operation {op} was answered twice")));
        }
        found.outcome = outcome;
        Ok(())
    }

    fn hold(&mut self, event: &Event, op: u64) -> Result<&mut Hold, ReadError> {
        match &mut self.op(event, op)?.outcome {
            Outcome::Held(hold) => Ok(hold),
            _ => Err(contradiction(event, format!("operation {op} holds, which was not granted"))),
        }
    }

    fn bury(&mut self, who: &'a str, at: u64) {
        let process = self.processes.entry(who).or_default();
        process.gone = true;
        for index in process.ops.values() {
            match &mut self.ops[*index].outcome {
                outcome @ Outcome::Pending => *outcome = Outcome::Abandoned { at },
                Outcome::Held(hold) if hold.end == End::Open => {
                    hold.until = hold.until.min(at);
                    hold.noticed = hold.until.max(hold.since);
                    hold.end = End::Abandoned;
                }
                _ => {}
            }
        }
    }
}

impl Hold {
    fn renew(&mut self, until: u64) {
        if self.end == End::Open {
            self.until = self.until.max(until);
        }
    }

    /// The holder knows best until when it could believe. A loss that is noticed while it releases
    /// can only take belief away.
    fn lose(&mut self, at: u64, until: u64, why: &str) {
        let until = until.min(at);
        match self.end {
            End::Open => {
                self.until = until;
                self.noticed = at;
                self.end = End::Lost(why.to_owned());
            }
            End::Released { .. } => self.until = self.until.min(until),
            End::Lost(_) | End::Abandoned => {}
        }
    }

    /// A holder that stood still over the end of its validity may release without looking first: it
    /// could believe no longer than it was valid, as it saw last.
    fn release(&mut self, at: u64, until: Option<u64>) {
        if self.end == End::Open {
            self.until = until.unwrap_or(self.until).min(at);
            self.noticed = at;
            self.end = End::Released { answered: None, error: None };
        }
    }

    fn answer_release(&mut self, at: u64, result: Option<&String>) {
        if let End::Released { answered, error } = &mut self.end {
            *answered = Some(at);
            *error = result.cloned();
        }
    }
}

fn contradiction(event: &Event, message: String) -> ReadError {
    ReadError::Contradiction { at: event.at, process: event.process.clone(), message }
}
