//! One scenario of the suite.

use std::fmt;
use std::sync::Arc;

use dlock_core::{BackendInfo, Capability};
use futures::future::BoxFuture;

use crate::servers::clock;
use crate::{Flaw, Lab, Subject, Trouble};

/// One scenario that every backend must show. It fails by panicking.
#[derive(Clone, Copy)]
pub struct Case {
    /// Which scenarios of the catalogue it proves.
    pub numbers: &'static [u8],
    /// The file it stands in.
    pub group: &'static str,
    /// Its name, which reads as a sentence.
    pub slug: &'static str,
    /// What a backend or its subject must offer for it.
    pub needs: &'static [Need],
    /// The scenario.
    pub run: fn(Arc<Lab>) -> BoxFuture<'static, ()>,
    /// A defect that it must notice.
    pub flaw: fn() -> Arc<dyn Flaw>,
}

/// What a case needs to be run at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Something that the backend declares.
    Capability(Capability),
    /// Claims that end with a ttl, not with their process.
    TtlLife,
    /// Other processes that reach the same service.
    Processes,
    /// The operator's hand on the stored entries.
    Tamper,
    /// A [deployment](crate::Deployment) of its own on which there can be this trouble.
    Alone(Trouble),
    /// Processes whose wall clock can be stepped.
    ProcessClock,
}

impl Case {
    /// `group::slug`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}::{}", self.group, self.slug)
    }

    /// Whether it starts servers of its own.
    pub(crate) fn is_alone(&self) -> bool {
        self.needs.iter().any(|need| matches!(need, Need::Alone(_)))
    }

    /// What of its needs is not offered; `None` when it can be run.
    #[must_use]
    pub fn missing(&self, info: &BackendInfo, subject: &dyn Subject) -> Option<Need> {
        self.needs.iter().copied().find(|need| match need {
            Need::Capability(capability) => !info.capabilities.has(*capability),
            Need::TtlLife => info.capabilities.has(Capability::ProcessLife),
            Need::Processes => subject.address().is_none() || !info.capabilities.has(Capability::CrossProcess),
            Need::Tamper => subject.tamper().is_none(),
            Need::Alone(trouble) => subject.alone(*trouble).is_none(),
            Need::ProcessClock => !clock::can_be_stepped(),
        })
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name()).finish()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(capability) => write!(f, "{capability}"),
            Self::TtlLife => f.write_str("claims that end with a ttl"),
            Self::Processes => f.write_str("other processes"),
            Self::Tamper => f.write_str("access to the stored entries"),
            Self::Alone(trouble) => write!(f, "{trouble}"),
            Self::ProcessClock => f.write_str("a C compiler, to step the clock of a process"),
        }
    }
}
