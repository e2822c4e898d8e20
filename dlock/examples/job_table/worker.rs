use std::time::Duration;

use dlock::{ErrorKind, Guard, Locks, Predecessor};
use tokio::time::sleep;

use crate::Result;
use crate::table::{Fenced, Step, Table, Write};

/// How long a worker waits for a job that another one holds before it looks for something else.
const PATIENCE: Duration = Duration::from_millis(100);

/// Takes jobs until none is left.
pub(crate) async fn work(locks: &Locks, mut table: Table, worker: u32, is_to_crash: bool) -> Result<()> {
    loop {
        let jobs = table.open_jobs()?;
        if jobs.is_empty() {
            return Ok(());
        }
        for job in jobs {
            let Some(guard) = locks.lock(format!("jobs/{job}"))?.acquire_within(PATIENCE).await? else { continue };
            if guard.predecessor() == Some(Predecessor::Vanished) {
                println!("worker {worker} takes job {job} over from one that vanished");
            }
            match do_once(&mut table, &guard, job, worker, is_to_crash).await {
                Ok(()) => {}
                // Another worker does it, or has done it.
                Err(error) if is_loss(&*error) => println!("worker {worker} lost job {job}: {error}"),
                Err(error) => return Err(error),
            }
            match guard.release().await {
                Err(error) if error.kind() != ErrorKind::Lost => return Err(error.into()),
                _ => {}
            }
        }
    }
}

/// Does the job, unless it was done while this worker waited for its lock.
async fn do_once(table: &mut Table, guard: &Guard, job: u32, worker: u32, is_to_crash: bool) -> Result<()> {
    if table.is_done(job)? {
        return Ok(());
    }
    let mut step = |step| write(table, &Write { job, worker, token: guard.token()?, step });
    step(Step::Begun)?;
    if is_to_crash {
        println!("worker {worker} dies in the middle of job {job}");
        std::process::abort();
    }
    // The work stops when the lock is lost.
    guard.run(sleep(Duration::from_millis(length_of(job)))).await?;
    step(Step::Done)
}

fn write(table: &mut Table, write: &Write) -> Result<()> {
    let refused =
        |why: &str| dlock::Error::new(ErrorKind::Lost, format!("the job refused token {}: {why}", write.token));
    match table.write(write)? {
        Fenced::Written => Ok(()),
        Fenced::Stale => Err(refused("another worker has written to it since").into()),
        Fenced::OtherEpoch => Err(refused("it is of another epoch; the lock service has lost its history").into()),
    }
}

fn is_loss(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<dlock::Error>().is_some_and(|error| error.kind() == ErrorKind::Lost)
}

/// Some jobs take longer than others.
fn length_of(job: u32) -> u64 {
    u64::from(job % 5) * 5
}
