//! Less of a recording that is too large for a page: of what is shorter than a step, the part that took most of it.
//!
//! A browser draws a million spans at once without trouble; a day at a thousand looks a second may have a hundred times as
//! many. Then time is cut into steps, and each step shows the state that took the most of it.

use plait_trace::{Hold, Nanos, Recording, Span, Stack};

/// So many spans and holds a page draws at once.
const MOST: usize = 1_500_000;
/// So many stacks it keeps.
const MOST_STACKS: usize = 400_000;

/// How coarse a page is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coarse {
    /// What is shorter than this may be left out; 0 where nothing is.
    pub step: Nanos,
    /// Of so many stacks, one is kept.
    one_of: usize,
}

impl Coarse {
    /// As coarse as it must be, and not at all if it need not.
    pub fn of(recording: &Recording) -> Self {
        Self::within(recording, MOST, MOST_STACKS)
    }

    /// Until no more than so many spans and holds are left, and about so many stacks.
    pub fn within(recording: &Recording, most: usize, most_stacks: usize) -> Self {
        let stacks: usize = recording.threads.iter().map(|lane| lane.stacks.len()).sum();
        let mut coarse = Self { step: 0, one_of: stacks.div_ceil(most_stacks).max(1) };
        let mut step: Nanos = 1_000_000;
        while coarse.count(recording) > most {
            coarse.step = step;
            step = step.saturating_mul(2);
        }
        coarse
    }

    fn count(&self, recording: &Recording) -> usize {
        let spans: usize = recording.threads.iter().map(|lane| self.spans(&lane.spans).len()).sum();
        let holds: usize = recording.gils.iter().map(|lane| self.holds(&lane.holds).len()).sum();
        spans + holds
    }

    pub fn spans(&self, spans: &[Span]) -> Vec<Span> {
        coarsened(
            spans,
            self.step,
            |span| (span.from, span.to),
            |span, from, to| Span { from, to, ..*span },
            |a, b| (a.state, a.call) == (b.state, b.call),
        )
    }

    pub fn holds(&self, holds: &[Hold]) -> Vec<Hold> {
        coarsened(
            holds,
            self.step,
            |hold| (hold.from, hold.to),
            |hold, from, to| Hold { from, to, ..*hold },
            |a, b| a.thread == b.thread,
        )
    }

    pub fn stacks<'a>(&self, stacks: &'a [Stack]) -> impl Iterator<Item = &'a Stack> + use<'a> {
        stacks.iter().step_by(self.one_of.max(1))
    }
}

/// What is as long as a step stays as it is. Of shorter ones that lie in one step, the longest stands for all of them: from the
/// beginning of the first to the end of the last.
fn coarsened<T: Copy>(
    all: &[T],
    step: Nanos,
    times: impl Fn(&T) -> (Nanos, Nanos),
    with: impl Fn(&T, Nanos, Nanos) -> T,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    if step == 0 {
        return all.to_vec();
    }
    let length = |one: &T| times(one).1 - times(one).0;
    let mut kept: Vec<T> = Vec::new();
    let mut rest = all;
    while let Some(first) = rest.first() {
        let (begin, _) = times(first);
        let number = begin / step;
        let within = |one: &&T| length(one) < step && times(one).0 / step == number;
        let count = rest.iter().take_while(within).count().max(1);
        let (now, later) = rest.split_at(count);
        rest = later;
        let longest = now.iter().max_by_key(|one| length(one)).unwrap_or(first);
        let end = now.last().map_or(begin, |last| times(last).1);
        let next = with(longest, begin, end);
        match kept.last_mut() {
            Some(last) if times(last).1 == begin && same(last, &next) => *last = with(last, times(last).0, end),
            _ => kept.push(next),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use plait_trace::{State, ThreadKey};

    use super::*;

    fn spans(lengths: &[(Nanos, State)]) -> Vec<Span> {
        let mut at = 0;
        let one = |&(length, state): &(Nanos, State)| {
            let from = at;
            at += length;
            Span { thread: ThreadKey(0), from, to: at, state, call: None }
        };
        lengths.iter().map(one).collect()
    }

    #[test]
    fn what_is_long_stays_and_what_is_short_is_summed_up() {
        use State::{HoldsPython as P, Native as N, Waits as W};
        let all = spans(&[(100, P), (2, W), (5, N), (1, W), (2, P), (1, W), (9, N), (200, W)]);
        let coarse = Coarse { step: 10, one_of: 1 };
        let kept: Vec<_> = coarse.spans(&all).iter().map(|span| (span.from, span.to, span.state)).collect();
        assert_eq!(kept, [(0, 100, P), (100, 120, N), (120, 320, W)]);
        assert_eq!(Coarse { step: 0, one_of: 1 }.spans(&all), all);
    }

    #[test]
    fn it_is_as_coarse_as_it_must_be() {
        let recording = crate::made::small();
        assert_eq!(Coarse::of(&recording).step, 0);
        let coarse = Coarse::within(&recording, 12, 3);
        assert!(coarse.count(&recording) <= 12, "{coarse:?}");
        assert!(coarse.step > 0 && coarse.one_of == 4, "{coarse:?}");
    }
}
