//! Pushes by inotify(7): one descriptor for all claims of a backend.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlock_core::ClaimId;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{News, Role, Watched};

/// Watches claim files.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// `None` when the system has no more inotify instances (128 per user is a common limit).
    inotify: Option<AsyncFd<OwnedFd>>,
    watches: Mutex<Watches>,
}

#[derive(Debug, Default)]
struct Watches {
    /// There is one watch per file and inotify instance, whoever asked for it.
    by_watch: HashMap<i32, Vec<(ClaimId, Role)>>,
    by_claim: HashMap<(ClaimId, Role), Vec<i32>>,
}

impl Watcher {
    /// To be called inside a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let inotify = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(descriptor) => Some(register(descriptor)?),
            Err(Errno::MFILE | Errno::NFILE | Errno::NOSYS) => {
                tracing::warn!("no inotify instance is left (fs.inotify.max_user_instances): waiters will poll");
                None
            }
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self { inotify, watches: Mutex::default() })
    }

    pub(crate) fn pushes(&self) -> bool {
        self.inotify.is_some()
    }

    /// Sends news about `claim` when the file at `path` changes.
    ///
    /// Who waits for a claim needs to know of its unlinking (`ATTRIB`, at once, the link count is an
    /// attribute), of its last description being closed (`CLOSE_WRITE`; looking at a claim opens it
    /// read-only and so does not wake anybody), and of being touched after a downgrade (`ATTRIB`).
    /// Its grant is a rename, and news only to the next permit in line; others are not woken by it.
    pub(crate) fn watch(&self, path: &Path, claim: ClaimId, role: Role) -> Watched {
        let Some(inotify) = &self.inotify else { return Watched::No };
        let events = match role {
            Role::Own => WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MODIFY,
            Role::Blocker if is_waiting_permit(path) => {
                WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::CLOSE_WRITE | WatchFlags::MOVE_SELF
            }
            Role::Blocker => WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::CLOSE_WRITE,
        };
        let flags = events | WatchFlags::MASK_ADD | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(inotify.get_ref(), path, flags) {
            Ok(watch) => {
                let mut watches = self.lock();
                let claims = watches.by_watch.entry(watch).or_default();
                if !claims.contains(&(claim, role)) {
                    claims.push((claim, role));
                    watches.by_claim.entry((claim, role)).or_default().push(watch);
                }
                Watched::Yes
            }
            Err(Errno::NOENT) => Watched::Gone,
            Err(errno) => {
                tracing::warn!(%errno, "a claim file cannot be watched (fs.inotify.max_user_watches?): polling it");
                Watched::No
            }
        }
    }

    /// Ends what [`Watcher::watch`] began.
    pub(crate) fn forget(&self, claim: ClaimId, role: Role) {
        let Some(inotify) = &self.inotify else { return };
        let mut watches = self.lock();
        for watch in watches.by_claim.remove(&(claim, role)).unwrap_or_default() {
            let Some(claims) = watches.by_watch.get_mut(&watch) else { continue };
            claims.retain(|known| *known != (claim, role));
            if claims.is_empty() {
                watches.by_watch.remove(&watch);
                // The kernel may have dropped it already, with the file.
                let _ = inotify::remove_watch(inotify.get_ref(), watch);
            }
        }
    }

    /// Waits for news. Cancel safe: it waits only while nothing has been read.
    pub(crate) async fn next(&self) -> News {
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = inotify.readable().await else { return std::future::pending().await };
            let news = self.read(inotify.get_ref());
            ready.clear_ready();
            if news.lost || !news.about.is_empty() {
                return news;
            }
        }
    }

    fn read(&self, inotify: &OwnedFd) -> News {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = Reader::new(inotify, &mut buffer);
        let mut watches = self.lock();
        let mut news = News::default();
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => news.lost = true,
                Ok(event) => {
                    let claims = watches.by_watch.get(&event.wd()).map(Vec::as_slice).unwrap_or_default();
                    news.about.extend(claims.iter().map(|(claim, _)| *claim));
                    if event.events().contains(ReadFlags::IGNORED) {
                        watches.drop_watch(event.wd());
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => {
                    tracing::warn!(%errno, "inotify cannot be read: looking at every claim instead");
                    news.lost = true;
                    break;
                }
            }
        }
        news.about.sort_unstable();
        news.about.dedup();
        news
    }

    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watches {
    fn drop_watch(&mut self, watch: i32) {
        for key in self.by_watch.remove(&watch).unwrap_or_default() {
            if let Some(list) = self.by_claim.get_mut(&key) {
                list.retain(|known| *known != watch);
                if list.is_empty() {
                    self.by_claim.remove(&key);
                }
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is an unsafe function, because the type could lie about its descriptor; an OwnedFd cannot"
)]
fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

fn is_waiting_permit(path: &Path) -> bool {
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let entry = file_name.split_once('~').and_then(|(_, rest)| crate::entry::Entry::parse(rest));
    entry.is_some_and(|entry| !entry.is_held() && matches!(entry.mode, dlock_core::Mode::Permit { .. }))
}
