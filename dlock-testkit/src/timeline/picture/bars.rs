//! The operations of a picture.

use super::super::scene::last_of;
use super::canvas::{Canvas, text_width};
use crate::history::{End, Hold, Op, Outcome};

/// So many names have a colour of their own.
pub(super) const COLOURS: usize = 8;
const BAR: f64 = 12.0;

/// Draws operations.
#[derive(Debug)]
pub(super) struct Bars<'s, 'h> {
    pub names: &'s [&'h str],
    /// When the history ends.
    pub end: u64,
}

impl Bars<'_, '_> {
    /// Draws `op` with the upper edge of its bar at `y`.
    pub(super) fn draw(&self, canvas: &mut Canvas, op: &Op, y: f64) {
        let name = self.names.iter().position(|name| *name == op.name).unwrap_or_default();
        let title = format!("operation {} on {} by {}: {}", op.op, op.name, op.owner, outcome(op));
        let title = canvas.stretch_title(&title, op.invoked, last_of(op, self.end));
        canvas.open(&format!("n{}", name % COLOURS), &title);
        let invoked = canvas.x(op.invoked);
        let middle = y + BAR / 2.0;
        match &op.outcome {
            Outcome::Held(hold) => draw_hold(canvas, op, hold, y),
            Outcome::Failed { at, .. } => {
                let told = canvas.x(*at);
                canvas.rect("unknown", invoked, middle - 1.0, told - invoked, 2.0);
                if canvas.shows(*at) {
                    canvas.cross("failed", told, middle, 3.0);
                }
            }
            Outcome::Unknown { at, .. } | Outcome::Abandoned { at } => {
                let told = canvas.x(*at);
                canvas.rect("unknown", invoked, y + 2.0, told - invoked, BAR - 4.0);
                if matches!(op.outcome, Outcome::Abandoned { .. }) && canvas.shows(*at) {
                    canvas.rect("hollow", told - 4.0, y + 2.0, 8.0, 8.0);
                }
            }
            Outcome::Pending => {
                let end = canvas.x(self.end);
                canvas.rect("unknown", invoked, y + 2.0, end - invoked, BAR - 4.0);
                if canvas.shows(self.end) {
                    canvas.arrow("end", end, middle);
                }
            }
        }
        canvas.close();
    }
}

fn draw_hold(canvas: &mut Canvas, op: &Op, hold: &Hold, y: f64) {
    let middle = y + BAR / 2.0;
    let (invoked, since) = (canvas.x(op.invoked), canvas.x(hold.since));
    let until = canvas.x(hold.until.max(hold.since));
    let noticed = canvas.x(hold.noticed.max(hold.since));
    canvas.rect("", invoked, middle - 1.0, since - invoked, 2.0);
    canvas.rect("", since, y, until - since, BAR);
    canvas.rect("", until, y, noticed - until, BAR);
    canvas.rect("gaps", until, y, noticed - until, BAR);
    if let Some(token) = hold.token {
        let text = format!("#{token}");
        if text_width(&text) + 10.0 < until - since {
            canvas.text("on", since + 4.0, y + 10.0, &text);
        }
    }
    if let End::Released { answered, .. } = &hold.end {
        let answered = canvas.x(answered.unwrap_or(hold.noticed));
        canvas.rect("", noticed, middle - 0.5, answered - noticed, 1.0);
    }
    if !canvas.shows(hold.noticed) {
        return;
    }
    match &hold.end {
        End::Released { error, .. } => {
            canvas.rect("end", noticed - 1.0, y - 1.0, 2.0, BAR + 2.0);
            if error.is_some() {
                canvas.text("strong", noticed + 2.0, y + 10.0, "!");
            }
        }
        End::Lost(_) => canvas.diamond("end", noticed, middle, 6.0),
        End::Abandoned => canvas.rect("hollow", noticed - 4.0, y + 2.0, 8.0, 8.0),
        End::Open => canvas.arrow("end", noticed, middle),
    }
}

fn outcome(op: &Op) -> String {
    match &op.outcome {
        Outcome::Held(hold) => {
            let token = hold.token.map(|token| format!(" with token {token}")).unwrap_or_default();
            let end = match &hold.end {
                End::Released { error: None, .. } => "released".to_owned(),
                End::Released { error: Some(error), .. } => format!("released, with an error: {error}"),
                End::Lost(why) => format!("lost: {why}"),
                End::Abandoned => "its process was gone".to_owned(),
                End::Open => "to the end of the history".to_owned(),
            };
            format!("held{token}, {end}")
        }
        Outcome::Failed { why, .. } => format!("not acquired: {why}"),
        Outcome::Unknown { why, .. } => format!("unknown: {why}"),
        Outcome::Abandoned { .. } => "its process was gone while it waited".to_owned(),
        Outcome::Pending => "never answered".to_owned(),
    }
}
