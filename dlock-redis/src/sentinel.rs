//! Sentinels: who is the primary, and when that changes.

mod answer;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlock_core::{Error, ErrorKind, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::answer::View;
use crate::config::{Address, RedisConfig};
use crate::error::classify_connecting;
use crate::source::Server;

/// After this time without an answer the next sentinel is asked as well.
const STAGGER: Duration = Duration::from_millis(150);
/// How often each sentinel is asked, should what it announces get lost.
const LOOK: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(1);
/// What a sentinel announces when a service has another primary,
/// <https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#pubsub-messages>.
const SWITCHED: &str = "+switch-master";

/// The sentinels of one service. All of them are listened to: one that is cut off from the others
/// goes on naming a primary that has been replaced.
#[derive(Debug)]
pub(crate) struct Sentinels {
    config: RedisConfig,
    service: String,
    sentinels: Vec<Sentinel>,
    /// Which one is asked first.
    first: AtomicUsize,
    /// The latest that any of them has said.
    view: watch::Sender<Option<View>>,
    /// How long one may take to answer.
    patience: Duration,
    listeners: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Sentinel {
    place: String,
    client: Client,
}

impl Sentinels {
    /// Begins to listen to the sentinels at these addresses.
    pub(crate) fn start(config: &RedisConfig, addresses: &[Address], service: &str) -> Result<Arc<Self>> {
        let sentinel = |address: &Address| {
            Ok(Sentinel { place: address.to_string(), client: config.client_at_sentinel(address)? })
        };
        let sentinels = Arc::new(Self {
            config: config.clone(),
            service: service.to_owned(),
            sentinels: addresses.iter().map(sentinel).collect::<Result<_>>()?,
            first: AtomicUsize::new(0),
            view: watch::Sender::new(None),
            patience: config.request_timeout() / 2,
            listeners: Mutex::default(),
        });
        let listeners = (0..addresses.len()).map(|index| tokio::spawn(keep_listening(sentinels.clone(), index)));
        *sentinels.listeners.lock().unwrap_or_else(PoisonError::into_inner) = listeners.collect();
        Ok(sentinels)
    }

    /// The primary, as the first sentinel says that answers and is not behind the others.
    pub(crate) async fn primary(&self) -> Result<Arc<Server>> {
        let known = self.view.borrow().as_ref().map_or(0, |view| view.epoch);
        let first = self.first.load(Ordering::Relaxed);
        let mut asked: FuturesUnordered<_> = (0..self.sentinels.len())
            .map(|turn| async move {
                sleep(STAGGER * u32::try_from(turn).unwrap_or(u32::MAX)).await;
                let index = (first + turn) % self.sentinels.len();
                (index, self.ask(index).await)
            })
            .collect();
        let mut outdated: Option<View> = None;
        let mut trouble: Option<Error> = None;
        while let Some((index, answer)) = asked.next().await {
            match answer {
                Ok(view) if view.epoch >= known => {
                    self.first.store(index, Ordering::Relaxed);
                    self.learn(view.clone());
                    return self.server(&view);
                }
                Ok(view) => outdated = outdated.filter(|other| other.epoch > view.epoch).or(Some(view)),
                // A sentinel that is not there says less than one that knows of no such service.
                Err(error) if trouble.is_none() || error.kind() != ErrorKind::Unavailable => trouble = Some(error),
                Err(_) => {}
            }
        }
        match (outdated, trouble) {
            // All have forgotten: they were set up anew.
            (Some(view), _) => {
                self.view.send_replace(Some(view.clone()));
                self.server(&view)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::new(ErrorKind::InvalidInput, "there are no sentinels")),
        }
    }

    /// Waits until the service has another primary than this server.
    pub(crate) async fn leave(&self, server: &Server) {
        let is_other = |view: &Option<View>| view.as_ref().is_some_and(|view| view.primary.to_string() != server.place);
        // The other end is in this struct.
        let _ = self.view.subscribe().wait_for(is_other).await;
    }

    /// Ends listening.
    pub(crate) fn close(&self) {
        for listener in self.listeners.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            listener.abort();
        }
    }

    fn server(&self, view: &View) -> Result<Arc<Server>> {
        Ok(Arc::new(Server { client: self.config.client_at(&view.primary)?, place: view.primary.to_string() }))
    }

    async fn ask(&self, index: usize) -> Result<View> {
        let Sentinel { place, client } = &self.sentinels[index];
        let asked = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let connected = client.get_multiplexed_async_connection_with_config(&config).await;
            self.ask_on(&mut connected.map_err(classify_connecting)?).await
        };
        let answer = timeout(self.patience, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, "no answer in time")));
        answer.map_err(|error| error.context(format_args!("cannot ask the sentinel at {place}")))
    }

    async fn ask_on(&self, connection: &mut MultiplexedConnection) -> Result<View> {
        View::read(&self.service, answer::question(&self.service).query_async(connection).await)
    }

    /// Takes note of what a sentinel says, unless it is behind another one.
    fn learn(&self, view: View) {
        self.view.send_if_modified(|known| {
            let is_news = known.as_ref().is_none_or(|known| view.epoch >= known.epoch && view != *known);
            if is_news {
                if known.is_some() {
                    tracing::info!(service = self.service, primary = %view.primary, "sentinels name another primary");
                }
                *known = Some(view);
            }
            is_news
        });
    }

    /// Learns what one sentinel announces, for as long as it is there.
    async fn listen(&self, index: usize) -> Result<Infallible> {
        let (announce, mut announced) = mpsc::unbounded_channel::<PushInfo>();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(Some(self.patience))
            .set_push_sender(announce);
        let client = &self.sentinels[index].client;
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connected.map_err(classify_connecting)?;
        if let Err(error) = connection.subscribe(SWITCHED).await {
            tracing::debug!(%error, "a sentinel is asked only now and then, for it cannot be listened to");
        }
        loop {
            self.learn(self.ask_on(&mut connection).await?);
            // Whatever it was: the question is answered from the latest.
            let push = timeout(LOOK, announced.recv()).await;
            if let Ok(None | Some(PushInfo { kind: PushKind::Disconnection, .. })) = push {
                return Err(Error::new(ErrorKind::Unavailable, "the connection is lost"));
            }
        }
    }
}

async fn keep_listening(sentinels: Arc<Sentinels>, index: usize) {
    loop {
        let Err(error) = sentinels.listen(index).await;
        tracing::debug!(sentinel = sentinels.sentinels[index].place, %error, "a sentinel cannot be listened to now");
        sleep(RETRY).await;
    }
}
