//! Histories in files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use dlock_testkit::history::{Event, FaultInfo, History, ReadError, Recorder, Register, What};
use tempfile::TempDir;

use crate::script::{MS, Script, fault, fault_of_worker, token};

#[test]
fn what_a_recorder_writes_is_read_back_in_order_of_time() {
    let dir = TempDir::new().unwrap();
    let [lab, worker] = ["lab", "w1"].map(|process| Recorder::open(dir.path(), process).unwrap());
    let times = [
        worker.record(What::Invoke { op: 1, owner: "w1/0".to_owned(), name: "a".to_owned() }),
        lab.record(What::Healed),
        worker.record(What::Ok { op: 1, token: Some(token(3)), until: Some(u64::MAX) }),
    ];
    let history = History::read(dir.path()).unwrap();
    let read: Vec<_> = history.events.iter().map(|event| (event.at, event.process.as_str())).collect();
    assert_eq!(read, [(times[0], "w1"), (times[1], "lab"), (times[2], "w1")]);
    assert_eq!(history.ops[0].hold().unwrap().token, Some(token(3)));
}

#[test]
fn every_kind_of_event_survives_its_file() {
    let dir = TempDir::new().unwrap();
    let (name, owner) = (|| "a".to_owned(), || "w1/0".to_owned());
    let breaking = FaultInfo { breaks_exclusion_for: Some(1), name: Some(name()), ..fault(0, "delete entries") };
    let (register, why) = (Register::Unfenced, || "no answer".to_owned());
    let events = Script::complete()
        .event(600, "lab", What::About { store: "etcd".to_owned(), seed: u64::MAX, command: "chaos".to_owned() })
        .fault((5, 9), breaking)
        .fault((6, 8), fault_of_worker(1, "stop client", "w1"))
        .event(11, "resource", What::Read { register, name: name(), owner: owner(), token: None, value: None })
        .event(
            12,
            "resource",
            What::Write { register, name: name(), owner: owner(), token: None, value: 1, accepted: false },
        )
        .invoke(13, "w2", 1, "a")
        .event(14, "w2", What::Fail { op: 1, why: why() })
        .invoke(15, "w2", 2, "a")
        .event(16, "w2", What::Unknown { op: 2, why: why() })
        .event(22, "w1", What::Released { op: 1, error: Some(why()) })
        .hold("w1", 1, "a", (10, 20), 1)
        .invoke(30, "w1", 2, "a")
        .granted(31, "w1", 2, token(2), Some(60))
        .event(40, "w1", What::Renewed { op: 2, until: 90 * MS })
        .lost(95, "w1", 2, 90)
        .event(97, "resource", What::EpochAccepted { name: "a".to_owned(), epoch: 9 })
        .gone(99, "w1")
        .events();
    write(dir.path(), &events);
    assert_eq!(History::read(dir.path()).unwrap().events, events);
}

#[test]
fn a_line_that_is_cut_off_is_forgiven_only_to_the_dead() {
    let script = Script::complete().hold("w1", 1, "a", (10, 20), 1);
    let cut = |script: Script| {
        let dir = TempDir::new().unwrap();
        write(dir.path(), &script.events());
        append(dir.path(), "w1", r#"{"at":99,"process":"w"#);
        History::read(dir.path())
    };
    assert!(matches!(cut(script.clone()), Err(ReadError::CutOff { path }) if path.ends_with("w1.jsonl")));
    let history = cut(script.gone(30, "w1")).unwrap();
    assert_eq!(history.cut_off, ["w1"]);
    assert_eq!(history.ops.len(), 2);
}

#[test]
fn what_is_no_history_is_refused_with_the_place() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(History::read(dir.path()), Err(ReadError::Empty { .. })));
    assert!(matches!(History::read(&dir.path().join("none")), Err(ReadError::Io { .. })));
    write(dir.path(), &Script::complete().gone(7, "w0").events());
    append(dir.path(), "w0", "{\"at\":5}\n");
    let error = History::read(dir.path()).unwrap_err();
    assert!(matches!(&error, ReadError::Line { line: 5, path, .. } if path.ends_with("w0.jsonl")), "{error}");
}

#[test]
fn a_file_whose_times_run_backwards_is_refused() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &Script::complete().events());
    append(dir.path(), "lab", "{\"at\":1,\"process\":\"lab\",\"event\":\"healed\"}\n");
    assert!(matches!(History::read(dir.path()), Err(ReadError::Disorder { line: 3, .. })));
}

#[test]
fn a_fault_may_be_written_down_after_it_began() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), &Script::complete().events());
    let begun = r#"{"at":5,"process":"lab","event":"fault_begun","fault":0,"kind":"kill client","target":"w0"}"#;
    append(dir.path(), "lab", &format!("{begun}\n"));
    let history = History::read(dir.path()).unwrap();
    assert_eq!((history.faults[0].begun, history.faults[0].ended), (5, None));
}

#[test]
fn events_that_contradict_each_other_are_refused() {
    let held = Script::default().invoke(1, "w1", 1, "a").granted(2, "w1", 1, token(1), None);
    for (script, complaint) in [
        (held.clone().invoke(3, "w1", 1, "a"), "invoked twice"),
        (held.clone().granted(3, "w1", 1, token(1), None), "answered twice"),
        (held.clone().event(3, "w2", What::Release { op: 1, until: None }), "was not invoked"),
        (held.clone().gone(3, "w1").lost(4, "w1", 1, 3), "after it was gone"),
        (Script::default().invoke(1, "w1", 1, "a").lost(2, "w1", 1, 1), "was not granted"),
        (held.clone().event(3, "lab", What::FaultEnded { fault: 1 }), "was not under way"),
    ] {
        let error = script.history().unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
    let namesake = held.invoke(3, "w1.1", 1, "a").history().unwrap();
    assert_eq!(namesake.ops.len(), 2, "the next life counts its operations anew");
}

pub(crate) fn write(dir: &Path, events: &[Event]) {
    let mut files = BTreeMap::<&str, Vec<u8>>::new();
    for event in events {
        let file = files.entry(&event.process).or_default();
        serde_json::to_writer(&mut *file, event).expect("an event has only strings and numbers");
        file.push(b'\n');
    }
    for (process, text) in files {
        fs::write(dir.join(format!("{process}.jsonl")), text).expect("a temporary directory takes files");
    }
}

fn append(dir: &Path, process: &str, text: &str) {
    let path = dir.join(format!("{process}.jsonl"));
    let mut file = File::options().append(true).open(path).expect("the process has written before");
    file.write_all(text.as_bytes()).expect("a temporary directory takes files");
}
