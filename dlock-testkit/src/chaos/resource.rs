//! What the locks guard in a chaos run: registers that are read and written over the network.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dlock_core::{Clock, Fence, Instant, Token};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::history::{Recorder, Register, What};

/// Serves two registers for each name, and writes down every access in the order in which it was
/// decided. No fault stands between it and the workers: only they can be late.
#[derive(Debug)]
pub struct Resource {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

/// A request to the resource.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    register: Register,
    name: String,
    owner: String,
    token: Option<Token>,
    /// `None` to read.
    write: Option<u64>,
}

/// The value after the request; `None` when it was refused.
type Answer = Option<u64>;

impl Resource {
    /// Starts serving. An operator accepts a new epoch once all leases of an old one are over,
    /// which is `ttl` after the new one was first seen.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(recorder: Recorder, ttl: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State { recorder, ttl, clock: Clock::system(), names: Mutex::default() });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, state.clone()));
            }
        });
        Ok(Self { addr, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to the resource.
#[derive(Debug)]
pub(super) struct ResourceClient {
    answers: BufReader<OwnedReadHalf>,
    requests: OwnedWriteHalf,
}

impl ResourceClient {
    pub(super) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (answers, requests) = stream.into_split();
        Ok(Self { answers: BufReader::new(answers), requests })
    }

    /// Shows a token and reads.
    pub(super) async fn read(&mut self, to: &Access<'_>) -> io::Result<Option<u64>> {
        self.ask(to, None).await
    }

    /// Shows a token and writes. Answers `None` when it was refused.
    pub(super) async fn write(&mut self, to: &Access<'_>, value: u64) -> io::Result<Option<u64>> {
        self.ask(to, Some(value)).await
    }

    async fn ask(&mut self, to: &Access<'_>, write: Option<u64>) -> io::Result<Option<u64>> {
        let Access { register, name, owner, token } = *to;
        let request = Request { register, name: name.to_owned(), owner: owner.to_owned(), token, write };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        self.requests.write_all(&line).await?;
        let mut line = String::new();
        if self.answers.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str::<Answer>(&line)?)
    }
}

/// Who accesses what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) register: Register,
    pub(super) name: &'a str,
    pub(super) owner: &'a str,
    pub(super) token: Option<Token>,
}

#[derive(Debug)]
struct State {
    recorder: Recorder,
    ttl: Duration,
    clock: Clock,
    names: Mutex<HashMap<String, Registers>>,
}

#[derive(Debug, Default)]
struct Registers {
    fence: Fence,
    fenced: u64,
    unfenced: u64,
    /// An epoch that waits to be accepted, and since when.
    strange: Option<(u64, Instant)>,
}

async fn serve(stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (requests, mut answers) = stream.into_split();
    let mut requests = BufReader::new(requests).lines();
    while let Some(line) = requests.next_line().await? {
        let answer: Answer = state.decide(serde_json::from_str(&line)?);
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        answers.write_all(&line).await?;
    }
    Ok(())
}

impl State {
    fn decide(&self, request: Request) -> Answer {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let registers = names.entry(request.name.clone()).or_default();
        let admitted = match (request.register, request.token) {
            (Register::Unfenced, _) => true,
            (Register::Fenced, None) => false,
            (Register::Fenced, Some(token)) => self.admits(registers, token, &request.name),
        };
        let cell = match request.register {
            Register::Fenced => &mut registers.fenced,
            Register::Unfenced => &mut registers.unfenced,
        };
        if let (true, Some(value)) = (admitted, request.write) {
            *cell = value;
        }
        let answer = admitted.then_some(*cell);
        // Recorded under the lock: the file has the order of the decisions.
        let Request { register, name, owner, token, write } = request;
        self.recorder.record(match write {
            None => What::Read { register, name, owner, token, value: answer },
            Some(value) => What::Write { register, name, owner, token, value, accepted: admitted },
        });
        answer
    }

    fn admits(&self, registers: &mut Registers, token: Token, name: &str) -> bool {
        let now = self.clock.now();
        let is_strange = registers.fence.highest().is_some_and(|highest| highest.epoch != token.epoch);
        if is_strange {
            let since = match registers.strange {
                Some((epoch, since)) if epoch == token.epoch => since,
                _ => registers.strange.insert((token.epoch, now)).1,
            };
            if now.since(since) > self.ttl {
                registers.fence.accept_epoch(token.epoch);
                registers.strange = None;
                self.recorder.record(What::EpochAccepted { name: name.to_owned(), epoch: token.epoch });
            }
        }
        registers.fence.check(token).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_fenced_register_refuses_a_stale_token() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(dir.path(), "resource").unwrap();
        let resource = Resource::start(recorder, Duration::from_secs(1)).await.unwrap();
        let mut client = ResourceClient::connect(resource.addr()).await.unwrap();
        for (register, value, answers) in
            [(Register::Fenced, 1, [Some(7), None]), (Register::Unfenced, 2, [Some(7), Some(9)])]
        {
            let with = |value| Access { register, name: "a", owner: "o", token: Some(Token { epoch: 1, value }) };
            let fresh = client.write(&with(value + 1), 7).await.unwrap();
            let stale = client.write(&with(value), 9).await.unwrap();
            assert_eq!([fresh, stale], answers, "{register:?}");
        }
    }

    #[tokio::test]
    async fn a_new_epoch_is_accepted_when_the_leases_of_the_old_one_are_over() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(dir.path(), "resource").unwrap();
        let ttl = Duration::from_millis(50);
        let resource = Resource::start(recorder, ttl).await.unwrap();
        let mut client = ResourceClient::connect(resource.addr()).await.unwrap();
        let with = |epoch| Access {
            register: Register::Fenced,
            name: "a",
            owner: "o",
            token: Some(Token { epoch, value: 1 }),
        };
        assert_eq!(client.read(&with(1)).await.unwrap(), Some(0));
        assert_eq!(client.read(&with(2)).await.unwrap(), None);
        let accepted = async {
            while client.read(&with(2)).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), accepted).await.unwrap();
        assert_eq!(client.read(&with(1)).await.unwrap(), None, "the old epoch is over");
    }
}
