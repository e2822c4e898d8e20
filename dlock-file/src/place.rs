//! The directory: made, and refused where its locks could not be trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dlock_core::{Error, ErrorKind, Namespace, Result};

use crate::error::classify;
use crate::names::encode;

/// Makes the directory of a namespace, and answers its absolute path.
pub(crate) fn prepare(dir: &Path, namespace: &Namespace) -> Result<PathBuf> {
    if dir.as_os_str().is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "the lock directory's path is empty: name a directory"));
    }
    let what = || format!("cannot use the lock directory {}", dir.display());
    make(dir).map_err(|error| classify(what(), error))?;
    let dir = fs::canonicalize(dir).map_err(|error| classify(what(), error))?;
    check_file_system(&dir)?;
    let own = dir.join(encode(namespace.as_str()));
    make(&own).map_err(|error| classify(what(), error))?;
    Ok(own)
}

fn make(dir: &Path) -> io::Result<()> {
    // A directory that exists on a read-only file system is not made again: what is wrong with it
    // shows when it is written to.
    if dir.is_dir() { Ok(()) } else { fs::create_dir_all(dir) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn check_file_system(dir: &Path) -> Result<()> {
    let found = rustix::fs::statfs(dir)
        .map_err(|errno| classify(format_args!("cannot use the lock directory {}", dir.display()), errno.into()))?;
    match untrusted(u32::try_from(found.f_type as i64 & 0xffff_ffff).expect("masked to 32 bits")) {
        None => Ok(()),
        Some(kind) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "the lock directory {} is on {kind}, where file locks between processes cannot be relied on: \
                 choose a directory on a local file system",
                dir.display()
            ),
        )),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn check_file_system(_: &Path) -> Result<()> {
    Ok(())
}

/// File systems of several machines, by the magic numbers of statfs(2) and linux/magic.h. Their
/// locks may be local, emulated or lost with a lease, and inotify does not see what others do.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn untrusted(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "a network file system (NFS)",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "a network file system (SMB)",
        0x0102_1997 => "a shared file system (9p)",
        0x6573_5546 => "a FUSE file system",
        0x00c3_6400 => "a network file system (Ceph)",
        0x5346_414f | 0x6b41_4653 => "a network file system (AFS)",
        0x7375_7245 => "a network file system (Coda)",
        0x0bd0_0bd0 => "a network file system (Lustre)",
        0x7461_636f => "a cluster file system (OCFS2)",
        0x0116_1970 => "a cluster file system (GFS2)",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn file_systems_of_several_machines_are_refused() {
        for (magic, kind) in [(0x6969, "NFS"), (0xff53_4d42, "SMB"), (0x0102_1997, "9p"), (0x6573_5546, "FUSE")] {
            assert!(untrusted(magic).unwrap().contains(kind));
        }
        for (magic, local) in [(0xef53, "ext4"), (0x0102_1994, "tmpfs"), (0x9123_683e, "btrfs"), (0x5846_5342, "xfs")] {
            assert_eq!(untrusted(magic), None, "{local}");
        }
    }
}
