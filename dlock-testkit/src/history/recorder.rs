//! Writes a history.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use dlock_core::Clock;

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
        let mut file = self.file.lock().expect("the history could be written before");
        let at = self.clock.now().as_nanos();
        let event = Event { at, process: self.process.clone(), what };
        let mut line = serde_json::to_vec(&event).expect("an event has only strings and numbers");
        line.push(b'\n');
        file.write_all(&line).expect("the history can be written");
        at
    }
}
