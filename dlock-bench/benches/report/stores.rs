//! The servers on which locks are compared.

mod etcd;
mod redis;

use std::sync::Arc;

use async_trait::async_trait;

pub(crate) use self::etcd::Etcd;
pub(crate) use self::redis::Redis;
use crate::contenders::Contender;

/// What a server says of itself at one moment: what, and how much of it.
pub(crate) type Gauges = Vec<(&'static str, u64)>;
/// Asks a server anew each time that it is called. Blocks for a moment.
pub(crate) type Watcher = Box<dyn FnMut() -> Gauges>;
/// Ends a count and answers what was counted since it began. Blocks for a moment.
pub(crate) type Count = Box<dyn FnOnce() -> Vec<u64>>;

/// A server that has just been started, of one kind.
#[async_trait]
pub(crate) trait Store: Send + Sync + Sized + 'static {
    /// Its name in headings.
    const NAME: &'static str;
    /// What [`Store::round_trip`] asks for.
    const ROUND_TRIP: &'static str;
    /// What [`Store::count`] counts.
    const COUNTED: &'static [&'static str];
    /// What these words mean.
    const COUNTED_MEANS: &'static str;

    async fn start() -> Self;
    fn url(&self) -> String;
    /// The floor and the locks, for names that nobody else wants.
    async fn alone(&self) -> Vec<Arc<dyn Contender>>;
    /// The floor and the locks, for one name that so many tasks want.
    async fn contended(&self, tasks: usize) -> Vec<Arc<dyn Contender>>;
    /// Asks for the least that can be asked for, and awaits the answer.
    async fn round_trip(&self);
    /// Counts what the server does from now on. Everybody who takes part is connected already.
    fn count(&self) -> Count;
    /// What the server at `url` says of itself. [`ASKED`] is among it.
    fn watcher(url: &str) -> Watcher;
}

/// The gauge that stands still while nobody wants anything but to be kept alive.
pub(crate) const ASKED: &str = "asked";
