//! Where the programs of the servers are.

use std::env;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Overrides the directory that neighbours are unpacked in.
const DIRECTORY: &str = "DLOCK_SERVERS";

const JAVA: &str = "java";

/// A program that a test may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// One that is installed: its name on the `PATH`.
    Installed(&'static str),
    /// One that `scripts/setup` unpacks from a neighbouring release of the distribution, because
    /// that of this machine carries another version of it.
    Unpacked(Neighbour),
    /// One that is installed on some machines, and unpacked on others: the former goes first.
    Either(Neighbour),
    /// One that runs on Java: its library, which is installed by name.
    Jar(&'static str),
}

/// A package that is unpacked without being installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// The directory of the package's file tree, below that of all.
    pub(crate) name: &'static str,
    /// The program in `usr/bin` of that tree.
    pub(crate) program: &'static str,
}

impl Program {
    /// The file to start, if this machine has it.
    pub(crate) fn path(self) -> Option<PathBuf> {
        match self {
            Self::Installed(program) => on_path(program),
            Self::Unpacked(neighbour) => neighbour.path(),
            Self::Either(neighbour) => on_path(neighbour.program).or_else(|| neighbour.path()),
            Self::Jar(library) => on_path(JAVA).map(|_| PathBuf::from(library)).filter(|library| library.exists()),
        }
    }

    /// To start it with; of what runs on Java, only that. Where it is missing, that fails by its name.
    pub(crate) fn command(self) -> Command {
        match self {
            Self::Jar(_) => Command::new(JAVA),
            _ => self.path().map_or_else(|| Command::new(self.name()), Command::new),
        }
    }

    /// What is said where [`Program::path`] has nothing.
    pub(crate) fn missing(self) -> String {
        match self {
            Self::Installed(program) => format!("{program} is not installed"),
            Self::Jar(library) => format!("{JAVA} or {library} is not installed"),
            Self::Unpacked(neighbour) => format!("{} is not unpacked (scripts/setup does it)", neighbour.name),
            Self::Either(neighbour) => {
                format!("{} is neither installed nor unpacked (scripts/setup does it)", neighbour.program)
            }
        }
    }

    /// Its name in `DLOCK_REQUIRE`, where it has one of its own.
    pub(crate) fn requirement(self) -> Option<&'static str> {
        match self {
            Self::Installed(_) | Self::Jar(_) => None,
            Self::Unpacked(neighbour) | Self::Either(neighbour) => Some(neighbour.name),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Installed(program) | Self::Jar(program) => program,
            Self::Unpacked(neighbour) | Self::Either(neighbour) => neighbour.program,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Neighbour {
    /// The root of its file tree.
    pub(crate) fn tree(self) -> PathBuf {
        directory().join(self.name)
    }

    fn path(self) -> Option<PathBuf> {
        Some(self.tree().join("usr/bin").join(self.program)).filter(|path| is_executable(path))
    }
}

/// Where neighbours are unpacked, each below a directory of its own.
fn directory() -> PathBuf {
    let given = |variable| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    given(DIRECTORY).unwrap_or_else(|| {
        let cache = given("XDG_CACHE_HOME").or_else(|| Some(given("HOME")?.join(".cache")));
        cache.unwrap_or_else(env::temp_dir).join("dlock-servers")
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|dir| dir.join(program)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_programs_are_found_on_the_path() {
        let shell = Program::Installed("sh").path().expect("a shell is everywhere");
        assert!(shell.is_absolute() && is_executable(&shell), "{shell:?}");
        assert_eq!(Program::Installed("dlock-no-such-program").path(), None);
    }

    #[test]
    fn what_is_installed_goes_before_what_is_unpacked() {
        let shell = Neighbour { name: "no-such-neighbour", program: "sh" };
        assert_eq!(Program::Unpacked(shell).path(), None);
        assert_eq!(Program::Either(shell).path(), Program::Installed("sh").path());
    }
}
