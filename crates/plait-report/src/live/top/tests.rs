use plait_trace::pools::{Counts, PoolKind};
use plait_trace::top::PoolNow;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn worker(pid: u32, tid: u32, seconds: Option<f64>) -> WorkerNow {
    WorkerNow {
        pid,
        tid,
        state: if seconds.is_some() { WorkerState::Busy } else { WorkerState::Idle },
        task: seconds.map(|_| "shop.images.resize".to_owned()),
        seconds,
        done: 41,
        memory: (pid == tid).then_some(123_456_789),
        cpu: Some(0.5),
        line: seconds.map(|_| "Image.scale (images.py:112)".to_owned()),
    }
}

fn pool(name: &str, kind: PoolKind, most: u32, workers: Vec<WorkerNow>) -> PoolNow {
    let running = workers.iter().filter(|worker| worker.state == WorkerState::Busy).count() as u64;
    let counts = Counts { submitted: 200, done: 150, failed: 2, started: 4, ..Counts::default() };
    let queued = counts.pending() - running;
    PoolNow {
        pid: 1200,
        number: 1,
        name: name.to_owned(),
        kind,
        most,
        queued,
        running,
        counts,
        rate: Some(37.5),
        workers,
    }
}

/// A program with a pool of processes, one of threads, and one that a worker has.
fn seen() -> Top {
    let processes = vec![worker(1301, 1301, Some(0.43)), worker(1302, 1302, None), worker(1303, 1303, Some(75.0))];
    let mut processes = pool("processes 1", PoolKind::Processes, 4, processes);
    processes.counts.died = 1;
    let mut lost = worker(1200, 1212, Some(7205.0));
    lost.state = WorkerState::Abandoned;
    (lost.cpu, lost.line) = (None, None);
    let threads = pool("fetchers", PoolKind::Threads, 8, vec![worker(1200, 1211, Some(12.0)), lost]);
    let inner = PoolNow { pid: 1303, rate: None, ..pool("threads 1", PoolKind::Threads, 1, Vec::new()) };
    let command = "python -m shop.resize --all".to_owned();
    Top { pid: 1200, command, pools: vec![processes, threads, inner], untold: 0 }
}

fn drawn(view: &mut TopView, seen: &Top, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test's terminal");
    terminal.draw(|frame| view.draw(frame, seen)).expect("it takes all");
    terminal.backend().clone()
}

fn screen(keys: &str, width: u16, height: u16) -> TestBackend {
    let mut view = TopView::new(Palette::Letters);
    for key in keys.chars() {
        assert!(!view.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
    }
    drawn(&mut view, &seen(), width, height)
}

#[test]
fn a_wide_terminal() {
    insta::assert_snapshot!(screen("", 110, 16));
}

#[test]
fn a_usual_terminal() {
    insta::assert_snapshot!(screen("", 80, 16));
}

#[test]
fn a_small_terminal() {
    insta::assert_snapshot!(screen("", 40, 8));
}

#[test]
fn as_text() {
    insta::assert_snapshot!(plain(&seen()));
}

#[test]
fn as_json() {
    let told: serde_json::Value = serde_json::from_str(&json(&seen()).expect("it has a form")).expect("it is JSON");
    let pool = &told["pools"][0];
    assert_eq!((&told["pid"], &pool["kind"], &pool["died"]), (&1200.into(), &"processes".into(), &1.into()));
    let worker = &pool["workers"][1];
    assert_eq!((&worker["state"], &worker["task"]), (&"idle".into(), &serde_json::Value::Null));
}

#[test]
fn workers_are_sorted_and_the_idle_ones_hidden() {
    let order = |keys: &str| {
        let text = screen(keys, 100, 20).to_string();
        let mut at: Vec<(usize, &str)> =
            ["1301", "1302", "1303"].iter().filter_map(|pid| Some((text.find(&format!(" {pid} "))?, *pid))).collect();
        at.sort_unstable();
        at.into_iter().map(|(_, pid)| pid).collect::<Vec<_>>()
    };
    assert_eq!(order(""), ["1301", "1302", "1303"]);
    assert_eq!(order("s"), ["1303", "1301", "1302"], "by time");
    assert_eq!(order("i"), ["1301", "1303"]);
}

#[test]
fn what_has_no_room_is_scrolled_to() {
    let mut view = TopView::new(Palette::Letters);
    let seen = seen();
    let first = drawn(&mut view, &seen, 80, 7).to_string();
    assert!(first.contains("processes 1") && first.contains("5 below") && !first.contains("threads 1"), "{first}");
    view.key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
    let last = drawn(&mut view, &seen, 80, 7).to_string();
    assert!(last.contains("threads 1 of process 1303") && last.contains("0 below"), "{last}");
}

#[test]
fn a_pause_stands_still() {
    let mut view = TopView::new(Palette::Letters);
    view.key(KeyEvent::new(KeyCode::Char('p'), KeyModifiers::NONE));
    let before = drawn(&mut view, &seen(), 80, 12).to_string();
    assert!(before.contains("PAUSED"));
    assert_eq!(drawn(&mut view, &Top::default(), 80, 12).to_string(), before);
    view.key(KeyEvent::new(KeyCode::Char('p'), KeyModifiers::NONE));
    assert!(drawn(&mut view, &Top::default(), 80, 12).to_string().contains("no pools now"));
}

#[test]
fn ctrl_c_ends_it() {
    let mut view = TopView::new(Palette::Letters);
    assert!(view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(!view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::NONE)));
}

proptest! {
    /// Whatever a program calls its pools and functions, and however small the terminal is.
    #[test]
    fn any_text_is_drawn_on_any_terminal(text in "\\PC{0,30}|[\\x00-\\x1f ]{0,8}", width in 1..150_u16, height in 1..30_u16) {
        let mut seen = seen();
        seen.command.clone_from(&text);
        seen.pools[0].name.clone_from(&text);
        seen.pools[0].workers[0].task = Some(text.clone());
        seen.pools[0].workers[2].line = Some(text);
        drawn(&mut TopView::new(Palette::Colors), &seen, width, height);
        prop_assert!(plain(&seen).lines().all(|line| !line.contains(char::is_control)));
    }
}
