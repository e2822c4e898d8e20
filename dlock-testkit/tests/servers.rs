//! The servers that tests start: they serve, keep their data, and never outlive the tests.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dlock_testkit::servers::{self, Etcd, Output, Process, Redis};

const BOUND: Duration = Duration::from_secs(30);
const SHARED: &str = "shared_servers_are_started_once";
/// Tells this very program, run as a child, that it is the one to be killed.
const VICTIM: &str = "DLOCK_TESTKIT_VICTIM";

#[tokio::test]
async fn redis_serves_and_forgets_at_a_kill() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::start().await;
    assert_eq!(command(redis.addr(), "SET key value").expect("redis answers"), "+OK");
    redis.restart().await;
    assert_eq!(command(redis.addr(), "GET key").expect("redis answers"), "$-1");
}

#[tokio::test]
async fn redis_with_an_append_only_file_keeps_its_data_over_a_kill() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::builder().append_only().start().await;
    let (addr, pid) = (redis.addr(), redis.pid());
    assert_eq!(command(addr, "SET key value").expect("redis answers"), "+OK");
    redis.kill();
    assert!(command(addr, "PING").is_err(), "a killed server answers nothing");
    redis.restart().await;
    assert_eq!(redis.addr(), addr);
    assert_ne!(redis.pid(), pid);
    assert_eq!(command(addr, "STRLEN key").expect("redis answers"), ":5");
}

#[tokio::test]
async fn redis_takes_a_password_and_arguments() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::builder().with_password("secret").with_args(["--maxclients", "77"]).start().await;
    assert!(redis.url().starts_with("redis://:secret@127.0.0.1:"), "{}", redis.url());
    assert!(command(redis.addr(), "PING").expect("redis answers").starts_with("-NOAUTH"));
    let config = commands(redis.addr(), "AUTH secret\r\nCONFIG GET maxclients").expect("redis answers");
    assert!(config.contains("77"), "{config:?}");
}

#[tokio::test]
async fn a_stopped_server_answers_when_it_is_resumed() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::start().await;
    let mut stream = connect(redis.addr()).expect("redis accepts");
    redis.stop();
    stream.write_all(b"PING\r\n").expect("the kernel takes what a stopped server does not read");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
    let mut answer = [0; 7];
    assert!(stream.read(&mut answer).is_err(), "a stopped server does not answer");
    redis.resume();
    stream.set_read_timeout(Some(BOUND)).expect("a timeout can be set");
    stream.read_exact(&mut answer).expect("a resumed server answers");
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
async fn etcd_keeps_its_data_over_a_kill() {
    let Ok(()) = Etcd::installed() else { return };
    let etcd = Etcd::start().await;
    let addr = etcd.addr();
    let put = http(addr, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#);
    assert!(put.contains(r#""revision":"2""#), "{put}");
    etcd.restart().await;
    let range = http(addr, "/v3/kv/range", r#"{"key":"a2V5"}"#);
    assert!(range.contains("dmFsdWU="), "{range}");
    etcd.kill();
    assert!(connect(addr).is_err(), "a killed server accepts nobody");
}

#[tokio::test]
async fn many_servers_start_at_once() {
    let Ok(()) = Redis::installed() else { return };
    let starting: Vec<_> = (0..8).map(|_| tokio::spawn(Redis::start())).collect();
    let mut ports = Vec::new();
    let mut running = Vec::new();
    for start in starting {
        let redis = start.await.expect("redis starts");
        ports.push(redis.addr().port());
        running.push(redis);
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), running.len());
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let Ok(()) = Redis::installed() else { return };
    let start = tokio::spawn(Redis::builder().with_args(["--no-such-setting", "1"]).start());
    let panic = start.await.expect_err("the setting is refused").into_panic();
    let message = panic.downcast_ref::<String>().expect("the panic has a message");
    assert!(message.contains("redis-server did not start") && message.contains("no-such-setting"), "{message}");
}

#[tokio::test]
async fn dropping_a_server_ends_it_and_removes_its_data() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::start().await;
    let (addr, dir) = (redis.addr(), redis.dir().to_owned());
    redis.stop();
    drop(redis);
    assert!(connect(addr).is_err());
    assert!(!dir.exists());
}

#[tokio::test]
async fn shared_servers_are_started_once() {
    let redis = servers::redis().await;
    let etcd = servers::etcd().await;
    let (Ok(redis), Ok(etcd)) = (redis, etcd) else { return };
    println!("shared {} and {}", redis.url(), etcd.url());
    assert_eq!(servers::redis().await.expect("it is there").url(), redis.url());
    assert_eq!(servers::etcd().await.expect("it is there").url(), etcd.url());
    let pong = command(resolve(redis.authority()), "PING").expect("redis answers");
    assert!(pong == "+PONG" || pong.starts_with("-NOAUTH"), "{pong}");
    assert!(http(resolve(etcd.authority()), "/v3/kv/range", r#"{"key":"a2V5"}"#).contains("cluster_id"));
}

#[test]
fn a_missing_server_is_a_loud_skip_unless_it_is_required() {
    let nothing_installed = tempfile::tempdir().expect("a directory can be made");
    let run = |test: &str, env: &[(&str, &str)]| {
        let mut command = Command::new(env::current_exe().expect("a test program knows its path"));
        command.args(["--exact", test]).env("PATH", nothing_installed.path());
        for variable in ["DLOCK_REQUIRE", "DLOCK_TEST_REDIS", "DLOCK_TEST_ETCD"] {
            command.env_remove(variable);
        }
        let output = command.envs(env.iter().copied()).output().expect("the test program starts again");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };

    let (passed, _, errors) = run(SHARED, &[]);
    assert!(passed);
    for skipped in [
        "SKIPPED redis: redis-server is not installed and DLOCK_TEST_REDIS is not set\n",
        "SKIPPED etcd: etcd is not installed and DLOCK_TEST_ETCD is not set\n",
    ] {
        assert!(errors.contains(skipped), "{errors}");
    }

    let (passed, output, errors) = run(SHARED, &[("DLOCK_REQUIRE", "etcd")]);
    assert!(!passed && output.contains("DLOCK_REQUIRE asks for etcd, but etcd is not installed"), "{output}");
    assert!(errors.contains("SKIPPED redis"), "{errors}");

    // Tests that run against a given server cannot stop it: required or not, they do not run.
    let given = [("DLOCK_REQUIRE", "redis"), ("DLOCK_TEST_REDIS", "redis://127.0.0.1:1")];
    let (passed, _, errors) = run("redis_serves_and_forgets_at_a_kill", &given);
    let skipped = "SKIPPED redis: redis-server is not installed, and this test needs a server of its own\n";
    assert!(passed && errors.contains(skipped), "{errors}");
}

#[tokio::test]
async fn a_given_server_is_used_as_it_is() {
    let (Ok(()), Ok(())) = (Redis::installed(), Etcd::installed()) else { return };
    let (redis, etcd) = (Redis::start().await, Etcd::start().await);
    let given = Command::new(env::current_exe().expect("a test program knows its path"))
        .args(["--exact", SHARED, "--nocapture"])
        .env("DLOCK_TEST_REDIS", redis.url())
        .env("DLOCK_TEST_ETCD", etcd.endpoint())
        .output()
        .expect("the test program starts again");
    let output = String::from_utf8_lossy(&given.stdout);
    assert!(given.status.success(), "{output}");
    assert!(output.contains(&format!("shared {} and {}\n", redis.url(), etcd.url())), "{output}");
}

#[test]
fn a_process_can_be_stopped_resumed_and_killed() {
    let script = "while echo tick; do sleep 0.02; done";
    let process = Process::spawn(Command::new("sh").args(["-c", script]), Output::Piped).expect("sh starts");
    let mut lines = BufReader::new(process.take_stdout().expect("its output is piped")).lines();
    lines.next().expect("it prints").expect("its output is text");
    process.stop();
    assert!(process.exit_status().is_none());
    process.resume();
    process.terminate();
    assert!(process.wait_within(BOUND).is_some_and(|status| !status.success()));
    process.kill();
}

#[test]
fn a_process_gets_its_environment_directory_and_status() {
    let mut command = Command::new("sh");
    command.args(["-c", "pwd; echo \"$WORD\"; cat; exit 3"]).env("WORD", "two  words").current_dir("/");
    let process = Process::spawn(&command, Output::Piped).expect("sh starts");
    let mut output = String::new();
    process.take_stdout().expect("its output is piped").read_to_string(&mut output).expect("its output is text");
    assert_eq!(output, "/\ntwo  words\n");
    assert_eq!(process.wait_within(BOUND).and_then(|status| status.code()), Some(3));
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_server() {
    if env::var_os(VICTIM).is_some() {
        start_servers_and_die();
    }
    let (Ok(()), Ok(())) = (Redis::installed(), Etcd::installed()) else { return };
    let mut victim = Command::new(env::current_exe().expect("a test program knows its path"));
    victim.args(["--exact", "a_killed_test_process_leaves_no_server", "--nocapture"]).env(VICTIM, "yes");
    let victim = Process::spawn(&victim, Output::Piped).expect("the test program starts again");
    let left_behind: Vec<(SocketAddr, String)> = BufReader::new(victim.take_stdout().expect("its output is piped"))
        .lines()
        .map(|line| line.expect("its output is text"))
        .filter_map(|line| {
            let (addr, dir) = line.split_once("started ")?.1.split_once(' ')?;
            Some((addr.parse().expect("the victim prints an address"), dir.to_owned()))
        })
        .collect();
    assert_eq!(left_behind.len(), 4);
    let status = victim.wait_within(BOUND).expect("the victim ends");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    let deadline = Instant::now() + BOUND;
    for (addr, dir) in left_behind {
        while connect(addr).is_ok() || Path::new(&dir).exists() {
            assert!(Instant::now() < deadline, "{addr} or {dir} is still there");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn start_servers_and_die() -> ! {
    let own = Redis::builder().start_blocking();
    // A thread that ends, as those of the test harness do, takes nothing along.
    let other = thread::spawn(|| Redis::builder().start_blocking()).join().expect("redis starts");
    let stopped = Redis::builder().append_only().start_blocking();
    let etcd = Etcd::builder().start_blocking();
    for node in [&own, &other, &stopped].map(std::ops::Deref::deref).into_iter().chain([&*etcd]) {
        connect(node.addr()).expect("it still serves");
        println!("started {} {}", node.addr(), node.dir().display());
    }
    stopped.stop();
    let myself = std::process::id().to_string();
    let _ = Command::new("sh").args(["-c", "kill -s KILL \"$1\"", "sh", &myself]).status();
    unreachable!("nobody survives SIGKILL");
}

fn resolve(authority: &str) -> SocketAddr {
    authority.to_socket_addrs().expect("a server has a known host").next().expect("a host has an address")
}

/// The first line of the answer to one command.
fn command(addr: SocketAddr, command: &str) -> io::Result<String> {
    Ok(commands(addr, command)?.lines().next().unwrap_or_default().to_owned())
}

fn commands(addr: SocketAddr, commands: &str) -> io::Result<String> {
    let mut stream = connect(addr)?;
    write!(stream, "{commands}\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn http(addr: SocketAddr, path: &str, body: &str) -> String {
    let mut stream = connect(addr).expect("etcd accepts");
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").expect("etcd reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("etcd answers");
    answer
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, BOUND)?;
    stream.set_read_timeout(Some(BOUND))?;
    Ok(stream)
}
