//! Restoring a cluster from a snapshot.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use etcd_client::{Client, Error};
use tempfile::NamedTempFile;

use super::{Etcd, EtcdCluster};
use crate::servers::kind::ETCD;
use crate::servers::node::Site;
use crate::servers::programs::Program;
use crate::servers::shared::blocking;
use crate::servers::{Node, Skip};

const TOOL: Program = Program::Installed("etcdctl");
/// Where in a member's directory of data the tool writes, which takes only what does not exist.
const RESTORED: &str = "restored";
/// Where in a directory of data etcd has all that it needs.
const MEMBER: &str = "member";
/// What a restored member keeps of the settings that it is started with.
const KEPT: [&str; 3] = ["--name", "--initial-cluster", "--initial-advertise-peer-urls"];

/// What an etcd cluster had stored at one moment: claims, leases, users and rights too.
#[derive(Debug)]
pub struct EtcdSnapshot {
    file: NamedTempFile,
}

impl EtcdSnapshot {
    /// Whether clusters can be restored here.
    ///
    /// # Errors
    /// A [`Skip`] when `etcdctl` is not installed.
    ///
    /// # Panics
    /// As [`Etcd::installed`].
    pub fn available() -> Result<(), Skip> {
        ETCD.require(TOOL)
    }

    /// Takes one while the cluster runs. Where logins are asked for, the client must be root's.
    ///
    /// # Errors
    /// When the cluster does not send it, or it cannot be written.
    ///
    /// # Cancel safety
    /// Safe: nothing stays of it.
    pub async fn take(mut from: Client) -> Result<Self, Error> {
        let mut file = NamedTempFile::new()?;
        let mut parts = from.snapshot().await?;
        // The last part is the checksum that the tool verifies.
        while let Some(part) = parts.message().await? {
            file.write_all(part.blob())?;
        }
        Ok(Self { file })
    }

    /// Ends the members and gives them what is in here instead of their data. Members that are
    /// restored with one token form a cluster, whose id no other cluster has.
    fn put_into(&self, members: &[Arc<Node>]) {
        members.iter().for_each(|member| member.kill());
        let token = format!("dlock-restored-{:016x}", fastrand::u64(..));
        for member in members {
            if let Err(error) = replace_data(member, self.file.path(), &token) {
                panic!("an etcd member cannot be restored: {error}");
            }
        }
    }
}

impl Etcd {
    /// Kills it, if it runs, and starts it as a new cluster with what the snapshot has, on its ports;
    /// returns when it serves.
    ///
    /// # Panics
    /// When it cannot be restored, or does not come up again.
    pub async fn restore(&self, snapshot: EtcdSnapshot) {
        let node = self.node.clone();
        blocking(move || snapshot.put_into(&[node])).await;
        self.restart().await;
    }
}

impl EtcdCluster {
    /// Kills all members that run, and starts them as a new cluster with what the snapshot has, on
    /// their ports; returns when each serves.
    ///
    /// # Panics
    /// When one cannot be restored, or does not come up again.
    pub async fn restore(&self, snapshot: EtcdSnapshot) {
        let nodes = self.nodes().clone();
        blocking(move || snapshot.put_into(&nodes)).await;
        self.restart_all().await;
    }
}

fn replace_data(member: &Node, snapshot: &Path, token: &str) -> io::Result<()> {
    let data = member.dir().join(Site::DATA);
    let restored = data.join(RESTORED);
    let started = member.command();
    let settings: Vec<_> = started.get_args().collect();
    let mut tool = TOOL.command();
    tool.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot);
    tool.args(["--initial-cluster-token", token, "--data-dir"]).arg(&restored);
    for setting in KEPT {
        let value = settings.iter().skip_while(|arg| **arg != setting).nth(1);
        tool.arg(setting).arg(value.expect("each member is started with these settings"));
    }
    let done = tool.output()?;
    if !done.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()));
    }
    fs::remove_dir_all(data.join(MEMBER))?;
    fs::rename(restored.join(MEMBER), data.join(MEMBER))?;
    fs::remove_dir(restored)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a value, which is that of the snapshot, and then another.
    async fn snapshot(endpoints: &[String]) -> (EtcdSnapshot, u64) {
        let mut client = Client::connect(endpoints, None).await.unwrap();
        client.put("key", "early", None).await.unwrap();
        let snapshot = EtcdSnapshot::take(client.clone()).await.unwrap();
        let late = client.put("key", "late", None).await.unwrap();
        (snapshot, late.header().unwrap().cluster_id())
    }

    async fn is_restored(endpoints: &[String], former_cluster: u64) {
        for endpoint in endpoints {
            let mut client = Client::connect([endpoint], None).await.unwrap();
            let found = client.get("key", None).await.unwrap();
            assert_eq!(found.kvs()[0].value(), b"early", "{endpoint}");
            assert_ne!(found.header().unwrap().cluster_id(), former_cluster, "{endpoint}");
        }
    }

    #[tokio::test]
    async fn a_restored_server_has_what_the_snapshot_has_and_is_another_cluster() {
        let (Ok(()), Ok(())) = (Etcd::installed(), EtcdSnapshot::available()) else { return };
        let server = Etcd::start().await;
        for _ in 0..2 {
            let (snapshot, cluster) = snapshot(&[server.endpoint()]).await;
            server.restore(snapshot).await;
            is_restored(&[server.endpoint()], cluster).await;
        }
    }

    #[tokio::test]
    async fn restored_members_are_one_cluster_that_has_a_leader() {
        let (Ok(()), Ok(())) = (Etcd::installed(), EtcdSnapshot::available()) else { return };
        let members = EtcdCluster::start().await;
        let (snapshot, cluster) = snapshot(&members.endpoints()).await;
        members.restore(snapshot).await;
        is_restored(&members.endpoints(), cluster).await;
        let leader = members.wait_for_leader(None).await;
        members.node(leader).kill();
        members.wait_for_leader(Some(leader)).await;
    }
}
