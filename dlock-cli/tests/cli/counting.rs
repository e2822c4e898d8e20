use std::thread;

use crate::site::Site;

/// How often each of eight processes increments; more with `DLOCK_TEST_INCREMENTS=200`.
fn increments() -> u32 {
    std::env::var("DLOCK_TEST_INCREMENTS").map_or(25, |number| number.parse().expect("a number"))
}

#[test]
fn eight_processes_that_increment_a_file_lose_nothing() {
    let site = Site::new();
    std::fs::write(site.path("counter"), "0\n").unwrap();
    // Not atomic by any means: read, let others run, truncate, write.
    let increment = "n=$(cat counter); sleep 0.001; echo $((n + 1)) >counter";
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..increments() {
                    let ended = site.ended(site.job(&["counter"], increment));
                    assert_eq!(ended.code, Some(0), "{ended:?}");
                }
            });
        }
    });
    assert_eq!(site.read("counter"), format!("{}\n", 8 * increments()));
    assert_eq!(site.show("counter"), "counter: free\n");
}
