use std::path::Path;
use std::time::Duration;

use dlock::Token;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use crate::Result;

/// The resource that the locks protect.
///
/// Each job carries its own fence: the epoch and the highest token that it was written under. A
/// write checks and raises it in the same statement, so a worker that was stopped, lost its lock and
/// does not know it yet changes nothing. The locks make collisions rare; the fence makes them
/// harmless.
pub(crate) struct Table {
    database: Connection,
}

/// A step of the work on a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Begun,
    Done,
}

/// One write, in the order in which they happened.
pub(crate) struct Write {
    pub(crate) job: u32,
    pub(crate) worker: u32,
    pub(crate) token: Token,
    pub(crate) step: Step,
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fenced {
    Written,
    /// The job was written to under a higher token: this worker is not the holder any more.
    Stale,
    /// The lock service lost its history since the job was last written to, and tokens do not
    /// compare. Somebody has to make sure that no old holder is left, and reset the job's fence.
    OtherEpoch,
}

const SCHEMA: &str = "
    DROP TABLE IF EXISTS jobs;
    DROP TABLE IF EXISTS writes;
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        is_done INTEGER NOT NULL DEFAULT 0,
        times_done INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER,
        token INTEGER
    );
    CREATE TABLE writes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job INTEGER NOT NULL,
        worker INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        token INTEGER NOT NULL,
        is_done INTEGER NOT NULL
    );";

/// The fence is a condition of the write itself.
const FENCED_WRITE: &str = "
    UPDATE jobs SET epoch = :epoch, token = :token, is_done = :done, times_done = times_done + :done
    WHERE id = :job AND (epoch IS NULL OR (epoch = :epoch AND token <= :token))";

impl Table {
    /// A new table of jobs that are to be done.
    pub(crate) fn create(path: &Path, jobs: u32) -> Result<Self> {
        let table = Self::open(path)?;
        table.database.execute_batch(SCHEMA)?;
        for job in 1..=jobs {
            table.database.execute("INSERT INTO jobs (id) VALUES (?)", [job])?;
        }
        Ok(table)
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(30))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self { database })
    }

    /// The jobs that are not done, in random order, so that workers do not follow each other.
    pub(crate) fn open_jobs(&mut self) -> Result<Vec<u32>> {
        let mut query = self.database.prepare_cached("SELECT id FROM jobs WHERE NOT is_done ORDER BY random()")?;
        let jobs = query.query_map([], |row| row.get(0))?;
        Ok(jobs.collect::<Result<_, _>>()?)
    }

    pub(crate) fn is_done(&mut self, job: u32) -> Result<bool> {
        Ok(self.database.query_row("SELECT is_done FROM jobs WHERE id = ?", [job], |row| row.get(0))?)
    }

    pub(crate) fn write(&mut self, write: &Write) -> Result<Fenced> {
        let (epoch, token) = stored(write.token)?;
        let done = write.step == Step::Done;
        let transaction = self.database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let written = transaction.execute(
            FENCED_WRITE,
            named_params! {":epoch": epoch, ":token": token, ":done": done, ":job": write.job},
        )?;
        if written == 0 {
            let fence = transaction
                .query_row("SELECT epoch FROM jobs WHERE id = ?", [write.job], |row| row.get::<_, Option<i64>>(0))
                .optional()?;
            return match fence {
                Some(present) if present == Some(epoch) => Ok(Fenced::Stale),
                Some(_) => Ok(Fenced::OtherEpoch),
                None => Err(format!("there is no job {}", write.job).into()),
            };
        }
        transaction.execute(
            "INSERT INTO writes (job, worker, epoch, token, is_done) VALUES (:job, :worker, :epoch, :token, :done)",
            named_params! {
                ":job": write.job, ":worker": write.worker, ":epoch": epoch, ":token": token, ":done": done,
            },
        )?;
        transaction.commit()?;
        Ok(Fenced::Written)
    }

    /// How often each job was done.
    pub(crate) fn times_done(&mut self) -> Result<Vec<(u32, u32)>> {
        let mut query = self.database.prepare("SELECT id, times_done FROM jobs ORDER BY id")?;
        let jobs = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(jobs.collect::<Result<_, _>>()?)
    }

    /// Every write that was let through, in order.
    pub(crate) fn writes(&mut self) -> Result<Vec<Write>> {
        let mut query =
            self.database.prepare("SELECT job, worker, epoch, token, is_done FROM writes ORDER BY number")?;
        let writes = query.query_map([], read)?;
        Ok(writes.collect::<Result<_, _>>()?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Write> {
    let token = Token { epoch: row.get::<_, i64>(2)?.cast_unsigned(), value: row.get::<_, i64>(3)?.cast_unsigned() };
    let step = if row.get(4)? { Step::Done } else { Step::Begun };
    Ok(Write { job: row.get(0)?, worker: row.get(1)?, token, step })
}

/// SQLite's integers are signed. An epoch is only ever compared for being the same; a token, for
/// being less, and none comes near the limit.
fn stored(token: Token) -> Result<(i64, i64)> {
    Ok((token.epoch.cast_signed(), i64::try_from(token.value)?))
}
