//! docs/guarantees.md names cases that exist, and says of backends what they declare of themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use dlock_core::memory::Memory;
use dlock_core::{BackendInfo, Capability, Connect, Locks, TokenGuarantee};
use dlock_file::FileConfig;
use dlock_testkit::cases;

const DOCUMENT: &str = include_str!("../../docs/guarantees.md");

#[test]
fn every_case_that_is_named_exists() {
    let cases: BTreeSet<String> = cases::all().iter().map(dlock_testkit::Case::name).collect();
    let named: Vec<&str> = quoted().filter(|word| word.contains("::") && *word != "group::case").collect();
    assert!(named.len() > 50, "only {} cases are named", named.len());
    let missing: Vec<&str> = named.into_iter().filter(|name| !cases.contains(*name)).collect();
    assert!(missing.is_empty(), "these cases do not exist: {missing:#?}");
}

#[test]
fn every_guarantee_names_a_case() {
    let promises = [
        "Exclusion",
        "Fencing",
        "When a holder dies, or is cut off",
        "Acquiring and releasing",
        "Cancelling and closing",
        "Reentrancy",
        "Readers and writers",
        "Semaphores",
        "Names and stored data",
        "Looking and breaking",
    ];
    for heading in promises {
        let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).expect("the section is there");
        let section = section.split("\n## ").next().unwrap_or_default();
        let bullets: Vec<&str> = section.split("\n- ").skip(1).collect();
        assert!(!bullets.is_empty(), "{heading}");
        for bullet in bullets {
            assert!(bullet.contains("::"), "no case proves this: {bullet}");
        }
    }
}

#[tokio::test]
async fn the_tables_say_what_the_memory_backend_declares() {
    check(&declared(Memory::new()).await);
}

#[tokio::test]
async fn the_tables_say_what_the_file_backend_declares() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    check(&declared(FileConfig::new(dir.path())).await);
}

async fn declared(backend: impl Connect) -> BackendInfo {
    let locks = Locks::connect(backend).await.expect("it needs no server");
    let info = locks.info().clone();
    locks.close().await.expect("a client can be closed");
    info
}

fn check(info: &BackendInfo) {
    let [bounds, _, offers] = tables(info.scheme)[..] else { panic!("{} has a row in three tables", info.scheme) };
    let grace = in_words(info.grace);
    let ends_with_its_process = info.capabilities.has(Capability::ProcessLife);
    let free_after = if ends_with_its_process { grace } else { format!("ttl + {grace}") };
    let tokens = match info.tokens {
        TokenGuarantee::Consensus => "`Consensus`",
        TokenGuarantee::BestEffort => "`BestEffort`",
    };
    let (shortest, longest) = (in_words(info.ttl.min), in_words(info.ttl.max));
    assert_eq!(cells(bounds), [&*shortest, &*longest, &*free_after, tokens], "{}", info.scheme);

    let offers = cells(offers);
    let documented: BTreeSet<&str> = offers[0].split("; ").filter(|what| *what != "nothing").collect();
    // Whether the file backend pushes depends on the system that it runs on.
    let depends = |one: &Capability| info.scheme == "file" && matches!(one, Capability::Push | Capability::PushLoss);
    let lacks = Capability::ALL.into_iter().filter(|one| !info.capabilities.has(*one) && !depends(one));
    let lacks: Vec<String> = lacks.map(|one| one.to_string()).collect();
    assert_eq!(documented, lacks.iter().map(String::as_str).collect(), "{}", info.scheme);
}

/// The backend's row of each table.
fn tables(backend: &str) -> Vec<&'static str> {
    let start = format!("| `{backend}` |");
    DOCUMENT.lines().filter(|line| line.starts_with(&start)).collect()
}

/// A row's cells, less the first, which names the backend.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').skip(1).map(str::trim).collect()
}

/// What stands between backticks.
fn quoted() -> impl Iterator<Item = &'static str> {
    DOCUMENT.split('`').skip(1).step_by(2)
}

fn in_words(span: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    match (span.as_secs(), span.subsec_millis()) {
        (0, ms) => format!("{ms} ms"),
        (s, _) if s % DAY == 0 => format!("{} days", s / DAY),
        (s, _) => format!("{s} s"),
    }
}
