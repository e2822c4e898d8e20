//! Writes a history.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use dlock_core::{Clock, Instant};

use super::{Event, What};

/// Appends the events of one process to its file.
#[derive(Debug)]
pub struct Recorder {
    process: String,
    clock: Clock,
    file: Mutex<File>,
}

impl Recorder {
    /// Writes to `PROCESS.jsonl` in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(dir: &Path, process: impl Into<String>) -> io::Result<Self> {
        let process = process.into();
        fs::create_dir_all(dir)?;
        let file = File::options().create(true).append(true).open(dir.join(format!("{process}.jsonl")))?;
        Ok(Self { process, clock: Clock::system(), file: Mutex::new(file) })
    }

    /// Writes down that `what` happened just now. The time is read under the file's lock, so that
    /// a file is in order of time.
    ///
    /// # Panics
    /// When the file cannot be written to, and whenever it is called after that: a history with a gap
    /// proves nothing, and nothing may follow a line that was cut off.
    pub fn record(&self, what: What) -> u64 {
        let file = self.file();
        let now = self.clock.now();
        self.write(file, now, what)
    }

    /// Writes down that `what` happened at `at`, which may be before what stands in the file.
    ///
    /// # Panics
    /// As [`Recorder::record`].
    pub fn record_at(&self, at: Instant, what: What) -> u64 {
        self.write(self.file(), at, what)
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().expect("the history could be written before")
    }

    fn write(&self, mut file: MutexGuard<'_, File>, at: Instant, what: What) -> u64 {
        let event = Event { at: at.as_nanos(), process: self.process.clone(), what };
        let mut line = serde_json::to_vec(&event).expect("an event has only strings and numbers");
        line.push(b'\n');
        file.write_all(&line).expect("the history can be written");
        event.at
    }
}
