//! What one GIL was used for within a window.

use std::collections::{BTreeMap, BTreeSet};

use plait_trace::{GilLane, Kind, Nanos, State, Subject, ThreadKey};
use serde::Serialize;

use super::code::{Code, SpotKey};
use super::counts::Counts;
use super::thread::{ThreadSurvey, part, shots_within, spans_within};
use super::times::runs;
use super::window::{Level, Union, Window, ratio, seconds, share};

/// A hold by native code counts as one that others notice from here on, and from four switch intervals on.
const NOTICED: Nanos = 20_000_000;
/// Others wait for a hold if they do for this long, or for a quarter of it.
const WAITED: Nanos = 5_000_000;
/// Who waits for longer than so many times as long as it then has it wants little of it: what it loses is time to answer, and
/// there is no work that could be done by others.
const LITTLE: f64 = 10.0;
/// What a thread and its neighbours have a processor for at a time, all turns together, at the most.
const TURNS: Nanos = 40_000_000;

/// What one GIL was used for, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct GilUse {
    /// Somebody had it.
    pub held: f64,
    /// Somebody had it and ran Python code.
    pub python: f64,
    /// Somebody had it and was in one native call for long.
    pub native: f64,
    /// Somebody had it and slept.
    pub blocked: f64,
    /// Somebody had it and collected garbage.
    pub gc: f64,
    /// Threads waited for it; those of several threads add up.
    pub waited: f64,
    /// The same, where the wait of a thread that wants little of it counts no more than that.
    pub contended: f64,
    /// Somebody waited for it, and nobody had it: the time it takes to hand it over.
    pub lost: f64,
    /// Nobody had it, and threads that use it had no processor: as much of that time as they have it for when they do run.
    pub starved: f64,
    /// How often it went from one thread to another in a second, where that was counted.
    pub handoffs: Option<f64>,
    /// How many of those in a second came between two looks.
    pub unseen_handoffs: Option<f64>,
}

impl GilUse {
    pub(super) fn add(&mut self, other: &Self) {
        let sum = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(|a, b| a + b);
        *self = Self {
            held: self.held + other.held,
            python: self.python + other.python,
            native: self.native + other.native,
            blocked: self.blocked + other.blocked,
            gc: self.gc + other.gc,
            waited: self.waited + other.waited,
            contended: self.contended + other.contended,
            lost: self.lost + other.lost,
            starved: self.starved + other.starved,
            handoffs: sum(self.handoffs, other.handoffs),
            unseen_handoffs: sum(self.unseen_handoffs, other.unseen_handoffs),
        };
    }
}

/// Native code had the GIL from one moment to another without letting go.
#[derive(Clone, Debug)]
pub(super) struct NativeHold {
    pub window: Window,
    /// The place of the thread in its process.
    pub thread: usize,
    /// How long it slept meanwhile.
    pub blocked: Nanos,
    /// How long others waited for it meanwhile; those of several threads add up.
    pub waited: Nanos,
    /// The C function, by a native stack.
    pub function: Option<String>,
    /// A native stack was taken, and showed no C function that Python had called.
    pub is_nameless: bool,
    /// It collected garbage.
    pub is_gc: bool,
    /// It was long enough to be noticed, and others waited.
    pub is_noticed: bool,
}

/// A GIL that is looked into.
#[derive(Debug)]
pub(super) struct GilSurvey {
    pub usage: GilUse,
    pub holds: Vec<NativeHold>,
}

impl GilSurvey {
    /// `threads` are those that use this GIL, each with its place in the process.
    pub fn of(
        lane: &GilLane,
        threads: &[(usize, &ThreadSurvey<'_>)],
        window: Window,
        counts: &Counts,
        doubt: Option<&Doubt<'_>>,
    ) -> Self {
        let waits: Vec<Window> = threads
            .iter()
            .flat_map(|(_, thread)| spans_within(thread.lane, window))
            .filter(|span| span.state.wants_gil())
            .map(|span| part(span, window))
            .collect();
        let held = holds(lane, threads, window);
        let level = Level::of(&waits);
        let mut usage = usage(lane, threads, window, counts, (held, &waits, &level));
        let mut holds: Vec<NativeHold> =
            threads.iter().flat_map(|&(place, thread)| native_holds(lane, place, thread, window, &level)).collect();
        if let Some(doubt) = doubt {
            let thread =
                |hold: &NativeHold| threads.iter().find(|(place, _)| *place == hold.thread).map(|(_, thread)| *thread);
            holds.retain(|hold| {
                let is_real = thread(hold).is_none_or(|thread| doubt.is_settled(hold, thread));
                if !is_real {
                    let time = seconds(hold.window.length()).min(usage.native);
                    usage.native -= time;
                    usage.python += time;
                }
                is_real
            });
        }
        Self { usage, holds }
    }
}

/// Where processors are short, a holder that lost its own stays in one place as if it were in native code. What a native stack
/// names is native code all the same, and so is what came from the same line, or went on for longer than a thread goes
/// without a processor as a rule.
#[derive(Debug)]
pub(super) struct Doubt<'a> {
    code: &'a Code<'a>,
    named: BTreeSet<SpotKey>,
    /// How long a thread goes without a processor.
    absence: Nanos,
}

impl<'a> Doubt<'a> {
    /// `delayed` is the share of the time able to run that was spent waiting for a processor.
    pub fn of(code: &'a Code<'a>, threads: &[ThreadSurvey<'_>], window: Window, delayed: f64) -> Self {
        let shots = threads.iter().flat_map(|thread| shots_within(thread.lane, window));
        let named = shots.filter(|shot| shot.function.is_some());
        let named = named.filter_map(|shot| code.spot(&shot.frames).map(SpotKey::line)).collect();
        // With each turn on a processor, as long as it takes the others to have theirs.
        let absence = ratio(delayed, 1.0 - delayed) * TURNS as f64;
        Self { code, named, absence: if delayed < 1.0 { absence as Nanos } else { Nanos::MAX } }
    }

    fn is_settled(&self, hold: &NativeHold, thread: &ThreadSurvey<'_>) -> bool {
        let calls = || thread.calls_in(hold.window).iter().filter_map(|(_, frames)| self.code.spot(frames));
        hold.is_gc
            || hold.blocked > 0
            || hold.function.is_some()
            || !hold.is_nameless && hold.window.length() > self.absence
            || calls().any(|spot| self.named.contains(&spot.line()))
    }
}

/// When somebody had it: as was recorded of the GIL, or else as its threads' spans say.
fn holds(lane: &GilLane, threads: &[(usize, &ThreadSurvey<'_>)], window: Window) -> Vec<Window> {
    let recorded = lane.holds.iter().map(|hold| Window::new(hold.from, hold.to).within(window));
    let recorded: Vec<Window> = recorded.filter(|hold| !hold.is_empty()).collect();
    if !recorded.is_empty() {
        return recorded;
    }
    let spans = threads.iter().flat_map(|(_, thread)| spans_within(thread.lane, window));
    spans.filter(|span| span.state.holds_gil()).map(|span| part(span, window)).collect()
}

fn usage(
    lane: &GilLane,
    threads: &[(usize, &ThreadSurvey<'_>)],
    window: Window,
    counts: &Counts,
    (held, waits, level): (Vec<Window>, &[Window], &Level),
) -> GilUse {
    let either = Union::of(held.iter().chain(waits).copied().collect()).of_window(window);
    let held = Union::of(held).of_window(window);
    let time = |state| threads.iter().map(|(_, thread)| seconds(thread.times.of(state))).sum::<f64>();
    let states = [State::HoldsPython, State::HoldsNative, State::HoldsBlocked, State::HoldsGc].map(time);
    let mut by_thread: BTreeMap<ThreadKey, Vec<Window>> = BTreeMap::new();
    for hold in &lane.holds {
        if let Some(thread) = hold.thread {
            by_thread.entry(thread).or_default().push(Window::new(hold.from, hold.to));
        }
    }
    let starved: f64 = threads
        .iter()
        .map(|(_, thread)| starved(thread, by_thread.remove(&thread.lane.thread.key).unwrap_or_default(), window))
        .sum();
    // Side by side they would not have it for longer than the time that is left.
    let starved = starved.min(window.seconds() - seconds(held));
    // A holder that lost its processor has the GIL all the same: what it does then is what it does else.
    let whole: f64 = states.iter().sum();
    let held = seconds(held);
    let [python, native, blocked, gc] = states.map(|state| if whole > 0.0 { held * share(state, whole) } else { 0.0 });
    let handoffs = counts.get(Subject::Gil(lane.gil.key), Kind::Switches).map(|growth| growth.per_second());
    let recorded = lane.holds.iter().filter(|hold| !Window::new(hold.from, hold.to).within(window).is_empty());
    let threads_seen: Vec<_> = recorded.filter_map(|hold| hold.thread).collect();
    let seen = threads_seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let seen = ratio(seen as f64, window.seconds());
    let contended = threads.iter().map(|(_, thread)| {
        let time = |is: fn(State) -> bool| thread.times.seconds(is);
        time(State::wants_gil).min(LITTLE * time(State::holds_gil))
    });
    GilUse {
        held,
        python,
        native,
        blocked,
        gc,
        waited: seconds(level.sum(window)),
        contended: contended.sum(),
        lost: seconds(either) - held,
        starved,
        handoffs,
        unseen_handoffs: handoffs.map(|all| (all - seen).max(0.0)),
    }
}

/// For how long a thread had neither the GIL nor a processor, as far as it would have had the GIL.
fn starved(thread: &ThreadSurvey<'_>, holds: Vec<Window>, window: Window) -> f64 {
    let ready = spans_within(thread.lane, window).filter(|span| span.state == State::Runnable);
    let ready: Vec<Window> = ready.map(|span| part(span, window)).collect();
    if ready.is_empty() {
        return 0.0;
    }
    let own = Union::of(holds);

    let without = ready.into_iter().map(|ready| seconds(ready.length() - own.of_window(ready))).sum::<f64>();
    without * share(thread.times.seconds(State::holds_gil), thread.times.seconds(runs))
}

fn native_holds(
    lane: &GilLane,
    place: usize,
    thread: &ThreadSurvey<'_>,
    window: Window,
    waiting: &Level,
) -> Vec<NativeHold> {
    let mut holds: Vec<NativeHold> = Vec::new();
    for span in spans_within(thread.lane, window) {
        let is_gc = span.state == State::HoldsGc;
        if !is_gc && !matches!(span.state, State::HoldsNative | State::HoldsBlocked) {
            continue;
        }
        let own = part(span, window);
        let blocked = if span.state == State::HoldsBlocked { own.length() } else { 0 };
        match holds.last_mut() {
            Some(last) if last.window.to == own.from && last.is_gc == is_gc => {
                last.window.to = own.to;
                last.blocked = last.blocked.saturating_add(blocked);
            }
            _ => holds.push(NativeHold {
                window: own,
                thread: place,
                blocked,
                waited: 0,
                function: None,
                is_nameless: false,
                is_gc,
                is_noticed: false,
            }),
        }
    }
    let noticed = NOTICED.max(lane.gil.interval.saturating_mul(4));
    let shots = shots_within(thread.lane, window);
    for hold in &mut holds {
        hold.waited = waiting.sum(hold.window);
        let first = shots.partition_point(|shot| shot.at < hold.window.from);
        let own: Vec<_> = shots[first..].iter().take_while(|shot| shot.at < hold.window.to).collect();
        hold.function = own.iter().find_map(|shot| shot.function.clone());
        hold.is_nameless = hold.function.is_none() && own.iter().any(|shot| !shot.natives.is_empty());
        // The collector tells of itself in the memory of newer Pythons only; its calls do always.
        hold.is_gc |= hold.function.as_deref().is_some_and(|function| function.contains("gc_collect"));
        let length = hold.window.length();
        hold.is_noticed = length >= noticed && hold.waited >= WAITED.min(length / 4);
    }
    holds
}
