use crate::site::Site;

#[cfg(not(feature = "conformance"))]
#[test]
fn without_the_suite_it_says_how_to_get_it() {
    let site = Site::new();
    let ended = site.ended(site.dlock(&["conformance"]));
    assert_eq!((ended.code, &*ended.stdout), (Some(64), ""), "{ended:?}");
    assert!(ended.stderr.contains("build dlock with the cargo feature \"conformance\""), "{ended:?}");
}

#[cfg(feature = "conformance")]
mod suite {
    use std::fs;

    use dlock_testkit::{Case, cases};
    use quick_junit::{Report, TestCase, TestCaseStatus};
    use rustix::process::Signal;

    use super::Site;
    use crate::site::{Ended, eventually};

    /// A group with fast cases, one of which runs a client in another process.
    const BASIC: &str = "basic::";

    fn report(site: &Site) -> Report {
        Report::deserialize_from_str(&site.read("report.xml")).unwrap()
    }

    fn test_cases(report: &Report) -> &[TestCase] {
        assert_eq!(report.test_suites.len(), 1);
        &report.test_suites[0].test_cases
    }

    fn property(report: &Report, name: &str) -> Option<String> {
        let mut properties = report.test_suites[0].properties.iter();
        properties.find(|property| property.name.as_str() == name).map(|property| property.value.as_str().to_owned())
    }

    #[track_caller]
    fn assert_all_passed(ended: &Ended) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let count = cases::all().iter().filter(|case| case.name().contains(BASIC)).count();
        assert!(ended.stdout.ends_with(&format!("\n\n{count} passed, 0 failed, 0 not offered\n")), "{ended:?}");
        assert_eq!(ended.stdout.matches(" ... ok").count(), count, "{ended:?}");
    }

    #[test]
    fn the_list_has_all_names_and_needs_no_service() {
        let site = Site::new();
        let all: Vec<String> = cases::all().iter().map(Case::name).collect();
        let list = |args: &[&str]| {
            let ended = site.ended(site.dlock(&[&["conformance", "--list"], args].concat()));
            assert_eq!(ended.code, Some(0), "{ended:?}");
            ended.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(list(&[]), all);
        let two = ["expiry::", "shared::"];
        let some: Vec<_> = all.iter().filter(|name| two.iter().any(|group| name.starts_with(group))).cloned().collect();
        assert_eq!(list(&two), some);
        assert_eq!(list(&["--exact", &all[3]]), all[3..4]);
        assert!(!site.path("locks").exists());
    }

    #[test]
    fn on_files_cases_pass_or_are_not_offered_and_are_reported_so() {
        let site = Site::new();
        let ended = site.ended(site.dlock(&["conformance", "--junit", "report.xml", "identity::", BASIC]));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let url = site.backend();
        assert!(ended.stdout.starts_with(&format!("file at {url}, ")) && !ended.stdout.contains('\x1b'), "{ended:?}");
        assert!(ended.stdout.contains(" ... not offered: claims that end with a ttl\n"), "{ended:?}");

        let report = report(&site);
        assert_eq!(property(&report, "url"), Some(url));
        assert_eq!(property(&report, "dlock").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        let (mut passed, mut skipped) = (0, 0);
        for case in test_cases(&report) {
            let group = case.classname.as_ref().unwrap().as_str().strip_prefix("file.").unwrap();
            let line = format!("{group}::{} ... ", case.name.as_str());
            assert_eq!(ended.stdout.matches(&line).count(), 1, "{line}: {ended:?}");
            match &case.status {
                TestCaseStatus::Success { .. } => passed += 1,
                TestCaseStatus::Skipped { message, .. } => {
                    assert!(message.as_ref().unwrap().as_str().starts_with("not offered: "));
                    skipped += 1;
                }
                TestCaseStatus::NonSuccess { .. } => panic!("{case:?}"),
            }
        }
        assert!(passed > 10 && skipped > 0);
        let summary = format!("\n{passed} passed, 0 failed, {skipped} not offered\n");
        assert!(ended.stdout.ends_with(&summary), "{summary}: {ended:?}");
        assert_eq!(fs::read_dir(site.path("locks")).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn what_cannot_be_run_is_64_and_says_why() {
        let site = Site::new();
        for (args, why) in [
            (&["--backend", "ftp://u:secret@h"][..], "unknown scheme \"ftp\" in the backend url: use memory:NAME or "),
            (&["--backend", "memory:?ttl=5s"], "leave out the url's ? and what follows"),
            (&["no such case"], "no case is named \"no such case\""),
            (&["--exact", BASIC], "no case is named"),
            (&["--exact"], "<FILTER>"),
            (&["--jobs", "0"], "--jobs"),
            (&["--list", "--junit", "report.xml"], "cannot be used with"),
            (&["--junit", "no/where/report.xml"], "cannot write no/where/report.xml: "),
            (&["--namespace-prefix", "a/b"], "the prefix \"a/b\""),
        ] {
            let ended = site.ended(site.dlock(&[&["conformance"], args].concat()));
            assert_eq!((ended.code, &*ended.stdout), (Some(64), ""), "{args:?}: {ended:?}");
            assert!(ended.stderr.contains(why) && !ended.stderr.contains("secret"), "{args:?}: {ended:?}");
        }
    }

    #[test]
    fn the_namespaces_can_be_chosen() {
        let site = Site::new();
        let command = site.dlock(&["conformance", "--namespace-prefix", "team-a.", "basic::a_wait_outlasts"]);
        let running = site.start(command);
        let begins = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("team-a.");
        eventually("a namespace is made", || {
            let entries = fs::read_dir(site.path("locks")).into_iter().flatten();
            entries.flatten().any(begins)
        });
        assert_eq!(running.ended().code, Some(0));
        assert_eq!(fs::read_dir(site.path("locks")).unwrap().count(), 0, "nothing is left");
    }

    #[cfg(any(feature = "redis", feature = "etcd"))]
    mod on_a_service {
        use std::io::{Read, Write};
        use std::net::{TcpListener, TcpStream};

        use dlock_testkit::servers;

        use super::*;

        /// The whole answer of a server that closes the connection after it.
        fn ask(server: std::net::SocketAddr, request: &str) -> String {
            let mut stream = TcpStream::connect(server).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }

        #[test]
        fn a_service_that_does_not_answer_is_69_and_named() {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let site = Site::new();
            let schemes = [cfg!(feature = "redis").then_some("redis"), cfg!(feature = "etcd").then_some("etcd")];
            for scheme in schemes.into_iter().flatten() {
                let url = format!("{scheme}://u:secret@{free}");
                let ended = site.ended(site.dlock(&["conformance", "--backend", &url]));
                assert_eq!((ended.code, &*ended.stdout), (Some(69), ""), "{ended:?}");
                assert!(ended.stderr.contains(&free.to_string()) && !ended.stderr.contains("secret"), "{ended:?}");
            }
        }

        #[cfg(feature = "etcd")]
        #[tokio::test]
        async fn etcd_is_proved_and_left_as_it_was() {
            if servers::Etcd::installed().is_err() {
                return;
            }
            let server = servers::Etcd::start().await;
            let site = Site::new();
            let url = server.url();
            let ended = site.ended(site.dlock(&["conformance", "--backend", &url, "--junit", "report.xml", BASIC]));
            assert_all_passed(&ended);
            let version = property(&report(&site), "service").unwrap();
            assert!(version.starts_with("etcd 3."), "{version}");
            assert!(ended.stdout.starts_with(&format!("{version} at {url}, ")), "{ended:?}");

            // All keys, from the first to the last (etcd's api guide, range).
            let body = r#"{"key":"AA==","range_end":"AA==","count_only":true}"#;
            let length = body.len();
            let request = format!("POST /v3/kv/range HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
            let answer = ask(server.addr(), &request);
            assert!(answer.contains("\"revision\"") && !answer.contains("\"count\""), "{answer}");
        }

        #[cfg(feature = "redis")]
        mod redis {
            use super::*;

            fn key_count(server: &servers::Redis, login: &str) -> String {
                let answer = ask(server.addr(), &format!("{login}DBSIZE\r\nQUIT\r\n"));
                answer.lines().find(|line| line.starts_with(':')).unwrap_or_default().to_owned()
            }

            #[tokio::test]
            async fn it_is_proved_and_left_as_it_was_and_its_password_kept() {
                if servers::Redis::installed().is_err() {
                    return;
                }
                let server = servers::Redis::builder().with_password("open-sesame").start().await;
                let site = Site::new();
                let mut command = site.dlock(&["conformance", "--junit", "report.xml", BASIC]);
                command.env("DLOCK_BACKEND", server.url());
                let ended = site.ended(command);
                assert_all_passed(&ended);
                assert!(ended.stdout.starts_with("redis ") && !ended.stdout.contains("open-sesame"), "{ended:?}");
                assert!(property(&report(&site), "service").unwrap().starts_with("redis "));
                assert!(!site.read("report.xml").contains("open-sesame"));
                assert_eq!(key_count(&server, "AUTH open-sesame\r\n"), ":0");
            }

            #[tokio::test]
            async fn a_server_that_does_not_do_its_part_fails_and_is_told_of_once() {
                if servers::Redis::installed().is_err() {
                    return;
                }
                // It can be connected to, but no lock can be taken.
                let server = servers::Redis::builder().with_max_memory(1).start().await;
                let site = Site::new();
                let case = "basic::distinct_names_never_contend";
                let url = server.url();
                let args = ["conformance", "--backend", &url, "--junit", "report.xml", case, "reentrancy::"];
                let ended = site.ended(site.dlock(&args));
                assert_eq!(ended.code, Some(1), "{ended:?}");
                assert_eq!(ended.stderr, "", "{ended:?}");
                let (lines, reasons) = ended.stdout.split_once("\n\n").unwrap();
                assert!(lines.contains(&format!("{case} ... FAILED")), "{ended:?}");
                assert!(!lines.contains("maxmemory"), "{ended:?}");
                let reason = reasons.split("\n\n").find(|reason| reason.contains(case)).unwrap();
                assert!(reason.contains("\n  to prove: distinct names never contend\n"), "{reason}");
                assert!(reason.contains("maxmemory") && reason.contains("src/cases/basic.rs:"), "{reason}");
                assert!(reason.ends_with(&format!("\n  once more: dlock conformance --exact {case}")), "{reason}");
                assert!(ended.stdout.contains("\n0 passed, "), "{ended:?}");

                let report = report(&site);
                let failed = test_cases(&report).iter().find(|case| case.name.as_str().starts_with("distinct"));
                let TestCaseStatus::NonSuccess { message, description, .. } = &failed.unwrap().status else {
                    panic!("{failed:?}")
                };
                assert!(message.as_ref().unwrap().as_str().contains("maxmemory"), "{message:?}");
                assert!(description.as_ref().unwrap().as_str().contains("distinct names never contend"));
            }

            #[tokio::test]
            async fn a_server_that_goes_away_fails_what_is_left() {
                if servers::Redis::installed().is_err() {
                    return;
                }
                let server = servers::Redis::start().await;
                let site = Site::new();
                let url = server.url();
                let args = ["conformance", "--backend", &url, "--jobs", "1", "basic::a_wait_outlasts", "semaphore::"];
                let running = site.start(site.dlock(&args));
                eventually("the run has begun", || running.stdout().starts_with("redis "));
                server.kill();
                let ended = running.ended();
                assert_eq!(ended.code, Some(1), "{ended:?}");
                assert!(ended.stdout.contains("  the service cannot be reached: "), "{ended:?}");
                assert!(ended.stderr.starts_with("dlock: something is left on the service: "), "{ended:?}");
            }

            #[tokio::test]
            async fn ctrl_c_ends_the_run_and_leaves_nothing() {
                if servers::Redis::installed().is_err() {
                    return;
                }
                let server = servers::Redis::start().await;
                let site = Site::new();
                let url = server.url();
                let running = site.start(site.dlock(&["conformance", "--backend", &url, "--junit", "report.xml"]));
                eventually("a case has ended", || running.stdout().contains("[ 10/"));
                running.signal(Signal::INT);
                let ended = running.ended();
                assert_eq!(ended.code, Some(130), "{ended:?}");
                assert!(ended.stdout.contains(" ... not run") && ended.stdout.contains(" 0 failed, "), "{ended:?}");
                assert_eq!(test_cases(&report(&site)).len(), cases::all().len());
                assert_eq!(key_count(&server, ""), ":0");
            }
        }
    }
}
