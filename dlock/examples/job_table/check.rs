use std::collections::BTreeMap;
use std::fmt::Write as _;

use dlock::Token;

use crate::Result;
use crate::table::{Fenced, Step, Table, Write};

/// Checks what the workers did, and gives an account of it.
///
/// # Errors
/// When a job was not done exactly once, a token went backwards, or the fence let a stale write in.
pub(crate) fn check(table: &mut Table) -> Result<String> {
    for (job, times) in table.times_done()? {
        if times != 1 {
            return Err(format!("job {job} was done {times} times").into());
        }
    }
    let writes = table.writes()?;
    let mut last: BTreeMap<u32, &Write> = BTreeMap::new();
    let mut done_by: BTreeMap<u32, u32> = BTreeMap::new();
    let mut abandoned = 0;
    for write in &writes {
        if let Some(before) = last.insert(write.job, write) {
            in_order(before, write)?;
            abandoned += u32::from(before.step == Step::Begun && write.step == Step::Begun);
        }
        *done_by.entry(write.worker).or_default() += u32::from(write.step == Step::Done);
    }
    let Some(newest) = writes.last() else { return Ok("there was nothing to do\n".into()) };
    refuses_stale_writes(table, newest)?;

    let mut account = String::new();
    for (worker, jobs) in &done_by {
        writeln!(account, "worker {worker} did {jobs} jobs")?;
    }
    if abandoned > 0 {
        writeln!(account, "jobs begun by a worker that vanished, and done by another: {abandoned}")?;
    }
    writeln!(account, "every job was done once, in {} writes with tokens in order", writes.len())?;
    writeln!(account, "a write with an old token was refused")?;
    Ok(account)
}

/// A job is begun under a higher token than before, and done under the token it was begun with.
fn in_order(before: &Write, next: &Write) -> Result<()> {
    let is_fine = match next.step {
        Step::Begun => before.step == Step::Begun && before.token < next.token,
        Step::Done => before.step == Step::Begun && before.token == next.token && before.worker == next.worker,
    };
    if is_fine {
        return Ok(());
    }
    let (job, one, other) = (next.job, before.token, next.token);
    Err(format!("job {job}: {:?} under token {other} after {:?} under token {one}", next.step, before.step).into())
}

/// As a worker would write that was stopped for a while: the fence must not let it.
fn refuses_stale_writes(table: &mut Table, newest: &Write) -> Result<()> {
    let Token { epoch, value } = newest.token;
    let stale = Token { epoch, value: value - 1 };
    let foreign = Token { epoch: epoch ^ 1, value: value + 1 };
    for (token, expected) in [(stale, Fenced::Stale), (foreign, Fenced::OtherEpoch)] {
        let answer = table.write(&Write { token, ..*newest })?;
        if answer != expected {
            return Err(format!("a write under {token:?} after {:?} was answered {answer:?}", newest.token).into());
        }
    }
    Ok(())
}
