use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::counts::Meter;
use super::{Direction, Flow};

/// So many bytes may wait in one direction; then the sender is not read from any more.
const ROOM: usize = 16 << 20;

/// The most that is read at once.
const READ: usize = 16 << 10;

/// One direction of a connection: what came in and has not gone on.
#[derive(Debug)]
pub(super) struct Lane {
    direction: Direction,
    meter: Arc<Meter>,
    queue: VecDeque<Parcel>,
    waiting: usize,
    /// Nothing more comes in.
    ended: bool,
    /// Something of it was swallowed.
    torn: bool,
}

#[derive(Debug)]
struct Parcel {
    arrived: Instant,
    load: Load,
}

#[derive(Debug)]
enum Load {
    Bytes { bytes: Vec<u8>, written: usize },
    End,
    Reset,
}

/// How far a lane got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing can go on before this time; `None`: before something changes.
    Idle(Option<Instant>),
    /// The receiver takes no more at the moment.
    Blocked,
    /// All has gone on, and so must the half-close.
    End,
    /// All has gone on, and so must the reset.
    Reset,
    /// The receiver is gone.
    Refused,
}

impl Lane {
    pub(super) fn new(direction: Direction, meter: Arc<Meter>) -> Self {
        Self { direction, meter, queue: VecDeque::new(), waiting: 0, ended: false, torn: false }
    }

    pub(super) fn takes_more(&self) -> bool {
        !self.ended && self.waiting < ROOM
    }

    /// Whether what comes out of it under `flow` would be no sound stream any more.
    pub(super) fn is_spoilt(&self, flow: Flow) -> bool {
        self.torn && flow != Flow::Drop
    }

    /// Reads what the sender has sent. Call it when it is readable.
    pub(super) fn take_in(&mut self, sender: &TcpStream) {
        let mut buffer = [0; READ];
        match sender.try_read(&mut buffer) {
            Ok(0) => self.finish(Load::End),
            Ok(read) => {
                self.waiting += read;
                self.meter.lane(self.direction).came(read);
                self.push(Load::Bytes { bytes: buffer[..read].to_vec(), written: 0 });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.finish(Load::Reset),
        }
    }

    /// The sender turned out to be gone.
    pub(super) fn sender_is_gone(&mut self) {
        self.finish(Load::Reset);
    }

    /// Gives the receiver what is due.
    pub(super) fn deliver(&mut self, flow: Flow, receiver: &TcpStream, now: Instant) -> Progress {
        if flow == Flow::Drop {
            self.swallow();
        }
        while let Some(parcel) = self.queue.front_mut() {
            match flow {
                Flow::Pass | Flow::Drop => {}
                Flow::Delay(delay) if parcel.arrived + delay <= now => {}
                Flow::Delay(delay) => return Progress::Idle(Some(parcel.arrived + delay)),
                Flow::Hold => return Progress::Idle(None),
            }
            match &mut parcel.load {
                Load::End => return Progress::End,
                Load::Reset => return Progress::Reset,
                Load::Bytes { bytes, written } => match receiver.try_write(&bytes[*written..]) {
                    Ok(count) => {
                        *written += count;
                        let done = *written == bytes.len();
                        self.waiting -= count;
                        self.meter.lane(self.direction).went_on(count);
                        if done {
                            self.queue.pop_front();
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Blocked,
                    Err(_) => return Progress::Refused,
                },
            }
        }
        Progress::Idle(None)
    }

    /// Takes in nothing any more, and forgets what it has.
    pub(super) fn close(&mut self) {
        self.ended = true;
        self.queue.clear();
        self.meter.lane(self.direction).forgotten(self.waiting);
        self.waiting = 0;
    }

    fn swallow(&mut self) {
        self.torn |= !self.queue.is_empty();
        self.queue.clear();
        self.meter.lane(self.direction).swallowed(self.waiting);
        self.waiting = 0;
    }

    fn finish(&mut self, last: Load) {
        self.ended = true;
        self.push(last);
    }

    fn push(&mut self, load: Load) {
        self.queue.push_back(Parcel { arrived: Instant::now(), load });
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
    }
}
