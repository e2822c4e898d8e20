//! Looking at names: what `inspect` and `list` read.

use std::time::Duration;

use dlock_core::{ClaimId, DamagedEntry, LockName, LockState, Result};

use crate::entry::Entry;
use crate::error::strange_answer;

/// What stands under a name.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) state: LockState,
    /// The inboxes of the holders, in their order.
    pub(crate) inboxes: Vec<String>,
}

impl Survey {
    /// Reads the answer of `scripts/inspect.lua` about `name`, whose main key is `key`.
    pub(crate) fn read(name: &LockName, key: &str, answer: &[Vec<u8>]) -> Result<Survey> {
        let mut state = LockState::free(name.clone());
        let mut inboxes = Vec::new();
        let word =
            |at: usize| answer.get(at).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        let damaged = |key: String, problem: String, fingerprint: String| DamagedEntry { key, problem, fingerprint };
        match word(0).as_str() {
            "none" => {}
            "plain" if answer.len() == 4 => match Entry::parse(&answer[2]) {
                Ok(entry) => {
                    inboxes.push(entry.inbox.clone());
                    state.holders.push(entry.into_info(name, left(&word(3))));
                }
                Err(problem) => state.damaged.push(damaged(key.to_owned(), problem, word(1))),
            },
            "queue" if answer.len() >= 3 && (answer.len() - 3).is_multiple_of(4) => {
                let held: usize = word(2).parse().map_err(|_| strange_answer("inspect"))?;
                for (rank, fields) in answer[3..].chunks_exact(4).enumerate() {
                    let id = String::from_utf8_lossy(&fields[0]).into_owned();
                    match Entry::parse(&fields[1]).and_then(|entry| same_id(entry, &id)) {
                        Ok(entry) => {
                            let inbox = entry.inbox.clone();
                            let info = entry.into_info(name, left(&String::from_utf8_lossy(&fields[2])));
                            if rank < held {
                                inboxes.push(inbox);
                                state.holders.push(info);
                            } else {
                                state.waiters.push(info);
                            }
                        }
                        Err(problem) => {
                            let fingerprint = String::from_utf8_lossy(&fields[3]).into_owned();
                            state.damaged.push(damaged(entry_key(key, &id), problem, fingerprint));
                        }
                    }
                }
            }
            "damaged" if answer.len() == 3 => state.damaged.push(damaged(key.to_owned(), word(2), word(1))),
            _ => return Err(strange_answer("inspect")),
        }
        Ok(Survey { state, inboxes })
    }

    /// The holders whose tokens are not known, with their inboxes.
    pub(crate) fn untold(&self) -> Vec<(String, ClaimId)> {
        let holders = self.state.holders.iter().zip(&self.inboxes);
        holders.filter(|(info, _)| info.token.is_none()).map(|(info, inbox)| (inbox.clone(), info.claim.id)).collect()
    }
}

/// The one entry of the queue that a damaged entry's key means; empty for the whole name.
pub(crate) fn entry_of<'a>(key: &str, damaged: &'a str) -> Option<&'a str> {
    let rest = damaged.strip_prefix(key)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix(SEPARATOR) }
}

const SEPARATOR: &str = " entry ";

fn entry_key(key: &str, id: &str) -> String {
    format!("{key}{SEPARATOR}{id}")
}

fn same_id(entry: Entry, id: &str) -> Result<Entry, String> {
    if entry.id.to_string() == id { Ok(entry) } else { Err(format!("the entry of {} stands under {id}", entry.id)) }
}

fn left(millis: &str) -> Option<Duration> {
    millis.parse().ok().map(Duration::from_millis)
}
