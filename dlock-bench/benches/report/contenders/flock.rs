use std::fs::File;
use std::path::PathBuf;

use async_trait::async_trait;

use super::{Contender, Meanwhile};

/// The floor for file: open, `flock`, unlock, close. No queue, no token, no record of who holds.
pub(crate) struct Flock(pub(crate) PathBuf);

#[async_trait]
impl Contender for Flock {
    fn label(&self) -> String {
        "plain `flock(2)`".into()
    }

    async fn turn(&self, _task: usize, name: &str, meanwhile: Meanwhile<'_>) {
        let file = File::create(self.0.join(name)).expect("the directory can be written");
        file.lock().expect("a lock can be taken");
        meanwhile.await;
        file.unlock().expect("a lock can be given back");
    }
}
