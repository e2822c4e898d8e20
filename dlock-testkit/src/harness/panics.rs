//! Where cases fail: what a panic hook is told, and the panic's own message is not.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use futures::FutureExt;

use super::outcome::Failure;

thread_local! {
    /// Whether this thread runs nothing but a case.
    static IN_CASE: Cell<bool> = const { Cell::new(false) };
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on a panic of a case is not printed when it happens: it is in the case's [`Failure`],
/// with its place. All others go on as before.
pub(super) fn are_reported_later() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IN_CASE.get() {
                PLACE.set(panic.location().map(ToString::to_string));
            } else {
                before(panic);
            }
        }));
    });
}

/// Says that the calling thread runs nothing but a case.
pub(super) fn belongs_to_a_case() {
    IN_CASE.set(true);
}

/// The case's end: its failure, if it panics.
pub(super) async fn noted(case: impl Future<Output = ()>) -> Result<(), Failure> {
    let ended = AssertUnwindSafe(case).catch_unwind().await;
    // The poll that panicked was the last one, on this thread.
    ended.map_err(|panic| Failure { message: message(&*panic), place: PLACE.take() })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
