//! Where spans begin and end, and what is said of a holder that does not move.

use plait_trace::{GilKey, Hold, Nanos, Record, Span, State, ThreadKey};

use super::stage::{GIL, call};
use crate::Pid;
use crate::lanes::{GilSeen, Hogging, Lanes, Sched, ThreadLook};
use crate::memory::{Nap, Naps, Turn};
use crate::subject::{GilLook, Spot};

const A: ThreadKey = ThreadKey(0);
const B: ThreadKey = ThreadKey(1);
const THE_GIL: GilKey = GilKey(0);

fn gil(holder: Option<ThreadKey>, instruction: u64, switches: u64) -> [GilSeen; 1] {
    let spot = Some(Spot { frame: 1, instruction });
    let holder_tid = holder.map(|key| key.0 as Pid + 10);
    let look = GilLook { held: holder.is_some(), holder: holder_tid, state: 0, switches, spot, collecting: false };
    [GilSeen { key: THE_GIL, gil: GIL, look }]
}

fn thread(key: ThreadKey, sign: char) -> ThreadLook {
    ThreadLook {
        key,
        tid: key.0 as Pid + 10,
        call: call(sign),
        sched: None,
        turn: None,
        naps: Naps::default(),
        attached: None,
    }
}

fn span(thread: ThreadKey, from: Nanos, to: Nanos, state: State, call: Option<u16>) -> Record {
    Record::Span(Span { thread, from, to, state, call })
}

fn hold(from: Nanos, to: Nanos, thread: Option<ThreadKey>) -> Record {
    Record::Hold(Hold { gil: THE_GIL, from, to, thread })
}

/// Lanes, what they wrote, and the clock.
struct Stage {
    lanes: Lanes,
    out: Vec<Record>,
}

impl Stage {
    fn new() -> Self {
        Self { lanes: Lanes::new(), out: Vec::new() }
    }

    fn look(&mut self, at: Nanos, gils: &[GilSeen], threads: &[ThreadLook]) -> Vec<Record> {
        self.lanes.look(at, gils, threads, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn close(&mut self, at: Nanos) -> Vec<Record> {
        self.lanes.close(at, &mut self.out);
        std::mem::take(&mut self.out)
    }
}

#[test]
fn changes_lie_in_the_middle_between_two_looks() {
    let mut stage = Stage::new();
    assert_eq!(stage.look(100, &[], &[thread(A, 's')]), []);
    assert_eq!(stage.look(200, &[], &[thread(A, 'i')]), [span(A, 100, 150, State::Sleep, Some(230))]);
    // This thread was looked at last at 200.
    assert_eq!(stage.look(300, &[], &[]), []);
    assert_eq!(stage.look(400, &[], &[thread(A, 'c'), thread(B, 's')]), [span(A, 150, 300, State::Network, Some(45))]);
    assert_eq!(
        stage.close(500),
        [span(A, 300, 500, State::Child, Some(61)), span(B, 400, 500, State::Sleep, Some(230))]
    );
}

#[test]
fn a_hold_and_the_lanes_of_those_who_had_it_change_together() {
    let mut stage = Stage::new();
    stage.look(100, &gil(Some(A), 1, 0), &[thread(A, 'R'), thread(B, 'w')]);
    // B is looked at half as often.
    stage.look(200, &gil(Some(A), 2, 0), &[thread(A, 'R')]);
    let first = stage.look(300, &gil(Some(B), 3, 1), &[thread(A, 'w'), thread(B, 'R')]);
    assert_eq!(first, [hold(100, 250, Some(A)), span(A, 100, 250, State::HoldsPython, None)]);
    stage.lanes.thread_ended(B, 340, &mut stage.out);
    let last =
        [span(B, 100, 250, State::Waits, None), span(B, 250, 320, State::HoldsPython, None), hold(250, 320, Some(B))];
    assert_eq!(std::mem::take(&mut stage.out), last);
    assert_eq!(stage.look(400, &gil(Some(B), 3, 1), &[thread(A, 'w')]), []);
    assert_eq!(stage.close(410), [span(A, 250, 410, State::Waits, None), hold(350, 410, None)]);
}

#[test]
fn where_sleep_is_told_to_the_moment_so_are_holds() {
    let mut stage = Stage::new();
    stage.look(100, &gil(Some(A), 1, 0), &[thread(A, 'R'), thread(B, 'w')]);
    let naps = |slept, woke| Naps([Some(Nap { slept, woke }), None, None, None]);
    let slept = [
        ThreadLook { naps: naps(130, None), ..thread(A, 's') },
        ThreadLook { naps: naps(90, Some(140)), ..thread(B, 'R') },
    ];
    let first = stage.look(200, &gil(Some(B), 2, 1), &slept);
    let handed = [hold(100, 130, Some(A)), span(A, 100, 130, State::HoldsPython, None)];
    assert_eq!(first, handed);
    // Others had it in between, and who they were was not seen.
    let slept = [
        ThreadLook { naps: naps(130, Some(270)), ..thread(A, 'R') },
        ThreadLook { naps: naps(220, None), ..thread(B, 'w') },
    ];
    let second = stage.look(300, &gil(Some(A), 3, 4), &slept);
    assert!(second.contains(&hold(140, 220, Some(B))), "{second:?}");
    assert!(second.contains(&hold(220, 270, None)), "{second:?}");
    assert!(second.contains(&span(B, 100, 140, State::Waits, None)), "{second:?}");
    assert!(stage.close(400).contains(&hold(270, 400, Some(A))));
}

#[test]
fn after_a_gap_threads_are_what_they_are_found_to_be() {
    let mut stage = Stage::new();
    stage.look(100, &gil(Some(A), 1, 0), &[thread(A, 'R'), thread(B, 's')]);
    stage.lanes.gap(100, 200, &mut stage.out);
    let mut records = stage.look(300, &gil(Some(A), 1, 0), &[thread(A, 'R'), thread(B, 'i')]);
    records.extend(stage.close(400));
    let expected = [
        span(A, 100, 200, State::Unknown, None),
        span(A, 200, 400, State::HoldsPython, None),
        span(B, 100, 200, State::Unknown, None),
        span(B, 200, 400, State::Network, Some(45)),
        hold(200, 400, Some(A)),
    ];
    assert_eq!(records.len(), expected.len(), "{records:?}");
    assert!(expected.iter().all(|record| records.contains(record)), "{records:?}");
}

#[test]
fn what_was_seen_last_may_have_changed_right_after() {
    let mut stage = Stage::new();
    stage.look(100, &gil(None, 1, 0), &[thread(A, 's')]);
    stage.look(200, &gil(Some(B), 1, 0), &[thread(A, 's')]);
    stage.lanes.cut(500, &mut stage.out);
    assert_eq!(std::mem::take(&mut stage.out), [span(A, 100, 200, State::Sleep, Some(230)), hold(150, 200, None)]);
    stage.lanes.cut(600, &mut stage.out);
    assert_eq!(std::mem::take(&mut stage.out), []);
    stage.look(201, &gil(None, 1, 0), &[thread(A, 'i')]);
    assert_eq!(stage.close(300), [span(A, 200, 300, State::Network, Some(45))]);
}

#[test]
fn a_holder_is_not_written_before_it_is_known_what_it_does() {
    const MS: Nanos = 1_000_000;
    let mut stage = Stage::new();
    let mut look = |at: Nanos, place: u64| {
        stage.lanes.look(at * MS, &gil(Some(A), place, 0), &[thread(A, 'R')], &mut stage.out);
        stage.lanes.cut(at * MS, &mut stage.out);
        stage.out.drain(..).filter(|record| matches!(record, Record::Span(_))).collect::<Vec<_>>()
    };
    for at in 10..20 {
        assert_eq!(look(at, 1), []);
    }
    assert_eq!(look(20, 1), [span(A, 10 * MS, 20 * MS, State::HoldsNative, None)]);
    assert_eq!(look(21, 1), [span(A, 20 * MS, 21 * MS, State::HoldsNative, None)]);
    // All that is known of what comes now is when it began.
    assert_eq!(look(22, 2), [span(A, 21 * MS, 21 * MS + MS / 2, State::HoldsNative, None)]);
    assert_eq!(look(23, 3), [span(A, 21 * MS + MS / 2, 22 * MS + MS / 2, State::HoldsPython, None)]);
}

#[test]
fn few_looks_are_no_proof_however_far_apart_they_are() {
    let mut stage = Stage::new();
    for at in [0, 20, 40] {
        stage.look(at * 1_000_000, &gil(Some(A), 1, 0), &[thread(A, 'R')]);
    }
    stage.look(60_000_000, &gil(Some(A), 2, 0), &[thread(A, 'R')]);
    let records = stage.close(70_000_000);
    assert_eq!(records[0], span(A, 0, 70_000_000, State::HoldsPython, None));
}

#[test]
fn who_keeps_the_gil_and_how_many_wait_is_told_while_it_happens() {
    let mut stage = Stage::new();
    let threads = |a, b, c| [thread(A, a), thread(B, b), thread(ThreadKey(2), c)];
    const MS: Nanos = 1_000_000;
    stage.look(MS, &gil(Some(A), 1, 0), &threads('R', 'w', 's'));
    for at in 2..12 {
        stage.look(at * MS, &gil(Some(A), 2, 0), &threads('R', 'w', 's'));
        assert_eq!(stage.lanes.hog(THE_GIL, at * MS), None, "it may run bytecode");
    }
    stage.look(12 * MS, &gil(Some(A), 2, 0), &threads('R', 'R', 'w'));
    let hogging = Hogging { thread: A, since: MS + MS / 2, waiters: 2 };
    assert_eq!(stage.lanes.hog(THE_GIL, 12 * MS), Some(hogging));
    assert_eq!(stage.lanes.hog(GilKey(1), 12 * MS), None);
    stage.look(13 * MS, &gil(None, 2, 0), &threads('h', 'R', 'w'));
    assert_eq!(stage.lanes.hog(THE_GIL, 13 * MS), None);
    stage.look(14 * MS, &gil(Some(ThreadKey(9)), 2, 1), &threads('h', 'w', 'w'));
    assert_eq!(stage.lanes.hog(THE_GIL, 14 * MS), None);
    for at in 15..=26 {
        stage.look(at * MS, &gil(Some(B), 2, 2), &threads('w', 'R', 'w'));
    }
    let hogging = Hogging { thread: B, since: 14 * MS + MS / 2, waiters: 2 };
    assert_eq!(stage.lanes.hog(THE_GIL, 26 * MS), Some(hogging));
}

#[test]
fn a_process_with_two_gils_has_two_holders() {
    let both = |a: Option<ThreadKey>, b: Option<ThreadKey>| {
        let ([first], [mut second]) = (gil(a, 1, 0), gil(b, 1, 0));
        second.key = GilKey(1);
        second.gil.address = 0x2000;
        [first, second]
    };
    let mut stage = Stage::new();
    stage.look(100, &both(Some(A), Some(B)), &[thread(A, 'R'), thread(B, 'R')]);
    // B went to the interpreter of the first GIL.
    stage.look(200, &both(Some(B), None), &[thread(A, 's'), thread(B, 'R')]);
    let records = stage.look(300, &both(None, None), &[thread(A, 's'), thread(B, 's')]);
    assert!(records.contains(&hold(150, 250, Some(B))), "{records:?}");
    assert!(records.contains(&span(B, 100, 250, State::HoldsPython, None)), "{records:?}");
}

#[test]
fn a_lock_becomes_a_gil_when_one_is_found_there() {
    let mut stage = Stage::new();
    stage.look(100, &[], &[thread(A, 'w')]);
    assert_eq!(stage.look(200, &gil(Some(B), 1, 0), &[thread(A, 'w')]), [span(A, 100, 150, State::Lock, Some(202))]);
    assert_eq!(stage.close(300), [span(A, 150, 300, State::Waits, None), hold(150, 300, None)]);
}

#[test]
fn a_thread_whose_account_stands_still_has_no_processor() {
    const MS: Nanos = 1_000_000;
    let mut stage = Stage::new();
    let mut look = |at: Nanos, run: u64, delay: u64| {
        let seen = ThreadLook { sched: Some(Sched { run, delay }), ..thread(A, 'R') };
        stage.lanes.look(at * MS, &[], &[seen], &mut stage.out);
        stage.lanes.cut(at * MS, &mut stage.out);
        std::mem::take(&mut stage.out)
    };
    assert_eq!(look(0, 1, 1), []);
    assert_eq!(look(4, 4 * MS, 1), [span(A, 0, 4 * MS, State::Native, None)]);
    assert_eq!(look(5, 4 * MS, 1), [span(A, 4 * MS, 4 * MS + MS / 2, State::Native, None)]);
    for at in 6..204 {
        assert_eq!(look(at, 4 * MS, 1), []);
    }
    assert_eq!(look(204, 4 * MS, 1), [span(A, 4 * MS + MS / 2, 204 * MS, State::Runnable, None)]);
    assert_eq!(look(205, 4 * MS, 1), [span(A, 204 * MS, 205 * MS, State::Runnable, None)]);
    // It gets one, and then runs.
    assert_eq!(look(206, 4 * MS, 202 * MS), [span(A, 205 * MS, 206 * MS, State::Runnable, None)]);
    assert_eq!(
        look(210, 8 * MS, 202 * MS),
        [span(A, 206 * MS, 208 * MS, State::Runnable, None), span(A, 208 * MS, 210 * MS, State::Native, None)]
    );
}

#[test]
fn who_has_no_gil_changes_when_it_gets_a_processor_or_leaves_it() {
    let mut stage = Stage::new();
    let mut look = |at: Nanos, sign: char, has_processor: bool, since: Nanos| {
        let seen = ThreadLook { turn: Some(Turn { has_processor, since }), ..thread(A, sign) };
        stage.lanes.look(at, &[], &[seen], &mut stage.out);
        stage.lanes.cut(at, &mut stage.out);
        std::mem::take(&mut stage.out)
    };
    assert_eq!(look(100, 's', false, 7), []);
    assert_eq!(
        look(200, 'R', true, 190),
        [span(A, 100, 190, State::Sleep, Some(230)), span(A, 190, 200, State::Native, None)]
    );
    assert_eq!(
        look(300, 'R', false, 210),
        [span(A, 200, 210, State::Native, None), span(A, 210, 300, State::Runnable, None)]
    );
    // It got one, and was found asleep in spite of it: that must have come after this moment.
    assert_eq!(
        look(400, 's', true, 310),
        [span(A, 300, 350, State::Runnable, None), span(A, 350, 400, State::Sleep, Some(230))]
    );
    // Woken, and without a processor so far: when that was nobody tells.
    assert_eq!(
        look(500, 'R', false, 390),
        [span(A, 400, 450, State::Sleep, Some(230)), span(A, 450, 500, State::Runnable, None)]
    );
}
