//! What one process did within its window.

use plait_trace::{GilLane, Kind, Nanos, Recording, Sight, State, Subject, ThreadKey, Track};

use super::code::Code;
use super::counts::Counts;
use super::gil::{Doubt, GilSurvey, GilUse, NativeHold};
use super::thread::{ThreadSurvey, calls_of};
use super::times::{Times, is_active, runs};
use super::window::{Union, Window, share};

/// Stacks of a program that starts come one after another; where none was taken for so long, it is not starting.
const NEXT_STACK: Nanos = 200_000_000;

/// A process that is looked into.
#[derive(Debug)]
pub(super) struct ProcessSurvey<'a> {
    pub track: &'a Track,
    pub window: Window,
    pub threads: Vec<ThreadSurvey<'a>>,
    /// By GIL, in the order of the recording.
    pub gils: Vec<GilSurvey>,
    /// How often somebody looked.
    pub samples: u64,
    pub totals: Totals,
}

/// Figures that add up over processes: seconds, and processors times seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// How long it was there.
    pub length: f64,
    /// How long somebody looked.
    pub seen: f64,
    /// For how long this was a process whose GIL is seen.
    pub seen_gil: f64,
    /// Of the GIL that is used most.
    pub gil: GilUse,
    /// Processor time, where it was counted.
    pub cpu: Option<f64>,
    /// Time of waiting for a processor, where it was counted.
    pub delay: Option<f64>,
    /// Time of threads that computed, but for that in which they waited to be told something.
    pub computing: f64,
    /// Of that, in native code without the GIL, or detached from the interpreter.
    pub native: f64,
    /// Threads were attached to a free-threaded interpreter.
    pub attached: f64,
    /// Time of busy threads, but for that in which they waited to be told something.
    pub busy: f64,
    /// Of that, waiting for the network, a disk, events or time.
    pub io: f64,
    /// Of that, waiting for locks.
    pub locks: f64,
    /// Of the time of all threads: running, or wanting to run.
    pub active: f64,
    /// Threads that waited for locks for a good part of their time.
    pub lock_waiters: u32,
    /// Some of them without a stack that says for what.
    pub locks_unexplained: bool,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        let sum = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(|a, b| a + b);
        self.length += other.length;
        self.seen += other.seen;
        self.seen_gil += other.seen_gil;
        self.gil.add(&other.gil);
        self.cpu = sum(self.cpu, other.cpu);
        self.delay = sum(self.delay, other.delay);
        self.computing += other.computing;
        self.native += other.native;
        self.attached += other.attached;
        self.busy += other.busy;
        self.io += other.io;
        self.locks += other.locks;
        self.active += other.active;
        self.lock_waiters = self.lock_waiters.saturating_add(other.lock_waiters);
        self.locks_unexplained |= other.locks_unexplained;
    }
}

/// A thread that waits for locks for this share of its time suffers from them.
const LOCK_WAITER: f64 = 0.15;

impl<'a> ProcessSurvey<'a> {
    pub fn of(
        code: &Code<'a>,
        recording: &'a Recording,
        track: &'a Track,
        window: Window,
        counts: &Counts,
        gaps: &Union,
    ) -> Self {
        let lanes = recording.threads_of(&track.process);
        let mut threads: Vec<ThreadSurvey<'a>> =
            lanes.map(|lane| ThreadSurvey::of(code, lane, window, counts)).collect();
        name_threads(&mut threads, track.process.pid);
        let lanes: Vec<&GilLane> = recording.gils_of(&track.process).collect();
        let used = |kind| processor_time(track, &threads, counts, kind, window);
        let (cpu, delay) = (used(Kind::CpuTime), used(Kind::RunDelay));
        let doubt = is_crowded(cpu, delay).then(|| Doubt::of(code, &threads, window, delayed(cpu, delay)));

        let gils = lanes.iter().map(|lane| {
            let users: Vec<_> = threads.iter().enumerate().filter(|(_, thread)| uses(thread, lane, &lanes)).collect();
            GilSurvey::of(lane, &users, window, counts, doubt.as_ref())
        });
        let gils: Vec<GilSurvey> = gils.collect();
        let unseen = gaps.of_window(window);
        let mut survey = Self { track, window, threads, gils, samples: 0, totals: Totals::default() };
        survey.totals = survey.total(counts, window.length().saturating_sub(unseen));
        survey
    }

    fn total(&self, counts: &Counts, seen: Nanos) -> Totals {
        let seen = super::window::seconds(seen);
        let used = |gil: &&GilSurvey| gil.usage.held + gil.usage.waited;
        let gil = self.gils.iter().reduce(|most, next| if used(&next) > used(&most) { next } else { most });
        let of_process = |kind| {
            // Counters go on where nobody looks.
            let processors = processor_time(self.track, &self.threads, counts, kind, self.window);
            processors.map(|processors| processors * self.window.seconds())
        };
        let mut totals = Totals {
            length: self.window.seconds(),
            seen,
            seen_gil: if self.track.process.sight == Sight::Gil && gil.is_some() { seen } else { 0.0 },
            gil: gil.map(|gil| gil.usage).unwrap_or_default(),
            cpu: of_process(Kind::CpuTime),
            delay: of_process(Kind::RunDelay),
            ..Totals::default()
        };
        for thread in &self.threads {
            totals.active += thread.times.seconds(is_active);
            totals.attached += thread.times.seconds(|state| state == State::Attached);
            let own_time = thread.own_time();
            if thread.computes {
                totals.computing += own_time;
                totals.native += settled(&thread.times, |state| matches!(state, State::Native | State::Detached));
            }
            if thread.busy {
                let locks = thread.waited(|state| state == State::Lock);
                totals.busy += own_time;
                totals.locks += locks;
                totals.io += thread.waited(|state| !matches!(state, State::Lock | State::Child));
                if share(locks, own_time) >= LOCK_WAITER {
                    totals.lock_waiters += 1;
                    totals.locks_unexplained |= !thread.locks_explained;
                }
            }
        }
        totals
    }

    /// Native code that kept the GIL, by all of its GILs.
    pub fn holds(&self) -> impl Iterator<Item = &NativeHold> {
        self.gils.iter().flat_map(|gil| &gil.holds)
    }

    /// It runs or wants to run for a good part of the time, or waits for things that happen.
    pub fn is_busy(&self) -> bool {
        self.threads.iter().any(|thread| thread.busy)
    }
}

/// Of the time in which threads could run, they have no processor for this share on a crowded machine.
const CROWDED: f64 = 0.2;

/// Whether threads waited for processors so much that what they did looks like something else.
pub(super) fn is_crowded(cpu: Option<f64>, delay: Option<f64>) -> bool {
    delayed(cpu, delay) >= CROWDED
}

/// Of the time in which threads could run, the share in which they had no processor.
fn delayed(cpu: Option<f64>, delay: Option<f64>) -> f64 {
    cpu.zip(delay).map_or(0.0, |(cpu, delay)| share(delay, cpu + delay))
}

/// Processors that a process used, or waited for.
fn processor_time(
    track: &Track,
    threads: &[ThreadSurvey<'_>],
    counts: &Counts,
    kind: Kind,
    window: Window,
) -> Option<f64> {
    let keys: Vec<ThreadKey> = threads.iter().map(|thread| thread.lane.thread.key).collect();
    counts.of_process(Subject::Process(track.process.key), &keys, kind, window)
}

/// Seconds in states that run, with a part of the time in which it had no processor.
fn settled(times: &Times, which: impl Fn(State) -> bool) -> f64 {
    let own = times.seconds(&which);
    own + times.seconds(|state| state == State::Runnable) * share(own, times.seconds(runs))
}

/// Whether a thread uses this one of its process's GILs.
fn uses(thread: &ThreadSurvey<'_>, gil: &GilLane, all: &[&GilLane]) -> bool {
    match thread.lane.thread.interpreter {
        _ if all.len() == 1 => true,
        Some(interpreter) if all.iter().any(|other| other.gil.interpreters.contains(&interpreter)) => {
            gil.gil.interpreters.contains(&interpreter)
        }
        _ => gil.holds.iter().any(|hold| hold.thread == Some(thread.lane.thread.key)),
    }
}

/// The main thread is called that; the others have their own name where it is not only that of the program.
fn name_threads(threads: &mut [ThreadSurvey<'_>], pid: u32) {
    let main = threads.iter().find(|thread| thread.lane.thread.tid == pid);
    let program = main.map(|thread| thread.lane.thread.name.clone()).unwrap_or_default();
    for thread in threads {
        let own = &thread.lane.thread;
        thread.name = match own.tid == pid {
            true => "main thread".to_owned(),
            false if own.name.is_empty() || own.name == program => format!("thread {}", own.tid),
            false => crate::plain_text::one_line(&own.name),
        };
    }
}

/// When a process did something: from when it did until it ended, or nobody saw it any more.
pub(super) fn window_of(recording: &Recording, track: &Track, within: Window) -> Window {
    let spans = || recording.threads_of(&track.process).flat_map(|lane| lane.spans.iter());
    let seen = spans().filter(|span| span.state != State::Unknown);
    let from = seen.map(|span| span.from).min().unwrap_or(0).max(track.process.found);
    let holds = recording.gils_of(&track.process).filter_map(|lane| Some(lane.holds.last()?.to));
    let last = recording.threads_of(&track.process).filter_map(|lane| Some(lane.spans.last()?.to)).chain(holds).max();
    let to = track.ended.unwrap_or(Nanos::MAX).min(last.unwrap_or(recording.length()));
    Window::new(from, to).within(within)
}

/// Until when the program loaded the modules that it starts with, where the recording saw it start.
pub(super) fn start_up(recording: &Recording, track: &Track, window: Window) -> Option<Nanos> {
    let main = recording.threads_of(&track.process).find(|lane| lane.thread.tid == track.process.pid)?;

    let mut last = window.from;
    let mut end = None;
    for (at, frames) in calls_of(main, window) {
        let imports = frames.iter().any(|frame| {
            let frame = recording.frames.get(frame.index());
            frame.is_some_and(|frame| frame.file.starts_with("<frozen importlib"))
        });
        if !imports || at - last > NEXT_STACK {
            break;
        }
        (last, end) = (at, Some(at));
    }
    end
}
