//! The commands for a name that nobody else claims: they cost the server less than the scripts.

use dlock_core::{Claim, ClaimRef, Token};
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};

use crate::entry;
use crate::keys::Bucket;
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

/// The commands that take a name of a bucket that is lifted; `before` is the bucket's highest token.
///
/// Commands are made with room for their arguments: a busy client spends its time in allocations.
pub(crate) fn taking(shared: &Shared, claim: &Claim, before: Token) -> Pipeline {
    let (key, entry) = (shared.keys.main(&claim.name), entry::to_text(claim, &shared.inbox));
    let mut set = Cmd::with_capacity(6, SHORT + key.len() + entry.len());
    set.arg("SET").arg(key).arg(entry).arg("NX").arg("PX").arg(entry::millis(claim.ttl));
    let tokens = shared.keys.tokens(shared.keys.bucket(&claim.name));
    let mut mint = Cmd::with_capacity(4, SHORT + tokens.len());
    mint.arg("HINCRBY").arg(tokens).arg(entry::epoch_to_text(before.epoch)).arg(1);
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.add_command(set).add_command(mint).ignore_errors();
    pipeline
}

/// The command that gives a name back, to a server that knows the script.
pub(crate) fn giving_back(shared: &Shared, claim: &ClaimRef) -> Cmd {
    let key = shared.keys.main(&claim.name);
    let hash = shared.scripts.release.get_hash();
    let mut release = Cmd::with_capacity(5, SHORT + hash.len() + key.len());
    release.arg("EVALSHA").arg(hash).arg(1).arg(key).arg(claim.id.to_string());
    release
}

/// Enough for the words of a command besides its longer arguments.
const SHORT: usize = 48;

/// What the server's answer to [`taking`] means.
pub(crate) fn taken(shared: &Shared, bucket: Bucket, before: Token, replies: Vec<Value>) -> RedisResult<Taken> {
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

/// What the server's answer to [`giving_back`] means.
pub(crate) fn released(answer: Value) -> RedisResult<Released> {
    match answer {
        Value::BulkString(word) if word == b"removed" => Ok(Released::Removed),
        Value::BulkString(word) if word == b"absent" => Ok(Released::Absent),
        Value::BulkString(word) if word == b"queue" => Ok(Released::Queue),
        Value::ServerError(error) => Err(error.into()),
        _ => Err(strange()),
    }
}

fn strange() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "redis answered something else than its commands do").into()
}
