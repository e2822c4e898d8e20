//! Negative controls: locks that are broken, which the lab must find out.

use std::fmt::Write;
use std::io;
use std::process::ExitCode;

use dlock_testkit::broken::planted;
use dlock_testkit::check::{Breach, Report};
use futures::{StreamExt, TryStreamExt, stream};

use crate::command::{ControlsArguments, NAMES, TrialArguments};
use crate::stores::Store;
use crate::tables::replace;
use crate::trial::{block_on, name, trial};
use crate::worker::Locking;

/// How many faults a control has.
const FAULTS: u64 = 60;
/// With how many seeds it is tried before it counts as not caught.
const SEEDS: u64 = 5;
/// How many run at once: they wait most of the time.
const AT_ONCE: usize = 3;

/// A lock under test.
#[derive(Clone, Copy, Debug)]
struct Control {
    name: &'static str,
    about: &'static str,
    store: Store,
    lock: Locking,
    /// The kinds of faults that bring it to light; all, if it is empty.
    faults: &'static [&'static str],
    /// How many names are contended for.
    names: usize,
    proves: Proof,
}

/// What a control has to show.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// The report finds violations of a kind that this bug causes.
    Caught(fn(Breach) -> bool),
    /// The unfenced registers are corrupted.
    Corrupted,
    /// Nothing: what the same faults do to dlock, to compare.
    Sound,
}

pub(crate) fn run(arguments: &ControlsArguments) -> io::Result<ExitCode> {
    let mut controls = all();
    if let Some(unknown) = arguments.only.iter().find(|name| controls.iter().all(|control| control.name != **name)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no control is called {unknown}")));
    }
    controls.retain(|control| arguments.only.is_empty() || arguments.only.iter().any(|name| name == control.name));
    if arguments.list {
        controls.iter().for_each(|control| println!("{:24} {:6} {}", control.name, name(control.store), control.about));
        return Ok(ExitCode::SUCCESS);
    }
    let tried = stream::iter(controls).map(|control| tried(control, arguments)).buffered(AT_ONCE);
    let tried: Vec<Tried> = block_on(tried.inspect_ok(|tried| println!("{}", tried.line())).try_collect())??;
    let (text, is_proved) = summary(&tried);
    print!("\n{text}");
    if let Some(file) = &arguments.write {
        replace(file, "controls", &text)?;
    }
    Ok(if is_proved { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn all() -> Vec<Control> {
    let bugs = planted::ALL.iter().map(|planted| Control {
        name: planted.name,
        about: planted.about,
        store: store(planted.name),
        lock: Locking::Dlock,
        faults: faults(planted.name),
        names: names(planted.name),
        proves: Proof::Caught(shows(planted.name)),
    });
    let lock =
        |name, about, store, lock, proves| Control { name, about, store, lock, faults: &[], names: NAMES, proves };
    let others = [
        lock("set-nx", "SET NX PX on Redis, held until it is released", Store::Redis, Locking::SetNx, Proof::Corrupted),
        lock("set-nx-timed", "the same, held for its ttl", Store::Redis, Locking::SetNxTimed, Proof::Corrupted),
        lock("etcd-lock", "etcd's own lock service", Store::Etcd, Locking::EtcdLock, Proof::Corrupted),
        lock("dlock-redis", "dlock under the same faults", Store::Redis, Locking::Dlock, Proof::Sound),
        lock("dlock-etcd", "dlock under the same faults", Store::Etcd, Locking::Dlock, Proof::Sound),
    ];
    bugs.chain(others).collect()
}

/// Where a bug can bite: one needs a session that claims share.
fn store(bug: &str) -> Store {
    match bug {
        "grant-extends-validity" => Store::Etcd,
        _ => Store::Redis,
    }
}

/// What a bug needs to show: many of these faults instead of a few among all the others.
fn faults(bug: &str) -> &'static [&'static str] {
    match bug {
        "clock-after-reply" => &["delay replies", "hold replies"],
        "grant-extends-validity" => &["cut client", "drop requests", "stop server"],
        "absent-is-final" => &["drop replies", "hold replies"],
        _ => &[],
    }
}

/// A bug in requests needs many of them, where the others need owners that wait in line.
fn names(bug: &str) -> usize {
    if bug == "absent-is-final" { 30 } else { NAMES }
}

/// What a bug does: anything else would be found by chance, or be another bug.
fn shows(bug: &str) -> fn(Breach) -> bool {
    match bug {
        "wrong-token" => |breach| breach.is_of_tokens() || breach.is_of_the_fence(),
        "absent-is-final" => |breach| breach.is_of_liveness() || breach == Breach::Leftover,
        _ => |breach| breach == Breach::Overlap,
    }
}

/// What became of a control.
struct Tried {
    control: Control,
    seed: u64,
    report: Report,
}

async fn tried(control: Control, arguments: &ControlsArguments) -> io::Result<Tried> {
    let is_bug = planted::find(control.name).is_some();
    let mut seed = arguments.seed;
    loop {
        let trial_arguments = TrialArguments {
            store: Some(control.store),
            seed,
            faults: FAULTS,
            names: control.names,
            dir: Some(arguments.dir.join(control.name)),
            lock: control.lock,
            plant: is_bug.then(|| control.name.to_owned()),
            only: control.faults.iter().map(|kind| (*kind).to_owned()).collect(),
            plan: false,
        };
        let report = trial(&trial_arguments).await?;
        let tried = Tried { control, seed, report };
        if tried.is_proved() || matches!(control.proves, Proof::Sound) || seed + 1 == arguments.seed + SEEDS {
            return Ok(tried);
        }
        seed += 1;
    }
}

impl Tried {
    fn is_proved(&self) -> bool {
        match self.control.proves {
            Proof::Caught(shows) => self.report.count(shows) > 0,
            Proof::Corrupted => !self.report.corruptions.is_empty(),
            Proof::Sound => self.report.is_sound(),
        }
    }

    fn line(&self) -> String {
        let Self { control, seed, report } = self;
        let store = name(control.store);
        let count = |of: fn(Breach) -> bool| report.count(of);
        format!(
            "| {} | {} | {store} | {} | {seed} | {} | {} | {} | {} | {} | {} | {} | {} |",
            control.name,
            control.about,
            if control.faults.is_empty() { "all".to_owned() } else { control.faults.join(", ") },
            report.totals.acquisitions,
            count(|breach| breach == Breach::Overlap),
            count(Breach::is_of_tokens),
            count(Breach::is_of_the_fence),
            report.orphans.map_or_else(|| "?".to_owned(), |orphans| orphans.to_string()),
            count(Breach::is_of_liveness),
            report.corruptions.len(),
            match (control.proves, self.is_proved()) {
                (Proof::Caught(_), true) => "caught",
                (Proof::Corrupted, true) => "corrupted",
                (Proof::Sound, true) => "sound",
                (Proof::Sound, false) => "**not sound**",
                (_, false) => "**not caught**",
            },
        )
    }
}

/// The table, and whether every control proved what it had to.
fn summary(tried: &[Tried]) -> (String, bool) {
    let mut text =
        "| lock | what it is | store | kinds of faults | seed | acquisitions | overlaps | token inversions | \
                    fenced violations | orphans | hung | unfenced corruptions | verdict |\n\
                    |---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n"
            .to_owned();
    for tried in tried {
        text += &tried.line();
        text.push('\n');
    }
    let bugs = tried.iter().filter(|tried| matches!(tried.control.proves, Proof::Caught(_)));
    let (caught, all) = (bugs.clone().filter(|tried| tried.is_proved()).count(), bugs.count());
    let _ = writeln!(text, "\nPlanted bugs caught: {caught} of {all}, with {FAULTS} faults each.");
    (text, tried.iter().all(Tried::is_proved))
}
