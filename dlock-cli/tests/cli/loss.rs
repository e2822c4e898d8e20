use std::time::{Duration, Instant};

use crate::site::{Site, eventually};

/// As `dlock break` would, one day.
async fn break_holder(site: &Site, name: &str) {
    let locks = dlock::connect(&site.backend()).await.unwrap();
    let holder = locks.inspect(name).await.unwrap().holders.remove(0);
    locks.break_claim(&holder.claim).await.unwrap();
    locks.close().await.unwrap();
}

#[tokio::test]
async fn a_job_whose_lock_is_lost_is_asked_to_end() {
    let site = Site::new();
    let script = "trap 'echo asked; exit 0' TERM; echo up >up; while :; do sleep 0.01; done";
    let running = site.start(site.job(&["a"], script));
    eventually("the job runs", || site.read("up") == "up\n");
    break_holder(&site, "a").await;
    let ended = running.ended();
    assert_eq!((ended.code, &*ended.stdout), (Some(79), "asked\n"), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "dlock: lost a: the service no longer has the claim; ending the job",
            "dlock: lost a while the job ran: the job has ended"
        ]
    );
}

#[tokio::test]
async fn a_job_that_will_not_end_is_killed_after_the_grace() {
    let site = Site::new();
    let script = "trap '' TERM; echo up >up; while :; do sleep 0.01; done";
    let running = site.start(site.job(&["a"], script));
    eventually("the job runs", || site.read("up") == "up\n");
    break_holder(&site, "a").await;
    let broken = Instant::now();
    let ended = running.ended();
    assert_eq!(ended.code, Some(79), "{ended:?}");
    assert!(ended.stderr.ends_with("the job did not end and was killed\n"), "{ended:?}");
    assert!(broken.elapsed() >= Duration::from_secs(4), "it had its grace: {:?}", broken.elapsed());
}
