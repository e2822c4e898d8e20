//! A real browser, without a window.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dlock_testkit::servers::Skip;
use tempfile::TempDir;

/// What a page says last that hands were laid on, see `hands.js`.
const TOLD: &str = "document.body.dataset.told";
/// How many times a page is loaded before it counts as one that does not settle.
const LOADS: usize = 10;
/// What a browser may be called.
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium", "chromium-browser"];

/// A browser and a profile of its own.
pub(crate) struct Browser {
    program: &'static str,
    dir: TempDir,
}

/// What the page tells about itself on its body.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) title: String,
    attributes: BTreeMap<String, String>,
}

/// The pixels of a page.
pub(crate) struct Screenshot {
    pixels: Vec<[u8; 3]>,
}

impl Browser {
    /// The browser of this machine.
    ///
    /// # Errors
    /// A skip, when there is none.
    pub(crate) fn find() -> Result<Self, Skip> {
        let runs = |program: &&str| {
            let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        let program = PROGRAMS.into_iter().find(runs);
        let program = program.ok_or_else(|| Skip::unless_required("chromium", "no chromium is on PATH"))?;
        Ok(Self { program, dir: TempDir::new().expect("a temporary directory can be made") })
    }

    /// Loads `html` from a file, at `hash`, and reads what it says when it has settled: on a busy
    /// machine the browser's patience may be over before the page has drawn a frame.
    pub(crate) fn state(&self, html: &str, hash: &str) -> State {
        let url = self.file(html, hash);
        let load = || {
            let output = self.command().args(["--dump-dom", &url]).output().expect("the browser runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            State::of(&String::from_utf8_lossy(&output.stdout))
        };
        let is_driven = html.contains(TOLD);
        let has_settled = |state: &State| state.has("ready") && (!is_driven || state.has("told"));
        let mut state = load();
        for _ in 1..LOADS {
            if has_settled(&state) {
                break;
            }
            state = load();
        }
        state
    }

    /// Loads `html` from a file, at `hash`, and takes a picture that is kept as `keep`.
    pub(crate) fn screenshot(&self, html: &str, hash: &str, keep: &str) -> Screenshot {
        let url = self.file(html, hash);
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(keep);
        let _ = fs::remove_file(&picture);
        let output = self.command().arg(format!("--screenshot={}", picture.display())).arg(&url).output();
        let output = output.expect("the browser runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Screenshot::read(&picture)
    }

    fn file(&self, html: &str, hash: &str) -> String {
        let path: PathBuf = self.dir.path().join("timeline.html");
        fs::write(&path, html).expect("the page can be written");
        format!("file://{}{hash}", path.display())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        // No sandbox: its pages are ours, and it does not start for root. Time that passes only
        // while nothing is under way makes slow machines wait, not fail.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,1000"]);
        command.args(["--virtual-time-budget=5000", "--disable-dev-shm-usage", "--disable-background-networking"]);
        // What needs a network would fail: the page is to be complete.
        command.args(["--disable-component-update", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"]);
        command.arg(format!("--user-data-dir={}", self.dir.path().join("profile").display()));
        command
    }
}

impl State {
    fn of(dom: &str) -> Self {
        let (_, title) = dom.split_once("<title>").expect("the page has a title");
        let (title, _) = title.split_once("</title>").expect("the title ends");
        let (_, body) = dom.split_once("<body ").expect("the body says something");
        let (body, _) = body.split_once('>').expect("the body's tag ends");
        let attributes = body.split("data-").skip(1).filter_map(|attribute| {
            let (name, value) = attribute.trim().split_once('=')?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        });
        Self { title: title.to_owned(), attributes: attributes.collect() }
    }

    fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("the page says nothing of {name:?}: {self:?}"))
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name:?} is no number: {self:?}"))
    }
}

impl Screenshot {
    fn read(path: &Path) -> Self {
        let file = File::open(path).expect("the browser made a picture");
        let mut reader = png::Decoder::new(BufReader::new(file)).read_info().expect("the picture is a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("the picture fits in memory")];
        let info = reader.next_frame(&mut bytes).expect("the picture is whole");
        let samples = info.color_type.samples();
        assert!(samples >= 3, "the picture has no colours: {info:?}");
        let pixels = bytes[..info.buffer_size()].chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        Self { pixels: pixels.collect() }
    }

    /// How many pixels are of a red that is kept for violations, in the light or the dark mode.
    pub(crate) fn red(&self) -> usize {
        let is_red = |[r, g, b]: &[u8; 3]| *r > 180 && *g < 90 && *b < 100;
        self.pixels.iter().filter(|pixel| is_red(pixel)).count()
    }

    /// How many colours it has.
    pub(crate) fn colours(&self) -> usize {
        let mut colours = self.pixels.clone();
        colours.sort_unstable();
        colours.dedup();
        colours.len()
    }
}
