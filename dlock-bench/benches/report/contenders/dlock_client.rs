use async_trait::async_trait;
use dlock::Locks;

use super::{Contender, Meanwhile};

/// dlock, by URL.
pub(crate) struct Dlock {
    clients: Vec<Locks>,
}

impl Dlock {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::connect_clients(url, 1).await
    }

    /// Several clients, as in several processes, which the tasks share evenly.
    pub(crate) async fn connect_clients(url: &str, count: usize) -> Self {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(dlock::connect(url).await.expect("the service is there"));
        }
        Self { clients }
    }
}

#[async_trait]
impl Contender for Dlock {
    fn label(&self) -> String {
        let scheme = self.clients[0].info().scheme;
        match self.clients.len() {
            1 => format!("dlock, {scheme}"),
            count => format!("dlock, {scheme}, {count} clients"),
        }
    }

    async fn turn(&self, task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let lock = self.clients[task % self.clients.len()].lock(name).expect("a good name");
        let guard = lock.acquire().await.expect("the service answers");
        meanwhile.await;
        guard.release().await.expect("the service answers");
    }
}
