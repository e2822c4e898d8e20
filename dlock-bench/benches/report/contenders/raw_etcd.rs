use async_trait::async_trait;
use etcd_client::{Client, Compare, CompareOp, KvClient, PutOptions, Txn, TxnOp};

use super::kept_leases::KeptLeases;
use super::{Contender, Meanwhile, POLL};

/// The floor for etcd: put if absent on a shared lease, and delete. It polls.
pub(crate) struct RawEtcd {
    client: Client,
    leases: KeptLeases,
}

impl RawEtcd {
    pub(crate) async fn connect(endpoint: &str) -> Self {
        let client = Client::connect([endpoint], None).await.expect("the server is there");
        Self { leases: KeptLeases::grant(&client, 1).await, client }
    }

    async fn put_if_absent(&self, client: &mut KvClient, task: usize, name: &str) -> bool {
        let put = TxnOp::put(name, "me", Some(PutOptions::new().with_lease(self.leases.of(task))));
        let absent = Compare::create_revision(name, CompareOp::Equal, 0);
        let answer = client.txn(Txn::new().when([absent]).and_then([put])).await;
        answer.expect("the server answers").succeeded()
    }
}

#[async_trait]
impl Contender for RawEtcd {
    fn label(&self) -> String {
        "raw `etcd-client`".into()
    }

    async fn turn(&self, task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let mut client = self.client.kv_client();
        while !self.put_if_absent(&mut client, task, name).await {
            tokio::time::sleep(POLL).await;
        }
        meanwhile.await;
        client.delete(name, None).await.expect("the server answers");
    }
}
