use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Contender, Meanwhile};

/// The floor for memory: one mutex, whatever the name.
#[derive(Default)]
pub(crate) struct TokioMutex(Mutex<()>);

#[async_trait]
impl Contender for TokioMutex {
    fn label(&self) -> String {
        "`tokio::sync::Mutex`".into()
    }

    async fn turn(&self, _task: usize, _name: &str, meanwhile: Meanwhile<'_>) {
        let _guard = self.0.lock().await;
        meanwhile.await;
    }
}
