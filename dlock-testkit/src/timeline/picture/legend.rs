//! What the shapes of a picture mean.

use super::canvas::{Canvas, WIDTH, text_width};

const SAMPLE: f64 = 18.0;
const LINE: f64 = 20.0;
const MEANINGS: [(&str, &str); 13] = [
    ("waiting", "waits"),
    ("valid", "holds (#token)"),
    ("past", "past its validity"),
    ("unknown", "outcome unknown"),
    ("failed", "not acquired"),
    ("released", "released (! with an error)"),
    ("lost", "lost"),
    ("gone", "process gone"),
    ("open", "to the end"),
    ("accepted", "write accepted"),
    ("refused", "refused"),
    ("fault", "fault"),
    ("violation", "violation"),
];

/// Draws them below `y`, and answers where they end. Red is there only where there is a reason.
pub(super) fn draw(canvas: &mut Canvas, mut y: f64, with_violation: bool) -> f64 {
    let mut x = 6.0;
    for (shape, meaning) in MEANINGS.iter().take(MEANINGS.len() - usize::from(!with_violation)) {
        let width = SAMPLE + 5.0 + text_width(meaning) + 14.0;
        if x + width > WIDTH {
            (x, y) = (6.0, y + LINE);
        }
        sample(canvas, shape, x, y);
        canvas.text("label", x + SAMPLE + 5.0, y + 10.0, meaning);
        x += width;
    }
    y + LINE
}

fn sample(canvas: &mut Canvas, shape: &str, x: f64, y: f64) {
    let (middle, centre) = (y + 6.0, x + SAMPLE / 2.0);
    match shape {
        "waiting" => canvas.rect("n0", x, middle - 1.0, SAMPLE, 2.0),
        "valid" => canvas.rect("n0", x, y, SAMPLE, 12.0),
        "past" => {
            canvas.rect("n0", x, y, SAMPLE, 12.0);
            canvas.rect("gaps", x, y, SAMPLE, 12.0);
        }
        "unknown" => canvas.rect("unknown", x, y + 2.0, SAMPLE, 8.0),
        "failed" => {
            canvas.rect("unknown", x, middle - 1.0, SAMPLE - 4.0, 2.0);
            canvas.cross("failed", x + SAMPLE - 4.0, middle, 3.0);
        }
        "released" => canvas.rect("end", centre - 1.0, y - 1.0, 2.0, 14.0),
        "lost" => canvas.diamond("end", centre, middle, 6.0),
        "gone" => canvas.rect("hollow", centre - 4.0, y + 2.0, 8.0, 8.0),
        "open" => canvas.arrow("end", centre + 3.0, middle),
        "accepted" => canvas.dot("n0", centre, middle),
        "refused" => canvas.cross("refused", centre, middle, 4.0),
        "fault" | "violation" => {
            canvas.element(format_args!(r#"<g class="{shape}">"#));
            canvas.rect(if shape == "fault" { "span" } else { "frame" }, x + 1.0, y, SAMPLE - 2.0, 12.0);
            canvas.close();
        }
        shape => unreachable!("{shape:?} is not in the legend"),
    }
}
