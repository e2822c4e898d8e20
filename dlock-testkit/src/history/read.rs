//! Reads a history back.

use std::fs;
use std::path::{Path, PathBuf};

use super::fold::Fold;
use super::{Event, Fault, Op, ReadError, What};

/// Everything that was recorded in a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All events of all processes, by time.
    pub events: Vec<Event>,
    /// The operations, by the time of their invocation.
    pub ops: Vec<Op>,
    /// The faults, by the time of their beginning.
    pub faults: Vec<Fault>,
    /// Processes that were killed while they wrote a line. That line is left out.
    pub cut_off: Vec<String>,
}

impl History {
    /// Reads what all processes of a run wrote to `dir`: every `*.jsonl` file in it, a process each.
    ///
    /// # Errors
    /// When a file cannot be read, holds anything but events in order of time, or contradicts
    /// another. A last line that is cut off is forgiven to a process that the lab saw go.
    pub fn read(dir: &Path) -> Result<Self, ReadError> {
        let mut events = Vec::new();
        let mut cut = Vec::new();
        for path in files(dir)? {
            let text = fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole < text.len() {
                cut.push(path.clone());
            }
            parse(&path, &text[..whole], &mut events)?;
        }
        if events.is_empty() && cut.is_empty() {
            return Err(ReadError::Empty { dir: dir.to_owned() });
        }
        // The sort keeps equal times in the order of their file, and merges runs that are in order.
        events.sort_by_key(|event: &Event| event.at);
        let cut_off = cut.into_iter().map(|path| forgive(path, &events)).collect::<Result<_, _>>()?;
        Ok(Self { cut_off, ..Self::of(events)? })
    }

    /// Folds events that are in order of time into operations and faults.
    ///
    /// # Errors
    /// [`ReadError::Contradiction`] when they do not go together: an answer without an invocation,
    /// two answers, a process that goes on after it was gone.
    pub fn of(events: Vec<Event>) -> Result<Self, ReadError> {
        let mut fold = Fold::default();
        for event in &events {
            fold.add(event)?;
        }
        let (ops, faults) = fold.end();
        Ok(Self { ops, faults, cut_off: Vec::new(), events })
    }

    /// The time of the first event; 0 where there is none.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.events.first().map_or(0, |event| event.at)
    }

    /// The time of the last event; 0 where there is none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at)
    }
}

/// The files of a run in the order of their names, so that the same run is always read alike.
fn files(dir: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let failed = |source| ReadError::Io { path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(path: &Path, text: &[u8], events: &mut Vec<Event>) -> Result<(), ReadError> {
    let mut last = 0;
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let line_number = index + 1;
        let event: Event = serde_json::from_slice(line).map_err(|source| ReadError::Line {
            path: path.to_owned(),
            line: line_number,
            source,
        })?;
        // A fault is written down once it is known whom it hit, with the time at which it began.
        if !matches!(event.what, What::FaultBegun(_)) {
            if event.at < last {
                return Err(ReadError::Disorder { path: path.to_owned(), line: line_number });
            }
            last = event.at;
        }
        events.push(event);
    }
    Ok(())
}

/// The process whose file was cut off, if it was gone before it could write the line to its end.
fn forgive(path: PathBuf, events: &[Event]) -> Result<String, ReadError> {
    let process = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let gone = events.iter().any(|event| matches!(&event.what, What::Gone { who } if *who == process));
    if gone { Ok(process) } else { Err(ReadError::CutOff { path }) }
}
