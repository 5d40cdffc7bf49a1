use super::*;
use plait_trace::{
    Count, Frame, FrameKey, Gil, GilKey, Process, ProcessKey, Record, Shot, Sight, Span, Thread, ThreadKey,
};

const SECOND: Nanos = 1_000_000_000;

/// A program of two threads: what each does is drawn, a letter for 100 ms (`P` has the GIL).
fn drawn(lanes: [&str; 2]) -> Recording {
    let mut recording = Recording::default();
    let mut put = |record: Record| recording.put(&record).expect("in order");
    let process = ProcessKey(0);
    put(Record::Process(Process {
        key: process,
        pid: 7,
        parent: None,
        found: 0,
        command: "python a.py".into(),
        python: Some("3.13.0".into()),
        sight: Sight::Gil,
        why: None,
        processors: 2,
        quota: None,
        role: None,
    }));
    put(Record::Gil(Gil { key: GilKey(0), process, interpreters: vec![0], interval: 5_000_000 }));
    for (number, name) in [(0, "main"), (1, "other")] {
        let thread = Thread {
            key: ThreadKey(number),
            process,
            tid: 70 + number,
            name: name.into(),
            interpreter: Some(0),
            found: 0,
        };
        put(Record::Thread(thread));
    }
    for at in 0..lanes[0].len() {
        let (from, to) = (at as Nanos * SECOND / 10, (at as Nanos + 1) * SECOND / 10);
        for (number, lane) in lanes.iter().enumerate() {
            let thread = ThreadKey(number as u32);
            let letter = lane.as_bytes()[at] as char;
            let state = State::ALL.into_iter().find(|state| state.letter() == letter).expect("a state");
            put(Record::Span(Span { thread, from, to, state, call: None }));
            if state.holds_gil() {
                put(Record::Hold(Hold { gil: GilKey(0), from, to, thread: Some(thread) }));
            }
        }
    }
    recording
}

#[test]
fn the_line_tells_the_gil_its_holders_and_who_waits() {
    let recording = drawn(["PPPPPPPwwl", "wwwwwwwPPl"]);
    assert_eq!(line(&recording, 0, SECOND), "    1.0 s  GIL 90 %  waiting 0.9  main/70 70 %  other/71 20 %");
}

#[test]
fn only_what_lies_in_the_stretch_counts() {
    let recording = drawn(["PPPPPllllllllll", "lllllPPPPPlllll"]);
    assert_eq!(line(&recording, SECOND / 2, 3 * SECOND / 2), "    1.5 s  GIL 50 %  waiting 0.0  other/71 50 %",);
}

#[test]
fn processors_and_the_function_that_keeps_the_gil_are_named() {
    let mut recording = drawn(["NNNNNNNNNN", "wwwwwwwwww"]);
    let of = Subject::Process(ProcessKey(0));
    for (at, value) in [(0, 5 * SECOND), (SECOND, 6 * SECOND + SECOND / 2)] {
        recording.put(&Record::Count(Count { of, kind: Kind::CpuTime, at, value })).expect("known");
    }
    let frame = Frame { key: FrameKey(0), function: "parse".into(), file: "/srv/app/load.py".into(), line: 12 };
    recording.put(&Record::Frame(frame)).expect("new");
    let shot = Shot {
        thread: ThreadKey(0),
        at: SECOND / 2,
        function: Some("scan_once".into()),
        natives: Vec::new(),
        frames: vec![FrameKey(0)],
        pause: 50_000,
    };
    recording.put(&Record::Shot(shot)).expect("known");
    assert_eq!(
        line(&recording, 0, SECOND),
        "    1.0 s  GIL 100 %  waiting 1.0  CPU 1.50  main/70 100 %  keeps it: scan_once (load.py:12 parse)",
    );
}

#[test]
fn without_figures_it_says_so() {
    assert_eq!(line(&Recording::default(), 0, 0), "    0.0 s  nothing seen yet");
    assert_eq!(line(&Recording::default(), 0, SECOND), "    1.0 s  GIL not seen");
}
