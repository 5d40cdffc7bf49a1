use plait_trace::{Record, Sight, Span, State};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::made::{MS, Made, any_recording, small};

fn told() -> Status {
    let title = "The GIL is the limit: parser keeps it in native code".to_owned();
    let advice = "json.loads does not let go of the GIL: move the parsing to processes (plait.map(load, paths, \
                  backend=\"processes\")), or parse with orjson, which is quicker"
        .to_owned();
    let headline = Some(Headline { title, advice });
    Status { headline, rate: Some(998.7), cost: Some(0.0123), notice: None }
}

fn drawn(view: &mut View, recording: &Recording, now: Nanos, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test's terminal");
    terminal.draw(|frame| view.draw(frame, recording, now)).expect("it takes all");
    terminal.backend().clone()
}

fn screen(keys: &str, width: u16, height: u16) -> TestBackend {
    let recording = small();
    let mut view = View::new(Palette::Colors);
    view.tell(told());
    drawn(&mut view, &recording, 510 * MS, width, height);
    press(&mut view, "-----");
    press(&mut view, keys);
    drawn(&mut view, &recording, 510 * MS, width, height)
}

fn press(view: &mut View, keys: &str) {
    for key in keys.chars() {
        let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
        view.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
}

#[test]
fn a_usual_terminal() {
    insta::assert_snapshot!(screen("", 80, 24));
}

#[test]
fn a_wide_terminal() {
    insta::assert_snapshot!(screen("", 140, 30));
}

#[test]
fn a_small_terminal() {
    insta::assert_snapshot!(screen("", 44, 10));
}

#[test]
fn the_smallest_terminal() {
    insta::assert_snapshot!(screen("", 20, 5));
}

#[test]
fn help_lies_over_it() {
    insta::assert_snapshot!(screen("?", 80, 24));
}

#[test]
fn a_filter_is_shown_while_it_is_typed_and_after() {
    let typed = screen("fread", 80, 24).to_string();
    assert!(typed.contains("filter: read_"), "{typed}");
    let kept = screen("fread\n", 80, 24).to_string();
    assert!(kept.contains("filter \"read\"") && kept.contains("reader") && !kept.contains("parser  "), "{kept}");
}

#[test]
fn letters_where_there_are_no_colours() {
    let recording = small();
    let mut view = View::new(Palette::Letters);
    press(&mut view, "-----s");
    let screen = drawn(&mut view, &recording, 510 * MS, 80, 24);
    let buffer = screen.buffer();
    assert!(buffer.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    insta::assert_snapshot!(screen);
}

#[test]
fn states_have_their_colours() {
    let screen = screen("", 80, 24);
    let colors: std::collections::HashSet<_> = screen.buffer().content().iter().map(|cell| cell.fg).collect();
    for state in [State::HoldsPython, State::HoldsNative, State::Waits, State::Network] {
        let color = Palette::Colors.cell(state).1.fg.expect("a colour");
        assert!(colors.contains(&color), "{state}");
    }
}

/// `count` threads, one of which is a hog.
fn many(count: u32) -> Recording {
    let mut made = Made::default();
    let process = made.process(100, "python many.py");
    let gil = made.gil(process);
    for number in 0..count {
        let thread = made.thread(process, 100 + number, &format!("worker-{number}"));
        made.lane(thread, gil, if number == 3 { "NNNNNNNNNN" } else { "wwwwwlllll" });
    }
    made.0
}

#[test]
fn many_threads_scroll() {
    let recording = many(40);
    let mut view = View::new(Palette::Colors);
    let shows = |view: &mut View| drawn(view, &recording, 100 * MS, 80, 24).to_string();
    let first = shows(&mut view);
    assert!(first.contains("worker-3 ") && first.contains("0 above") && !first.contains("worker-39"), "{first}");
    view.key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
    let last = shows(&mut view);
    assert!(last.contains("worker-39") && last.contains("0 below"), "{last}");
    view.key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE));
    assert_eq!(shows(&mut view), first);
}

#[test]
fn a_pause_stands_still_while_the_program_goes_on() {
    let mut recording = small();
    let mut view = View::new(Palette::Colors);
    let shows = |view: &mut View, recording: &Recording, now| drawn(view, recording, now, 80, 24).to_string();
    shows(&mut view, &recording, 510 * MS);
    press(&mut view, "p");
    assert!(view.is_paused());
    let before = shows(&mut view, &recording, 520 * MS);
    assert!(before.contains("PAUSED"), "{before}");
    for thread in 0..3 {
        let (thread, from) = (plait_trace::ThreadKey(thread), 510 * MS);
        let span = Span { thread, from, to: 60_000 * MS, state: State::Native, call: None };
        recording.put(&Record::Span(span)).expect("in order");
    }
    recording.forget_before(view.needs_from(60_000 * MS));
    assert_eq!(shows(&mut view, &recording, 60_000 * MS), before);
    press(&mut view, "p");
    assert_eq!(view.needs_from(60_000 * MS), 49_000 * MS);
    assert_ne!(shows(&mut view, &recording, 60_000 * MS), before);
}

#[test]
fn a_notice_stands_in_for_the_keys() {
    let mut view = View::new(Palette::Colors);
    view.tell(Status { notice: Some("saved to run.plait".into()), ..told() });
    let screen = drawn(&mut view, &small(), 510 * MS, 80, 24).to_string();
    assert!(screen.contains("saved to run.plait") && !screen.contains("q quit"), "{screen}");
}

#[test]
fn what_cannot_be_seen_is_said() {
    let mut recording = small();
    recording.processes[0].process.sight = Sight::FreeThreaded;
    recording.processes[1].process.sight = Sight::Kernel;
    recording.processes[1].process.why = Some("run as root to see its GIL".into());
    let screen = drawn(&mut View::new(Palette::Colors), &recording, 510 * MS, 120, 24).to_string();
    assert!(screen.contains("no GIL in this Python") && screen.contains("GIL not seen"), "{screen}");
    assert!(screen.contains("run as root to see its GIL"), "{screen}");
    assert!(screen.contains("   –    –   50"), "no share of a GIL that nobody saw: {screen}");
}

#[test]
fn names_cannot_steer_the_terminal() {
    let mut made = Made::default();
    let process = made.process(100, "python \u{1b}[31m\u{202e}evil\n.py");
    let gil = made.gil(process);
    let thread = made.thread(process, 100, "\u{1b}]0;title\u{7}");
    made.lane(thread, gil, "NNNNN");
    for line in plain(&made.0, 0, 50 * MS) {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let screen = drawn(&mut View::new(Palette::Colors), &made.0, 50 * MS, 80, 24);
    let has = |text: &str| screen.buffer().content().iter().any(|cell| cell.symbol().contains(text));
    assert!(!has("\u{1b}") && !has("\u{202e}") && !has("\n"));
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        4 => prop::sample::select("pqswfi/+-?hjk =_xé数\u{1b}".chars().collect::<Vec<_>>()).prop_map(KeyCode::Char),
        3 => prop::sample::select(vec![
            KeyCode::Up, KeyCode::Down, KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End,
            KeyCode::Enter, KeyCode::Esc, KeyCode::Backspace, KeyCode::F(1), KeyCode::Tab,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No recording, size or key makes it fail, and nothing is drawn beyond the screen.
    #[test]
    fn whatever_is_watched_can_be_drawn(
        recording in any_recording(),
        steps in prop::collection::vec((any_key(), 0_u16..220, 0_u16..70, any::<u64>()), 1..8),
        colors in any::<bool>(),
        forgets in any::<bool>(),
    ) {
        let mut recording = recording;
        let mut view = View::new(if colors { Palette::Colors } else { Palette::Letters });
        for (key, width, height, now) in steps {
            view.key(KeyEvent::new(key, KeyModifiers::NONE));
            // Most recordings are short, so most moments should be, too.
            let now = if now % 3 == 0 { now } else { now % 4_000_000_000 };
            drawn(&mut view, &recording, now, width, height);
            for line in plain(&recording, now, now.saturating_add(2_500_000_000)) {
                prop_assert!(!line.contains(char::is_control));
            }
            if forgets {
                recording.forget_before(view.needs_from(now));
            }
        }
    }
}
