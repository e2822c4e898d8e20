//! The least rights that a user needs.

use std::process::Command;

use dlock_core::{
    Clock, Connect, ConnectContext, ErrorKind, Gone, Landed, Mode, NamePrefix, Namespace, Page, Queue, Renewal,
    Requested, Result, Why, Withdrawn,
};
use dlock_etcd::EtcdConfig;
use dlock_etcd::etcd_client::{self, ConnectOptions, PermissionType, PutOptions, RoleRevokePermissionOptions};
use dlock_testkit::servers::{Etcd, EtcdVersion};

use crate::client::{Client, EXCLUSIVE, SHARED, permit};

/// What the documentation tells an operator to do.
const DOCUMENTATION: &str = include_str!("../../src/lib.rs");

/// A server that asks for a login, set up as documented.
struct World {
    server: Etcd,
    root: etcd_client::Client,
}

impl World {
    /// One for each version that can be had.
    async fn each() -> Vec<Self> {
        let mut worlds = Vec::new();
        for version in [EtcdVersion::Installed, EtcdVersion::V3_5] {
            if version.installed().is_ok() {
                worlds.push(Self::start(version).await);
            }
        }
        worlds
    }

    async fn start(version: EtcdVersion) -> Self {
        let server = Etcd::builder().with_version(version).with_args(["--bcrypt-cost", "4"]).start().await;
        for command in documented_commands() {
            let mut words = command.split(' ');
            let mut run = Command::new(words.next().unwrap());
            run.args(words).env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", server.endpoint());
            let output = run.output().unwrap_or_else(|error| panic!("{command}: {error}"));
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let options = ConnectOptions::new().with_user("root", "change-me-too");
        let root = etcd_client::Client::connect([server.addr().to_string()], Some(options)).await.unwrap();
        Self { server, root }
    }

    fn login(&self) -> EtcdConfig {
        EtcdConfig::new([self.server.addr().to_string()]).with_login("locks", "change-me")
    }

    async fn client(&self) -> Client {
        Client::with(self.login(), &Namespace::default()).await
    }

    async fn refused(&self, namespace: &str) -> dlock_core::Error {
        let context = ConnectContext { namespace: namespace.parse().unwrap(), clock: Clock::system() };
        let connected = Box::new(self.login()).connect(context).await;
        connected.err().unwrap_or_else(|| panic!("connected to {namespace}"))
    }

    /// Leaves the user only this on the keys of the namespace.
    async fn allow(&mut self, permission: PermissionType) {
        let (from, end) = ("dlock/", "dlock0");
        let whole = Some(RoleRevokePermissionOptions::new().with_range_end(end));
        self.root.role_revoke_permission("dlock", from, whole).await.unwrap();
        let permission = match permission {
            PermissionType::Read => etcd_client::Permission::read(from),
            PermissionType::Write => etcd_client::Permission::write(from),
            PermissionType::Readwrite => etcd_client::Permission::read_write(from),
        };
        self.root.role_grant_permission("dlock", permission.with_range_end(end)).await.unwrap();
    }
}

/// The lines of the documentation that are commands.
fn documented_commands() -> Vec<&'static str> {
    let lines = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("//! etcdctl ").map(|_| &line[4..]));
    lines.map(str::trim_end).collect()
}

/// Everything that a client does.
async fn everything(world: &mut World) -> Result<()> {
    let (mut one, mut two) = (world.client().await, world.client().await);
    // A cycle: taken, refused to another, renewed, seen, broken.
    let (held, grant) = one.hold("a", EXCLUSIVE).await;
    assert_eq!(two.backend.request(&two.claim("a", EXCLUSIVE), Queue::No).await?, Requested::Refused);
    assert!(matches!(one.renew(&held).await, Renewal::Alive { grant: Some(_), .. }));
    let seen = two.backend.inspect(&held.name).await?.holders.remove(0);
    assert_eq!(seen.token, Some(grant.token));
    assert!(seen.expires_in.is_some(), "the lease's time to live can be asked");
    let page = Page { cursor: None, limit: 10 };
    assert_eq!(two.backend.list(&NamePrefix::root(), page).await?.names, std::slice::from_ref(&held.name));
    assert_eq!(two.backend.withdraw(&held.to_ref(), Why::Break).await?, Withdrawn::Removed);
    assert_eq!(one.gone(&held).await, Gone::Absent);
    // A line: some are refused, cancelled, broken, let in.
    let (writer, _) = one.hold("a", EXCLUSIVE).await;
    let readers = [two.queue("a", SHARED).await, two.queue("a", SHARED).await];
    let (cancelled, broken) = (two.queue("a", EXCLUSIVE).await, two.queue("a", EXCLUSIVE).await);
    assert!(matches!(two.renew(&readers[0]).await, Renewal::Alive { grant: None, .. }));
    two.backend.withdraw(&cancelled.to_ref(), Why::Cancel).await?;
    one.backend.withdraw(&broken.to_ref(), Why::Break).await?;
    two.gone(&broken).await;
    one.backend.convert(&writer.to_ref(), Mode::Shared).await?;
    two.granted(&readers[0]).await;
    two.granted(&readers[1]).await;
    for (client, held) in [(&one, &writer), (&two, &readers[0]), (&two, &readers[1])] {
        client.release(held).await;
    }
    // Permits, and a release that lets the next one in.
    let (first, _) = one.hold("p", permit(1)).await;
    let next = two.queue("p", permit(1)).await;
    one.release(&first).await;
    two.granted(&next).await;
    two.release(&next).await;
    // Damage.
    world.root.put("dlock/d//junk", "nonsense", None).await.unwrap();
    let name = "d".parse()?;
    let damaged = one.backend.inspect(&name).await?.damaged.remove(0);
    assert_eq!(one.backend.clear_damage(&name, &damaged).await?, Withdrawn::Removed);
    // The end: an idle lease is revoked.
    let (last, _) = one.hold("a", EXCLUSIVE).await;
    let lease = world.root.get("dlock/a//rw/x/", Some(etcd_client::GetOptions::new().with_prefix())).await.unwrap();
    let lease = lease.kvs()[0].lease();
    one.release(&last).await;
    one.backend.close().await?;
    assert_eq!(world.root.lease_client().time_to_live(lease, None).await.unwrap().ttl(), -1);
    Ok(())
}

#[tokio::test]
async fn what_the_documentation_grants_suffices() {
    assert_eq!(documented_commands().len(), 6, "{DOCUMENTATION}");
    for mut world in World::each().await {
        everything(&mut world).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_may_be_revoked_with_claims_on_it_but_not_with_keys_of_others() {
    for mut world in World::each().await {
        let options = ConnectOptions::new().with_user("locks", "change-me");
        let mut user = etcd_client::Client::connect([world.server.addr().to_string()], Some(options)).await.unwrap();
        let lease = user.lease_client().grant(60, None).await.unwrap().id();
        user.put("dlock/a//x", "", Some(PutOptions::new().with_lease(lease))).await.unwrap();
        world.root.put("others/a", "", Some(PutOptions::new().with_lease(lease))).await.unwrap();
        assert!(user.lease_client().revoke(lease).await.is_err(), "others' data would go with it");
        world.root.delete("others/a", None).await.unwrap();
        user.lease_client().revoke(lease).await.unwrap();
    }
}

#[tokio::test]
async fn other_namespaces_are_refused_when_connecting() {
    for world in World::each().await {
        for namespace in ["others", "dlock2", "dloc", "dlock.b"] {
            let error = world.refused(namespace).await;
            assert_eq!((error.kind(), error.landed()), (ErrorKind::Denied, Landed::No), "{namespace}: {error}");
            assert!(error.to_string().contains("read and write access to the namespace's keys"), "{error}");
        }
    }
}

#[tokio::test]
async fn whoever_may_only_read_can_look_and_no_more() {
    for mut world in World::each().await {
        let owner = world.client().await;
        let (held, _) = owner.hold("a", EXCLUSIVE).await;
        world.allow(PermissionType::Read).await;
        let reader = world.client().await;
        assert_eq!(reader.backend.inspect(&held.name).await.unwrap().holders.len(), 1);
        let page = Page { cursor: None, limit: 10 };
        assert_eq!(reader.backend.list(&NamePrefix::root(), page).await.unwrap().names.len(), 1);
        for name in ["a", "b"] {
            for mode in [EXCLUSIVE, SHARED, permit(2)] {
                for queue in [Queue::Yes, Queue::No] {
                    let error = reader.backend.request(&reader.claim(name, mode), queue).await.unwrap_err();
                    assert_eq!((error.kind(), error.landed()), (ErrorKind::Denied, Landed::No), "{error}");
                    assert!(error.to_string().contains("read and write access"), "{error}");
                }
            }
        }
        let error = reader.backend.withdraw(&held.to_ref(), Why::Break).await.unwrap_err();
        assert_eq!((error.kind(), error.landed()), (ErrorKind::Denied, Landed::No), "{error}");
        let error = owner.backend.withdraw(&held.to_ref(), Why::Release).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        world.allow(PermissionType::Readwrite).await;
        owner.release(&held).await;
    }
}

#[tokio::test]
async fn whoever_may_only_write_is_refused_when_connecting() {
    for mut world in World::each().await {
        world.allow(PermissionType::Write).await;
        assert_eq!(world.refused("dlock").await.kind(), ErrorKind::Denied);
    }
}
