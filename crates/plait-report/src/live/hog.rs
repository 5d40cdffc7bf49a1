//! Who keeps the GIL, in which function, and for how long.

use plait_trace::{Nanos, Recording, Shot, Span, State, ThreadLane};

use super::figures::Figures;
use crate::{calls, units};

/// Who keeps the GIL for so long is a hog.
const LONG: Nanos = 20_000_000;
/// The last that is known of a thread may be so old, and still be what it does.
const FRESH: Nanos = 500_000_000;
/// While a hold goes on, looks at calls are known a little sooner than that it still does.
const AFTER: Nanos = 50_000_000;

/// A thread that kept the GIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hog {
    thread: usize,
    span: Span,
    /// Whether it still does, as far as is known.
    goes_on: bool,
}

/// Who keeps the GIL now, or else who kept it for longest of late.
pub(super) fn find(recording: &Recording, figures: &Figures, end: Nanos) -> Option<Hog> {
    let long = |span: &Span| span.to - span.from >= LONG;
    let keeps =
        |span: &Span| matches!(span.state, State::HoldsNative | State::HoldsBlocked | State::HoldsGc) && long(span);
    let now = recording.threads.iter().enumerate().filter_map(|(thread, lane)| {
        let span = *lane.spans.last().filter(|span| keeps(span) && span.from < end)?;
        (span.to.saturating_add(FRESH) >= end && lane.ended.is_none()).then_some(Hog { thread, span, goes_on: true })
    });
    let longest = |hogs: &mut dyn Iterator<Item = Hog>| hogs.max_by_key(|hog| hog.span.to - hog.span.from);
    let of_late = figures
        .threads
        .iter()
        .enumerate()
        .filter_map(|(thread, figures)| Some(Hog { thread, span: figures.hog.filter(long)?, goes_on: false }));
    longest(&mut { now }).or_else(|| longest(&mut { of_late }))
}

impl Hog {
    /// In one line.
    pub(super) fn line(&self, recording: &Recording, end: Nanos) -> String {
        let Some(lane) = recording.threads.get(self.thread) else { return String::new() };
        let thread = &lane.thread;
        let name = if thread.name.is_empty() { format!("thread {}", thread.tid) } else { thread.name.clone() };
        let lasted = units::seconds((self.span.to - self.span.from) as f64 / 1e9);
        let what = self.what(recording, lane);
        if self.goes_on {
            format!("{name} keeps the GIL: {lasted} in {what}")
        } else {
            let ago = units::seconds(end.saturating_sub(self.span.to) as f64 / 1e9);
            format!("{name} kept the GIL: {lasted} in {what}, {ago} ago")
        }
    }

    /// The C function, and the line of Python that called it.
    pub(super) fn what(&self, recording: &Recording, lane: &ThreadLane) -> String {
        let Span { from, to, state, call, .. } = self.span;
        let to = if self.goes_on { to.saturating_add(AFTER) } else { to };
        let within = |at: Nanos| from <= at && at <= to;
        let shot: Option<&Shot> = lane.shots.iter().rev().find(|shot| within(shot.at));
        let function = match (shot.and_then(|shot| shot.function.as_deref()), state, call) {
            (_, State::HoldsGc, _) => "garbage collection".to_owned(),
            (Some(function), ..) => function.to_owned(),
            (None, State::HoldsBlocked, Some(number)) => format!("{}, asleep", calls::name(number)),
            (None, State::HoldsBlocked, None) => "a call that sleeps".to_owned(),
            (None, ..) => "native code".to_owned(),
        };
        let of_stack = || lane.stacks.iter().rev().find(|stack| within(stack.at)).map(|stack| &stack.frames);
        let frames = shot.map(|shot| &shot.frames).filter(|frames| !frames.is_empty()).or_else(of_stack);
        let Some(frame) = frames.and_then(|frames| recording.frames.get(frames.first()?.index())) else {
            return function;
        };
        let file = frame.file.rsplit('/').next().unwrap_or(&frame.file);
        match frame.line {
            0 => format!("{function} ({}, {file})", frame.function),
            line => format!("{function} ({}, {file}:{line})", frame.function),
        }
    }

    /// For how long it kept it, as far as is known.
    pub(super) fn lasted(&self) -> Nanos {
        self.span.to - self.span.from
    }

    /// Whose it is.
    pub(super) fn lane<'r>(&self, recording: &'r Recording) -> Option<&'r ThreadLane> {
        recording.threads.get(self.thread)
    }
}

#[cfg(test)]
mod tests {
    use plait_trace::{FrameKey, Stack, ThreadKey};

    use super::*;
    use crate::made::{MS, small};

    fn line(from: Nanos, to: Nanos, end: Nanos) -> Option<String> {
        let recording = small();
        let figures = Figures::of(&recording, from * MS, to * MS);
        find(&recording, &figures, end * MS).map(|hog| hog.line(&recording, end * MS))
    }

    #[test]
    fn the_longest_of_late_is_named_with_function_and_line() {
        assert_eq!(
            line(0, 510, 510).as_deref(),
            Some("parser kept the GIL: 200 ms in _json_loads (Parser.load, parser.py:12), 260 ms ago")
        );
        assert_eq!(line(260, 510, 510), None, "nobody since");
    }

    #[test]
    fn what_the_thread_did_afterwards_is_not_what_kept_the_gil() {
        let mut recording = small();
        recording.threads[1].shots.clear();
        recording.threads[1].stacks.retain(|stack| stack.at < 60 * MS);
        // The hold is over at 250 ms.
        recording.threads[1].stacks.push(Stack { thread: ThreadKey(1), at: 260 * MS, frames: vec![FrameKey(0)] });
        let figures = Figures::of(&recording, 0, 510 * MS);
        let hog = find(&recording, &figures, 510 * MS).expect("the parser");
        assert_eq!(hog.line(&recording, 510 * MS), "parser kept the GIL: 200 ms in native code, 260 ms ago");
    }

    #[test]
    fn one_that_goes_on_comes_first() {
        let mut recording = small();
        recording.threads[1].spans.truncate(2);
        let figures = Figures::of(&recording, 0, 300 * MS);
        let hog = find(&recording, &figures, 300 * MS).expect("the parser");
        assert_eq!(
            hog.line(&recording, 300 * MS),
            "parser keeps the GIL: 200 ms in _json_loads (Parser.load, parser.py:12)"
        );
        recording.threads[1].shots.clear();
        recording.threads[1].stacks.clear();
        assert_eq!(hog.line(&recording, 0), "parser keeps the GIL: 200 ms in native code");
    }
}
