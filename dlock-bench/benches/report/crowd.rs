//! Very many locks of one client, and very many tasks that wait for one name.
//!
//! Each measurement is a process of its own, with memory that nobody has used before.

pub(crate) mod etcd;
mod figures;
mod grpc_tap;
mod hold;
pub(crate) mod redis;
mod wait;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use self::figures::Figures;
use crate::stores::{self, Store, Watcher};

const ROLE: &str = "DLOCK_BENCH_CROWD";
const URL: &str = "DLOCK_BENCH_CROWD_ON";
/// How long locks that are held are watched.
const WATCHED: Duration = Duration::from_secs(60);

/// What a process measures.
#[derive(Clone, Copy)]
enum Role {
    /// So many locks are held.
    Hold { locks: usize },
    /// So many tasks wait for one name, of so many clients.
    Wait { tasks: usize, clients: usize },
    /// The same with one client of etcd, whose messages are looked at on their way.
    Listen { tasks: usize },
}

impl Role {
    fn to_words(self) -> String {
        match self {
            Self::Hold { locks } => format!("hold {locks} 1"),
            Self::Wait { tasks, clients } => format!("wait {tasks} {clients}"),
            Self::Listen { tasks } => format!("listen {tasks} 1"),
        }
    }

    fn from_words(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        let role = words.next()?;
        let [crowd, clients] = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
        match role {
            "hold" => Some(Self::Hold { locks: crowd }),
            "wait" => Some(Self::Wait { tasks: crowd, clients }),
            "listen" => Some(Self::Listen { tasks: crowd }),
            _ => None,
        }
    }

    async fn play(self, url: &str) -> Figures {
        match self {
            Self::Hold { locks } => hold::measure(url, locks).await,
            Self::Wait { tasks, clients } => wait::measure(url, url, tasks, clients).await,
            Self::Listen { tasks } => wait::listen(url, tasks).await,
        }
    }
}

/// In a process that the measurement started: prints its figures.
pub(crate) fn play_role() -> Option<ExitCode> {
    let words = std::env::var(ROLE).ok()?;
    let url = std::env::var(URL).expect("it is set beside the role");
    let role = Role::from_words(&words).expect("the measurement knows the roles");
    print!("{}", crate::runtime().block_on(role.play(&url)).to_lines());
    Some(ExitCode::SUCCESS)
}

/// Has a role played against a server of its own.
fn measure<S: Store>(role: Role) -> Figures {
    let runtime = crate::runtime();
    let store = runtime.block_on(S::start());
    let program = std::env::current_exe().expect("a program knows its own file");
    let mut command = Command::new(program);
    command.env(ROLE, role.to_words()).env(URL, store.url()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().expect("this program can start itself");
    assert!(output.status.success(), "{}", output.status);
    Figures::from_lines(&String::from_utf8(output.stdout).expect("figures are text"))
}

/// What the server at `url` says of itself.
fn watcher(url: &str) -> Watcher {
    match url.split_once(':') {
        Some(("redis", _)) => stores::Redis::watcher(url),
        _ => stores::Etcd::watcher(url),
    }
}
