//! What is asked of the server about one claim or one name.

use std::sync::Arc;
use std::time::Duration;

use dlock_core::{
    Claim, ClaimRef, Clock, Contention, DamagedEntry, Error, ErrorKind, Grant, Landed, Life, LockName, Queue,
    Requested, Result, Token, Why, Withdrawn,
};
use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::entry::{self, grant_from_text, mode_from_text, token_to_args};
use crate::error::strange_answer;
use crate::native::{self, Released, Taken};
use crate::registry::Asked;
use crate::routes::Routes;
use crate::shared::Shared;
use crate::survey;

/// Each request, made natively where the name is free and by script otherwise.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: Routes,
    pub(crate) clock: Clock,
    pub(crate) contention: Contention,
}

impl Requests {
    /// Registers a claim.
    pub(crate) async fn obtain(&self, claim: &Claim, queue: Queue, asked: Asked) -> Result<Requested> {
        if asked == Asked::First && !self.contention.is_on(&claim.name) {
            let sent_at = self.clock.now();
            if let Some(token) = self.take_free(claim).await? {
                let grant = self.shared.registry.granted(claim.id, Grant { token, predecessor: None });
                return Ok(Requested::Held(grant, Life::new(sent_at, claim.ttl)));
            }
            self.contention.met(&claim.name);
        }
        let sent_at = self.clock.now();
        let mut call = self.call_on(&self.shared.scripts.request, &claim.name);
        let (token, epoch) = token_to_args(self.shared.registry.token(claim.id));
        call.arg(entry::to_text(claim, &self.shared.inbox));
        call.arg(if queue == Queue::Yes { "y" } else { "n" }).arg(token).arg(epoch);
        let answer: Vec<String> = self.invoke(&claim.name, &call).await?;
        let life = Life::new(sent_at, claim.ttl);
        let words: Vec<&str> = answer.iter().map(String::as_str).collect();
        match words[..] {
            ["held", token, epoch, fate] => {
                let grant = grant_from_text(token, epoch, fate).ok_or_else(|| strange_answer("a token"))?;
                Ok(Requested::Held(self.shared.registry.stored(claim.id, grant), life))
            }
            ["queued", wait, place] => {
                self.contention.met(&claim.name);
                if place == "anew" {
                    self.shared.registry.queued_anew(claim.id);
                }
                let wait = wait.parse().map_err(|_| strange_answer("a wait"))?;
                self.shared.registry.queued(claim.id, Duration::from_millis(wait));
                Ok(Requested::Queued(life))
            }
            ["refused"] => Ok(Requested::Refused),
            ["mismatch", mode] => Err(mismatch(claim, mode)),
            ["damaged", problem] => Err(damaged(&claim.name, problem)),
            _ => Err(strange_answer("request")),
        }
    }

    /// Removes a claim, and grants to those behind it.
    pub(crate) async fn remove(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        if why != Why::Break && !self.contention.is_on(&claim.name) {
            let mut call = self.shared.scripts.release.key(self.shared.keys.main(&claim.name));
            call.arg(claim.id.to_string());
            let (call, bucket) = (&call, self.shared.keys.bucket(&claim.name));
            let released = self.routes.change(bucket, |mut connection| async move {
                native::released(call.invoke_async(&mut connection).await?)
            });
            match released.await? {
                Released::Removed => return Ok(Withdrawn::Removed),
                Released::Absent => return Ok(Withdrawn::Absent),
                Released::Queue => self.contention.met(&claim.name),
            }
        }
        let mut call = self.call_on(&self.shared.scripts.withdraw, &claim.name);
        call.arg(claim.id.to_string()).arg(if why == Why::Break { "v" } else { "r" });
        withdrawn(&self.invoke::<String>(&claim.name, &call).await?)
    }

    /// Makes a held exclusive claim shared.
    pub(crate) async fn share(&self, claim: &ClaimRef) -> Result<Grant> {
        let (token, epoch) = token_to_args(self.shared.registry.token(claim.id));
        let mut call = self.call_on(&self.shared.scripts.convert, &claim.name);
        call.arg(claim.id.to_string()).arg(token).arg(epoch);
        let answer: Vec<String> = self.invoke(&claim.name, &call).await?;
        let words: Vec<&str> = answer.iter().map(String::as_str).collect();
        match words[..] {
            ["held", token, epoch, fate] => {
                let grant = grant_from_text(token, epoch, fate).ok_or_else(|| strange_answer("a token"))?;
                Ok(self.shared.registry.granted(claim.id, grant))
            }
            ["lost"] => Err(Error::new(ErrorKind::Lost, format!("{} is no longer held by this claim", claim.name))),
            _ => Err(strange_answer("convert")),
        }
    }

    /// Removes an entry that is damaged as it was seen.
    pub(crate) async fn clear(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        let Some(field) = survey::entry_of(&self.shared.keys.main(name), &entry.key) else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{:?} is no entry of {name}", entry.key)));
        };
        let mut call = self.call_on(&self.shared.scripts.clear, name);
        call.arg(&entry.fingerprint).arg(field);
        withdrawn(&self.invoke::<String>(name, &call).await?)
    }

    /// Takes a name that nobody claims.
    async fn take_free(&self, claim: &Claim) -> Result<Option<Token>> {
        let shared = &self.shared;
        let bucket = shared.keys.bucket(&claim.name);
        let taken = self.routes.change(bucket, |mut connection| async move {
            // `change` has lifted it; a connection that was lost since makes this request fail too.
            let before = shared.tokens.highest(bucket).unwrap_or(Token { epoch: 0, value: 0 });
            let taking = native::taking(shared, claim, before);
            let replies = connection.send_packed_commands(&taking, 0, 2).await?;
            native::taken(shared, bucket, before, replies)
        });
        match taken.await? {
            Taken::Held(token) => Ok(Some(token)),
            Taken::No => Ok(None),
            Taken::HeldWithoutToken => {
                let minted = self.routes.lift(bucket, 1, self.routes.deadline()).await;
                // The name is taken already, whatever became of this request.
                minted.map(Some).map_err(|error| error.with_landed(Landed::Maybe))
            }
        }
    }

    /// A call of a script on the keys of one name.
    fn call_on<'a>(&'a self, script: &'a Script, name: &LockName) -> ScriptInvocation<'a> {
        let keys = self.shared.keys.of(name);
        let mut call = script.prepare_invoke();
        call.key(keys.tokens).key(keys.main).key(keys.order).key(keys.due);
        call.arg(self.shared.tokens.spare_epoch());
        call
    }

    async fn invoke<T: FromRedisValue>(&self, name: &LockName, call: &ScriptInvocation<'_>) -> Result<T> {
        let bucket = self.shared.keys.bucket(name);
        self.routes.change(bucket, |mut connection| async move { call.invoke_async(&mut connection).await }).await
    }
}

fn withdrawn(answer: &str) -> Result<Withdrawn> {
    match answer {
        "removed" => Ok(Withdrawn::Removed),
        "absent" => Ok(Withdrawn::Absent),
        _ => Err(strange_answer("withdraw")),
    }
}

fn mismatch(claim: &Claim, mode: &str) -> Error {
    let used = mode_from_text(mode).map_or_else(|| mode.to_owned(), |mode| mode.to_string());
    let (name, wanted) = (&claim.name, claim.mode);
    Error::new(ErrorKind::Mismatch, format!("{name} is in use as {used}, which cannot be combined with {wanted}"))
}

fn damaged(name: &LockName, problem: &str) -> Error {
    Error::new(
        ErrorKind::Damaged,
        format!("{name} is blocked by something that is not dlock's ({problem}): inspect it and clear it"),
    )
}
