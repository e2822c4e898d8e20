use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use dlock_testkit::Case;
use dlock_testkit::harness::{Failure, Outcome, Verdict};

/// Tells people on the standard output how a run goes, a line at a time.
pub(super) struct Console {
    has_colours: bool,
}

/// The "Select Graphic Rendition" codes of ECMA-48.
#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Console {
    /// With colours on a terminal, unless the user has set `NO_COLOR` (no-color.org).
    pub(super) fn on_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { has_colours: io::stdout().is_terminal() && !refused }
    }

    pub(super) fn list(&self, cases: &[Case]) {
        cases.iter().for_each(|case| line(case.name()));
    }

    pub(super) fn begin(&self, service: &str, url: &str, count: usize) {
        line(format_args!("{service} at {url}, {}", cases(count)));
    }

    /// Says what came of a case, which is the `place`th of `count` that has ended.
    pub(super) fn outcome(&self, place: usize, count: usize, outcome: &Outcome) {
        let width = count.to_string().len();
        let verdict = match &outcome.verdict {
            Verdict::Passed => self.paint(Colour::Green, "ok"),
            Verdict::Failed(_) => self.paint(Colour::Red, "FAILED"),
            Verdict::NotOffered(need) => self.paint(Colour::Yellow, &format!("not offered: {need}")),
            Verdict::NotRun => self.paint(Colour::Yellow, "not run"),
        };
        let name = outcome.case.name();
        line(format_args!("[{place:width$}/{count}] {name} ... {verdict}{}", in_brackets(outcome.took)));
    }

    /// Says why cases have failed, and how many.
    pub(super) fn end(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if let Verdict::Failed(failure) = &outcome.verdict {
                self.failure(&outcome.case, failure);
            }
        }
        let count = |is_so: fn(&Verdict) -> bool| outcomes.iter().filter(|outcome| is_so(&outcome.verdict)).count();
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let mut summary = format!(
            "{} passed, {failed} failed, {} not offered",
            count(|verdict| matches!(verdict, Verdict::Passed)),
            count(|verdict| matches!(verdict, Verdict::NotOffered(_))),
        );
        let not_run = count(|verdict| matches!(verdict, Verdict::NotRun));
        if not_run > 0 {
            summary.push_str(&format!(", {not_run} not run"));
        }
        let colour = match (failed, not_run) {
            (0, 0) => Colour::Green,
            (0, _) => Colour::Yellow,
            _ => Colour::Red,
        };
        line(format_args!("\n{}", self.paint(colour, &summary)));
    }

    fn failure(&self, case: &Case, failure: &Failure) {
        line(format_args!("\n{} {}", self.paint(Colour::Red, "FAILED"), case.name()));
        line(format_args!("  to prove: {}", proves(case)));
        failure.to_string().lines().for_each(|text| line(format_args!("  {text}")));
        line(format_args!("  once more: dlock conformance --exact {}", case.name()));
    }

    fn paint(&self, colour: Colour, text: &str) -> String {
        if self.has_colours { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }
}

/// What a case proves: its name is a sentence.
pub(super) fn proves(case: &Case) -> String {
    case.slug.replace('_', " ")
}

fn cases(count: usize) -> String {
    if count == 1 { "1 case".to_owned() } else { format!("{count} cases") }
}

/// A time that is worth a thought.
fn in_brackets(took: Duration) -> String {
    if took < Duration::from_secs(1) { String::new() } else { format!(" ({:.1} s)", took.as_secs_f32()) }
}

/// When the standard output is closed, the exit code and the report still tell.
fn line(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}
