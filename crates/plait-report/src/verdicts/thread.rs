//! What one thread did within a window: its times, and the Python calls it was seen in.

use plait_trace::{FrameKey, Kind, Nanos, Shot, Span, Stack, State, Subject, ThreadLane};

use super::code::{Code, SpotKey};
use super::counts::Counts;
use super::event_loop::{self, Stall};
use super::purpose::{Purpose, purpose};
use super::times::{Times, is_active};
use super::window::{Window, ratio, seconds, share};

/// System calls that take a connection that comes in (x86-64 and AArch64): whoever sleeps in one has nothing to do.
const ACCEPT: [u16; 4] = [43, 288, 202, 242];
/// A thread that runs or wants to run for less than this share of the time does nothing to speak of.
const ACTIVE: f64 = 0.02;
/// A thread that runs or wants to run for this share of the time is one that computes.
const COMPUTES: f64 = 0.1;
/// A thread that waits for something for this share of the time does so in earnest.
const WAITS: f64 = 0.1;
/// A thread that is in one call for this share of the time does nothing but that, whatever it did before and after.
const RESTS: f64 = 0.8;
/// So many changes of state in a second show that what a thread waits for does happen; never fewer than [`FEWEST`].
const CHANGES: f64 = 1.0;
const FEWEST: f64 = 5.0;
/// So does this share of a processor.
const STIRS: f64 = 0.002;

/// A thread of a process that is looked into.
#[derive(Debug)]
pub(super) struct ThreadSurvey<'a> {
    pub lane: &'a ThreadLane,
    pub name: String,
    pub window: Window,
    pub times: Times,
    /// Time in each state in which it waited to be given work, or to be told something.
    pub told: Times,
    /// Processors used.
    pub cpu: Option<f64>,
    /// Processors it could have used, had there been one free.
    pub delay: Option<f64>,
    /// It ran, wanted to run, or waited for something that did happen.
    pub busy: bool,
    /// It ran or wanted to run for a good part of the time.
    pub computes: bool,
    pub is_loop: bool,
    pub stalls: Vec<Stall>,
    /// Whether its waiting for locks was looked into by at least one stack.
    pub locks_explained: bool,
    stacks: Vec<(&'a Stack, State)>,
    calls: Vec<Seen<'a>>,
}

impl<'a> ThreadSurvey<'a> {
    pub fn of(code: &Code<'_>, lane: &'a ThreadLane, window: Window, counts: &Counts) -> Self {
        let own = Window::new(lane.thread.found, lane.ended.unwrap_or(Nanos::MAX));
        let window = window.within(own);
        let mut times = Times::default();
        let (mut changes, mut accepts) = (0u64, 0);
        let mut last = None;
        let (mut rest, mut longest_rest) = (0, 0);
        for span in spans_within(lane, window) {
            let time = part(span, window).length();
            times.add(span.state, time);
            if span.state == State::Network && span.call.is_some_and(|call| ACCEPT.contains(&call)) {
                accepts += time;
            }
            if span.state == State::Unknown {
                continue;
            }
            changes += u64::from(last.is_some_and(|last| last != span.state));
            rest = match sleeps(span.state) {
                true if last == Some(span.state) => rest + time,
                true => time,
                false => 0,
            };
            longest_rest = longest_rest.max(rest);
            last = Some(span.state);
        }
        let growth = |kind| counts.get(Subject::Thread(lane.thread.key), kind).map(|growth| growth.per_time());
        let stacks = stacks_within(lane, window);
        let calls = calls_of(lane, window);
        let mut survey = Self {
            lane,
            name: String::new(),
            window,
            times,
            told: Times::default(),
            cpu: growth(Kind::CpuTime),
            delay: growth(Kind::RunDelay),
            busy: false,
            computes: false,
            is_loop: event_loop::is_loop(code, lane, window, &calls),
            stalls: Vec::new(),
            locks_explained: false,
            stacks,
            calls,
        };
        survey.look_into_waits(code, accepts);
        survey.judge_activity(changes, longest_rest);
        if survey.is_loop {
            survey.stalls = event_loop::stalls(code, lane, window, &survey.calls);
        }
        survey
    }

    /// Stacks of a blocked thread tell what it waits for; those of one state stand for all its time in that state.
    fn look_into_waits(&mut self, code: &Code<'_>, accepts: Nanos) {
        // Of who keeps a GIL there are native stacks, too.
        let calls: Vec<(State, bool)> = self
            .calls
            .iter()
            .map(|(at, frames)| (state_at(self.lane, *at), purpose(code, frames) == Purpose::ToBeTold))
            .collect();
        for state in State::ALL.into_iter().filter(|&state| sleeps(state)) {
            let seen = || calls.iter().filter(|(own, _)| *own == state);
            let all = seen().count() as f64;
            let told = seen().filter(|(_, told)| *told).count() as f64;
            let mut time = (self.times.of(state) as f64 * ratio(told, all)) as Nanos;
            if state == State::Network {
                time = time.max(accepts);
            }
            self.told.add(state, time);
            self.locks_explained |= state == State::Lock && all > 0.0;
        }
    }

    fn judge_activity(&mut self, changes: u64, longest_rest: Nanos) {
        let seen = seconds(self.times.seen());
        // With the GIL or without: plait's nursery keeps its own, which nobody else wants.
        let told = ratio(seconds(self.told.of(State::HoldsBlocked)), seen);
        let active = self.times.share(is_active) - told;
        let waits = ratio(self.waited(|state| state.is_blocked() && state != State::Child), seen);
        let happens = changes as f64 >= (CHANGES * seen).max(FEWEST) || self.cpu.is_some_and(|cpu| cpu >= STIRS);
        self.computes = active >= COMPUTES;
        let rests = share(seconds(longest_rest), seen) >= RESTS;
        let stirs = active >= ACTIVE || waits >= WAITS && happens;
        self.busy = seen > 0.0 && (self.computes || stirs && !rests);
    }

    /// Seconds in blocked states of its own accord: not those in which it waited to be told something.
    pub fn waited(&self, which: impl Fn(State) -> bool) -> f64 {
        let of = |state| seconds(self.times.of(state).saturating_sub(self.told.of(state)));
        State::ALL.into_iter().filter(|&state| state.is_blocked() && which(state)).map(of).sum()
    }

    /// Seconds that were seen, but for those in which it waited to be told something.
    pub fn own_time(&self) -> f64 {
        seconds(self.times.seen().saturating_sub(self.told.sum(|_| true)))
    }

    /// Where it was in states that are asked for, by its stacks.
    pub fn spots(&self, code: &Code<'_>, which: impl Fn(State) -> bool) -> impl Iterator<Item = SpotKey> {
        let seen = self.stacks.iter().filter(move |(_, state)| which(*state));
        seen.filter_map(|(stack, _)| code.spot(&stack.frames))
    }

    /// The Python calls it was seen in within a window, in order.
    pub fn calls_in(&self, window: Window) -> &[Seen<'a>] {
        calls_in(&self.calls, window)
    }

    pub fn stacks(&self) -> usize {
        self.stacks.len()
    }

    pub fn knows_python(&self) -> bool {
        self.lane.thread.interpreter.is_some()
    }
}

/// Whether it is blocked, with a GIL or without.
fn sleeps(state: State) -> bool {
    state.is_blocked() || state == State::HoldsBlocked
}

/// The spans of which something lies in the window, in order.
pub(super) fn spans_within(lane: &ThreadLane, window: Window) -> impl Iterator<Item = &Span> {
    let first = lane.spans.partition_point(|span| span.to <= window.from);
    lane.spans[first..].iter().take_while(move |span| span.from < window.to).filter(|span| span.from < span.to)
}

/// What of the span lies in the window.
pub(super) fn part(span: &Span, window: Window) -> Window {
    Window::new(span.from, span.to).within(window)
}

/// What the thread did at a moment.
pub(super) fn state_at(lane: &ThreadLane, at: Nanos) -> State {
    let next = lane.spans.partition_point(|span| span.to <= at);
    lane.spans.get(next).filter(|span| span.from <= at).map_or(State::Unknown, |span| span.state)
}

/// The stacks within the window, in order, each with what the thread did at that moment.
pub(super) fn stacks_within(lane: &ThreadLane, window: Window) -> Vec<(&Stack, State)> {
    let within = lane.stacks.iter().filter(|stack| window.holds(stack.at));
    let mut stacks: Vec<_> = within.map(|stack| (stack, state_at(lane, stack.at))).collect();
    stacks.sort_by_key(|(stack, _)| stack.at);
    stacks
}

/// The native stacks within the window, in order.
pub(super) fn shots_within(lane: &ThreadLane, window: Window) -> Vec<&Shot> {
    let mut shots: Vec<&Shot> = lane.shots.iter().filter(|shot| window.holds(shot.at)).collect();
    shots.sort_by_key(|shot| shot.at);
    shots
}

/// Python calls that a thread was seen in, the innermost first, and when.
pub(super) type Seen<'a> = (Nanos, &'a [FrameKey]);

/// The Python calls that a thread was seen in within a window, in order; those beside native stacks count, too.
pub(super) fn calls_of(lane: &ThreadLane, window: Window) -> Vec<Seen<'_>> {
    let stacks = lane.stacks.iter().map(|stack| (stack.at, stack.frames.as_slice()));
    let shots = lane.shots.iter().map(|shot| (shot.at, shot.frames.as_slice()));
    let calls = stacks.chain(shots).filter(|(at, frames)| window.holds(*at) && !frames.is_empty());
    let mut calls: Vec<Seen<'_>> = calls.collect();
    calls.sort_by_key(|(at, _)| *at);
    calls
}

/// Those of a window within theirs.
pub(super) fn calls_in<'b, 'a>(calls: &'b [Seen<'a>], window: Window) -> &'b [Seen<'a>] {
    let first = calls.partition_point(|(at, _)| *at < window.from);
    let length = calls[first..].partition_point(|(at, _)| *at < window.to);
    &calls[first..first + length]
}
