//! The samples of a thread: its stacks; and where none was taken, its state alone, so that its activity is seen all the same.

use plait_trace::{Nanos, Span, Stack, State};

use crate::export::stacks::Held;

/// So many samples at most are made up for one thread.
const MOST: u64 = 20_000;

/// A moment in a thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) at: Nanos,
    pub(super) stack: Option<&'a Stack>,
    pub(super) state: State,
    /// The processor time used since the one before.
    pub(super) used: Nanos,
}

/// The samples of a thread up to `end`: `held`, and between them others about every `step`, but one for each rest.
pub(super) fn samples<'a>(spans: &[Span], held: &[Held<'a>], step: Nanos, end: Nanos) -> Vec<Sample<'a>> {
    let step = step.max(end / MOST).max(1);
    let mut samples = Vec::new();
    let mut used = Used::new(spans);
    let mut take = |at, stack, state| samples.push(Sample { at, stack, state, used: used.until(at) });
    let mut until = 0;
    for held in held {
        between(spans, until, held.from, step, |at, state| take(at, None, state));
        take(held.from, Some(held.stack), state_at(spans, held.from));
        until = held.to;
    }
    between(spans, until, end, step, |at, state| take(at, None, state));
    if !spans.is_empty() {
        take(end, None, State::Unknown);
    }
    samples
}

/// The states from one moment to another, no closer together than `step`.
fn between(spans: &[Span], from: Nanos, to: Nanos, step: Nanos, mut take: impl FnMut(Nanos, State)) {
    let mut next = from;
    let first = spans.partition_point(|span| span.to <= from);
    for span in spans[first..].iter().take_while(|span| span.from < to) {
        let rests = span.state.is_blocked() || span.state == State::Unknown;
        next = next.max(span.from);
        while next < span.to.min(to) {
            take(next, span.state);
            next = next.saturating_add(step);
            if rests {
                break;
            }
        }
    }
}

fn state_at(spans: &[Span], at: Nanos) -> State {
    let next = spans.partition_point(|span| span.to <= at);
    spans.get(next).filter(|span| span.from <= at).map_or(State::Unknown, |span| span.state)
}

/// The processor time that a thread used, by its states, from one moment to the next.
struct Used<'s> {
    spans: std::iter::Peekable<std::slice::Iter<'s, Span>>,
    at: Nanos,
}

impl<'s> Used<'s> {
    fn new(spans: &'s [Span]) -> Self {
        Self { spans: spans.iter().peekable(), at: 0 }
    }

    /// What it used since the last question.
    fn until(&mut self, at: Nanos) -> Nanos {
        let mut used = 0;
        while let Some(span) = self.spans.peek() {
            let (from, to) = (span.from.max(self.at), span.to.min(at));
            if from < to && span.state.wants_processor() && span.state != State::Runnable {
                used += to - from;
            }
            if span.to > at {
                break;
            }
            self.spans.next();
        }
        self.at = at;
        used
    }
}

#[cfg(test)]
mod tests {
    use plait_trace::ThreadKey;

    use super::*;

    fn spans() -> [Span; 4] {
        [(0, 10, State::HoldsPython), (10, 20, State::Waits), (20, 40, State::Native), (40, 60, State::Sleep)]
            .map(|(from, to, state)| Span { thread: ThreadKey(0), from, to, state, call: None })
    }

    #[test]
    fn processor_time_is_counted_once() {
        let spans = spans();
        let mut used = Used::new(&spans);
        assert_eq!([5, 15, 30, 35, 35, 100].map(|at| used.until(at)), [5, 5, 10, 5, 0, 5]);
        let states = [State::HoldsPython, State::Waits, State::Native, State::Unknown];
        assert_eq!([0, 10, 39, 60].map(|at| state_at(&spans, at)), states);
    }

    #[test]
    fn states_stand_in_where_no_stack_was_taken() {
        let stack = Stack { thread: ThreadKey(0), at: 12, frames: vec![] };
        let held = [Held { from: 12, to: 25, stack: &stack }];
        let samples = samples(&spans(), &held, 4, 70);
        let told: Vec<_> = samples
            .iter()
            .map(|sample| (sample.at, sample.stack.is_some(), sample.state.letter(), sample.used))
            .collect();
        assert_eq!(
            told,
            [
                (0, false, 'P', 0),
                (4, false, 'P', 4),
                (8, false, 'P', 4),
                (12, true, 'w', 2),
                (25, false, 'n', 5),
                (29, false, 'n', 4),
                (33, false, 'n', 4),
                (37, false, 'n', 4),
                (41, false, 's', 3),
                (70, false, '?', 0),
            ]
        );
        assert_eq!(samples.iter().map(|sample| sample.used).sum::<Nanos>(), 30, "all that it used");
    }

    #[test]
    fn a_long_time_has_no_more_samples() {
        let span = Span { thread: ThreadKey(0), from: 0, to: u64::MAX, state: State::Native, call: None };
        assert!(samples(&[span], &[], 1, u64::MAX).len() < 20_010);
    }
}
