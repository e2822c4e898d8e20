//! What lies between two members.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::Links;

/// As much as is read at once.
const BUFFER: usize = 16 * 1024;

/// The line between two members, which may be cut at any time.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pair: (usize, usize),
    links: watch::Receiver<Links>,
}

impl Line {
    pub(super) fn new(pair: (usize, usize), links: watch::Receiver<Links>) -> Self {
        Self { pair, links }
    }

    pub(super) fn is_cut(&self) -> bool {
        !self.links.borrow().join(self.pair)
    }

    /// Waits until nothing parts the two, or until whoever dialled gives up. What it sends
    /// meanwhile is lost.
    pub(super) async fn mended_unless_given_up(&mut self, dialler: &mut TcpStream) -> io::Result<()> {
        let mut ignored = [0; 1024];
        let given_up = async {
            while dialler.read(&mut ignored).await? > 0 {}
            Err(io::ErrorKind::ConnectionAborted.into())
        };
        tokio::select! {
            biased;
            mended = self.mended() => mended,
            given_up = given_up => given_up,
        }
    }

    /// Carries bytes both ways until both ends are done. While the two are cut apart, bytes wait,
    /// and the connection ends for neither.
    pub(super) async fn carry(self, one: TcpStream, other: TcpStream) -> io::Result<()> {
        one.set_nodelay(true)?;
        other.set_nodelay(true)?;
        let ((from_one, to_one), (from_other, to_other)) = (one.into_split(), other.into_split());
        tokio::try_join!(self.clone().pump(from_one, to_other), self.pump(from_other, to_one))?;
        Ok(())
    }

    async fn pump(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = from.read(&mut buffer).await;
            self.mended().await?;
            match count? {
                0 => return to.shutdown().await,
                count => to.write_all(&buffer[..count]).await?,
            }
        }
    }

    async fn mended(&mut self) -> io::Result<()> {
        let pair = self.pair;
        self.links.wait_for(|links| links.join(pair)).await.map(drop).map_err(io::Error::other)
    }
}
