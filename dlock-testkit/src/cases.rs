//! The scenarios, a file for each group.

use crate::Case;

/// Lists a case: its numbers in the catalogue, what it needs, and a flaw it trips on.
macro_rules! case {
    ([$($number:literal),+] $slug:ident, needs [$($need:expr),*], trips on $flaw:expr) => {
        $crate::Case {
            numbers: &[$($number),+],
            group: GROUP,
            slug: stringify!($slug),
            needs: &[$($need),*],
            run: |lab| Box::pin($slug(lab)),
            flaw: || std::sync::Arc::new($flaw),
        }
    };
}

mod abuse;
mod basic;
mod by_hand;
mod cancellation;
mod contention;
mod expiry;
mod faults;
mod fencing;
mod identity;
mod introspection;
mod line;
mod names;
mod reentrancy;
mod semaphore;
mod servers;
mod shared;
mod standing;

/// All cases, in the catalogue's order.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        basic::CASES,
        reentrancy::CASES,
        identity::CASES,
        expiry::CASES,
        cancellation::CASES,
        contention::CASES,
        faults::CASES,
        servers::CASES,
        names::CASES,
        abuse::CASES,
        fencing::CASES,
        shared::CASES,
        semaphore::CASES,
        introspection::CASES,
    ]
    .concat()
}
