use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::site::{DLOCK, Site, eventually};

/// A terminal, seen from where its user sits.
struct Terminal {
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Runs `dlock` as the foreground job of a session on a terminal of its own.
    fn run(site: &Site, args: &[&str], script: &str) -> (Self, Child) {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
        let far = File::options().read(true).write(true).open(far).unwrap();

        // Wide enough for any host's name.
        tcsetwinsize(&near, Winsize { ws_row: 24, ws_col: 400, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();

        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", DLOCK, "run"]).args(args).args(["--", "sh", "-c", script]);
        site.settle(&mut command);
        command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
        let child = command.spawn().unwrap();

        let keys = File::from(near);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut output, seen) = (keys.try_clone().unwrap(), screen.clone());
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            // Reading fails when the last process on the terminal is gone.
            while let Ok(count) = output.read(&mut buffer) {
                seen.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        (Self { keys, screen }, child)
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }
}

#[test]
fn a_terminal_shows_who_holds_in_a_line_that_is_kept_up_to_date_and_erased() {
    let site = Site::new();
    let holder = site.hold(&["--label", "nightly", "a"]);
    let (terminal, mut child) = Terminal::run(&site, &["a"], "echo ran");
    eventually("the line is written again", || terminal.screen().matches("\r\x1b[K").count() > 2);
    let ages: BTreeSet<_> = terminal.screen().split(" for ").skip(1).map(String::from).collect();
    assert!(ages.len() > 1, "with another age: {ages:?}");
    let screen = terminal.screen();
    assert!(screen.starts_with("\r\x1b[Kdlock: waiting for a, held by nightly ("), "{screen:?}");
    assert!(!screen.contains('\n'), "one line: {screen:?}");
    site.finish();
    assert!(child.wait().unwrap().success());
    eventually("the line is erased", || terminal.screen().ends_with("\r\x1b[Kran\r\n"));
    holder.ended();
}

#[test]
fn ctrl_c_reaches_the_job_once() {
    let site = Site::new();
    let script = "trap 'echo int >>got' INT; echo up >up; until [ -e finish ]; do sleep 0.01; done; exit 3";
    let (mut terminal, mut child) = Terminal::run(&site, &["a"], script);
    eventually("the job runs", || site.read("up") == "up\n");
    terminal.keys.write_all(b"\x03").unwrap();
    eventually("the job gets it", || site.read("got").starts_with("int\n"));
    site.finish();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(site.read("got"), "int\n", "{:?}", terminal.screen());
}
