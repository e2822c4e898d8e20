//! The timeline, in a real browser. Pictures are kept in the target directory, to be looked at.

mod browser;
mod synthetic;

use std::fs;
use std::path::Path;

use dlock_testkit::check::check;
use dlock_testkit::history::{Event, History, Register, What};
use dlock_testkit::timeline::{Mark, Verdict, Window, render, render_window, svg};

use self::browser::Browser;
use self::synthetic::{START, Synthetic, every_shape, marks};

const HANDS: &str = include_str!("hands.js");
const MB: usize = 1_000_000;

#[test]
fn ten_thousand_operations_with_violations_are_all_drawn() {
    let history = Synthetic::run(10_000);
    let marks = marks(&history, 8);
    let html = kept("ten-thousand.html", render(&history, &marks));
    assert!(html.len() < 3 * MB / 2, "the page has {} bytes", html.len());
    let Ok(browser) = Browser::find() else { return };

    let state = browser.state(&html, "");
    assert_eq!(state.get("errors"), "0", "{state:?}");
    assert_eq!(state.get("ready"), "true", "{state:?}");
    assert_eq!((state.get("ops"), state.get("drawn")), ("10000", "10000"), "{state:?}");
    assert_eq!((state.get("violations"), state.get("apart")), ("6", "2"), "{state:?}");
    assert_eq!(state.number("touches"), writes(&history) as f64, "{state:?}");
    assert_eq!(state.number("faults"), history.faults.len() as f64, "{state:?}");
    assert!(state.title.contains("6 violations"), "{state:?}");

    let picture = browser.screenshot(&html, "", "ten-thousand.png");
    assert!(picture.colours() > 20, "the picture is blank: {} colours", picture.colours());
    assert!(picture.red() > 500, "{} red pixels", picture.red());
}

#[test]
fn a_link_leads_to_a_violation_and_to_a_stretch() {
    let history = Synthetic::run(2_000);
    let marks = marks(&history, 3);
    let html = render(&history, &marks);
    let Ok(browser) = Browser::find() else { return };

    let second = (marks[1].from - START) as f64 / 1e6;
    let state = browser.state(&html, "#v=2");
    assert_eq!(state.get("errors"), "0", "{state:?}");
    assert!(state.number("from") < second && second < state.number("to"), "{second}: {state:?}");
    assert!(state.number("drawn") < 200.0, "only what is seen is drawn: {state:?}");
    let state = browser.state(&html, "#t=1200.5,1300");
    assert_eq!((state.get("from"), state.get("to")), ("1200.500", "1300.000"), "{state:?}");

    browser.screenshot(&html, "#v=2", "violation.png");
    browser.screenshot(&html, "#t=1000,3000", "two-seconds.png");
}

#[test]
fn wheel_keys_pointer_and_filters_do_what_they_say() {
    let (history, marks) = every_shape();
    let html = render(&history, &marks);
    let Ok(browser) = Browser::find() else { return };

    let state = browser.state(&driven(&html, "wheel('#canvas', 800, -400); await frame();"), "");
    let (from, to) = (state.number("from"), state.number("to"));
    assert!(0.0 < from && to < 150.0 && to - from < 100.0, "the wheel zooms in: {state:?}");

    let state = browser.state(&driven(&html, "key('body', 'n'); await frame();"), "");
    assert!(30.0 < state.number("from") && state.number("to") < 100.0, "n goes to the violation: {state:?}");
    let state = browser.state(&driven(&html, "find('#marks button').click(); await frame();"), "");
    assert!(30.0 < state.number("from") && state.number("to") < 100.0, "a click does so too: {state:?}");
    assert!(state.get("told").contains("w1/o1 and w2/o1 both believed"), "{state:?}");
    let state = browser.state(&driven(&html, "key('body', 'n'); key('body', '0'); await frame();"), "");
    assert_eq!((state.get("from"), state.get("to")), ("0.000", "150.000"), "0 shows everything: {state:?}");

    // Step to the first lane, and to its next operation.
    let keys = "for (const k of [']', '.']) key('#lanes', k); await frame();";
    let state = browser.state(&driven(&html, keys), "");
    assert!(state.get("told").contains("token35") && state.get("told").contains("connection reset"), "{state:?}");
    let state = browser.state(&driven(&html, "point('#canvas', 400, 90); await frame();"), "");
    for told in ["ownerw1/o1", "outcomelost", "token33", "valid until75.000 ms", "stood still 21.00 ms"] {
        assert!(state.get("told").contains(told), "{told:?}: {state:?}");
    }

    let untick = "document.querySelectorAll('#filters input[type=checkbox]')[1].click(); await frame();";
    let state = browser.state(&driven(&html, untick), "");
    assert_eq!((state.get("ops"), state.get("drawn")), ("8", "4"), "orders are left out: {state:?}");
    let search = "const s = find('#filters input'); s.value = 'W3'; s.oninput(); await frame();";
    let state = browser.state(&driven(&html, search), "");
    assert_eq!((state.get("ops"), state.get("drawn")), ("8", "3"), "only w3 is shown: {state:?}");
    assert_eq!(state.get("errors"), "0", "{state:?}");
}

/// `html` with hands: when it is ready, they do `script`, and write the details on the body.
fn driven(html: &str, script: &str) -> String {
    let hands = HANDS.replace("/* what they do */", script);
    let hands = format!("<script type=\"module\">{hands}</script></body>");
    html.replace("</body>", &hands)
}

#[test]
fn what_is_not_a_violation_is_not_red() {
    let (history, overlap) = every_shape();
    let Ok(browser) = Browser::find() else { return };

    let without = browser.screenshot(&render(&history, &[]), "", "every-shape-clean.png");
    assert!(without.colours() > 20, "the picture is blank: {} colours", without.colours());
    assert_eq!(without.red(), 0);
    let not_promised = Mark { verdict: Verdict::NotPromised, ..overlap[0].clone() };
    assert_eq!(browser.screenshot(&render(&history, &[not_promised]), "", "every-shape-apart.png").red(), 0);
    let with = browser.screenshot(&render(&history, &overlap), "", "every-shape.png");
    assert!(with.red() > 500, "{} red pixels", with.red());
}

#[test]
fn names_cannot_break_the_page() {
    let nasty = "</script><script>document.title='broken'</script>{{data}}<!--\u{2028}'\"&\u{0}\u{202e}";
    let about = What::About { store: nasty.to_owned(), seed: u64::MAX, command: nasty.to_owned() };
    let invoke = What::Invoke { op: 0, owner: nasty.to_owned(), name: nasty.to_owned() };
    let fail = What::Fail { op: 0, why: nasty.to_owned() };
    let events = [about, invoke, fail].into_iter().zip(START..);
    let events = events.map(|(what, at)| Event { at, process: nasty.to_owned(), what });
    let history = History::of(events.collect()).unwrap();
    let mark = Mark {
        verdict: Verdict::Violation,
        kind: nasty.repeat(5),
        from: START,
        to: START,
        name: Some(nasty.to_owned()),
        register: None,
        ops: vec![(nasty.to_owned(), 0), ("nobody".to_owned(), 9)],
        message: nasty.to_owned(),
    };
    let html = render(&history, std::slice::from_ref(&mark));
    let picture = svg(&history, &[mark], Window { from: START, to: START + 2 });
    assert!(!picture.contains("<script") && !picture.contains('\0'), "{picture}");
    let Ok(browser) = Browser::find() else { return };

    let state = browser.state(&html, "");
    assert_eq!((state.get("errors"), state.get("ready")), ("0", "true"), "{state:?}");
    assert!(state.title.contains("1 violation") && state.title.contains("&lt;/script&gt;"), "{state:?}");
    browser.screenshot(&picture, "", "nasty.png");
}

#[test]
fn an_empty_history_has_a_page() {
    let Ok(browser) = Browser::find() else { return };
    let state = browser.state(&render(&History::default(), &[]), "");
    assert_eq!((state.get("errors"), state.get("ready"), state.get("ops")), ("0", "true", "0"), "{state:?}");
    assert!(state.title.contains("incomplete"), "{state:?}");
}

#[test]
fn a_history_without_an_end_is_not_headed_as_sound() {
    let (whole, overlap) = every_shape();
    let is_no_scan = |event: &&Event| !matches!(event.what, What::Scanned { .. });
    let history = History::of(whole.events.iter().filter(is_no_scan).cloned().collect()).unwrap();
    let window = Window { from: START, to: START + 10_000_000 };
    let Ok(browser) = Browser::find() else { return };
    for (html, title) in [
        (render(&whole, &[]), "no violations, 8 operations"),
        (render(&history, &[]), "incomplete, 8 operations"),
        (render_window(&whole, &[], window), "no violations, 3 operations"),
        (render_window(&history, &[], window), "incomplete, 3 operations"),
        (render(&history, &overlap), "1 violation, incomplete, 8 operations"),
    ] {
        assert_eq!(browser.state(&html, "").title, title);
    }
    let picture = browser.screenshot(&render(&history, &[]), "", "incomplete.png");
    assert_eq!(picture.red(), 0);
}

#[test]
fn a_window_has_what_touches_it_at_the_times_of_the_whole() {
    let (history, marks) = every_shape();
    let window = Window { from: START + 116_000_000, to: START + 121_000_000 };
    let html = render_window(&history, &marks, window);
    assert!(html.contains("<title>no violations, 3 operations</title>"), "{}", &html[..900]);
    let Ok(browser) = Browser::find() else { return };
    let state = browser.state(&html, "");
    assert_eq!((state.get("from"), state.get("to")), ("116.000", "121.000"), "{state:?}");
    assert_eq!((state.get("ops"), state.get("drawn")), ("3", "3"), "{state:?}");
}

#[test]
fn what_the_checker_finds_is_marked() {
    let (history, overlap) = every_shape();
    let found = dlock_testkit::timeline::marks(&check(&history));
    let seen = found.iter().find(|mark| mark.kind == "overlap").expect("the checker sees the overlap");
    let of = |mark: &Mark| (mark.verdict, mark.from, mark.to, mark.name.clone(), mark.ops.clone());
    assert_eq!(of(seen), of(&overlap[0]));
    // The write that comes after the holder stood still undoes the other one.
    let corruption = found.iter().find(|mark| mark.kind == "corruption").expect("the checker sees the corruption");
    assert_eq!((corruption.verdict, corruption.register), (Verdict::NotPromised, Some(Register::Unfenced)));
    let Ok(browser) = Browser::find() else { return };

    let html = render(&history, &found);
    let state = browser.state(&html, "");
    let count = |verdict| found.iter().filter(|mark| mark.verdict == verdict).count() as f64;
    assert_eq!(state.number("violations"), count(Verdict::Violation), "{state:?}");
    assert_eq!(state.number("apart"), count(Verdict::NotPromised), "{state:?}");
    browser.screenshot(&html, "", "checked.png");
}

#[test]
fn a_reader_without_scripts_is_told_the_counts_and_the_violations() {
    let (history, marks) = every_shape();
    let html = render(&history, &marks);
    for told in [
        "8 operations by 4 owners on 2 names in 0.1 s: 5 held (of these 1 lost), 1 failed, 2 without an answer; \
         1 fault; 6 writes, 1 of them refused",
        "<li>overlap at 60.000 ms: w1/o1 and w2/o1 both believed that they held orders</li>",
    ] {
        assert!(html.contains(told), "{told:?} is not in the page");
    }
}

#[test]
fn the_picture_for_documents_is_small_and_shows_the_overlap() {
    let (history, marks) = every_shape();
    let window = Window { from: marks[0].from - 60_000_000, to: marks[0].to + 75_000_000 };
    let picture = kept("every-shape.svg", svg(&history, &marks, window));
    assert!(picture.len() < 20_000, "the picture has {} bytes", picture.len());
    assert!(!picture.contains("http://www.w3.org/1999") && picture.matches("http").count() == 1, "{picture}");
    assert_eq!(picture.matches("<g").count(), picture.matches("</g>").count(), "{picture}");
    let Ok(browser) = Browser::find() else { return };

    // As in a document: in an image element scripts and outer files are off.
    let shown = |svg: &str, keep: &str| browser.screenshot(&document_with(svg), "", keep);
    assert!(shown(&picture, "svg.png").red() > 200);
    assert_eq!(shown(&svg(&history, &[], window), "svg-clean.png").red(), 0);
}

fn document_with(svg: &str) -> String {
    let encoded: String = svg.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("<!doctype html><title>a document</title><body><img width=960 src=\"data:image/svg+xml,{encoded}\">")
}

fn writes(history: &History) -> usize {
    history.events.iter().filter(|event| matches!(event.what, What::Write { .. })).count()
}

/// Leaves `text` in the target directory.
fn kept(name: &str, text: String) -> String {
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), &text).expect("the target directory is writable");
    text
}
