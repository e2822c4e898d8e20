//! Tables of runs, in documents too.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use dlock_testkit::check::{self, Report};
use dlock_testkit::history::History;

use crate::check::write;
use crate::command::TablesArguments;
use crate::print;

pub(crate) fn run(arguments: &TablesArguments) -> io::Result<ExitCode> {
    let reports = arguments.dirs.iter().map(|dir| {
        let history = History::read(dir).map_err(io::Error::other)?;
        Ok(check::check(&history))
    });
    let reports: Vec<Report> = reports.collect::<io::Result<_>>()?;
    let tables = check::tables(&reports);
    match &arguments.write {
        None => print(&tables)?,
        Some(file) => replace(file, "runs", &tables)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts `text` between the two marks of that name in a document.
pub(crate) fn replace(file: &Path, mark: &str, text: &str) -> io::Result<()> {
    let unreadable = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let document = fs::read_to_string(file).map_err(unreadable)?;
    let (begin, end) = (format!("<!-- {mark}: written by chaos -->\n"), format!("<!-- end of {mark} -->"));
    let parts = document.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = parts else {
        let why = format!("{} has no place for this: write {begin} and {end} into it", file.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    };
    write(file, &format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("document.md");
        fs::write(&file, "a\n<!-- runs: written by chaos -->\nold\n<!-- end of runs -->\nb\n").unwrap();
        for _ in 0..2 {
            replace(&file, "runs", "new\n").unwrap();
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(text, "a\n<!-- runs: written by chaos -->\n\nnew\n\n<!-- end of runs -->\nb\n");
        }
        replace(&file, "others", "new").unwrap_err();
    }
}
