//! Which faults a run has, when, and how long: a function of the seed.

use std::fmt;

use fastrand::Rng;

use super::{Aim, Kind, LineFault};

/// The schedule of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The faults, one after the other.
    pub steps: Vec<Step>,
}

/// One fault of a [`Plan`].
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its number, from 0.
    pub fault: u64,
    /// What is done.
    pub kind: Kind,
    /// Whom it hits, where there is a choice.
    pub choice: u64,
    /// How long, in ttls. Means nothing for a fault that lasts a moment.
    pub ttls: f64,
    /// How long nothing is done after its end, in milliseconds.
    pub pause_ms: u64,
}

impl Plan {
    /// The schedule for a seed: as many of each kind as possible, in random order.
    #[must_use]
    pub fn new(seed: u64, faults: u64, kinds: &[Kind]) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut deck = Vec::new();
        let steps = (0..faults).map(|fault| {
            if deck.is_empty() {
                deck = kinds.to_vec();
                random.shuffle(&mut deck);
            }
            let kind = deck.pop().expect("every run has the faults of clients");
            // Most are over before anybody can lose a lease; the others last long enough for that.
            let ttls = if random.u8(..10) < 6 { 0.05 + 0.5 * random.f64() } else { 1.1 + 1.2 * random.f64() };
            Step { fault, kind, choice: random.u64(..), ttls, pause_ms: random.u64(100..900) }
        });
        Self { steps: steps.collect() }
    }

    /// The kinds that every store can take; with a network, or without.
    #[must_use]
    pub fn common_kinds(has_network: bool) -> Vec<Kind> {
        let mut kinds = vec![Kind::new("stop client", Aim::StopWorker), Kind::new("kill client", Aim::KillWorker)];
        if has_network {
            kinds.extend(LineFault::ALL.map(|(fault, name)| Kind::new(name, Aim::Lines(fault))));
        }
        kinds
    }
}

/// A line for each fault.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { fault, kind, choice, ttls, pause_ms } in &self.steps {
            writeln!(f, "{fault:4}  {:20}  {ttls:.2} ttl, then {pause_ms} ms  (choice {choice:016x})", kind.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_one_schedule_and_another_seed_another() {
        let kinds = Plan::common_kinds(true);
        assert_eq!(Plan::new(7, 200, &kinds), Plan::new(7, 200, &kinds));
        assert_ne!(Plan::new(7, 200, &kinds), Plan::new(8, 200, &kinds));
    }

    #[test]
    fn a_longer_schedule_begins_like_a_shorter_one() {
        let kinds = Plan::common_kinds(true);
        assert_eq!(Plan::new(7, 50, &kinds).steps, Plan::new(7, 200, &kinds).steps[..50]);
    }

    #[test]
    fn every_kind_has_its_turn() {
        let kinds = Plan::common_kinds(true);
        let plan = Plan::new(1, kinds.len() as u64, &kinds);
        for kind in kinds {
            assert_eq!(plan.steps.iter().filter(|step| step.kind == kind).count(), 1, "{kind:?}");
        }
    }
}
