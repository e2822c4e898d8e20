//! From exclusive to shared, without a gap.
//!
//! A shared key put now would be younger than those of waiting writers, who would be let in beside
//! it. So a downgraded claim goes to a section of its own, which counts as older than everything.

use std::sync::Arc;

use dlock_core::{Gone, Result};
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use tokio::time::Instant as Deadline;

use crate::backend::Inner;
use crate::claims::Standing;
use crate::error::Effect;
use crate::keys::Section;
use crate::position::Expected;
use crate::rpc::Answer;

/// Moves an exclusive claim's key to the downgraded section, on one condition: it is intact.
/// `None` when it is not. Repeated after an answer was lost, it finds the key there.
pub(crate) async fn downgrade(inner: &Arc<Inner>, standing: &Arc<Standing>, until: Deadline) -> Result<Option<()>> {
    let (from, expected) = (standing.key(), standing.expected());
    let to = standing.keys.claim(Section::Downgraded, standing.seat);
    let value = with_token(&standing.record, standing.order);
    // The key is about to be deleted by ourselves, which is no loss.
    standing.stop_tasks();
    let txn = Txn::new()
        .when([
            Compare::create_revision(from.clone(), CompareOp::Equal, expected.created),
            Compare::lease(from.clone(), CompareOp::Equal, expected.lease),
        ])
        .and_then([
            TxnOp::delete(from, None),
            TxnOp::put(to.clone(), value, Some(PutOptions::new().with_lease(expected.lease))),
        ])
        .or_else([TxnOp::get(to, Some(GetOptions::new().with_keys_only()))]);
    // Renewals do not look for the key until the answer is here. After an error it is not known at
    // which of the two keys the claim stands. The repetition finds out; without one, the next renewal
    // takes a claim that moved for lost: its holder believes to be alone, and is not.
    standing.begin_or_end_move();
    let answer = inner.rpc.txn(until, Effect::Write, txn).await;
    let moved = settle(inner, standing, expected, answer);
    standing.begin_or_end_move();
    if matches!(moved, Ok(Some(()))) {
        inner.settling.add(standing);
    }
    moved
}

/// Notes where the claim stands by the answer.
fn settle(inner: &Inner, standing: &Standing, expected: Expected, answer: Result<Answer>) -> Result<Option<()>> {
    let answer = answer?;
    let created = if answer.succeeded {
        answer.revision
    } else {
        match answer.range(0)?.kvs().first() {
            Some(key) if key.lease() == expected.lease => key.create_revision(),
            _ => {
                inner.lost(standing, Gone::Absent);
                return Ok(None);
            }
        }
    };
    standing.moved(Section::Downgraded, created);
    Ok(Some(()))
}

/// The record of a downgraded claim: its token is not its key's create revision.
fn with_token(record: &str, order: i64) -> String {
    let body = record.strip_suffix('}').expect("a record is a JSON object");
    format!("{body},\"token\":{order}}}")
}
