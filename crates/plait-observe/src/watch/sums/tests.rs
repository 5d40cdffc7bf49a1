use plait_trace::{Gap, Gil, Process, Sight};

use super::*;

const PROCESS: ProcessKey = ProcessKey(0);
const MS: Nanos = 1_000_000;

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn process(key: ProcessKey, pid: Pid) -> Record {
    Record::Process(Process {
        key,
        pid,
        parent: None,
        found: 0,
        command: String::new(),
        python: None,
        sight: Sight::Gil,
        why: None,
        processors: 1,
        quota: None,
        role: None,
    })
}

fn gil(key: u32, interpreters: &[i64]) -> Record {
    Record::Gil(Gil { key: GilKey(key), process: PROCESS, interpreters: interpreters.to_vec(), interval: 5 * MS })
}

fn thread(key: u32, interpreter: Option<i64>) -> Record {
    let (key, tid, name) = (ThreadKey(key), 100 + key, String::new());
    Record::Thread(Thread { key, process: PROCESS, tid, name, interpreter, found: 0 })
}

fn span(thread: u32, from: u64, to: u64, state: State) -> Record {
    Record::Span(Span { thread: ThreadKey(thread), from: from * MS, to: to * MS, state, call: None })
}

/// One process with one GIL, and threads in its main interpreter.
fn begun(threads: u32) -> Sums {
    let mut sums = Sums::new(Refusals::default());
    sums.add(&[process(PROCESS, 7), gil(0, &[0])]);
    sums.add(&(0..threads).map(|key| thread(key, Some(0))).collect::<Vec<_>>());
    sums
}

#[test]
fn each_state_counts_in_one_way() {
    for state in State::ALL {
        let mut sums = begun(1);
        sums.add(&[span(0, 0, 5, state)]);
        let Waits { waiting, running, blocked } = sums.finish().waits;
        let known = if state == State::Unknown { Duration::ZERO } else { ms(5) };
        assert_eq!(waiting + running + blocked, known, "{state}");
        assert_eq!(waiting.is_zero(), !state.wants_gil(), "{state}");
        assert_eq!(running.is_zero(), !state.wants_processor(), "{state}");
    }
}

#[test]
fn a_sleeping_holder_counts_only_where_others_wait() {
    let mut sums = begun(3);
    // What others did becomes known before, or after, in pieces, and also when the holder itself has ended since.
    sums.add(&[span(1, 0, 10, State::Waits), span(0, 5, 30, State::HoldsBlocked), span(1, 10, 30, State::Sleep)]);
    sums.add(&[Record::ThreadEnded { thread: ThreadKey(0), at: 31 * MS }, span(2, 20, 24, State::Waits)]);
    sums.add(&[span(2, 24, 3000, State::Sleep)]);
    let total = sums.finish();
    let [only] = &total.processes[..] else { panic!("{total:?}") };
    let holder = only.threads[0];
    let expected = Waits { waiting: Duration::ZERO, running: ms(9), blocked: ms(16) };
    assert_eq!(holder, ThreadWaits { tid: 100, waits: expected });
    let mut all = Waits::default();
    only.threads.iter().for_each(|thread| all += thread.waits);
    assert_eq!((only.threads.len(), only.waits.clone(), total.waits), (3, Ok(all), all));
}

#[test]
fn who_waits_for_another_gil_waits_not_for_this_one() {
    let mut sums = begun(1);
    sums.add(&[gil(1, &[4]), thread(1, None), thread(1, Some(4)), span(0, 0, 10, State::HoldsBlocked)]);
    sums.add(&[span(1, 0, 10, State::Waits)]);
    assert_eq!(sums.finish().waits, Waits { waiting: ms(10), running: Duration::ZERO, blocked: ms(10) });
}

#[test]
fn processes_that_were_refused_are_listed_with_the_reason_and_nothing_else() {
    let refusals = Refusals::default();
    let mut sums = Sums::new(refusals.clone());
    let refuse = |key, reason: Reason| refusals.lock().expect("whole").insert(key, reason);
    refuse(ProcessKey(1), Reason::NotPython { pid: 8 });
    refuse(ProcessKey(2), Reason::Denied { pid: 9 });
    refuse(ProcessKey(3), Reason::Gone { pid: 10 });
    sums.add(&[process(PROCESS, 7), process(ProcessKey(1), 8), process(ProcessKey(2), 9), process(ProcessKey(3), 10)]);
    sums.add(&[process(PROCESS, 7), gil(0, &[0]), thread(0, Some(0)), span(0, 0, 10, State::HoldsPython)]);
    sums.add(&[Record::ProcessEnded { process: ProcessKey(2), at: 10 * MS }]);
    assert_eq!(refusals.lock().expect("whole").len(), 2, "what is listed is forgotten");
    let total = sums.finish();
    let told: Vec<_> = total.processes.iter().map(|process| (process.pid, process.waits.clone().err())).collect();
    let denied = Some(Reason::Denied { pid: 9 });
    let others = [(7, None), (8, Some(Reason::NotPython { pid: 8 })), (10, Some(Reason::Gone { pid: 10 }))];
    assert_eq!(told, [[(9, denied.clone())].as_slice(), &others].concat());
    assert_eq!((total.refusal, total.waits.running), (denied, ms(10)));
}

#[test]
fn threads_that_end_are_forgotten_and_still_counted() {
    let mut sums = begun(0);
    for key in 0..2000 {
        let at = u64::from(key) * 10;
        sums.add(&[thread(key, Some(0)), span(key, at, at + 10, State::HoldsPython)]);
        sums.add(&[Record::ThreadEnded { thread: ThreadKey(key), at: (at + 10) * MS }]);
        assert!(sums.lanes.len() <= 105, "{}", sums.lanes.len());
    }
    let total = sums.finish();
    assert_eq!((total.waits.running, total.processes[0].threads.len()), (ms(20_000), MOST_THREADS));
}

#[test]
fn time_in_which_nobody_looked_is_added_up() {
    let mut sums = begun(1);
    sums.add(&[Record::Gap(Gap { from: 3 * MS, to: 5 * MS }), Record::Gap(Gap { from: 9 * MS, to: 10 * MS })]);
    assert_eq!(sums.finish().unseen, ms(3));
}
