use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};

use super::{Contender, Meanwhile};

/// The floor for etcd: put if absent on a shared lease, and delete. For names that nobody else wants.
pub(crate) struct RawEtcd {
    client: etcd_client::Client,
    lease: i64,
}

impl RawEtcd {
    pub(crate) async fn connect(authority: &str) -> Self {
        let mut client = etcd_client::Client::connect([authority], None).await.expect("the server is there");
        let lease = client.lease_grant(3600, None).await.expect("the server answers").id();
        Self { client, lease }
    }
}

#[async_trait]
impl Contender for RawEtcd {
    fn label(&self) -> String {
        "raw `etcd-client`".into()
    }

    async fn turn(&self, _task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let mut client = self.client.kv_client();
        let put = TxnOp::put(name, "me", Some(PutOptions::new().with_lease(self.lease)));
        let absent = Compare::create_revision(name, CompareOp::Equal, 0);
        let taken = client.txn(Txn::new().when([absent]).and_then([put])).await.expect("the server answers");
        assert!(taken.succeeded(), "nobody else is here");
        meanwhile.await;
        client.delete(name, None).await.expect("the server answers");
    }
}
