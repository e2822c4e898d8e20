//! What a Redis server has had to do, counted by the server itself.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use redis::{Connection, InfoDict};

/// What a server did between two moments.
pub(crate) struct Done {
    /// As often as it read from its connections: the requests, where nobody sends the next before the answer.
    pub(crate) reads: u64,
    /// Commands that clients sent. Several of them may be one request.
    pub(crate) sent: u64,
    /// These, and what scripts called.
    pub(crate) run: u64,
}

/// Counts from [`ServerCounts::start`] to [`ServerCounts::stop`].
///
/// `INFO` counts the calls of scripts like those of clients. `MONITOR` tells them apart.
pub(crate) struct ServerCounts {
    connection: Connection,
    monitor: JoinHandle<u64>,
}

const START: &str = "counting starts";
const STOP: &str = "counting stops";

impl ServerCounts {
    /// Everybody who takes part is connected already. Blocks for a moment.
    pub(crate) fn start(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a good URL");
        let mut connection = client.get_connection().expect("the server is there");
        let monitor = monitor(url);
        mark(&mut connection, START);
        redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut connection).expect("the server answers");
        Self { connection, monitor }
    }

    /// Blocks for a moment.
    pub(crate) fn stop(mut self) -> Done {
        let info: InfoDict = redis::cmd("INFO").arg("stats").query(&mut self.connection).expect("the server answers");
        mark(&mut self.connection, STOP);
        let from_scripts = self.monitor.join().expect("the monitor sees the end");
        let count = |what| info.get::<u64>(what).expect("a server of version 6 or later counts it");
        // What resets the counts is counted as run, what asks for them only as read.
        let run = count("total_commands_processed") - 1;
        Done { reads: count("total_reads_processed") - 1, sent: run - from_scripts, run }
    }
}

/// The number of commands between the marks that scripts called.
fn monitor(url: &str) -> JoinHandle<u64> {
    let address = url.strip_prefix("redis://").expect("the server of this measurement has no password");
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.write_all(b"MONITOR\r\n").expect("the server is there");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("the server answers"));
    assert_eq!(lines.next().as_deref(), Some("+OK"), "a server lets itself be monitored");
    std::thread::spawn(move || {
        let counted = lines.skip_while(|line| !line.contains(START)).take_while(|line| !line.contains(STOP));
        // A line is the time, the place in brackets, and the command with what it was given in quotes.
        counted.filter(|line| line.split('"').next().is_some_and(|place| place.contains(" lua]"))).count() as u64
    })
}

/// `MONITOR` shows it.
fn mark(connection: &mut Connection, text: &str) {
    let _: String = redis::cmd("ECHO").arg(text).query(connection).expect("the server answers");
}
