//! The page: a template, filled.

use super::data::Data;
use super::escape;
use super::mark::Verdict;
use super::scene::Scene;
use crate::history::{End, Outcome};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = concat!(include_str!("page/colours.css"), include_str!("page/page.css"));
const FIRST_SCRIPT: &str = include_str!("page/errors.js");
/// One module: its parts see each other, and nothing else sees them.
const SCRIPT: &str = concat!(
    include_str!("page/model.js"),
    include_str!("page/theme.js"),
    include_str!("page/view.js"),
    include_str!("page/lanes.js"),
    include_str!("page/format.js"),
    include_str!("page/glyphs.js"),
    include_str!("page/bars.js"),
    include_str!("page/faults.js"),
    include_str!("page/resource.js"),
    include_str!("page/bands.js"),
    include_str!("page/axis.js"),
    include_str!("page/overview.js"),
    include_str!("page/highlight.js"),
    include_str!("page/pick.js"),
    include_str!("page/details.js"),
    include_str!("page/violations.js"),
    include_str!("page/filters.js"),
    include_str!("page/legend.js"),
    include_str!("page/link.js"),
    include_str!("page/input.js"),
    include_str!("page/main.js"),
);
/// So many marks are told to readers without scripts.
const TOLD: usize = 50;

pub(super) fn of(scene: &Scene<'_>) -> String {
    let data = serde_json::to_string(&Data::of(scene)).expect("columns of numbers and strings are JSON");
    fill(TEMPLATE, |hole| match hole {
        "title" => escape::markup(&title(scene)),
        "style" => STYLE.to_owned(),
        "verdict" => verdict(scene),
        "class" => class(scene).to_owned(),
        "summary" => escape::markup(&summary(scene)),
        "marks" => marks(scene),
        "data" => escape::json_in_script(&data),
        "first" => FIRST_SCRIPT.to_owned(),
        "script" => SCRIPT.to_owned(),
        hole => unreachable!("the template has no hole {hole:?}"),
    })
}

fn title(scene: &Scene<'_>) -> String {
    let run = scene.about.as_ref().map_or_else(String::new, |about| format!("{} seed {}: ", about.store, about.seed));
    format!("{run}{}, {}", verdict(scene), counted(scene.ops.len(), "operation"))
}

fn verdict(scene: &Scene<'_>) -> String {
    match (scene.violations(), scene.is_whole) {
        (0, true) => "no violations".to_owned(),
        (0, false) => "incomplete".to_owned(),
        (violations, true) => counted(violations, "violation"),
        (violations, false) => format!("{}, incomplete", counted(violations, "violation")),
    }
}

fn class(scene: &Scene<'_>) -> &'static str {
    match (scene.violations(), scene.is_whole) {
        (0, true) => "good",
        (0, false) => "incomplete",
        _ => "bad",
    }
}

fn summary(scene: &Scene<'_>) -> String {
    let (mut held, mut lost, mut failed, mut unknown) = (0, 0, 0, 0);
    for op in &scene.ops {
        match &op.outcome {
            Outcome::Held(hold) => {
                held += 1;
                lost += usize::from(matches!(hold.end, End::Lost(_)));
            }
            Outcome::Failed { .. } => failed += 1,
            Outcome::Unknown { .. } | Outcome::Abandoned { .. } | Outcome::Pending => unknown += 1,
        }
    }
    let writes = scene.touches.iter().filter(|touch| touch.value.is_some());
    let refused = writes.clone().filter(|write| !write.accepted).count();
    format!(
        "{} by {} on {} in {:.1} s: {held} held (of these {lost} lost), {failed} failed, {unknown} without an answer; \
         {}; {}, {refused} of them refused",
        counted(scene.ops.len(), "operation"),
        counted(scene.owners.len(), "owner"),
        counted(scene.names.len(), "name"),
        scene.window.length() as f64 / 1e9,
        counted(scene.faults.len(), "fault"),
        counted(writes.count(), "write"),
    )
}

fn marks(scene: &Scene<'_>) -> String {
    let told = scene.marks.iter().take(TOLD).map(|mark| {
        let at = (mark.from.saturating_sub(scene.start)) as f64 / 1e6;
        let apart = if mark.verdict == Verdict::NotPromised { " (nothing else was promised)" } else { "" };
        let text = format!("{} at {at:.3} ms{apart}: {}", mark.kind, mark.message);
        format!("<li>{}</li>\n", escape::markup(&text))
    });
    let told: String = told.collect();
    match scene.marks.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told}<li>and {more} more</li>\n"),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Fills the holes of the form `{{name}}` of `template` in one pass: what is put into a hole is not
/// looked at again.
fn fill(template: &str, content: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (hole, after) = after.split_once("}}").expect("the template closes its holes");
        filled.push_str(before);
        filled.push_str(&content(hole));
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_hole_is_not_a_template() {
        let filled = fill("<{{a}}|{{b}}>", |hole| format!("{hole}={{{{b}}}}"));
        assert_eq!(filled, "<a={{b}}|b={{b}}>");
    }
}
