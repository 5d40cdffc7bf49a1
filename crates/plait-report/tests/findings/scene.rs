//! Recordings drawn in text: a lane for each thread, a letter for what it did in ten milliseconds.

use plait_trace::{
    Began, Count, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Nanos, Note, Process, ProcessKey, Record,
    Recording, Shot, Sight, Span, Stack, State, Subject, Thread, ThreadKey,
};

/// What a letter stands for.
pub const TICK: Nanos = 10_000_000;

/// A recording that is being drawn.
pub struct Scene {
    recording: Recording,
    processors: u32,
    lanes: Vec<(ThreadKey, ProcessKey, String)>,
    frames: Vec<(String, String, u32)>,
    counts: Vec<(Subject, Kind, u64)>,
    counts_processors: bool,
    looks: Option<u64>,
    keeps_gil: bool,
}

impl Scene {
    /// A program on a machine with two processors.
    pub fn new() -> Self {
        Self::on(2)
    }

    pub fn on(processors: u32) -> Self {
        let began = Began {
            what: "python app.py".into(),
            root: 100,
            period: 1_000_000,
            processors,
            plait: "0.1.0".into(),
            ..Began::default()
        };
        let scene = Self {
            recording: Recording::default(),
            processors,
            lanes: Vec::new(),
            frames: Vec::new(),
            counts: Vec::new(),
            counts_processors: true,
            looks: None,
            keeps_gil: true,
        };
        scene.put(Record::Began(began)).process("python app.py")
    }

    pub fn put(mut self, record: Record) -> Self {
        self.recording.put(&record).expect("a record that fits");
        self
    }

    /// A process with a GIL; the lanes that follow are of its threads. The first one is there already.
    pub fn process(self, command: &str) -> Self {
        let number = self.recording.processes.len() as u32;
        let process = Process {
            key: ProcessKey(number),
            pid: 100 * (number + 1),
            parent: (number > 0).then_some(ProcessKey(0)),
            found: 0,
            command: command.into(),
            python: Some("3.13.0".into()),
            sight: Sight::Gil,
            why: None,
            processors: self.processors,
            quota: None,
            role: None,
        };
        let gil = Gil { key: GilKey(number), process: ProcessKey(number), interpreters: vec![0], interval: 5_000_000 };
        self.put(Record::Process(process)).put(Record::Gil(gil))
    }

    /// Describes the last process anew.
    pub fn with(self, change: impl FnOnce(&mut Process)) -> Self {
        let mut process = self.recording.processes.last().expect("there is one").process.clone();
        change(&mut process);
        self.put(Record::Process(process))
    }

    /// A thread of the last process; its first is the main thread. `.` is no thread.
    pub fn lane(self, name: &str, letters: &str) -> Self {
        let process = &self.recording.processes.last().expect("there is one").process;
        let (process, pid) = (process.key, process.pid);
        let number = self.lanes.iter().filter(|(_, own, _)| *own == process).count() as u32;
        let key = ThreadKey(self.lanes.len() as u32);
        let thread = Thread { key, process, tid: pid + number, name: name.into(), interpreter: Some(0), found: 0 };
        let mut scene = self.put(Record::Thread(thread));
        for (at, letter) in ticks(letters) {
            let Some(state) = State::ALL.into_iter().find(|state| state.letter() == letter) else {
                assert_eq!(letter, '.', "no state has this letter");
                continue;
            };
            let call = (state == State::Poll).then_some(232);
            scene = scene.put(Record::Span(Span { thread: key, from: at, to: at + TICK, state, call }));
        }
        scene.lanes.push((key, process, letters.to_owned()));
        scene
    }

    /// The last thread is one that no Python knows.
    pub fn foreign(self) -> Self {
        let mut thread = self.recording.threads.last().expect("there is one").thread.clone();
        thread.interpreter = None;
        self.put(Record::Thread(thread))
    }

    /// The last thread was in these calls, innermost first, whenever its lane shows one of these letters. A call is
    /// `function file:line`; what is no path is in the standard library.
    pub fn seen(mut self, letters: &str, calls: &[&str]) -> Self {
        let frames = self.frames_of(calls);
        let (thread, _, lane) = self.lanes.last().expect("there is one").clone();
        for (at, letter) in ticks(&lane).filter(|(at, _)| at % (2 * TICK) == 0) {
            if letters.contains(letter) {
                self = self.put(Record::Stack(Stack { thread, at: at + TICK / 2, frames: frames.clone() }));
            }
        }
        self
    }

    /// A native stack of the last thread in each stretch of `letter`.
    pub fn shots(self, letter: char, function: &str, calls: &[&str]) -> Self {
        self.native_stacks(letter, Some(function), &[function], calls)
    }

    /// A native stack in each stretch of `letter`, in which no C function was called by Python.
    pub fn natives(self, letter: char, natives: &[&str]) -> Self {
        self.native_stacks(letter, None, natives, &[])
    }

    fn native_stacks(mut self, letter: char, function: Option<&str>, natives: &[&str], calls: &[&str]) -> Self {
        let frames = self.frames_of(calls);
        let (thread, _, lane) = self.lanes.last().expect("there is one").clone();
        let letters: Vec<(Nanos, char)> = ticks(&lane).collect();
        for (place, (at, own)) in letters.iter().enumerate() {
            let begins = *own == letter && (place == 0 || letters[place - 1].1 != letter);
            if begins {
                let natives = natives.iter().map(|name| (*name).to_owned()).collect();
                let function = function.map(str::to_owned);
                let shot = Shot { thread, at: at + TICK / 2, function, natives, frames: frames.clone(), pause: 50_000 };
                self = self.put(Record::Shot(shot));
            }
        }
        self
    }

    fn frames_of(&mut self, calls: &[&str]) -> Vec<FrameKey> {
        let mut keys = Vec::new();
        for call in calls {
            let (function, place) = call.split_once(' ').expect("function file:line");
            let (file, line) = place.rsplit_once(':').expect("file:line");
            let file = if file.starts_with(['/', '<']) { file.into() } else { format!("/usr/lib/python3.13/{file}") };
            let frame = (function.to_owned(), file, line.parse().expect("a line"));
            let place = self.frames.iter().position(|own| *own == frame).unwrap_or_else(|| {
                let key = FrameKey(self.frames.len() as u32);
                let (function, file, line) = frame.clone();
                self.recording.put(&Record::Frame(Frame { key, function, file, line })).expect("a frame");
                self.frames.push(frame);
                self.frames.len() - 1
            });
            keys.push(FrameKey(place as u32));
        }
        keys
    }

    /// A counter of the last process grows by so much over the whole recording.
    pub fn grows(mut self, kind: Kind, by: u64) -> Self {
        let process = self.recording.processes.last().expect("there is one").process.key;
        self.counts.push((Subject::Process(process), kind, by));
        self
    }

    /// The last process's GIL changes hands so often.
    pub fn switches(mut self, by: u64) -> Self {
        let gil = GilKey(self.recording.gils.len() as u32 - 1);
        self.counts.push((Subject::Gil(gil), Kind::Switches, by));
        self
    }

    /// Nobody counted processor time.
    pub fn uncounted(mut self) -> Self {
        self.counts_processors = false;
        self
    }

    /// So many looks, instead of one in a millisecond.
    pub fn looks(mut self, looks: u64) -> Self {
        self.looks = Some(looks);
        self
    }

    /// Who loses its processor has no GIL, either.
    pub fn dropping_gil(mut self) -> Self {
        self.keeps_gil = false;
        self
    }

    pub fn gap(self, from: Nanos, to: Nanos) -> Self {
        self.put(Record::Gap(Gap { from: from * TICK, to: to * TICK }))
    }

    pub fn note(self, text: &str) -> Self {
        self.put(Record::Note(Note { process: None, text: text.into() }))
    }

    /// The recording: holds follow from the lanes, and so do the counters of processor time.
    pub fn build(mut self) -> Recording {
        let length = self.lanes.iter().map(|(_, _, lane)| lane.chars().count()).max().unwrap_or(0) as Nanos * TICK;
        for place in 0..self.recording.gils.len() {
            self.put_holds(GilKey(place as u32), length);
        }
        if self.counts_processors {
            self.put_processor_times();
        }
        for (of, kind, by) in std::mem::take(&mut self.counts) {
            let count = |at, value| Record::Count(Count { of, kind, at, value });
            self = self.put(count(0, 1_000)).put(count(length, 1_000 + by));
        }
        let looks = self.looks.unwrap_or(length / 1_000_000);
        let ended = Ended { at: length, looks, cost: length / 100, lateness_p50: 30_000, ..Ended::default() };
        self.put(Record::Ended(ended)).recording
    }

    fn put_holds(&mut self, gil: GilKey, length: Nanos) {
        let process = self.recording.gils[gil.index()].gil.process;
        let lanes: Vec<(ThreadKey, Vec<char>)> = self
            .lanes
            .iter()
            .filter(|(_, own, _)| *own == process)
            .map(|(thread, _, lane)| (*thread, lane.chars().collect()))
            .collect();
        let mut last = None;
        for tick in 0..(length / TICK) {
            let holder = lanes.iter().filter(|(_, lane)| lane.get(tick as usize).is_some_and(|l| "PNBG".contains(*l)));
            let holders: Vec<ThreadKey> = holder.map(|(thread, _)| *thread).collect();
            assert!(holders.len() < 2, "two threads have the GIL at {tick}");
            // Who loses its processor keeps the GIL.
            let keeps = last.filter(|last| {
                let lane = lanes.iter().find(|(thread, _)| thread == last);
                self.keeps_gil && lane.is_some_and(|(_, lane)| lane.get(tick as usize) == Some(&'r'))
            });
            last = holders.first().copied().or(keeps);
            if let Some(thread) = last {
                let hold = Hold { gil, from: tick * TICK, to: (tick + 1) * TICK, thread: Some(thread) };
                self.recording.put(&Record::Hold(hold)).expect("a hold");
            }
        }
    }

    fn put_processor_times(&mut self) {
        for track in &self.recording.processes {
            let process = track.process.key;
            let time = |letters: &str| {
                let own = self.lanes.iter().filter(|(_, own, _)| *own == process);
                let number: usize = own.map(|(_, _, lane)| lane.chars().filter(|l| letters.contains(*l)).count()).sum();
                number as u64 * TICK
            };
            self.counts.push((Subject::Process(process), Kind::CpuTime, time("PNGnAa")));
            self.counts.push((Subject::Process(process), Kind::RunDelay, time("r")));
        }
    }
}

fn ticks(letters: &str) -> impl Iterator<Item = (Nanos, char)> + '_ {
    letters.chars().enumerate().map(|(place, letter)| (place as Nanos * TICK, letter))
}
