//! etcd.

mod alone;
mod fleet;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dlock_core::{Connect, Error, ErrorKind, LockName, Namespace, Result};
use dlock_etcd::EtcdConfig;
use etcd_client::{Client, DeleteOptions, Error as EtcdError, GetOptions, KeyValue};
use tokio::time::{Instant, sleep};

pub use self::fleet::EtcdTopology;
use self::fleet::Fleet;
use super::relayed::relayed;
use super::wait_for;
use crate::servers::{self, Etcd, Skip, operator};
use crate::{Starting, Subject, Tamper, Trouble};

const DEFAULT_PORT: u16 = 2379;
/// How long members may take until they have a leader that obeys.
const AGREEMENT: Duration = Duration::from_secs(60);

/// An etcd cluster, by its URL.
#[derive(Clone)]
pub struct EtcdSubject {
    url: String,
    config: EtcdConfig,
    /// What servers of their own cases may have instead.
    topology: Option<EtcdTopology>,
    /// Those at the URL, where they are to end with the subject.
    #[expect(dead_code, reason = "servers end when they are dropped")]
    fleet: Option<Arc<Fleet>>,
}

impl EtcdSubject {
    /// The cluster at the URL, of any form that [`EtcdConfig::from_url`] takes. The operator, who
    /// counts entries and damages them, has the login of the URL.
    ///
    /// # Errors
    /// As [`EtcdConfig::from_url`].
    pub fn from_url(url: &str) -> Result<Self> {
        Ok(Self { url: url.to_owned(), config: EtcdConfig::from_url(url)?, topology: None, fleet: None })
    }

    /// The server that the tests of a process share, see [`servers::etcd`]; and servers for cases
    /// that need their own, where etcd is installed. It blocks, and must
    /// not be called on a runtime.
    ///
    /// # Errors
    /// A [`Skip`] when there is none.
    ///
    /// # Panics
    /// As [`servers::etcd`].
    pub fn shared() -> std::result::Result<Self, Skip> {
        let server = wait_for(servers::etcd())?;
        let subject = Self::from_url(server.url()).expect("the test server's url is good");
        Ok(Self { topology: Etcd::installed().is_ok().then_some(EtcdTopology::Single), ..subject })
    }

    /// Servers that are started now and end with the last clone of this; and others alike for cases
    /// that need their own. It blocks, and must not be called on a runtime.
    ///
    /// # Errors
    /// A [`Skip`] when they cannot be started here.
    ///
    /// # Panics
    /// When they do not start, and when they cannot though `DLOCK_REQUIRE` names what is missing.
    pub fn start(topology: EtcdTopology) -> std::result::Result<Self, Skip> {
        topology.installed()?;
        let fleet = wait_for(Fleet::start(topology, None));
        let subject = Self::from_url(&fleet.url()).expect("a test server's url is good");
        Ok(Self { topology: Some(topology), fleet: Some(Arc::new(fleet)), ..subject })
    }

    /// For the operator's hand.
    async fn connection(&self) -> Result<Client> {
        operator::connect(&self.url).await
    }

    /// Repeats an order until it is obeyed: members may just be changing their leader. One that was not
    /// answered may have been obeyed before.
    async fn tell<T, F>(&self, order: impl Fn(Client) -> F) -> T
    where
        F: Future<Output = std::result::Result<T, EtcdError>>,
    {
        let deadline = Instant::now() + AGREEMENT;
        loop {
            let obeyed = match self.connection().await {
                Ok(etcd) => order(etcd).await.map_err(error),
                Err(error) => Err(error),
            };
            match obeyed {
                Ok(answer) => return answer,
                Err(error) if Instant::now() >= deadline => panic!("etcd does not obey its operator: {error}"),
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

#[async_trait]
impl Subject for EtcdSubject {
    fn client(&self) -> Box<dyn Connect> {
        Box::new(self.config.clone())
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }

    fn tamper(&self) -> Option<Box<dyn Tamper>> {
        Some(Box::new(self.clone()))
    }

    fn alone(&self, trouble: Trouble) -> Option<Starting> {
        relayed(&self.url, DEFAULT_PORT, trouble, Self::from_url).or_else(|| alone::alone(self.topology?, trouble))
    }

    fn ttl(&self) -> Duration {
        // The shortest that etcd grants.
        Duration::from_secs(2)
    }

    async fn version(&self) -> Option<String> {
        let status = self.connection().await.ok()?.status().await.ok()?;
        Some(format!("etcd {}", status.version()))
    }

    async fn wipe(&self, prefix: &str) -> Result<()> {
        let mut etcd = self.connection().await?;
        let all = GetOptions::new().with_prefix().with_keys_only();
        let kept = etcd.get(prefix, Some(all)).await.map_err(error)?;
        etcd.delete(prefix, Some(DeleteOptions::new().with_prefix())).await.map_err(error)?;
        // What clients leave that die without a word: nobody else ends it before its time.
        let leases: BTreeSet<i64> = kept.kvs().iter().map(KeyValue::lease).filter(|lease| *lease != 0).collect();
        for lease in leases {
            match etcd.lease_revoke(lease).await {
                Ok(_) => {}
                Err(EtcdError::GRpcStatus(status)) if status.message().contains("lease not found") => {}
                Err(failed) => return Err(error(failed)),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Tamper for EtcdSubject {
    async fn delete(&self, namespace: &Namespace, name: &LockName) {
        let under = format!("{namespace}/{name}//");
        let all = || Some(DeleteOptions::new().with_prefix());
        self.tell(|mut etcd| {
            let under = under.clone();
            async move { etcd.delete(under, all()).await }
        })
        .await;
    }

    async fn damage(&self, namespace: &Namespace, name: &LockName) {
        let under = format!("{namespace}/{name}//");
        self.tell(|etcd| overwrite_one(etcd, under.clone())).await;
    }

    async fn entries(&self, namespace: &Namespace) -> usize {
        let all = format!("{namespace}/");
        let count = || Some(GetOptions::new().with_prefix().with_count_only());
        let found = self.tell(|mut etcd| {
            let all = all.clone();
            async move { etcd.get(all, count()).await }
        });
        usize::try_from(found.await.count()).expect("a count is not negative")
    }
}

/// Puts garbage in the place of the first key that begins so, or beside where such keys would be.
async fn overwrite_one(mut etcd: Client, under: String) -> std::result::Result<(), EtcdError> {
    let one = GetOptions::new().with_prefix().with_limit(1);
    let found = etcd.get(under.clone(), Some(one)).await?;
    let key = found.kvs().first().map_or_else(|| format!("{under}garbage").into_bytes(), |kv| kv.key().to_vec());
    etcd.put(key, "garbage", None).await?;
    Ok(())
}

impl fmt::Debug for EtcdSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdSubject").field(&self.config).finish()
    }
}

fn error(error: EtcdError) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}
