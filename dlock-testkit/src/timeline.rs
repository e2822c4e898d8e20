//! A history as a picture.
//!
//! [`render`] makes one self-contained HTML file: a lane for each owner, faults above, the resource
//! below, and every [`Mark`] of a checker as a red band that its list jumps to. It loads nothing, so
//! it can be kept as an artifact of a run and opened from anywhere. [`svg`] draws a short window as a
//! static picture for documents.

mod data;
mod escape;
mod judged;
mod mark;
mod page;
mod picture;
mod scene;
mod window;

pub use self::judged::marks;
pub use self::mark::{Mark, Verdict};
pub use self::window::Window;

use self::scene::Scene;
use crate::history::History;

/// Draws everything that happened, as an HTML page.
#[must_use]
pub fn render(history: &History, marks: &[Mark]) -> String {
    page::of(&Scene::of(history, marks, None))
}

/// Draws what touches `window`, as an HTML page. Times are shown from the start of the whole
/// history, so that they agree with those of [`render`].
#[must_use]
pub fn render_window(history: &History, marks: &[Mark], window: Window) -> String {
    page::of(&Scene::of(history, marks, Some(window)))
}

/// Draws what touches `window`, as a picture that is readable in light and dark documents. It has a
/// lane for each owner that did something in the window, and an element for each thing that happened,
/// so it is for windows of some tens of operations.
#[must_use]
pub fn svg(history: &History, marks: &[Mark], window: Window) -> String {
    picture::of(&Scene::of(history, marks, Some(window)))
}
