//! The contract, served by scripts.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{
    BackendInfo, Capabilities, Capability, Claim, ClaimId, ClaimRef, Clock, ConnectContext, DamagedEntry, Error,
    ErrorKind, Event, Grant, Instant, Landed, Life, LockBackend, LockName, LockState, Mode, NamePage, NamePrefix, Page,
    Queue, Renewal, Requested, Result, Token, TokenGuarantee, TtlBounds, Why, Withdrawn,
};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::BoxStream;
use redis::{RedisResult, Value};
use tokio::task::JoinHandle;

use crate::config::RedisConfig;
use crate::entry::{Entry, epoch_from_text, grant_from_text, mode_from_text, token_from_text, token_to_args};
use crate::error::{classify, strange_answer};
use crate::inbox::note;
use crate::keys::Keyspace;
use crate::link::{Link, Shared};
use crate::lookout::{BATCH, Renew, Standing, ask, keep_looking};
use crate::registry::{Asked, Registry};
use crate::scripts::Scripts;
use crate::server::{ServerCheck, Topology};
use crate::survey::{self, Survey};
use crate::tokens::Tokens;

/// A connected backend.
pub(crate) struct RedisBackend {
    info: BackendInfo,
    clock: Clock,
    shared: Arc<Shared>,
    link: Arc<Link>,
    contended: Mutex<HashMap<LockName, Instant>>,
    lookout: JoinHandle<()>,
}

/// For how long after contention on a name the next request for it goes to the script at once.
const CONTENDED_FOR: Duration = Duration::from_secs(1);
const CONTENDED_NAMES: usize = 4096;
/// How long `inspect` waits for a token that only the claim's owner knows.
const PATIENCE: Duration = Duration::from_millis(300);

impl RedisBackend {
    pub(crate) async fn connect(config: &RedisConfig, context: &ConnectContext) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: config.client()?,
            place: config.place(),
            timeout: config.request_timeout(),
            check: ServerCheck::new(Topology::Single, 0, &context.namespace, config.user()),
            inbox: format!("{}:inbox:{}", context.namespace, ClaimId::random()),
            keys: Keyspace::new(&context.namespace),
            scripts: Scripts::new(),
            tokens: Tokens::new(),
            registry: Arc::new(Registry::new(context.clock.clone())),
            trouble: Mutex::new(None),
        });
        let link = Arc::new(Link::open(shared.clone()).await?);
        let lookout = tokio::spawn(keep_looking(link.clone(), shared.clone()));
        let info = BackendInfo {
            scheme: "redis",
            capabilities: Capabilities::of(&CAPABILITIES),
            ttl: TtlBounds { min: Duration::from_millis(200), max: Duration::from_secs(30 * 24 * 3600) },
            grace: Duration::from_secs(1),
            tokens: TokenGuarantee::BestEffort,
            // A request may take the native way, find the name taken, and go on to the script.
            request_timeout: config.request_timeout() * 3,
            // A push is lost only with its connection, which is then rebuilt and everything renewed.
            missed_event_bound: config.request_timeout() + Duration::from_secs(1),
        };
        let contended = Mutex::new(HashMap::new());
        Ok(Self { info, clock: context.clock.clone(), shared, link, contended, lookout })
    }

    /// The two ways to ask for a claim: natively while the name is free, by script otherwise.
    async fn obtain(&self, claim: &Claim, queue: Queue, asked: Asked) -> Result<Requested> {
        let entry = Entry::text_of(claim, &self.shared.inbox);
        if asked == Asked::First && !self.is_contended(&claim.name) {
            let sent_at = self.clock.now();
            if let Some(token) = self.take_free(claim, &entry).await? {
                let grant = self.shared.registry.granted(claim.id, Grant { token, predecessor: None });
                return Ok(Requested::Held(grant, Life::new(sent_at, claim.ttl)));
            }
            self.mark_contended(&claim.name);
        }
        let sent_at = self.clock.now();
        let mut call = self.call_on(&self.shared.scripts.request, &claim.name);
        let (token, epoch) = token_to_args(self.shared.registry.token(claim.id));
        call.arg(&entry).arg(if queue == Queue::Yes { "y" } else { "n" }).arg(token).arg(epoch);
        let answer: Vec<String> = self.invoke(&call).await?;
        let life = Life::new(sent_at, claim.ttl);
        let words: Vec<&str> = answer.iter().map(String::as_str).collect();
        match words[..] {
            ["held", token, epoch, fate] => {
                let grant = grant_from_text(token, epoch, fate).ok_or_else(|| strange_answer("a token"))?;
                Ok(Requested::Held(self.shared.registry.stored(claim.id, grant), life))
            }
            ["queued", wait, place] => {
                self.mark_contended(&claim.name);
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

    /// Takes a name that nobody claims, with commands that cost the server less than a script.
    async fn take_free(&self, claim: &Claim, entry: &str) -> Result<Option<Token>> {
        let before = self.shared.tokens.highest();
        let mut pipeline = redis::pipe();
        let ttl = crate::entry::millis(claim.ttl);
        pipeline.cmd("SET").arg(self.shared.keys.main(&claim.name)).arg(entry).arg("NX").arg("PX").arg(ttl);
        pipeline.cmd("INCR").arg(self.shared.keys.tokens());
        pipeline.cmd("GET").arg(self.shared.keys.epoch());
        pipeline.ignore_errors();
        let pipeline = &pipeline;
        let replies: Vec<RedisResult<Value>> =
            self.link.run(|mut connection| async move { pipeline.query_async(&mut connection).await }).await?;
        let mut replies = replies.into_iter();
        let (Some(set), Some(value), Some(epoch), None) =
            (replies.next(), replies.next(), replies.next(), replies.next())
        else {
            return Err(strange_answer("a pipeline"));
        };
        if set.map_err(classify)? == Value::Nil {
            return Ok(None);
        }
        if let Some(token) = minted(value, epoch).filter(|minted| self.shared.tokens.accept(before, *minted)) {
            return Ok(Some(token));
        }
        self.mint_anew().await.map(Some)
    }

    /// Mints a token after one that did not continue the history known here.
    async fn mint_anew(&self) -> Result<Token> {
        let shared = &self.shared;
        let answer = self.link.run(|mut connection| async move { shared.lift(&mut connection, 1).await }).await;
        // The name is taken already, whatever became of this request.
        let (value, epoch) = answer.map_err(|error| error.with_landed(Landed::Maybe))?;
        token_from_text(&value, &epoch).ok_or_else(|| strange_answer("a token"))
    }

    /// A call of a script on the keys of one name.
    fn call_on<'a>(&'a self, script: &'a redis::Script, name: &LockName) -> redis::ScriptInvocation<'a> {
        let keys = self.shared.keys.of(name);
        let mut call = script.prepare_invoke();
        call.key(self.shared.keys.tokens()).key(self.shared.keys.epoch());
        call.key(keys.main).key(keys.order).key(keys.due).arg(self.shared.tokens.spare_epoch());
        call
    }

    async fn invoke<T: redis::FromRedisValue>(&self, call: &redis::ScriptInvocation<'_>) -> Result<T> {
        self.link.run(|mut connection| async move { call.invoke_async(&mut connection).await }).await
    }

    async fn survey(&self, name: &LockName) -> Result<Survey> {
        let keys = self.shared.keys.of(name);
        let mut call = self.shared.scripts.inspect.prepare_invoke();
        call.key(&keys.main).key(&keys.order).key(&keys.due);
        let answer: Vec<Vec<u8>> = self.invoke(&call).await?;
        let mut survey = Survey::read(name, &keys.main, &answer)?;
        for holder in &mut survey.state.holders {
            holder.token = holder.token.or_else(|| self.shared.registry.token(holder.claim.id));
        }
        Ok(survey)
    }

    /// Asks the owners of claims whose tokens are not stored to store them, and looks until they have.
    async fn ask_for_tokens(&self, name: &LockName, untold: &[(String, ClaimId)]) -> Result<Survey> {
        let mut pipeline = redis::pipe();
        for (inbox, claim) in untold {
            pipeline.cmd("PUBLISH").arg(inbox).arg(note(*claim));
        }
        let pipeline = &pipeline;
        let listeners: Vec<u64> =
            self.link.run(|mut connection| async move { pipeline.query_async(&mut connection).await }).await?;
        let nobody_listens = listeners.iter().all(|count| *count == 0);
        loop {
            let survey = self.survey(name).await?;
            if nobody_listens || survey.untold().is_empty() {
                return Ok(survey);
            }
            tokio::time::sleep(PATIENCE / 20).await;
        }
    }

    fn is_contended(&self, name: &LockName) -> bool {
        let now = self.clock.now();
        let contended = self.contended.lock().unwrap_or_else(PoisonError::into_inner);
        contended.get(name).is_some_and(|until| now < *until)
    }

    fn mark_contended(&self, name: &LockName) {
        let now = self.clock.now();
        let mut contended = self.contended.lock().unwrap_or_else(PoisonError::into_inner);
        if contended.len() >= CONTENDED_NAMES {
            contended.retain(|_, until| now < *until);
        }
        // Only a shortcut is forgone when there is no room.
        if contended.len() < CONTENDED_NAMES {
            contended.insert(name.clone(), now + CONTENDED_FOR);
        }
    }

    fn renewal(&self, claim: &ClaimRef, standing: Standing, sent_at: Instant) -> Renewal {
        let life = Life::new(sent_at, claim.ttl);
        let registry = &self.shared.registry;
        match standing {
            Standing::Held(grant) => {
                let grant = Some(registry.granted(claim.id, grant));
                Renewal::Alive { life, grant, recheck: None }
            }
            Standing::Queued(wait) => {
                registry.queued(claim.id, wait);
                // A grant that was pushed after this answer was given may have overtaken it.
                Renewal::Alive { life, grant: registry.grant(claim.id), recheck: None }
            }
            Standing::Gone(gone) => {
                registry.forget(claim.id);
                Renewal::Gone(gone)
            }
        }
    }
}

#[async_trait]
impl LockBackend for RedisBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn request(&self, claim: &Claim, queue: Queue) -> Result<Requested> {
        self.info.ttl.check(claim.ttl, self.info.scheme)?;
        let asked = self.shared.registry.begin(claim);
        let requested = self.obtain(claim, queue, asked).await;
        let pushed = self.shared.registry.end(claim.id);
        match (&requested, pushed) {
            // The grant overtook the answer on its way to this task.
            (Ok(Requested::Queued(life)), Some(grant)) => return Ok(Requested::Held(grant, *life)),
            (Ok(Requested::Refused), _) => self.shared.registry.forget(claim.id),
            // A claim that was registered before stays so whatever refuses the repetition.
            (Err(error), _) if error.landed() == Landed::No && asked == Asked::First => {
                self.shared.registry.forget(claim.id);
            }
            _ => {}
        }
        requested
    }

    async fn renew(&self, claims: &[ClaimRef]) -> Vec<Result<Renewal>> {
        let batches = claims.chunks(BATCH).map(|batch| async move {
            let sent_at = self.clock.now();
            let standings = ask(&self.link, &self.shared, batch, Renew::Yes).await;
            let answers = batch.iter().zip(standings);
            answers.map(|(claim, standing)| Ok(self.renewal(claim, standing?, sent_at))).collect::<Vec<_>>()
        });
        join_all(batches).await.into_iter().flatten().collect()
    }

    async fn withdraw(&self, claim: &ClaimRef, why: Why) -> Result<Withdrawn> {
        let fate = match why {
            Why::Release | Why::Cancel => {
                self.shared.registry.forget(claim.id);
                "r"
            }
            Why::Break => "v",
        };
        let mut call = self.call_on(&self.shared.scripts.withdraw, &claim.name);
        call.arg(claim.id.to_string()).arg(fate);
        withdrawn(&self.invoke::<String>(&call).await?)
    }

    async fn convert(&self, claim: &ClaimRef, to: Mode) -> Result<Grant> {
        if to != Mode::Shared {
            let text = format!("the redis backend changes exclusive claims to shared ones, not to {to}");
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        let (token, epoch) = token_to_args(self.shared.registry.token(claim.id));
        let mut call = self.call_on(&self.shared.scripts.convert, &claim.name);
        call.arg(claim.id.to_string()).arg(token).arg(epoch);
        let answer: Vec<String> = self.invoke(&call).await?;
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

    async fn inspect(&self, name: &LockName) -> Result<LockState> {
        let survey = self.survey(name).await?;
        let untold = survey.untold();
        if untold.is_empty() {
            return Ok(survey.state);
        }
        // A claim taken natively has its token stored at its first renewal, or when its owner is asked to.
        let asked = tokio::time::timeout(PATIENCE, self.ask_for_tokens(name, &untold)).await;
        Ok(asked.ok().and_then(Result::ok).unwrap_or(survey).state)
    }

    async fn list(&self, prefix: &NamePrefix, page: Page) -> Result<NamePage> {
        let cursor: u64 = match page.cursor.as_deref().map(str::parse) {
            None => 0,
            Some(Ok(cursor)) => cursor,
            Some(Err(_)) => return Err(Error::new(ErrorKind::InvalidInput, "this is not a cursor of this backend")),
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.shared.keys.pattern(prefix)).arg("COUNT").arg(page.limit.max(1));
        let scan = &scan;
        let (next, found): (u64, Vec<Vec<u8>>) =
            self.link.run(|mut connection| async move { scan.query_async(&mut connection).await }).await?;
        let names = found.iter().filter_map(|key| self.shared.keys.name_of(key)).filter(|name| prefix.covers(name));
        Ok(NamePage { names: names.collect(), cursor: (next != 0).then(|| next.to_string()) })
    }

    async fn clear_damage(&self, name: &LockName, entry: &DamagedEntry) -> Result<Withdrawn> {
        let keys = self.shared.keys.of(name);
        let Some(field) = survey::entry_of(&keys.main, &entry.key) else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{:?} is no entry of {name}", entry.key)));
        };
        let mut call = self.call_on(&self.shared.scripts.clear, name);
        call.arg(&entry.fingerprint).arg(field);
        withdrawn(&self.invoke::<String>(&call).await?)
    }

    fn events(&self) -> BoxStream<'static, Event> {
        match self.shared.registry.take_events() {
            Some(events) => events.boxed(),
            None => futures::stream::empty().boxed(),
        }
    }

    async fn close(&self) -> Result<()> {
        self.lookout.abort();
        self.link.close();
        Ok(())
    }
}

impl Drop for RedisBackend {
    fn drop(&mut self) {
        self.lookout.abort();
        self.link.close();
    }
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackend").field("place", &self.shared.place).finish_non_exhaustive()
    }
}

const CAPABILITIES: [Capability; 11] = [
    Capability::Exclusive,
    Capability::Shared,
    Capability::Permits,
    Capability::Downgrade,
    Capability::Fifo,
    Capability::Push,
    Capability::PredecessorFate,
    Capability::List,
    Capability::Break,
    Capability::CrossProcess,
    Capability::TokensSurviveRestart,
];

/// The token of a pipeline's replies; none when the counter or the epoch is not what it should be.
fn minted(value: RedisResult<Value>, epoch: RedisResult<Value>) -> Option<Token> {
    let (Ok(Value::Int(value)), Ok(Value::BulkString(epoch))) = (value, epoch) else { return None };
    Some(Token { epoch: epoch_from_text(std::str::from_utf8(&epoch).ok()?)?, value: u64::try_from(value).ok()? })
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
