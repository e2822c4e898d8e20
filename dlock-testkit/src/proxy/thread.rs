//! The thread on which all proxies of a process run.

use std::sync::LazyLock;
use std::thread;

use tokio::runtime::{Builder, Handle};

/// The runtime of the relay thread. It is there for as long as the process.
pub(super) fn relay() -> &'static Handle {
    static RELAY: LazyLock<Handle> = LazyLock::new(|| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a process may have one more runtime");
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .expect("a process may have one more thread");
        handle
    });
    &RELAY
}
