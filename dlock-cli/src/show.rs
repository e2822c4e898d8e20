//! `dlock show`: who holds a lock, and who waits for it.

mod table;

use std::io::{self, Write};
use std::time::SystemTime;

use dlock::{ClaimInfo, LockState};

use self::table::Table;
use crate::args::ShowArgs;
use crate::backend;
use crate::exit::{Exit, Failure};
use crate::text::{age, printable, span};

pub(crate) async fn show(args: ShowArgs) -> Result<Exit, Failure> {
    let locks = backend::connect(backend::builder(&args.backend)?).await?;
    let state = locks.inspect(args.name).await?;
    print(&render(&state, SystemTime::now()))?;
    Ok(Exit::Done)
}

fn render(state: &LockState, now: SystemTime) -> String {
    let mut text = format!("{}: {}\n", state.name, summary(state));
    let mut table =
        Table::new(["STATE", "TOKEN", "MODE", "LABEL", "HOST", "PROCESS", "AGE", "EXPIRES", "CLAIM"].map(String::from));
    let waiters = state.waiters.iter().zip(1..).map(|(claim, place)| (format!("waits {place}"), claim));
    for (standing, claim) in state.holders.iter().map(|claim| ("holds".to_owned(), claim)).chain(waiters) {
        table.push(row(standing, claim, now));
    }
    text.push_str(&table.to_string());
    for entry in &state.damaged {
        text.push_str(&format!("damaged: {}: {}\n", printable(&entry.key), printable(&entry.problem)));
    }
    text
}

fn summary(state: &LockState) -> String {
    if state.is_free() {
        return "free".into();
    }
    let held = match state.holders.len() {
        0 => "held by nobody".to_owned(),
        1 => "held".to_owned(),
        count => format!("held by {count}"),
    };
    let waiting = match state.waiters.len() {
        0 => String::new(),
        count => format!(", {count} waiting"),
    };
    let damaged = match state.damaged.len() {
        0 => String::new(),
        count => format!(", blocked by {count} damaged"),
    };
    format!("{held}{waiting}{damaged}")
}

fn row(standing: String, info: &ClaimInfo, now: SystemTime) -> [String; 9] {
    let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".into());
    [
        standing,
        or_none(info.token.map(|token| token.to_string())),
        info.claim.mode.to_string(),
        or_none(Some(printable(&info.metadata.label))),
        or_none(Some(printable(&info.metadata.host))),
        info.metadata.process.to_string(),
        age(&info.metadata, now),
        or_none(info.expires_in.map(span)),
        info.claim.id.to_string(),
    ]
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Internal, format!("cannot write the answer: {error}")))
        }
        _ => Ok(()),
    }
}
