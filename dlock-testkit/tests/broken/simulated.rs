//! The memory backend as a service whose servers have troubles: simulated, since what is proved
//! here is that cases notice defects, not how real servers behave.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::memory::{Memory, MemoryStore};
use dlock_core::{Connect, ErrorKind};
use dlock_testkit::{Deployment, Faults, Refusal, Starting, Subject, Tamper, Trouble};

/// A store in memory, and what lies between it and all of its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    store: MemoryStore,
    faults: Faults,
}

#[derive(Debug)]
struct Troubled {
    service: Simulated,
    trouble: Trouble,
}

impl Subject for Simulated {
    fn client(&self) -> Box<dyn Connect> {
        self.faults.on(Box::new(Memory::on(&self.store)))
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        None
    }

    fn alone(&self, trouble: Trouble) -> Option<Starting> {
        // The connections are the case's own; the service behind them is the same.
        let service = Self { store: self.store.clone(), faults: Faults::default() };
        Some(Box::pin(async move { Box::new(Troubled { service, trouble }) as Box<dyn Deployment> }))
    }
}

#[async_trait]
impl Deployment for Troubled {
    fn subject(&self) -> Arc<dyn Subject> {
        Arc::new(self.service.clone())
    }

    async fn begin(&self) {
        let Simulated { store, faults } = &self.service;
        match self.trouble {
            Trouble::Restart | Trouble::MajorityDown => faults.cut(),
            Trouble::EndedSessions | Trouble::ClockStep => store.lose_everything(),
            Trouble::LeaderKilled | Trouble::LeaderStopped | Trouble::MinorityDown => {
                faults.lose_replies(2);
                faults.lose_renewals(1);
            }
            Trouble::AnswersLost => faults.lose_replies(usize::MAX),
            Trouble::Refusal(Refusal::Login | Refusal::Permission) => faults.refuse(ErrorKind::Denied),
            Trouble::Refusal(_) => faults.refuse(ErrorKind::Exhausted),
            _ => faults.lose_replies(1),
        }
    }

    async fn end(&self) {
        let faults = &self.service.faults;
        if self.trouble == Trouble::Restart {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        faults.heal();
        faults.obey();
        faults.lose_replies(0);
    }

    fn ends_claims(&self) -> bool {
        matches!(self.trouble, Trouble::EndedSessions | Trouble::ClockStep)
    }
}
