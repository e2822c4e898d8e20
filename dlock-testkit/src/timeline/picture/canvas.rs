//! The elements of a picture, at times and heights.

use std::fmt::{Display, Write};

use super::super::escape::markup;
use super::super::window::Window;

/// The width of the picture, in its own units.
pub(super) const WIDTH: f64 = 960.0;
/// The part of it at the left that belongs to labels.
pub(super) const GUTTER: f64 = 122.0;
/// What has no length is drawn this wide.
const LEAST: f64 = 3.0;

/// Collects elements, a line each.
#[derive(Debug)]
pub(super) struct Canvas {
    window: Window,
    start: u64,
    elements: String,
}

impl Canvas {
    pub(super) fn of(window: Window, start: u64) -> Self {
        Self { window, start, elements: String::new() }
    }

    /// Where `at` is; at the nearer bound if it is outside the window.
    pub(super) fn x(&self, at: u64) -> f64 {
        let since = at.clamp(self.window.from, self.window.to.max(self.window.from)) - self.window.from;
        let share = since as f64 / self.window.length().max(1) as f64;
        GUTTER + share * (WIDTH - GUTTER - 4.0)
    }

    /// Whether `at` is in the window: what ends later has no end in the picture.
    pub(super) fn shows(&self, at: u64) -> bool {
        self.window.touches(at, at)
    }

    /// Where a stretch is, wide enough to be seen.
    pub(super) fn stretch(&self, from: u64, to: u64) -> (f64, f64) {
        let (from, to) = (self.x(from), self.x(to));
        if to - from >= LEAST { (from, to) } else { ((from + to - LEAST) / 2.0, (from + to + LEAST) / 2.0) }
    }

    /// Milliseconds from the start of the history.
    pub(super) fn ms(&self, at: u64) -> String {
        format!("{:.3}", at.saturating_sub(self.start) as f64 / 1e6)
    }

    pub(super) fn stretch_title(&self, what: &str, from: u64, to: u64) -> String {
        format!("{what}, from {} to {} ms", self.ms(from), self.ms(to))
    }

    /// Begins a group with a title, which browsers show under the pointer.
    pub(super) fn open(&mut self, class: &str, title: &str) {
        self.element(format_args!(r#"<g class="{class}"><title>{}</title>"#, markup(title)));
    }

    pub(super) fn close(&mut self) {
        self.element("</g>");
    }

    pub(super) fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        if width <= 0.0 {
            return;
        }
        let class = class_attribute(class);
        self.element(format_args!(r#"<rect{class} x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#));
    }

    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let class = class_attribute(class);
        self.element(format_args!(r#"<text{class} x="{x:.1}" y="{y:.1}">{}</text>"#, markup(text)));
    }

    pub(super) fn line(&mut self, class: &str, x: f64, from: f64, to: f64) {
        self.element(format_args!(r#"<path class="{class}" d="M{x:.1} {from:.1}V{to:.1}"/>"#));
    }

    pub(super) fn cross(&mut self, class: &str, x: f64, y: f64, size: f64) {
        let (left, top, across) = (x - size, y - size, size * 2.0);
        let strokes = format!("M{left:.1} {top:.1}l{across} {across}m0 -{across}l-{across} {across}");
        self.element(format_args!(r#"<path class="{class}" d="{strokes}"/>"#));
    }

    pub(super) fn dot(&mut self, class: &str, x: f64, y: f64) {
        let class = class_attribute(class);
        self.element(format_args!(r#"<circle{class} cx="{x:.1}" cy="{y:.1}" r="3"/>"#));
    }

    pub(super) fn diamond(&mut self, class: &str, x: f64, y: f64, size: f64) {
        let top = y - size;
        let path = format!("M{x:.1} {top:.1}l{size} {size}l-{size} {size}l-{size} -{size}z");
        self.element(format_args!(r#"<path class="{class}" d="{path}"/>"#));
    }

    pub(super) fn arrow(&mut self, class: &str, x: f64, y: f64) {
        let (left, top) = (x - 7.0, y - 6.0);
        self.element(format_args!(r#"<path class="{class}" d="M{left:.1} {top:.1}l7 6l-7 6z"/>"#));
    }

    /// A label in the part at the left.
    pub(super) fn label(&mut self, class: &str, y: f64, text: &str) {
        self.text(class, 6.0, y, &shortened(text, GUTTER - 10.0));
    }

    /// A label with a ground of its own, over the middle of what it speaks of, but not before `from`
    /// and within the picture. Answers where it ends.
    pub(super) fn flag(&mut self, middle: f64, from: f64, y: f64, text: &str) -> f64 {
        let text = shortened(text, (WIDTH - GUTTER) / 2.0);
        let width = text_width(&text) + 10.0;
        let left = (middle - width / 2.0).max(from).max(GUTTER).min(WIDTH - width);
        self.rect("flag", left, y, width, 14.0);
        self.text("", left + 5.0, y + 11.0, &text);
        left + width
    }

    /// Times on top, and a thin line down to `bottom` at each.
    pub(super) fn axis(&mut self, height: f64, bottom: f64) {
        let step = step(self.window.length());
        let mut since = self.window.from.saturating_sub(self.start).next_multiple_of(step);
        while self.start + since <= self.window.to {
            let x = self.x(self.start + since);
            let ms = since as f64 / 1e6;
            self.rect("grid", x - 0.5, height - 5.0, 1.0, bottom - height + 5.0);
            self.text("label", x + 4.0, height - 7.0, &format!("{ms} ms"));
            since += step;
        }
    }

    pub(super) fn into_elements(self) -> String {
        self.elements
    }

    pub(super) fn element(&mut self, element: impl Display) {
        let _ = writeln!(self.elements, "{element}");
    }
}

/// About how wide `text` is: the reader's font is not known.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.2
}

/// As much of `text` as `width` has room for.
pub(super) fn shortened(text: &str, width: f64) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let mut kept = text.to_owned();
    while text_width(&kept) + text_width("…") > width && kept.pop().is_some() {}
    kept + "…"
}

fn class_attribute(class: &str) -> String {
    if class.is_empty() { String::new() } else { format!(r#" class="{class}""#) }
}

/// 1, 2 or 5 times a power of ten nanoseconds, so that there are at most ten labels.
fn step(length: u64) -> u64 {
    let mut power: u64 = 1_000;
    loop {
        for step in [power, power.saturating_mul(2), power.saturating_mul(5)] {
            if step.saturating_mul(10) >= length {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_in_dots_and_fits() {
        assert_eq!(shortened("orders", 100.0), "orders");
        let short = shortened("a name that is longer than its lane", 100.0);
        assert!(short.starts_with("a name") && short.ends_with('…') && text_width(&short) <= 100.0, "{short}");
        assert_eq!(shortened("orders", 0.0), "…");
    }

    #[test]
    fn times_on_the_axis_are_round_and_few() {
        for length in [1, 999, 15_000, 150_000_000, 68_000_000_000, u64::MAX] {
            let step = step(length);
            assert!(length / step <= 10, "{length}: {step}");
            assert!([1, 2, 5].contains(&(step / 10u64.pow(step.ilog10()))) || step > u64::MAX / 10, "{length}: {step}");
        }
    }
}
