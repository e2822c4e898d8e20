use async_trait::async_trait;
use etcd_client::{Client, LockOptions};

use super::kept_leases::KeptLeases;
use super::{Contender, Meanwhile};

/// The lock that the etcd server offers itself: it queues and answers when it grants.
pub(crate) struct EtcdLock {
    client: Client,
    leases: KeptLeases,
}

impl EtcdLock {
    /// All tasks share the leases. Those who want the same name need one each: for etcd one lease is
    /// one owner, who holds already what the others of that lease hold.
    pub(crate) async fn connect(endpoint: &str, leases: usize) -> Self {
        let client = Client::connect([endpoint], None).await.expect("the server is there");
        Self { leases: KeptLeases::grant(&client, leases).await, client }
    }
}

#[async_trait]
impl Contender for EtcdLock {
    fn label(&self) -> String {
        "etcd's own lock".into()
    }

    async fn turn(&self, task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let mut client = self.client.lock_client();
        let options = LockOptions::new().with_lease(self.leases.of(task));
        let locked = client.lock(name, Some(options)).await.expect("the server answers");
        meanwhile.await;
        client.unlock(locked.key()).await.expect("the server answers");
    }
}
