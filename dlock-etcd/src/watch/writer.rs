//! What is written to a stream.

use etcd_client::WatchRequestSender;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Target;

/// A message to the server.
#[derive(Debug)]
pub(super) enum Request {
    Watch(i64, Target),
    Cancel(i64),
    Heartbeat,
}

/// Writes to the stream in a task of its own: a full stream must not keep the answers from being read.
pub(super) struct Writer(tokio::task::JoinHandle<()>);

impl Writer {
    pub(super) fn start(mut requests: WatchRequestSender, mut queued: UnboundedReceiver<Request>) -> Self {
        Self(tokio::spawn(async move {
            while let Some(request) = queued.recv().await {
                let sent = match request {
                    Request::Watch(id, target) => {
                        let (key, options) = target.options(id);
                        requests.watch(key, Some(options)).await
                    }
                    Request::Cancel(id) => requests.cancel(id).await,
                    Request::Heartbeat => requests.request_progress().await,
                };
                if sent.is_err() {
                    return;
                }
            }
        }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
