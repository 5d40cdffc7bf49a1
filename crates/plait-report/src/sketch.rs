//! Lanes small enough to stand beside others: a letter for each column, of the state that took the most of its time.

use plait_trace::{Nanos, Recording, Span, State, ThreadLane};
use serde::{Deserialize, Serialize};

use crate::plain_text::{one_line, shortened};

/// So many lanes at most, beside others; those of threads that did more come first.
pub const FEW: usize = 8;
/// A thread that runs or wants to run for less than this share of the time has none.
const ACTIVE: f64 = 0.02;
/// Longer names are cut.
const LONGEST: usize = 40;

/// What is told of a time in which no thread was seen to do anything.
pub(crate) const UNSEEN: &str = "nothing was seen of it: its threads waited, or the machine had no time to look";

/// What threads did for a while, drawn in letters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    /// The time that the columns stand for together, in seconds.
    pub seconds: f64,
    /// A lane for each thread that did something, in the order of their processes.
    pub lanes: Vec<Lane>,
    /// Threads that did something and have no lane, for there are too many.
    pub left_out: usize,
}

/// What one thread did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Its process: 0 for the program, and the others in turn.
    pub process: usize,
    /// What to call it: `main thread`, `worker 2`.
    pub name: String,
    /// A [`State::letter`] for each column, or a space where nothing was seen.
    pub letters: String,
}

/// The states that occur, in their order.
pub(crate) fn states<'a>(sketches: impl Iterator<Item = &'a Sketch>) -> Vec<State> {
    let mut letters = String::new();
    for lane in sketches.flat_map(|sketch| &sketch.lanes) {
        letters.push_str(&lane.letters);
    }
    State::ALL.into_iter().filter(|state| letters.contains(state.letter())).collect()
}

impl Lane {
    /// For each state, the outline of all its runs, in columns from 0 and down from 0 to `height`.
    pub(crate) fn paths(&self, height: f64) -> Vec<(State, String)> {
        let letters: Vec<char> = self.letters.chars().collect();
        let of = |state: State| {
            let mut path = String::new();
            let mut at = 0;
            for run in letters.chunk_by(|a, b| a == b) {
                if run.first() == Some(&state.letter()) {
                    path.push_str(&format!("M{at} 0h{}v{height}h-{0}z", run.len()));
                }
                at += run.len();
            }
            (!path.is_empty()).then_some((state, path))
        };
        State::ALL.into_iter().filter_map(of).collect()
    }
}

/// The sketch of a recording between two moments, in so many columns and of so many lanes at most.
#[must_use]
pub fn sketch(recording: &Recording, from: Nanos, to: Nanos, columns: usize, most: usize) -> Sketch {
    let (from, to, columns) = (from, to.max(from + 1), columns.max(1));
    let mut drawn: Vec<(f64, Drawn<'_>)> = Vec::new();
    for lane in &recording.threads {
        let active = active(lane, from, to);
        if active >= ACTIVE {
            drawn.push((active, Drawn { lane, letters: letters(&lane.spans, from, to, columns) }));
        }
    }
    drawn.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let left_out = drawn.len().saturating_sub(most);
    drawn.truncate(most);
    drawn.sort_by_key(|(_, drawn)| (drawn.lane.thread.process, drawn.lane.thread.key));
    let mut processes: Vec<_> = drawn.iter().map(|(_, drawn)| drawn.lane.thread.process).collect();
    processes.dedup();
    let mut nameless = 0;
    let mut of = |drawn: Drawn<'_>| Lane {
        process: processes.iter().position(|key| *key == drawn.lane.thread.process).unwrap_or(0),
        name: name(recording, drawn.lane).unwrap_or_else(|| {
            nameless += 1;
            format!("thread {nameless}")
        }),
        letters: drawn.letters,
    };
    Sketch {
        seconds: (to - from) as f64 / 1e9,
        lanes: drawn.into_iter().map(|(_, drawn)| of(drawn)).collect(),
        left_out,
    }
}

struct Drawn<'a> {
    lane: &'a ThreadLane,
    letters: String,
}

/// The spans that lie within, cut to it.
fn within(spans: &[Span], from: Nanos, to: Nanos) -> impl Iterator<Item = (Nanos, Nanos, State)> {
    let first = spans.partition_point(|span| span.to <= from);
    let within = spans[first..].iter().take_while(move |span| span.from < to);
    within.map(move |span| (span.from.max(from), span.to.min(to), span.state))
}

/// The share of the time in which a thread ran or wanted to.
fn active(lane: &ThreadLane, from: Nanos, to: Nanos) -> f64 {
    let wants = |state: State| {
        state.holds_gil() && state != State::HoldsBlocked || state.wants_gil() || state.wants_processor()
    };
    let time: Nanos = within(&lane.spans, from, to).filter(|(.., state)| wants(*state)).map(|(a, b, _)| b - a).sum();
    time as f64 / (to - from) as f64
}

fn letters(spans: &[Span], from: Nanos, to: Nanos, columns: usize) -> String {
    let mut times = vec![[0_u64; State::ALL.len()]; columns];
    let (length, count) = (u128::from(to - from), columns as u128);
    let column = |at: Nanos| (u128::from(at - from) * count / length) as usize;
    let begin = |column: usize| from + (length * column as u128).div_ceil(count) as Nanos;
    for (a, b, state) in within(spans, from, to) {
        for (place, times) in times.iter_mut().enumerate().take(column(b - 1) + 1).skip(column(a)) {
            times[state as usize] += b.min(begin(place + 1)).saturating_sub(a.max(begin(place)));
        }
    }
    let most = |times: &[u64; State::ALL.len()]| {
        let (place, &time) = times.iter().enumerate().rev().max_by_key(|(_, time)| **time).unwrap_or((0, &0));
        if time == 0 { ' ' } else { State::ALL[place].letter() }
    };
    times.iter().map(most).collect()
}

/// What to call it; `None` where all it has is the name of its program.
fn name(recording: &Recording, lane: &ThreadLane) -> Option<String> {
    let process = recording.processes.get(lane.thread.process.index()).map(|track| &track.process)?;
    let is_main = lane.thread.tid == process.pid;
    let main = recording.threads_of(process).find(|lane| lane.thread.tid == process.pid);
    if !is_main && main.is_some_and(|main| main.thread.name == lane.thread.name) {
        return None;
    }
    let name = match process.role.as_deref() {
        Some(role) if is_main => one_line(role.strip_prefix("plait ").unwrap_or(role)),
        None if is_main => "main thread".to_owned(),
        _ => one_line(&lane.thread.name),
    };
    Some(shortened(&name, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{MS, Made, small};

    #[test]
    fn lanes_are_drawn_as_they_were() {
        let sketch = sketch(&small(), 0, 500 * MS, 50, FEW);
        let line = |lane: &Lane| format!("{} {:<12} {}", lane.process, lane.name, lane.letters).trim_end().to_owned();
        let drawn: Vec<String> = sketch.lanes.iter().map(line).collect();
        assert_eq!(
            drawn,
            [
                "0 main thread  PPPPPwwwwwwwwwwwwwwwwwwwwPPPPPooooooooooPPPPPooooo",
                "0 parser       wwwwwNNNNNNNNNNNNNNNNNNNNwwwwwPPPPPlllllllllllllll",
                "0 reader       iiiiiiiiiiwwwwwwwwwwwwwwwiiiiiiiiiiiwnnnnrrrriiiii",
                "1 worker 1     sssssPPPPPPPPPPGGPPPPBBBssssss",
            ]
        );
        assert_eq!((sketch.seconds, sketch.left_out), (0.5, 0));
    }

    #[test]
    fn a_column_shows_what_took_the_most_of_it() {
        let mut made = Made::default();
        let process = made.process(7, "app.py");
        let gil = made.gil(process);
        let thread = made.thread(process, 7, "python");
        made.lane(thread, gil, "PPwPPwwwPw");
        let letters = |columns| sketch(&made.0, 0, 100 * MS, columns, FEW).lanes[0].letters.clone();
        assert_eq!(letters(2), "Pw");
        assert_eq!(letters(10), "PPwPPwwwPw");
        assert_eq!(letters(20), "PPPPwwPPPPwwwwwwPPww");
        assert_eq!(letters(1), "P", "of two with the same time, the first");
    }

    #[test]
    fn those_that_did_most_have_lanes() {
        let mut made = Made::default();
        let process = made.process(7, "app.py");
        let gil = made.gil(process);
        for number in 0..12 {
            let thread = made.thread(process, 7 + number, "worker");
            let busy = number as usize;
            made.lane(thread, gil, &format!("{}{}", "n".repeat(busy), "l".repeat(100 - busy)));
        }
        let sketch = sketch(&made.0, 0, 1000 * MS, 10, FEW);
        // Two did nothing to speak of.
        assert_eq!((sketch.lanes.len(), sketch.left_out), (8, 2));
    }
}
