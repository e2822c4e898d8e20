//! One case, tried once.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::outcome::Failure;
use super::{Stop, panics};
use crate::{Case, Lab};

/// No case takes longer than this, its own bounds included.
const LIMIT: Duration = Duration::from_secs(180);

/// How long a case that is stopped may take to let go of what it holds.
const PARTING: Duration = Duration::from_secs(5);

/// How many cases at once may have servers of their own, which cost memory and time.
static DEPLOYMENTS: Semaphore = Semaphore::const_new(3);

/// Tries `case` in `lab`. A case that is stopped fails, with a message that means nothing.
pub(super) fn attempt(case: Case, lab: Lab, stop: &Stop) -> Result<(), Failure> {
    block_on(async {
        let turn = async {
            match case.is_alone() {
                true => DEPLOYMENTS.acquire().await.ok(),
                false => None,
            }
        };
        let _turn = tokio::select! {
            turn = turn => turn,
            () = stop.stopped() => return Err(Failure::new("stopped")),
        };
        let mut run = tokio::spawn(panics::noted((case.run)(Arc::new(lab))));
        tokio::select! {
            ended = tokio::time::timeout(LIMIT, &mut run) => match ended {
                Ok(ended) => ended.unwrap_or_else(|error| Err(Failure::new(error.to_string()))),
                Err(_) => Err(Failure::new(format!("not done after {LIMIT:?}"))),
            },
            () = stop.stopped() => {
                run.abort();
                // What it held is withdrawn while its clients are dropped.
                let _ = tokio::time::timeout(PARTING, run).await;
                Err(Failure::new("stopped"))
            }
        }
    })
}

/// Runs a future on a runtime of its own, which need not wait for what is left on it.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime: Runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(panics::belongs_to_a_case)
        .enable_all()
        .build()
        .expect("a test has a runtime");
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    output
}
