//! A scene as the page's script reads it: columns of small numbers.
//!
//! Ten thousand operations are to fit in a file that a mail can carry: times are whole microseconds,
//! each from the one before it; strings and tokens stand in tables, and are spoken of by their place.
//! `model.js` is the reader.

use std::collections::HashMap;

use dlock_core::Token;
use serde::Serialize;

use super::mark::Verdict;
use super::scene::{Moment, Owner, Scene};
use crate::history::{End, Hold, Op, Outcome, Register};

/// JavaScript's numbers are exact up to here; what is greater is told as a string.
const EXACT: u64 = (1 << 53) - 1;
/// No such thing, where a place in a table is expected.
const NONE: i64 = -1;

/// Everything the page shows.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    /// The start of the history in its own clock, to find a moment in the recorded files.
    start_ns: String,
    /// The bounds of what is drawn, in microseconds from the start.
    from: i64,
    to: i64,
    store: Option<String>,
    seed: Option<String>,
    command: Option<String>,
    strings: Vec<String>,
    tokens: Vec<(i64, Number)>,
    names: Vec<i64>,
    owners: Vec<(i64, i64)>,
    ops: Ops,
    touches: Touches,
    faults: Vec<(i64, i64, i64, i64)>,
    moments: Vec<(&'static str, i64, i64, i64)>,
    marks: Vec<MarkRow>,
}

/// The operations: the same place in each column is the same operation.
#[derive(Debug, Default, Serialize)]
struct Ops {
    number: Vec<u64>,
    owner: Vec<i64>,
    name: Vec<i64>,
    /// From the invocation before.
    invoked: Vec<i64>,
    outcome: Vec<u8>,
    /// When it was told: from the invocation. Nothing for one that was not.
    told: Vec<i64>,
    /// From `told`; negative where it never could believe.
    until: Vec<i64>,
    /// From `until`.
    noticed: Vec<i64>,
    /// From `noticed`; -1 where there was no answer.
    answered: Vec<i64>,
    token: Vec<i64>,
    text: Vec<i64>,
}

#[derive(Debug, Default, Serialize)]
struct Touches {
    /// From the one before.
    at: Vec<i64>,
    /// 1 accepted, 2 fenced, 4 a read.
    flags: Vec<u8>,
    name: Vec<i64>,
    owner: Vec<i64>,
    token: Vec<i64>,
    value: Vec<Number>,
}

#[derive(Debug, Serialize)]
struct MarkRow {
    violation: bool,
    kind: String,
    from: i64,
    to: i64,
    name: i64,
    register: Option<Register>,
    /// Places in the columns of the operations.
    ops: Vec<usize>,
    message: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Number {
    Exact(u64),
    Digits(String),
}

impl Data {
    pub(super) fn of(scene: &Scene<'_>) -> Self {
        let mut tables = Tables::default();
        let since_start = |at: u64| micros(at) - micros(scene.start);
        let names: Vec<i64> = scene.names.iter().map(|name| tables.string(name)).collect();
        let owners = scene.owners.iter().map(|o| (tables.string(o.process), tables.string(o.owner))).collect();
        let ops = Ops::of(scene, &mut tables);
        let touches = Touches::of(scene, &mut tables);
        let faults = scene.faults.iter().map(|fault| {
            let kind = tables.string(&fault.info.kind);
            let target = tables.string(&fault.info.target);
            (since_start(fault.begun), since_start(fault.ended.unwrap_or(scene.end)), kind, target)
        });
        let faults = faults.collect();
        let moments = scene.moments.iter().map(|moment| match moment {
            Moment::Gone { at, process } => ("gone", since_start(*at), tables.string(process), NONE),
            Moment::Healed { at } => ("healed", since_start(*at), NONE, NONE),
            Moment::EpochAccepted { at, name, epoch } => {
                ("epoch", since_start(*at), tables.string(name), tables.string(&epoch.to_string()))
            }
        });
        let moments = moments.collect();
        let places: HashMap<_, _> =
            scene.ops.iter().enumerate().map(|(i, op)| ((op.process.as_str(), op.op), i)).collect();
        let marks = scene.marks.iter().map(|mark| MarkRow {
            violation: mark.verdict == Verdict::Violation,
            kind: mark.kind.clone(),
            from: since_start(mark.from),
            to: since_start(mark.to.max(mark.from)),
            name: mark.name.as_deref().and_then(|name| place(&scene.names, &name)).unwrap_or(NONE),
            register: mark.register,
            ops: mark.ops.iter().filter_map(|(p, n)| places.get(&(p.as_str(), *n)).copied()).collect(),
            message: mark.message.clone(),
        });
        Self {
            start_ns: scene.start.to_string(),
            from: since_start(scene.window.from),
            to: since_start(scene.window.to),
            store: scene.about.as_ref().map(|about| about.store.to_owned()),
            seed: scene.about.as_ref().map(|about| about.seed.to_string()),
            command: scene.about.as_ref().map(|about| about.command.to_owned()),
            names,
            owners,
            ops,
            touches,
            faults,
            moments,
            marks: marks.collect(),
            tokens: tables.tokens,
            strings: tables.strings,
        }
    }
}

impl Ops {
    fn of(scene: &Scene<'_>, tables: &mut Tables) -> Self {
        let owners: HashMap<_, _> = scene.owners.iter().zip(0..).collect();
        let names: HashMap<_, _> = scene.names.iter().zip(0..).collect();
        let mut ops = Self::default();
        let mut before = micros(scene.start);
        for op in &scene.ops {
            let invoked = micros(op.invoked);
            ops.number.push(op.op);
            ops.owner.push(owners[&Owner::of(op)]);
            ops.name.push(names[&op.name.as_str()]);
            ops.invoked.push(invoked - before);
            before = invoked;
            ops.push_outcome(op, tables);
        }
        ops
    }

    /// The numbers of the outcomes are those of `OUTCOMES` in `model.js`.
    fn push_outcome(&mut self, op: &Op, tables: &mut Tables) {
        let invoked = op.invoked;
        match &op.outcome {
            Outcome::Held(hold) => self.push_hold(invoked, hold, tables),
            Outcome::Failed { at, why } => self.push_told(0, between(invoked, *at), tables.string(why)),
            Outcome::Unknown { at, why } => self.push_told(1, between(invoked, *at), tables.string(why)),
            Outcome::Abandoned { at } => self.push_told(2, between(invoked, *at), NONE),
            Outcome::Pending => self.push_told(3, 0, NONE),
        }
    }

    fn push_told(&mut self, outcome: u8, told: i64, text: i64) {
        self.push(outcome, [told, 0, 0, NONE], NONE, text);
    }

    fn push_hold(&mut self, invoked: u64, hold: &Hold, tables: &mut Tables) {
        let (outcome, answered, text) = match &hold.end {
            End::Released { answered, error: None } => (4, *answered, NONE),
            End::Released { answered, error: Some(error) } => (5, *answered, tables.string(error)),
            End::Lost(why) => (6, None, tables.string(why)),
            End::Abandoned => (7, None, NONE),
            End::Open => (8, None, NONE),
        };
        let answered = answered.map_or(NONE, |at| between(hold.noticed, at).max(0));
        let times = [between(invoked, hold.since), between(hold.since, hold.until), between(hold.until, hold.noticed)];
        let token = hold.token.map_or(NONE, |token| tables.token(token));
        self.push(outcome, [times[0], times[1], times[2], answered], token, text);
    }

    fn push(&mut self, outcome: u8, [told, until, noticed, answered]: [i64; 4], token: i64, text: i64) {
        self.outcome.push(outcome);
        self.told.push(told);
        self.until.push(until);
        self.noticed.push(noticed);
        self.answered.push(answered);
        self.token.push(token);
        self.text.push(text);
    }
}

impl Touches {
    fn of(scene: &Scene<'_>, tables: &mut Tables) -> Self {
        let names: HashMap<_, _> = scene.names.iter().zip(0..).collect();
        let mut touches = Self::default();
        let mut before = micros(scene.start);
        for touch in &scene.touches {
            let at = micros(touch.at);
            touches.at.push(at - before);
            before = at;
            let fenced = touch.register == Register::Fenced;
            let flags = u8::from(touch.accepted) | u8::from(fenced) << 1 | u8::from(touch.value.is_none()) << 2;
            touches.flags.push(flags);
            touches.name.push(names[&touch.name]);
            touches.owner.push(tables.string(touch.owner));
            touches.token.push(touch.token.map_or(NONE, |token| tables.token(token)));
            touches.value.push(Number::of(touch.value.unwrap_or_default()));
        }
        touches
    }
}

impl Number {
    fn of(number: u64) -> Self {
        if number <= EXACT { Self::Exact(number) } else { Self::Digits(number.to_string()) }
    }
}

/// Strings and tokens, each once.
#[derive(Debug, Default)]
struct Tables {
    strings: Vec<String>,
    places: HashMap<String, i64>,
    tokens: Vec<(i64, Number)>,
    token_places: HashMap<Token, i64>,
}

impl Tables {
    fn string(&mut self, text: &str) -> i64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = next_place(&self.strings);
        self.strings.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    /// Its epoch (a string: it may be any 64 bits) and its value.
    fn token(&mut self, token: Token) -> i64 {
        if let Some(place) = self.token_places.get(&token) {
            return *place;
        }
        let epoch = self.string(&token.epoch.to_string());
        let place = next_place(&self.tokens);
        self.tokens.push((epoch, Number::of(token.value)));
        self.token_places.insert(token, place);
        place
    }
}

fn next_place<T>(table: &[T]) -> i64 {
    i64::try_from(table.len()).expect("a table fits in memory")
}

fn place<T: PartialEq>(table: &[T], what: &T) -> Option<i64> {
    table.iter().zip(0..).find(|(known, _)| *known == what).map(|(_, place)| place)
}

/// Both ends are cut to microseconds before they are compared, so that sums of differences are exact.
fn between(from: u64, to: u64) -> i64 {
    micros(to) - micros(from)
}

fn micros(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000).expect("a thousandth of a u64 fits")
}
