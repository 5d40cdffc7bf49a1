//! Recordings made up for tests: from lanes drawn in letters, and at random.

use plait_trace::{
    Began, Count, Dropped, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Nanos, Note, Process, ProcessKey,
    Record, Recording, Shot, Sight, Span, Stack, State, Subject, Task, Thread, ThreadKey,
};
use proptest::prelude::*;

pub(crate) const MS: Nanos = 1_000_000;
/// What a letter of a lane stands for.
pub(crate) const LETTER: Nanos = 10 * MS;

/// A recording that is put together step by step.
#[derive(Default)]
pub(crate) struct Made(pub(crate) Recording);

impl Made {
    pub(crate) fn put(&mut self, record: Record) {
        self.0.put(&record).expect("recordings that are made up are in order");
    }

    pub(crate) fn process(&mut self, pid: u32, command: &str) -> ProcessKey {
        let key = ProcessKey(self.0.processes.len() as u32);
        self.put(Record::Process(Process {
            key,
            pid,
            parent: (key.0 > 0).then_some(ProcessKey(0)),
            found: 0,
            command: command.into(),
            python: Some("3.13.1".into()),
            sight: Sight::Gil,
            why: None,
            processors: 2,
            quota: None,
            role: (key.0 > 0).then(|| format!("plait worker {}", key.0)),
        }));
        key
    }

    pub(crate) fn gil(&mut self, process: ProcessKey) -> GilKey {
        let key = GilKey(self.0.gils.len() as u32);
        self.put(Record::Gil(Gil { key, process, interpreters: vec![0], interval: 5 * MS }));
        key
    }

    pub(crate) fn thread(&mut self, process: ProcessKey, tid: u32, name: &str) -> ThreadKey {
        let key = ThreadKey(self.0.threads.len() as u32);
        self.put(Record::Thread(Thread { key, process, tid, name: name.into(), interpreter: Some(0), found: 0 }));
        key
    }

    /// What a thread did from the beginning on: a letter of [`State::letter`] for each 10 ms, a space where nothing is known.
    /// What holds the GIL becomes holds of it.
    pub(crate) fn lane(&mut self, thread: ThreadKey, gil: GilKey, lane: &str) {
        for (place, letter) in (0..).zip(lane.chars()) {
            let Some(state) = State::ALL.into_iter().find(|state| state.letter() == letter) else { continue };
            let (from, to) = (place * LETTER, (place + 1) * LETTER);
            let call = state.is_blocked().then_some(202);
            self.put(Record::Span(Span { thread, from, to, state, call }));
            if state.holds_gil() {
                let holds = &self.0.gils[gil.index()].holds;
                // Lanes are drawn one after another, holds come in the order of time.
                let mut all: Vec<Hold> = holds.clone();
                all.push(Hold { gil, from, to, thread: Some(thread) });
                all.sort_by_key(|hold| hold.from);
                self.0.gils[gil.index()].holds.clear();
                for hold in all {
                    self.put(Record::Hold(hold));
                }
            }
        }
    }

    pub(crate) fn frame(&mut self, function: &str, file: &str, line: u32) -> FrameKey {
        let key = FrameKey(self.0.frames.len() as u32);
        self.put(Record::Frame(Frame { key, function: function.into(), file: file.into(), line }));
        key
    }

    pub(crate) fn count(&mut self, of: Subject, kind: Kind, at: Nanos, value: u64) {
        self.put(Record::Count(Count { of, kind, at, value }));
    }
}

/// A program with a hog, a pool's worker and all else that can be in a recording, in half a second.
pub(crate) fn small() -> Recording {
    let mut made = Made::default();
    made.put(Record::Began(Began {
        monotonic: 5_000_000_000,
        unix: 1_760_000_000_000_000_000,
        plait: "0.1.0".into(),
        what: "python app.py".into(),
        root: 100,
        period: MS,
        processors: 2,
    }));
    let (app, worker) = (made.process(100, "python app.py"), made.process(120, "python app.py"));
    let (gil, other) = (made.gil(app), made.gil(worker));
    let main = made.thread(app, 100, "python");
    let parser = made.thread(app, 101, "parser");
    let reader = made.thread(app, 102, "reader");
    let tasks = made.thread(worker, 120, "python");
    made.lane(main, gil, "PPPPPwwwwwwwwwwwwwwwwwwwwPPPPPooooooooooPPPPPoooooo");
    made.lane(parser, gil, "wwwwwNNNNNNNNNNNNNNNNNNNNwwwwwPPPPPllllllllllllllll");
    made.lane(reader, gil, "iiiiiiiiiiwwwwwwwwwwwwwwwiiiiiiiiiiiwnnnnrrrriiiii");
    made.lane(tasks, other, "sssssPPPPPPPPPPGGPPPPBBBssssss");
    let run = made.frame("<module>", "/srv/app/app.py", 40);
    let load = made.frame("Parser.load", "/srv/app/parser.py", 12);
    let wait = made.frame("Thread.run", "/usr/lib/python3.13/threading.py", 994);
    for at in [0, 20, 40, 260, 280] {
        made.put(Record::Stack(Stack { thread: main, at: at * MS, frames: vec![run] }));
    }
    for at in [60, 80, 100, 120, 140] {
        made.put(Record::Stack(Stack { thread: parser, at: at * MS, frames: vec![load, wait] }));
    }
    made.put(Record::Shot(Shot {
        thread: parser,
        at: 70 * MS,
        function: Some("_json_loads".into()),
        natives: vec!["scan_once_unicode".into(), "_json_loads".into()],
        frames: vec![load, wait],
        pause: 48_000,
    }));
    made.put(Record::Task(Task { thread: tasks, from: 50 * MS, to: 230 * MS, name: "crunch".into(), id: 7 }));
    for at in 0..=5 {
        made.count(Subject::Thread(main), Kind::CpuTime, at * 100 * MS, at * 20 * MS);
        made.count(Subject::Thread(parser), Kind::CpuTime, at * 100 * MS, at * 50 * MS);
        made.count(Subject::Thread(tasks), Kind::CpuTime, at * 100 * MS, at * 40 * MS);
        made.count(Subject::Thread(reader), Kind::RunDelay, at * 100 * MS, at * 10 * MS);
        made.count(Subject::Gil(gil), Kind::Switches, at * 100 * MS, at * 3);
        made.count(Subject::Process(worker), Kind::ThrottledTime, at * 100 * MS, at * 5 * MS);
        made.count(Subject::Machine, Kind::Pressure, at * 100 * MS, at * 25 * MS);
    }
    made.put(Record::Gap(Gap { from: 300 * MS, to: 310 * MS }));
    made.put(Record::Note(Note { process: Some(worker), text: "switch events are not permitted".into() }));
    made.put(Record::ProcessEnded { process: worker, at: 300 * MS });
    made.put(Record::ThreadEnded { thread: tasks, at: 300 * MS });
    let dropped = Dropped { stacks: 2, ..Dropped::default() };
    made.put(Record::Ended(Ended {
        at: 510 * MS,
        looks: 500,
        late: 3,
        lateness_p50: 60_000,
        lateness_p99: 900_000,
        cost: 4 * MS,
        dropped,
    }));
    made.0
}

fn time() -> impl Strategy<Value = Nanos> {
    prop_oneof![8 => 0_u64..3_000_000_000, 4 => 0_u64..2_000, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

/// Something that a recording may refuse.
fn record() -> impl Strategy<Value = Record> {
    let key = || 0_u32..4;
    let text = || prop_oneof![3 => "[a-z]{0,8}", 1 => any::<String>()];
    let state = || (0..State::ALL.len()).prop_map(|place| State::ALL[place]);
    let frames = || prop::collection::vec((0_u32..6).prop_map(FrameKey), 0..6);
    prop_oneof![
        8 => (key(), time(), time(), state(), any::<Option<u16>>()).prop_map(|(thread, from, lasts, state, call)| {
            Record::Span(Span { thread: ThreadKey(thread), from, to: from.saturating_add(lasts), state, call })
        }),
        4 => (key(), time(), time(), prop::option::of(key())).prop_map(|(gil, from, lasts, thread)| {
            let thread = thread.map(ThreadKey);
            Record::Hold(Hold { gil: GilKey(gil), from, to: from.saturating_add(lasts), thread })
        }),
        4 => (key(), time(), frames())
            .prop_map(|(thread, at, frames)| Record::Stack(Stack { thread: ThreadKey(thread), at, frames })),
        2 => (key(), time(), prop::option::of(text()), prop::collection::vec(text(), 0..3), frames(), time()).prop_map(
            |(thread, at, function, natives, frames, pause)| {
                Record::Shot(Shot { thread: ThreadKey(thread), at, function, natives, frames, pause })
            }
        ),
        4 => (key(), time(), time(), text(), any::<u64>()).prop_map(|(thread, from, lasts, name, id)| {
            Record::Task(Task { thread: ThreadKey(thread), from, to: from.saturating_add(lasts), name, id })
        }),
        4 => (0..4_u32, key(), 0..7_usize, time(), time()).prop_map(|(of, key, kind, at, value)| {
            let of = [
                Subject::Machine,
                Subject::Process(ProcessKey(key)),
                Subject::Thread(ThreadKey(key)),
                Subject::Gil(GilKey(key)),
            ][of as usize];
            let kind = [
                Kind::Switches,
                Kind::CpuTime,
                Kind::RunDelay,
                Kind::QuotaPeriods,
                Kind::ThrottledPeriods,
                Kind::ThrottledTime,
                Kind::Pressure,
            ][kind];
            Record::Count(Count { of, kind, at, value })
        }),
        1 => (time(), time()).prop_map(|(from, to)| Record::Gap(Gap { from, to })),
        1 => (prop::option::of(key()), text())
            .prop_map(|(process, text)| Record::Note(Note { process: process.map(ProcessKey), text })),
        1 => (key(), time()).prop_map(|(thread, at)| Record::ThreadEnded { thread: ThreadKey(thread), at }),
        1 => (key(), time()).prop_map(|(process, at)| Record::ProcessEnded { process: ProcessKey(process), at }),
        1 => time().prop_map(|at| Record::Ended(Ended { at, ..Ended::default() })),
    ]
}

/// Any recording at all: of few processes, with names and times of every kind.
pub(crate) fn any_recording() -> impl Strategy<Value = Recording> {
    let text = || prop_oneof![3 => "[a-z]{0,8}", 1 => any::<String>()];
    let sight = (0..4_usize).prop_map(|sight| [Sight::Gil, Sight::FreeThreaded, Sight::Kernel, Sight::Nothing][sight]);
    let process = (0..5_u32, text(), prop::option::of(text()), sight, prop::option::of(text()), time());
    let gil = (0..3_u32, prop::collection::vec(0..3_i64, 0..3));
    let thread = (0..3_u32, 0..6_u32, text(), prop::option::of(0..3_i64), time());
    let frame = (text(), text(), prop_oneof![0..3_u32, any::<u32>()]);
    (
        prop::collection::vec(process, 0..4),
        prop::collection::vec(gil, 0..3),
        prop::collection::vec(thread, 0..5),
        prop::collection::vec(frame, 0..6),
        prop::collection::vec(record(), 0..60),
    )
        .prop_map(|(processes, gils, threads, frames, records)| {
            let mut recording = Recording::default();
            let mut all = Vec::new();
            for (key, (pid, command, role, sight, why, found)) in (0..).zip(processes) {
                all.push(Record::Process(Process {
                    key: ProcessKey(key),
                    pid,
                    parent: None,
                    found,
                    command,
                    python: why.clone(),
                    sight,
                    why,
                    processors: pid,
                    quota: Some(f64::from(pid) / 3.0),
                    role,
                }));
            }
            for (key, (process, interpreters)) in (0..).zip(gils) {
                all.push(Record::Gil(Gil {
                    key: GilKey(key),
                    process: ProcessKey(process),
                    interpreters,
                    interval: 5,
                }));
            }
            for (key, (process, tid, name, interpreter, found)) in (0..).zip(threads) {
                let (key, process) = (ThreadKey(key), ProcessKey(process));
                all.push(Record::Thread(Thread { key, process, tid, name, interpreter, found }));
            }
            for (key, (function, file, line)) in (0..).zip(frames) {
                all.push(Record::Frame(Frame { key: FrameKey(key), function, file, line }));
            }
            for record in all.into_iter().chain(records) {
                // Much of it is refused, as it is from a file that is damaged.
                let _ = recording.put(&record);
            }
            recording
        })
}
