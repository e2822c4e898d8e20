//! Redis servers of the test's own.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dlock_testkit::servers::{Redis, RedisProgram};

use crate::BOUND;
use crate::talk::{command, commands, connect};

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
async fn redis_listens_on_a_socket_and_nowhere_else() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::builder().on_unix_socket().with_user("locks", "pw", ["~*", "+set"]).start().await;
    assert!(command(redis.addr(), "PING").is_err());
    let url = redis.url();
    let path = url.strip_prefix("redis+unix://locks:pw@").expect("it is the url of a socket");
    let mut stream = UnixStream::connect(path).expect("the socket is there");
    write!(stream, "AUTH locks pw\r\nSET key value\r\nGET key\r\nQUIT\r\n").expect("redis reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("redis answers");
    assert!(answer.starts_with("+OK\r\n+OK\r\n-NOPERM"), "{answer:?}");
    redis.restart().await;
    assert!(UnixStream::connect(path).is_ok());
}

#[tokio::test]
async fn redis_keeps_users_besides_its_own() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::builder().with_password("secret").with_user("locks", "pw", ["~*", "+get"]).start().await;
    assert_eq!(redis.url(), format!("redis://locks:pw@{}", redis.addr()));
    assert_eq!(redis.operator_url(), format!("redis://:secret@{}", redis.addr()));
    for (login, answer) in [("locks pw", "-NOPERM"), ("secret", "+OK")] {
        let said = commands(redis.addr(), &format!("AUTH {login}\r\nSET key value")).expect("redis answers");
        assert!(said.lines().nth(1).is_some_and(|line| line.starts_with(answer)), "{said:?}");
    }
}

#[tokio::test]
async fn valkey_is_a_redis_of_its_own() {
    let Ok(()) = RedisProgram::Valkey.installed() else { return };
    let valkey = Redis::builder().with_program(RedisProgram::Valkey).append_only().start().await;
    let info = commands(valkey.addr(), "SET key value\r\nINFO server").expect("valkey answers");
    assert!(info.contains("\r\nvalkey_version:"), "{info}");
    valkey.restart().await;
    assert_eq!(command(valkey.addr(), "STRLEN key").expect("valkey answers"), ":5");
}

#[tokio::test]
async fn redis_refuses_what_does_not_fit_into_its_memory() {
    let Ok(()) = Redis::installed() else { return };
    let redis = Redis::builder().with_max_memory(1).start().await;
    assert!(command(redis.addr(), "SET key value").expect("redis answers").starts_with("-OOM"));
}

#[tokio::test]
async fn the_clock_of_redis_can_be_stepped() {
    let (Ok(()), Ok(())) = (Redis::installed(), Redis::can_step_clocks()) else { return };
    let redis = Redis::builder().with_steppable_clock().start().await;
    let addr = redis.addr();
    let seconds = || {
        let time = commands(addr, "TIME").expect("redis answers");
        time.lines().nth(2).and_then(|seconds| seconds.parse::<u64>().ok()).expect("TIME begins with seconds")
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    assert_eq!(command(addr, "SET key value PX 60000").expect("redis answers"), "+OK");
    assert!(seconds().abs_diff(now()) < 60);

    redis.step_clock_ahead(Duration::from_secs(120));
    assert!(seconds() >= now() + 110, "TIME moved");
    assert_eq!(command(addr, "EXISTS key").expect("redis answers"), ":0", "its time has come");

    redis.step_clock_back(Duration::from_secs(3600));
    assert!(seconds() <= now() - 3400, "steps add up");
    redis.restart().await;
    assert!(seconds() <= now() - 3400, "the clock is that of the machine, whoever is restarted");
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
