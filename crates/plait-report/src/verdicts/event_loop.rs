//! Event loops that do not get to their events: asyncio's, and uvloop's.
//!
//! A loop looks for events (`epoll`) between any two callbacks. A thread that has not done so for a while, and was in the same
//! callback whenever its stack was read meanwhile, has kept all others waiting.

use plait_trace::{FrameKey, Nanos, State, ThreadLane};

use super::code::{Code, Spot};
use super::thread::{Seen, calls_in, part, shots_within, spans_within, state_at};
use super::times::Times;
use super::window::{Union, Window};

/// A loop that does not look for events for so long is stalled.
pub(super) const STALLED: Nanos = 100_000_000;
/// Stacks are read 50 times a second: a callback seen at one has gone on for no longer than this before and after it, unless
/// what the thread did says so.
const REACH: Nanos = 40_000_000;
/// A stall of which so much is one state that no loop is in is one callback's, whatever the stacks say.
const SOLID: f64 = 0.8;

/// A time in which an event loop did not get to its events.
#[derive(Clone, Debug)]
pub(super) struct Stall {
    pub window: Window,
    /// The callback: the call just inside the loop's own.
    pub callback: Option<Spot>,
    /// The innermost calls.
    pub spot: Option<Spot>,
    /// What the thread did, for the most part.
    pub state: State,
    /// The C function, where native code kept the GIL.
    pub function: Option<String>,
    /// How often the callback was seen.
    pub stacks: usize,
    /// It was spent in one state from one end to the other, which no loop does between callbacks.
    pub solid: bool,
}

/// Whether a thread runs an event loop: its stacks say so, and it does look for events in this very process. A worker that was
/// forked within a loop has the loop's calls on its stack, too.
pub(super) fn is_loop(code: &Code<'_>, lane: &ThreadLane, window: Window, calls: &[Seen<'_>]) -> bool {
    let polls = spans_within(lane, window).any(|span| span.state == State::Poll);
    polls && calls.iter().any(|(_, frames)| Calls::of(code, frames).in_loop)
}

/// When the loop did not get to its events for long.
pub(super) fn stalls(code: &Code<'_>, lane: &ThreadLane, window: Window, seen: &[Seen<'_>]) -> Vec<Stall> {
    let calls: Vec<(Nanos, Calls<'_>)> = seen.iter().map(|(at, frames)| (*at, Calls::of(code, frames))).collect();

    let mut stalls = Vec::new();
    for stretch in stretches(lane, window) {
        let first = calls.partition_point(|(at, _)| *at < stretch.from);
        let last = calls.partition_point(|(at, _)| *at < stretch.to);
        let within = &calls[first..last];
        let mut done = 0;
        while done < within.len() {
            let same = |(_, next): &&(Nanos, Calls<'_>)| next.same_callback(&within[done].1, code);
            let end = done + within[done..].iter().take_while(same).count().max(1);
            if let Some(callback) = within[done].1.callback(code) {
                let reach = reach(lane, stretch, within, done, end);
                if reach.length() >= STALLED {
                    let callback =
                        code.spot(&within[done].1.frames[callback..=callback]).and_then(|spot| code.show(spot));
                    stalls.push(stall(code, lane, calls_in(seen, reach), reach, callback, end - done));
                }
            }
            done = end;
        }
        // Nobody read its stack, but between two looks for events a loop has no reason to be there.
        if within.is_empty() && is_between_looks(lane, stretch) {
            let stuck = spans_within(lane, stretch).map(|span| (span.state, part(span, stretch)));
            let stuck = stuck.filter(|(state, part)| is_stuck(*state) && part.length() >= STALLED);
            stalls.extend(stuck.map(|(_, part)| stall(code, lane, &[], part, None, 0)));
        }
    }
    stalls
}

/// Whether the loop looked for events right before and right after.
fn is_between_looks(lane: &ThreadLane, stretch: Window) -> bool {
    let before = stretch.from.checked_sub(1).map(|at| state_at(lane, at));
    before == Some(State::Poll) && state_at(lane, stretch.to) == State::Poll
}

/// A state that a loop is in only while a callback has put it there.
fn is_stuck(state: State) -> bool {
    matches!(
        state,
        State::Sleep
            | State::Network
            | State::Disk
            | State::Child
            | State::HoldsNative
            | State::HoldsBlocked
            | State::HoldsGc
    )
}

/// Stretches of time in which a loop did not look for events, as long as somebody looked at it.
fn stretches(lane: &ThreadLane, window: Window) -> Vec<Window> {
    let mut stretches = Vec::new();
    let mut begin: Option<Window> = None;
    for span in spans_within(lane, window) {
        let own = part(span, window);
        let rests = matches!(span.state, State::Poll | State::Unknown);
        match &mut begin {
            Some(open) if !rests && open.to == own.from => open.to = own.to,
            open => {
                stretches.extend(open.take());
                *open = (!rests).then_some(own);
            }
        }
    }
    stretches.extend(begin);
    stretches.retain(|stretch| stretch.length() >= STALLED);
    stretches
}

/// For how long the callback that was seen from `first` to before `end` has gone on at least.
fn reach(lane: &ThreadLane, stretch: Window, seen: &[(Nanos, Calls<'_>)], first: usize, end: usize) -> Window {
    let (from, to) = (seen[first].0, seen[end - 1].0);
    // Between this callback and another one seen nothing is known but that it changed.
    let earliest = first.checked_sub(1).map_or(stretch.from, |before| seen[before].0);
    let latest = seen.get(end).map_or(stretch.to, |after| after.0);
    let stuck = |at: Nanos| {
        let mut spans = spans_within(lane, Window::new(at, at.saturating_add(1)));
        spans.next().filter(|span| is_stuck(span.state)).map(|span| part(span, stretch))
    };
    let low = stuck(from).map_or(Nanos::MAX, |span| span.from).min(from.saturating_sub(REACH));
    let high = stuck(to).map_or(0, |span| span.to).max(to.saturating_add(REACH));
    let (low, high) = match (first, end == seen.len()) {
        (0, true) => (low, high),
        (0, false) => (low, to),
        (_, true) => (from, high),
        (_, false) => (from, to),
    };
    Window::new(low.max(earliest), high.min(latest)).within(stretch)
}

fn stall(
    code: &Code<'_>,
    lane: &ThreadLane,
    seen: &[Seen<'_>],
    window: Window,
    callback: Option<Spot>,
    stacks: usize,
) -> Stall {
    let mut times = Times::default();
    for span in spans_within(lane, window) {
        times.add(span.state, part(span, window).length());
    }
    let state = times.most().unwrap_or(State::Unknown);
    let spots = seen.iter().filter_map(|(_, frames)| code.spot(frames));
    let spot = code.most(spots).and_then(|(spot, _, _)| code.show(spot));
    let function = shots_within(lane, window).into_iter().find_map(|shot| shot.function.clone());
    let one = spans_within(lane, window).filter(|span| is_stuck(span.state));
    let longest = one.map(|span| part(span, window).length()).max().unwrap_or(0);
    let solid = longest >= STALLED && longest as f64 >= SOLID * window.length() as f64;
    Stall { window, callback, spot, state, function, stacks, solid }
}

/// How long stalls took in all: those of several loops at once count once.
pub(super) fn total<'a>(stalls: impl Iterator<Item = &'a Stall>) -> Nanos {
    let all = Window::new(0, Nanos::MAX);
    Union::of(stalls.map(|stall| stall.window).collect()).of_window(all)
}

/// The calls a thread is in, as far as an event loop is concerned; the innermost first.
#[derive(Clone, Copy)]
struct Calls<'a> {
    frames: &'a [FrameKey],
    in_loop: bool,
    /// The place of the loop's innermost call.
    place: usize,
}

impl<'a> Calls<'a> {
    fn of(code: &Code<'_>, frames: &'a [FrameKey]) -> Self {
        let none = Self { frames, in_loop: false, place: 0 };
        let mut uvloop = None;
        let mut own_work = false;
        for (place, frame) in frames.iter().enumerate() {
            let Some(frame) = code.frame(*frame) else { return none };
            let (file, function) = (frame.file.as_str(), frame.function.as_str());
            if function == "Handle._run" && file.ends_with("asyncio/events.py") {
                return Self { frames, in_loop: true, place };
            }
            own_work |= file.ends_with("asyncio/base_events.py");
            let is_forked = file.ends_with("/multiprocessing/popen_fork.py")
                || file.ends_with("/multiprocessing/process.py") && function.ends_with("_bootstrap")
                || file.ends_with("/plait/_nursery.py");
            if is_forked {
                break;
            }
            // The loop of uvloop has no Python calls of its own: what is inside of these it called.
            let runner = file.ends_with("asyncio/runners.py") && function == "Runner.run";
            if uvloop.is_none() && (runner || file.ends_with("uvloop/__init__.py") && function == "run") {
                uvloop = Some(place);
            }
        }
        match uvloop {
            _ if own_work => Self { frames, in_loop: true, place: 0 },
            Some(place) => Self { frames, in_loop: true, place },
            None => none,
        }
    }

    /// The place of the callback's outermost call that is the user's own, or of its outermost call of all.
    fn callback(&self, code: &Code<'_>) -> Option<usize> {
        let outermost = self.place.checked_sub(1).filter(|_| self.in_loop)?;
        let is_users = |place: &usize| code.is_users(self.frames[*place]);
        Some((0..=outermost).rev().find(is_users).unwrap_or(outermost))
    }

    fn same_callback(&self, other: &Self, code: &Code<'_>) -> bool {
        let of = |calls: &Self| {
            let frame = code.frame(calls.frames[calls.callback(code)?])?;
            Some((frame.function.as_str(), frame.file.as_str()))
        };
        match (of(self), of(other)) {
            (Some(own), Some(others)) => own == others,
            _ => false,
        }
    }
}
