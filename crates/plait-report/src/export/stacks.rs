//! Python stacks as stretches of time: each is taken to hold until the next one of its thread, or for a little while where
//! there was none for long, as threads at rest are not looked at.

use std::cmp::Reverse;

use plait_trace::{Frame, FrameKey, Nanos, Recording, Stack, ThreadLane};

/// A stack counts for so many times the usual time between two at most.
const PATIENCE: u64 = 3;
/// The usual time where too few were taken to tell.
const USUAL: Nanos = 20_000_000;

/// A stack, and from when to when it is taken to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held<'a> {
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    pub(super) stack: &'a Stack,
}

/// A call, from when to when it was seen to last. Calls within it come after it, and end no later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) frame: FrameKey,
    pub(super) from: Nanos,
    pub(super) to: Nanos,
}

/// For how long a stack without a next one holds, by the times between the stacks of this recording.
pub(crate) fn patience(recording: &Recording) -> Nanos {
    let mut between: Vec<Nanos> = Vec::new();
    for lane in &recording.threads {
        let steps = lane.stacks.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at));
        between.extend(steps.filter(|&step| step > 0));
    }
    if between.len() < 4 {
        return PATIENCE * USUAL;
    }
    let middle = between.len() / 2;
    between.select_nth_unstable(middle).1.saturating_mul(PATIENCE)
}

/// The stacks of a thread in the order of time, until its end. They do not overlap.
pub(super) fn held<'a>(recording: &Recording, lane: &'a ThreadLane, patience: Nanos) -> Vec<Held<'a>> {
    let end = lane.ended.unwrap_or(Nanos::MAX).min(recording.length());
    let mut stacks: Vec<&Stack> = lane.stacks.iter().collect();
    stacks.sort_by_key(|stack| stack.at);
    let next = stacks.iter().skip(1).map(|stack| stack.at).chain([end]);
    let stretches = stacks.iter().zip(next).map(|(stack, next)| Held {
        from: stack.at,
        to: next.min(stack.at.saturating_add(patience)).min(end),
        stack,
    });
    stretches.filter(|held| held.from < held.to).collect()
}

/// The calls that stacks show: what is in two of them that follow each other went on in between.
pub(super) fn calls(stacks: &[Held]) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open: Vec<Call> = Vec::new();
    let mut latest = 0;
    for held in stacks {
        let outermost_first = || held.stack.frames.iter().rev().copied();
        let goes_on = open.iter().zip(outermost_first()).take_while(|(call, frame)| call.frame == *frame).count();
        let kept = if held.from == latest { goes_on } else { 0 };
        calls.extend(open.drain(kept..).map(|call| Call { to: latest, ..call }));
        open.extend(outermost_first().skip(kept).map(|frame| Call { frame, from: held.from, to: held.from }));
        latest = held.to;
    }
    calls.extend(open.drain(..).map(|call| Call { to: latest, ..call }));
    // Of calls that begin together, all but the outermost end no later: a stable order keeps the rest as they came.
    calls.sort_by_key(|call| (call.from, Reverse(call.to)));
    calls
}

/// A place in the code on one line: `load (a/b.py:12)`.
pub(super) fn place(frame: &Frame) -> String {
    let Frame { function, file, line, .. } = frame;
    if *line == 0 { format!("{function} ({file})") } else { format!("{function} ({file}:{line})") }
}

/// The places of a stack, the innermost first.
pub(super) fn places<'a>(recording: &'a Recording, frames: &'a [FrameKey]) -> impl Iterator<Item = String> + 'a {
    frames.iter().filter_map(|key| recording.frames.get(key.index())).map(place)
}

#[cfg(test)]
mod tests {
    use plait_trace::{Process, ProcessKey, Record, Sight, Thread, ThreadKey};

    use super::*;

    /// Stacks at their times; a letter is a function, the outermost first.
    fn recording(stacks: &[(Nanos, &str)], length: Nanos) -> Recording {
        let mut recording = Recording::default();
        let mut put = |record| recording.put(&record).expect("in order");
        put(Record::Process(Process {
            key: ProcessKey(0),
            pid: 7,
            parent: None,
            found: 0,
            command: String::new(),
            python: None,
            sight: Sight::Gil,
            why: None,
            processors: 1,
            quota: None,
            role: None,
        }));
        let (key, process) = (ThreadKey(0), ProcessKey(0));
        put(Record::Thread(Thread { key, process, tid: 7, name: String::new(), interpreter: None, found: length }));
        for (key, function) in (0_u32..).zip('a'..='z') {
            put(Record::Frame(Frame { key: FrameKey(key), function: function.into(), file: "f.py".into(), line: key }));
        }
        for &(at, functions) in stacks {
            let frames = functions.bytes().rev().map(|letter| FrameKey(u32::from(letter - b'a'))).collect();
            put(Record::Stack(Stack { thread: key, at, frames }));
        }
        recording
    }

    fn drawn(stacks: &[(Nanos, &str)]) -> String {
        let recording = recording(stacks, 100);
        let held = held(&recording, &recording.threads[0], 30);
        let calls = calls(&held);
        let one = |call: &Call| format!("{}{}-{}", recording.frames[call.frame.index()].function, call.from, call.to);
        calls.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_stays_on_the_stack_goes_on() {
        assert_eq!(drawn(&[(0, "ab"), (10, "abc"), (20, "ad")]), "a0-50 b0-20 c10-20 d20-50");
    }

    #[test]
    fn the_same_function_called_by_another_is_another_call() {
        assert_eq!(drawn(&[(0, "ab"), (10, "cb")]), "a0-10 b0-10 c10-40 b10-40");
    }

    #[test]
    fn nothing_goes_on_while_nobody_looked() {
        assert_eq!(drawn(&[(0, "a"), (60, "a")]), "a0-30 a60-90");
    }

    #[test]
    fn stacks_out_of_order_and_at_one_time_are_put_right() {
        assert_eq!(drawn(&[(20, "a"), (10, "b"), (20, "a"), (90, "aa")]), "b10-20 a20-50 a90-100 a90-100");
    }

    #[test]
    fn what_is_said_of_a_thread_after_its_end_is_left_out() {
        let mut recording = recording(&[(10, "a"), (30, "a"), (31, "a")], 100);
        recording.threads[0].ended = Some(20);
        let held = held(&recording, &recording.threads[0], 30);
        assert_eq!(held.iter().map(|held| (held.from, held.to)).collect::<Vec<_>>(), [(10, 20)]);
    }

    #[test]
    fn the_usual_time_between_stacks_is_the_median() {
        let stacks: Vec<_> = [0, 10, 20, 30, 900].map(|at| (at, "a")).into();
        assert_eq!(patience(&recording(&stacks, 900)), 30);
        assert_eq!(patience(&recording(&stacks[..2], 900)), 60_000_000);
    }
}
