//! A window as a static picture, to be read by people in a document, and in its source.

mod bars;
mod canvas;
mod legend;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use self::bars::Bars;
use self::canvas::{Canvas, WIDTH};
use super::escape::markup;
use super::mark::{Mark, Verdict};
use super::scene::{Moment, Owner, Scene, Touch, last_of};
use crate::history::{Fault, Op, Register};

/// The colours of the page, so that one legend serves both.
const COLOURS: &str = include_str!("page/colours.css");
const STYLE: &str = include_str!("picture/picture.css");
/// Hatching is the colour itself under strokes of the ground.
const DEFS: &str = r#"<defs><pattern id="gaps" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="ground" width="2.5" height="5"/></pattern></defs>"#;

const AXIS: f64 = 20.0;
const FLAGS: f64 = 18.0;
const FAULT: f64 = 17.0;
const LANE: f64 = 20.0;
const REGISTER: f64 = 17.0;

pub(super) fn of(scene: &Scene<'_>) -> String {
    let mut picture = Picture::of(scene);
    picture.faults();
    picture.bands();
    picture.moments();
    picture.lanes();
    picture.registers();
    picture.frames();
    picture.legend();
    picture.finish()
}

struct Picture<'s, 'h> {
    scene: &'s Scene<'h>,
    canvas: Canvas,
    /// The row of each fault.
    fault_rows: Vec<usize>,
    /// The operations of each owner, in rows in which they do not overlap, and where the lane is.
    lanes: BTreeMap<Owner<'h>, Lane<'h>>,
    registers: BTreeMap<(&'h str, Register), Vec<&'s Touch<'h>>>,
    registers_at: f64,
    bottom: f64,
}

struct Lane<'h> {
    y: f64,
    rows: Vec<Vec<&'h Op>>,
}

impl<'s, 'h> Picture<'s, 'h> {
    fn of(scene: &'s Scene<'h>) -> Self {
        let mut canvas = Canvas::of(scene.window, scene.start);
        let fault_rows = fault_rows(scene, &canvas);
        let rows = fault_rows.iter().max().map_or(0, |last| last + 1);
        let mut y = AXIS + FLAGS + rows as f64 * FAULT + 4.0;
        let mut lanes = BTreeMap::new();
        for owner in &scene.owners {
            let rows = rows_of(scene, *owner);
            let height = LANE * rows.len() as f64;
            lanes.insert(*owner, Lane { y, rows });
            y += height;
        }
        let mut registers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for touch in &scene.touches {
            registers.entry((touch.name, touch.register)).or_default().push(touch);
        }
        let registers_at = y + 6.0;
        let bottom = registers_at + registers.len() as f64 * REGISTER + 4.0;
        canvas.axis(AXIS, bottom);
        Self { scene, canvas, fault_rows, lanes, registers, registers_at, bottom }
    }

    fn faults(&mut self) {
        for (fault, row) in self.scene.faults.iter().zip(&self.fault_rows) {
            let (kind, target) = (&fault.info.kind, &fault.info.target);
            let ended = fault.ended.unwrap_or(self.scene.end);
            let (from, to) = self.canvas.stretch(fault.begun, ended);
            let y = AXIS + FLAGS + *row as f64 * FAULT;
            let title = self.canvas.stretch_title(&format!("{kind}: {target}"), fault.begun, ended);
            self.canvas.open("fault", &title);
            self.canvas.rect("span", from, y, to - from, FAULT - 4.0);
            let label = canvas::shortened(&format!("{kind}: {target}"), WIDTH - from - 8.0);
            self.canvas.text("", from + 5.0, y + 9.5, &label);
            self.canvas.close();
        }
        if !self.scene.faults.is_empty() {
            self.canvas.label("label strong", AXIS + FLAGS + 10.0, "faults");
        }
    }

    /// The grounds of the marks, under everything that stands in the lanes.
    fn bands(&mut self) {
        for mark in &self.scene.marks {
            for (y, height) in self.concerned(mark) {
                let (from, to) = self.canvas.stretch(mark.from, mark.to);
                self.canvas.rect(band_class(mark), from, y, to - from, height);
            }
        }
    }

    fn lanes(&mut self) {
        let bars = Bars { names: &self.scene.names, end: self.scene.end };
        for owner in &self.scene.owners {
            let lane = &self.lanes[owner];
            self.canvas.label("label", lane.y + 14.0, owner.owner);
            for (row, ops) in lane.rows.iter().enumerate() {
                for op in ops {
                    bars.draw(&mut self.canvas, op, lane.y + row as f64 * LANE + 4.0);
                }
            }
        }
    }

    fn registers(&mut self) {
        for (i, ((name, register), touches)) in self.registers.iter().enumerate() {
            let middle = self.registers_at + (i as f64 + 0.5) * REGISTER;
            let kind = if *register == Register::Fenced { "fenced" } else { "unfenced" };
            self.canvas.label("label", middle + 4.0, &format!("{name} {kind}"));
            for touch in touches {
                let x = self.canvas.x(touch.at);
                let verb = touch.value.map_or_else(|| "read".to_owned(), |value| format!("write {value}"));
                let verdict = if touch.accepted { "accepted" } else { "refused" };
                let token = touch.token.map(|token| format!(" with token {token}")).unwrap_or_default();
                let at = self.canvas.ms(touch.at);
                let title = format!("{verb} by {}{token}: {verdict} at {at} ms", touch.owner);
                let name = self.scene.names.iter().position(|known| known == name).unwrap_or_default();
                self.canvas.open(&format!("n{}", name % bars::COLOURS), &title);
                if touch.accepted {
                    self.canvas.dot("", x, middle);
                } else {
                    self.canvas.cross("refused", x, middle, 4.0);
                }
                self.canvas.close();
            }
        }
    }

    fn moments(&mut self) {
        for moment in &self.scene.moments {
            let x = self.canvas.x(moment.at());
            match moment {
                Moment::Gone { process, .. } => {
                    let lanes = self.lanes.iter().filter(|(owner, _)| owner.process == *process);
                    for (y, height) in lanes.map(|(_, lane)| lane.extent()) {
                        self.canvas.line("moment", x, y, y + height);
                    }
                }
                Moment::Healed { .. } => {
                    self.canvas.line("healed", x, AXIS, self.bottom);
                    self.canvas.text("healed", x + 3.0, AXIS + 12.0, "healed");
                }
                Moment::EpochAccepted { epoch, .. } => {
                    self.canvas.line("moment", x, self.registers_at, self.bottom);
                    self.canvas.text("label", x + 3.0, self.bottom, &format!("epoch {epoch}"));
                }
            }
        }
    }

    /// The frames and flags of the marks, over everything else.
    fn frames(&mut self) {
        let mut free_from = 0.0;
        for (i, mark) in self.scene.marks.iter().enumerate() {
            let (from, to) = self.canvas.stretch(mark.from, mark.to);
            let sign = if mark.verdict == Verdict::Violation { '!' } else { '~' };
            let title = self.canvas.stretch_title(&format!("{}: {}", mark.kind, mark.message), mark.from, mark.to);
            let concerned = self.concerned(mark);
            self.canvas.open(frame_class(mark), &title);
            for (y, height) in &concerned {
                self.canvas.rect("frame", from, *y + 1.0, to - from, *height - 2.0);
            }
            let bottom = concerned.last().map_or(self.bottom, |(y, _)| *y);
            self.canvas.line("thread", (from + to) / 2.0, AXIS + 15.0, bottom);
            let flag = format!("{sign}{} {}", i + 1, mark.kind);
            free_from = 3.0 + self.canvas.flag((from + to) / 2.0, free_from, AXIS + 2.0, &flag);
            self.canvas.close();
        }
    }

    fn legend(&mut self) {
        self.bottom = legend::draw(&mut self.canvas, self.bottom + 10.0, self.scene.violations() > 0);
    }

    fn finish(self) -> String {
        let height = self.bottom;
        let mut svg = String::new();
        let title = markup(&title(self.scene));
        let _ = writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">"#
        );
        let _ = writeln!(svg, "<title>{title}</title>\n<style>\n{COLOURS}{STYLE}</style>\n{DEFS}");
        let _ = writeln!(svg, r#"<rect class="ground" width="{WIDTH}" height="{height}"/>"#);
        svg + &self.canvas.into_elements() + "</svg>\n"
    }

    /// From where and how high the lanes are that `mark` concerns.
    fn concerned(&self, mark: &Mark) -> Vec<(f64, f64)> {
        let owners: BTreeSet<_> = self.scene.owners_of(mark);
        let lanes = self.scene.owners.iter().filter(|owner| owners.contains(owner));
        let lanes = lanes.map(|owner| self.lanes[owner].extent());
        let registers = self.registers.keys().enumerate();
        let registers = registers.filter(|(_, (name, register))| {
            Some(*name) == mark.name.as_deref() && mark.register.is_none_or(|concerned| concerned == *register)
        });
        let registers = registers.map(|(i, _)| (self.registers_at + i as f64 * REGISTER, REGISTER));
        lanes.chain(registers).collect()
    }
}

impl Lane<'_> {
    fn extent(&self) -> (f64, f64) {
        (self.y, LANE * self.rows.len() as f64)
    }
}

fn title(scene: &Scene<'_>) -> String {
    let marks: Vec<_> = scene.marks.iter().map(|mark| format!("{}: {}", mark.kind, mark.message)).collect();
    let from = scene.window.from.saturating_sub(scene.start) as f64 / 1e6;
    let length = scene.window.length() as f64 / 1e6;
    let shown = format!("{length:.0} ms of a history, from {from:.0} ms: {} operations", scene.ops.len());
    if marks.is_empty() { shown } else { format!("{shown}. {}", marks.join(". ")) }
}

fn band_class(mark: &Mark) -> &'static str {
    if mark.verdict == Verdict::Violation { "band" } else { "apart-band" }
}

fn frame_class(mark: &Mark) -> &'static str {
    if mark.verdict == Verdict::Violation { "violation" } else { "apart" }
}

/// For each fault the first row in which its label has room.
fn fault_rows(scene: &Scene<'_>, canvas: &Canvas) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let place = |fault: &&Fault| {
        let (from, to) = canvas.stretch(fault.begun, fault.ended.unwrap_or(scene.end));
        let label = canvas::text_width(&format!("{}: {}", fault.info.kind, fault.info.target)) + 10.0;
        let row = ends.iter().position(|end| *end <= from).unwrap_or(ends.len());
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = to.max(from + label);
        row
    };
    scene.faults.iter().map(place).collect()
}

fn rows_of<'h>(scene: &Scene<'h>, owner: Owner<'h>) -> Vec<Vec<&'h Op>> {
    let mut rows: Vec<Vec<&Op>> = Vec::new();
    for op in scene.ops.iter().filter(|op| Owner::of(op) == owner) {
        let is_free = |row: &Vec<&Op>| row.last().is_none_or(|before| last_of(before, scene.end) <= op.invoked);
        match rows.iter().position(is_free) {
            Some(row) => rows[row].push(op),
            None => rows.push(vec![op]),
        }
    }
    rows
}
