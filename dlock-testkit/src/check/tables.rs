//! Reports as tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Breach, FaultRow, Report, Samples};

/// Markdown: a table with a row for each run, and for each store a table with a row for each kind of
/// fault in all its runs.
#[must_use]
pub fn tables(reports: &[Report]) -> String {
    let mut runs = Table::new(
        "store | seed | faults | operations | acquisitions | fenced violations | token inversions | overlaps | \
         excused | new epochs | orphans | hung | verdict",
        1,
    );
    let mut stores: BTreeMap<&str, BTreeMap<&str, FaultRow>> = BTreeMap::new();
    for report in reports {
        let store = report.store.as_deref().unwrap_or("?");
        runs.row(&run(store, report));
        for row in &report.rows {
            stores.entry(store).or_default().entry(&row.kind).or_default().add(row);
        }
    }
    let mut text = runs.text;
    for (store, rows) in stores {
        let mut faults = Table::new(
            "fault | faults | acquisitions | fenced violations | token inversions | overlaps | excused | \
             recovery p50 | p99 | loss told p50 | p99 | told late p50 | p99",
            1,
        );
        for (kind, row) in rows {
            faults.row(&fault(kind, &row));
        }
        text += &format!("\n### {store}\n\n{}", faults.text);
    }
    text
}

fn run(store: &str, report: &Report) -> Vec<String> {
    let verdict = match (report.violations.is_empty(), report.incomplete.is_empty()) {
        (true, true) => "sound",
        (true, false) => "incomplete",
        (false, _) => "**not sound**",
    };
    let numbers = [
        report.totals.faults,
        report.totals.operations,
        report.totals.acquisitions,
        report.count(Breach::is_of_the_fence),
        report.count(Breach::is_of_tokens),
        report.count(|breach| breach == Breach::Overlap),
        report.excused_of_exclusion(),
        report.epochs.len(),
    ];
    let known = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let mut cells = vec![store.to_owned(), known(report.seed)];
    cells.extend(numbers.map(|number| number.to_string()));
    cells.extend([known(report.orphans), report.count(Breach::is_of_liveness).to_string(), verdict.to_owned()]);
    cells
}

fn fault(kind: &str, row: &FaultRow) -> Vec<String> {
    let kind = if kind.is_empty() { "(before the first)" } else { kind };
    let numbers = [row.faults, row.acquisitions, row.fenced, row.tokens, row.overlaps, row.excused];
    let spans = [&row.recovery, &row.loss_detection, &row.noticed_late]
        .map(|samples| [50, 99].map(|percent| span(samples, percent)))
        .concat();
    [kind.to_owned()].into_iter().chain(numbers.map(|number| number.to_string())).chain(spans).collect()
}

/// A percentile for people.
fn span(samples: &Samples, percent: usize) -> String {
    match samples.percentile(percent) {
        None => "–".to_owned(),
        Some(nanos) if nanos < 10_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        Some(nanos) if nanos < 10_000_000_000 => format!("{:.0} ms", nanos as f64 / 1e6),
        Some(nanos) => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

/// Text in columns.
struct Table {
    text: String,
}

impl Table {
    /// The first columns, as many as `words`, hold words; the others hold numbers.
    fn new(heads: &str, words: usize) -> Self {
        let columns = heads.split('|').count();
        let rule = vec!["---"; words].into_iter().chain(vec!["---:"; columns - words]).collect::<Vec<_>>().join("|");
        Self { text: format!("| {heads} |\n|{rule}|\n") }
    }

    fn row(&mut self, cells: &[String]) {
        // A vertical bar in a cell would end it.
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("a String takes all that is written");
    }
}
