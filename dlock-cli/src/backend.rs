//! Which backend is used.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use dlock::{Builder, Capability, Locks};

use crate::args::BackendArgs;
use crate::exit::{Exit, Failure};

/// Where the locks are kept.
pub(crate) fn url(args: &BackendArgs) -> Result<String, Failure> {
    Ok(match &args.backend {
        Some(url) => url.clone(),
        None => format!("file://{}", own_directory()?.display()),
    })
}

/// The client to be, of the backend that was asked for.
pub(crate) fn builder(args: &BackendArgs) -> Result<Builder, Failure> {
    // An empty variable is refused, like any other bad URL: whoever set it meant a lock that others
    // share, and must not be given one that they do not.
    Ok(dlock::builder(&url(args)?)?)
}

/// Connects, to a backend whose locks mean something to other processes.
pub(crate) async fn connect(builder: Builder) -> Result<Locks, Failure> {
    let locks = builder.connect().await?;
    let info = locks.info();
    if !info.capabilities.has(Capability::CrossProcess) {
        let message =
            format!("locks of the {} backend end with the process: choose one that others can share", info.scheme);
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(locks)
}

/// This user's directory, which exists and belongs to nobody else.
fn own_directory() -> Result<PathBuf, Failure> {
    let user = rustix::process::geteuid().as_raw();
    let dir = place(user, |dir| fs::metadata(dir).ok().map(|meta| meta.mode()));
    claim(&dir, user).map_err(|problem| {
        let message = format!("{} cannot keep locks: {problem}; name another place with --backend", dir.display());
        Failure::new(Exit::Service, message)
    })?;
    Ok(dir)
}

/// Where a user's locks are. It depends on nothing but the user and the machine: a session's
/// `XDG_RUNTIME_DIR` is not known to cron, and goes with the last logout.
fn place(user: u32, mode: impl Fn(&Path) -> Option<u32>) -> PathBuf {
    const SHARED_BY_ALL: u32 = 0o1002;
    if user == 0 && mode(Path::new("/run")).is_some() {
        return PathBuf::from("/run/dlock");
    }
    let shared = Path::new("/run/lock");
    let parent =
        if mode(shared).is_some_and(|mode| mode & SHARED_BY_ALL == SHARED_BY_ALL) { shared } else { Path::new("/tmp") };
    parent.join(format!("dlock-{user}"))
}

/// Makes the directory, or makes sure that nobody else has made it or may write to it.
fn claim(dir: &Path, user: u32) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.to_string()),
    }
    let meta = fs::symlink_metadata(dir).map_err(|error| error.to_string())?;
    if !meta.is_dir() {
        Err("it is not a directory".into())
    } else if meta.uid() != user {
        Err(format!("it belongs to user {}, not to user {user}", meta.uid()))
    } else if meta.mode() & 0o022 != 0 {
        Err(format!("others may write to it (mode {:o})", meta.mode() & 0o7777))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn every_user_has_one_place() {
        let debian = |_: &Path| Some(0o41777);
        let fedora = |_: &Path| Some(0o40755);
        let neither = |_: &Path| None;
        assert_eq!(place(0, debian), Path::new("/run/dlock"));
        assert_eq!(place(0, neither), Path::new("/tmp/dlock-0"));
        assert_eq!(place(1000, debian), Path::new("/run/lock/dlock-1000"));
        assert_eq!(place(1000, fedora), Path::new("/tmp/dlock-1000"));
        assert_eq!(place(1000, neither), Path::new("/tmp/dlock-1000"));
    }

    #[test]
    fn a_place_is_ones_own_or_refused() {
        let user = rustix::process::geteuid().as_raw();
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("dlock");
        claim(&dir, user).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        claim(&dir, user).unwrap();

        assert!(claim(&dir, user + 1).unwrap_err().contains("it belongs to user"));
        fs::set_permissions(&dir, Permissions::from_mode(0o770)).unwrap();
        assert!(claim(&dir, user).unwrap_err().contains("others may write to it (mode 770)"));
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();

        let link = parent.path().join("link");
        symlink(&dir, &link).unwrap();
        assert!(claim(&link, user).unwrap_err().contains("not a directory"));
        assert!(claim(&parent.path().join("no/where"), user).unwrap_err().contains("No such file"));
    }
}
