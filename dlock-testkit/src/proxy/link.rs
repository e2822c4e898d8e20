use std::sync::Arc;

use tokio::sync::watch;

use super::counts::Meter;
use super::{Counts, Direction, Flow};

/// What is done to the connections that it governs, now and until told otherwise. Clones are the
/// same link.
#[derive(Clone, Debug)]
pub struct Link {
    setting: Arc<watch::Sender<Setting>>,
    meter: Arc<Meter>,
}

/// How a link is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) to_server: Flow,
    pub(super) to_client: Flow,
    pub(super) cut: bool,
    /// How often all connections were closed.
    pub(super) closings: u64,
}

impl Link {
    /// A link that passes everything.
    #[must_use]
    pub fn new() -> Self {
        Self { setting: Arc::new(watch::Sender::new(Setting::default())), meter: Arc::default() }
    }

    /// Sets what becomes of the bytes in one direction. What is sent after this returned obeys it.
    pub fn set(&self, direction: Direction, flow: Flow) {
        self.change(|setting| match direction {
            Direction::ToServer => setting.to_server = flow,
            Direction::ToClient => setting.to_client = flow,
        });
    }

    /// From now on everything passes, both ways, and connections are accepted.
    pub fn heal(&self) {
        self.change(|setting| *setting = Setting { closings: setting.closings, ..Setting::default() });
    }

    /// Resets all connections, and every new one as soon as it is accepted, until healed.
    pub fn cut(&self) {
        self.change(|setting| setting.cut = true);
    }

    /// Resets all connections, once.
    pub fn close_connections(&self) {
        self.change(|setting| setting.closings += 1);
    }

    /// What it has seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.meter.read()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Setting> {
        self.setting.subscribe()
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    fn change(&self, change: impl FnOnce(&mut Setting)) {
        self.setting.send_if_modified(|setting| {
            let before = *setting;
            change(setting);
            *setting != before
        });
    }
}

impl Setting {
    pub(super) fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}
