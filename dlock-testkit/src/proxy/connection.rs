use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::counts::Meter;
use super::lane::{Lane, Progress};
use super::link::Setting;
use super::{Direction, Link};

/// One relayed connection, from its acceptance to its end.
#[derive(Debug)]
pub(super) struct Connection {
    client: TcpStream,
    setting: watch::Receiver<Setting>,
    closings: u64,
    ended: watch::Receiver<()>,
    meter: Arc<Meter>,
}

/// One direction and how far its end has come.
#[derive(Debug)]
struct Half {
    direction: Direction,
    lane: Lane,
    progress: Progress,
    done: bool,
}

impl Connection {
    pub(super) fn new(client: TcpStream, link: Link, ended: watch::Receiver<()>) -> Self {
        let mut setting = link.watch();
        let closings = setting.borrow_and_update().closings;
        let meter = link.meter().clone();
        meter.accepted.fetch_add(1, Ordering::SeqCst);
        meter.open.fetch_add(1, Ordering::SeqCst);
        Self { client, setting, closings, ended, meter }
    }

    /// Relays until both sides have ended, or one way of ending it abruptly has come.
    pub(super) async fn run(mut self, to: SocketAddr) {
        let Some(mut server) = self.reach(to).await else {
            return reset(&self.client);
        };
        // Where it cannot be set the relay is only slower.
        let _ = self.client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        if !self.relay(&mut server).await {
            reset(&self.client);
            reset(&server);
        }
    }

    async fn reach(&mut self, to: SocketAddr) -> Option<TcpStream> {
        let mut connecting = std::pin::pin!(TcpStream::connect(to));
        loop {
            let now = *self.setting.borrow_and_update();
            if now.cut || now.closings != self.closings {
                return None;
            }
            tokio::select! {
                connected = &mut connecting => return connected.ok(),
                Ok(()) = self.setting.changed() => {}
                _ = self.ended.changed() => return None,
            }
        }
    }

    /// Answers whether the connection ended in order.
    async fn relay(&mut self, server: &mut TcpStream) -> bool {
        let [mut up, mut down] =
            [Direction::ToServer, Direction::ToClient].map(|direction| Half::new(direction, self.meter.clone()));
        loop {
            // What was read before this look at the setting obeys it.
            let setting = *self.setting.borrow_and_update();
            if setting.cut || setting.closings != self.closings {
                return false;
            }
            if !up.advance(&setting, server, &mut down) || !down.advance(&setting, &mut self.client, &mut up) {
                return false;
            }
            if up.done && down.done {
                return true;
            }
            let due = up.due().into_iter().chain(down.due()).min();
            tokio::select! {
                Ok(()) = self.client.readable(), if up.lane.takes_more() => up.lane.take_in(&self.client),
                Ok(()) = server.readable(), if down.lane.takes_more() => down.lane.take_in(server),
                Ok(()) = server.writable(), if up.progress == Progress::Blocked => {}
                Ok(()) = self.client.writable(), if down.progress == Progress::Blocked => {}
                () = sleep_until(due), if due.is_some() => {}
                Ok(()) = self.setting.changed() => {}
                _ = self.ended.changed() => return false,
            }
        }
    }
}

impl Half {
    fn new(direction: Direction, meter: Arc<Meter>) -> Self {
        Self { direction, lane: Lane::new(direction, meter), progress: Progress::Idle(None), done: false }
    }

    /// Gives the receiver what is due. Answers whether the connection goes on.
    fn advance(&mut self, setting: &Setting, receiver: &mut TcpStream, other: &mut Half) -> bool {
        let flow = setting.flow(self.direction);
        if self.lane.is_spoilt(flow) {
            return false;
        }
        if self.done {
            return true;
        }
        self.progress = self.lane.deliver(flow, receiver, Instant::now());
        match self.progress {
            Progress::Idle(_) | Progress::Blocked => {}
            Progress::Reset => return false,
            Progress::End => {
                shut_down(receiver);
                self.done = true;
            }
            Progress::Refused => {
                self.lane.close();
                self.done = true;
                other.done = false;
                other.lane.sender_is_gone();
            }
        }
        true
    }

    fn due(&self) -> Option<Instant> {
        match self.progress {
            Progress::Idle(due) if !self.done => due,
            _ => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.meter.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

/// Passes a half-close on. Shutting down a TCP socket never waits.
fn shut_down(stream: &mut TcpStream) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = Pin::new(stream).poll_shutdown(&mut context);
}

/// Lets the drop of the stream send a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
