//! The commands for a name that nobody else claims: they cost the server less than the scripts.

use dlock_core::{Claim, ClaimRef, Token};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult, Value};

use crate::entry;
use crate::shared::Shared;

/// What came of taking a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was free, and is held with this token.
    Held(Token),
    /// It was free, and is held; the token that was minted with it is not one of the history known here.
    HeldWithoutToken,
    /// Somebody claims it.
    No,
}

/// What came of giving a name back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    Removed,
    Absent,
    /// Others stand in line: it takes the script that grants.
    Queue,
}

/// Takes the name of a claim, whose bucket is lifted; `before` is the bucket's highest token.
pub(crate) async fn take(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    claim: &Claim,
    before: Token,
) -> RedisResult<Taken> {
    let (key, entry) = (shared.keys.main(&claim.name), entry::to_text(claim, &shared.inbox));
    let bucket = shared.keys.bucket(&claim.name);
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("SET").arg(key).arg(entry).arg("NX").arg("PX").arg(entry::millis(claim.ttl));
    pipeline.cmd("HINCRBY").arg(shared.keys.tokens(bucket)).arg(entry::epoch_to_text(before.epoch)).arg(1);
    let replies = connection.send_packed_commands(&pipeline, 0, 2).await?;
    let [set, value]: [Value; 2] = replies.try_into().map_err(|_| strange())?;
    match set {
        Value::Nil => return Ok(Taken::No),
        Value::ServerError(error) => return Err(error.into()),
        Value::Okay => {}
        _ => return Err(strange()),
    }
    let minted = match value {
        Value::Int(value) => u64::try_from(value).ok().map(|value| Token { epoch: before.epoch, value }),
        // What stands where the tokens should is somebody else's.
        _ => None,
    };
    Ok(match minted.filter(|minted| shared.tokens.accept(bucket, before, *minted)) {
        Some(token) => Taken::Held(token),
        None => Taken::HeldWithoutToken,
    })
}

/// Gives a name back that its claim has for itself.
pub(crate) async fn release(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    claim: &ClaimRef,
) -> RedisResult<Released> {
    let mut call = shared.scripts.release.key(shared.keys.main(&claim.name));
    let answer: String = call.arg(claim.id.to_string()).invoke_async(connection).await?;
    match answer.as_str() {
        "removed" => Ok(Released::Removed),
        "absent" => Ok(Released::Absent),
        "queue" => Ok(Released::Queue),
        _ => Err(strange()),
    }
}

fn strange() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "redis answered something else than its commands do").into()
}
