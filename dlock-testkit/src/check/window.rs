//! What was recorded around a violation.

use std::collections::HashMap;

use dlock_core::Token;

use super::Violation;
use crate::history::{Event, FaultInfo, History, Register, What};

/// Of so many violations of a kind the window is shown.
const SHOWN: usize = 3;
/// What is shown of a resource before and after a violation, in nanoseconds.
const MARGIN: u64 = 20_000_000;
/// The longest window, in lines.
const LINES: usize = 60;

/// Gives the first violations of each kind their windows.
pub(super) fn show_the_first(history: &History, violations: &mut [Violation]) {
    let mut shown = HashMap::new();
    for violation in violations {
        let count: &mut usize = shown.entry(violation.breach).or_default();
        *count += 1;
        if *count <= SHOWN {
            violation.window = window(history, violation);
        }
    }
}

fn window(history: &History, violation: &Violation) -> Vec<String> {
    let events = history.events.iter().filter(|event| belongs(event, violation));
    let mut lines: Vec<String> = events.map(|event| line(event, violation.at)).collect();
    if lines.len() > LINES {
        let left_out = lines.len() - LINES;
        let gap = format!("{:>18}{left_out} more", "… ");
        lines.splice(LINES / 2..LINES / 2 + left_out, [gap]);
    }
    lines
}

/// Whether an event has to do with a violation: the life of its operations, the faults under way,
/// and the register of its name at the time.
fn belongs(event: &Event, violation: &Violation) -> bool {
    let is_near = (violation.at.saturating_sub(MARGIN)..=violation.until.saturating_add(MARGIN)).contains(&event.at);
    let is_of = |op: u64| violation.ops.iter().any(|culprit| culprit.op == op && culprit.process == event.process);
    match &event.what {
        What::Invoke { op, .. }
        | What::Ok { op, .. }
        | What::Fail { op, .. }
        | What::Unknown { op, .. }
        | What::Lost { op, .. }
        | What::Release { op, .. }
        | What::Released { op, .. } => is_of(*op),
        What::Renewed { op, .. } => is_near && is_of(*op),
        What::FaultBegun(FaultInfo { fault, .. }) | What::FaultEnded { fault } => {
            violation.faults.iter().any(|info| info.fault == *fault)
        }
        What::Gone { who } => violation.ops.iter().any(|culprit| culprit.process == *who),
        What::Read { name, .. } | What::Write { name, .. } | What::EpochAccepted { name, .. } => {
            is_near && violation.name.as_ref() == Some(name)
        }
        What::Healed | What::Scanned { .. } => is_near || violation.breach.is_of_liveness(),
        What::About { .. } => false,
    }
}

fn line(event: &Event, zero: u64) -> String {
    format!("{:>15} ms  {:<10} {}", relative(event.at, zero), event.process, describe(&event.what, zero))
}

fn relative(at: u64, zero: u64) -> String {
    format!("{:+.3}", (i128::from(at) - i128::from(zero)) as f64 / 1e6)
}

fn describe(what: &What, zero: u64) -> String {
    let valid = |until: Option<u64>| {
        until.map_or_else(String::new, |until| format!(", valid until {} ms", relative(until, zero)))
    };
    let register = |register: &Register| match register {
        Register::Fenced => "fenced",
        Register::Unfenced => "unfenced",
    };
    match what {
        What::Invoke { op, owner, name } => format!("op {op}: {owner} asks for {name}"),
        What::Ok { op, token, until } => format!("op {op}: holds{}{}", with(*token), valid(*until)),
        What::Fail { op, why } => format!("op {op}: not granted: {why}"),
        What::Unknown { op, why } => format!("op {op}: outcome unknown: {why}"),
        What::Renewed { op, until } => format!("op {op}: renewed{}", valid(Some(*until))),
        What::Lost { op, until, why } => format!("op {op}: told that it lost{}: {why}", valid(Some(*until))),
        What::Release { op, until } => format!("op {op}: releases{}", valid(*until)),
        What::Released { op, error: None } => format!("op {op}: released"),
        What::Released { op, error: Some(error) } => format!("op {op}: release failed: {error}"),
        What::Read { register: which, name, owner, token, value } => {
            let answer = value.map_or_else(|| "refused".to_owned(), |value| format!("given {value}"));
            format!("{owner} reads {name} ({}){}: {answer}", register(which), with(*token))
        }
        What::Write { register: which, name, owner, token, value, accepted } => {
            let answer = if *accepted { "accepted" } else { "refused" };
            format!("{owner} writes {value} to {name} ({}){}: {answer}", register(which), with(*token))
        }
        What::EpochAccepted { name, epoch } => format!("epoch {epoch:x} accepted for {name}"),
        What::FaultBegun(FaultInfo { fault, kind, target, .. }) => format!("fault {fault} begins: {kind} {target}"),
        What::FaultEnded { fault } => format!("fault {fault} ends"),
        What::Gone { who } => format!("{who} is gone"),
        What::Healed => "all faults are over".to_owned(),
        What::Scanned { claims, entries } => {
            let entries = entries.map_or_else(String::new, |entries| format!(", {entries} entries"));
            format!("the store shows {claims} claims{entries}")
        }
        What::About { command, .. } => command.clone(),
    }
}

fn with(token: Option<Token>) -> String {
    token.map_or_else(String::new, |token| format!(" with token {token}"))
}
