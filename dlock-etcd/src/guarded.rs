//! Writes to etcd that happen only while a claim is held.

use dlock_core::{Error, ErrorKind, Guard, Landed, LockName, Mode, Result, Token};
use etcd_client::{Client, Compare, CompareOp, GetOptions, ResponseHeader};

use crate::backend::SCHEME;
use crate::error::{Effect, classify};
use crate::keys::{Keys, Section};

/// What proves to etcd that a name is held: a comparison for transactions of your own.
///
/// Where the data that a lock guards is in the same etcd cluster, no fence is needed. A transaction
/// with [`Ownership::comparison`] among its conditions is applied while the claim stands, and
/// refused from the moment at which it is released, broken, deleted, overwritten or lapsed:
/// before anybody else holds the name, and under any timing, since etcd decides both in one
/// order. A holder that was stopped for an hour does no harm.
///
/// ```no_run
/// use dlock_etcd::etcd_client::{Client, Txn, TxnOp};
/// use dlock_etcd::{EtcdConfig, Ownership};
///
/// # async fn write() -> Result<(), Box<dyn std::error::Error>> {
/// let locks = dlock_core::Locks::connect(EtcdConfig::from_url("etcd://10.0.0.1")?).await?;
/// let mut etcd = Client::connect(["10.0.0.1:2379"], None).await?;
///
/// let guard = locks.lock("reports/today")?.acquire().await?;
/// let ownership = Ownership::of(&guard, &mut etcd).await?;
///
/// let report = etcd.get("reports/today", None).await?;
/// ownership.check_history(report.header())?;
/// let longer = [report.kvs().first().map_or(&b""[..], |kv| kv.value()), b"one more line\n"].concat();
///
/// let write = Txn::new()
///     .when([ownership.comparison()])
///     .and_then([TxnOp::put("reports/today", longer, None)]);
/// let answer = etcd.txn(write).await?;
/// ownership.check_history(answer.header())?;
/// if !answer.succeeded() {
///     return Err("the lock was lost: nothing was written".into());
/// }
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
///
/// # What to know
/// - **Each transaction stands for itself.** Between two of them the lock may be lost, and the next
///   holder finds the first one's work without the second's. Prepare under keys that nobody reads
///   yet, and let one last transaction make the change visible.
/// - **An answer that is lost** leaves it open whether the transaction was applied or will be. Nothing of it
///   can be applied any more once [`Guard::release`] has returned `Ok`, or once somebody else holds the
///   name: read then.
/// - **`succeeded()` is false** also when another condition of yours did not hold. Read
///   [`Ownership::key`] in the transaction's other branch to tell: the claim does not stand if the key
///   is missing or its `mod_revision` is not the token's value.
/// - **A restore from a snapshot** brings claims back with the same revisions, and so a comparison may
///   hold for a claim that had ended. It is then the one that holds in the restored history, but what
///   its holder read before is of another history. So each answer that you rely on, reads included,
///   goes through [`Ownership::check_history`].
/// - **Holders of permits** overlap: the comparison says that this one is held, not that it is alone.
/// - The user that writes needs read access to [`Ownership::key`], and the cluster must be the one that
///   the claim is on: on any other the comparison never holds.
#[derive(Clone, Debug)]
pub struct Ownership {
    key: Vec<u8>,
    created: i64,
    token: Token,
    name: LockName,
}

impl Ownership {
    /// What proves that `guard` holds: finds the claim by its token, in one read by way of `etcd`. It stays
    /// what it is: on a lease that was lost meanwhile the comparison does not hold.
    ///
    /// # Errors
    /// `Lost` once the lease is lost, and where `etcd` is another cluster than the one that the name is
    /// held on. `Unsupported` where the name is not held on etcd, and where it is held shared, a
    /// downgraded hold included: writers must exclude each other. Others as the read fails.
    ///
    /// # Cancel safety
    /// Safe: nothing happens but reading.
    pub async fn of(guard: &Guard, etcd: &mut Client) -> Result<Self> {
        let (name, scheme) = (guard.name(), guard.info().scheme);
        if scheme != SCHEME {
            let message = format!("{name:?} is held on {scheme}: only a lock on etcd can guard a write to etcd");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let lease = guard.lease()?;
        if lease.mode == Mode::Shared {
            let message = format!(
                "{name:?} is held shared, beside others or downgraded, which cannot guard a write: hold it exclusively"
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        // Zero would stand for any revision.
        let created = i64::try_from(lease.token.value).ok().filter(|created| *created > 0).ok_or_else(|| {
            Error::new(ErrorKind::Protocol, format!("the token {} of {name:?} is no revision of etcd", lease.token))
        })?;
        let section = Keys::new(guard.namespace()).name(name).section(Section::Plain(lease.mode));
        let options = GetOptions::new()
            .with_range(section.end)
            .with_keys_only()
            .with_min_create_revision(created)
            .with_max_create_revision(created);
        let answer = etcd.get(section.from, Some(options)).await.map_err(|error| classify(error, Effect::Read))?;
        check_history(name, lease.token, answer.header()).map_err(|error| error.with_landed(Landed::No))?;
        let claim = answer.kvs().iter().find(|key| key.mod_revision() == created).ok_or_else(|| {
            Error::new(ErrorKind::Lost, format!("the claim to {name:?} is not there any more: lock it again"))
        })?;
        Ok(Self { key: claim.key().to_vec(), created, token: lease.token, name: name.clone() })
    }

    /// The condition for [`Txn::when`](etcd_client::Txn::when), which takes all conditions at once.
    #[must_use]
    pub fn comparison(&self) -> Compare {
        // A claim's key is put once, so that the revision of its last change is that of its creation,
        // which is the token.
        Compare::mod_revision(self.key.clone(), CompareOp::Equal, self.created)
    }

    /// The key of the claim.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Makes sure that an answer is of the history in which the name was locked: a cluster that is
    /// restored from a snapshot has another id, if it is restored with another
    /// `--initial-cluster-token`.
    ///
    /// # Errors
    /// `Lost` when it is not: what was read is of another history, and what was written is in that
    /// one. Give the lock up, and look at what is there under a new one. `Protocol` for an answer
    /// without a header.
    pub fn check_history(&self, header: Option<&ResponseHeader>) -> Result<()> {
        check_history(&self.name, self.token, header)
    }
}

fn check_history(name: &LockName, token: Token, header: Option<&ResponseHeader>) -> Result<()> {
    let unsure = |kind, message| Error::new(kind, message).with_landed(Landed::Maybe);
    let header = header.ok_or_else(|| unsure(ErrorKind::Protocol, "etcd sent an answer without a header".into()))?;
    let (epoch, cluster) = (token.epoch, header.cluster_id());
    if cluster == epoch {
        return Ok(());
    }
    Err(unsure(
        ErrorKind::Lost,
        format!(
            "{name:?} was locked on the etcd cluster {epoch:x} and {cluster:x} has answered: it was restored or \
             replaced; lock it again and look at what is there"
        ),
    ))
}
