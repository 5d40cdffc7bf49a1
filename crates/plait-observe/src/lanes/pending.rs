//! The end of a lane that is not yet written down: what will turn out later, and what still goes on.

use std::collections::VecDeque;

use plait_trace::{Nanos, Record, Span, State, ThreadKey};

/// What a thread did for a stretch, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// This.
    Known(State),
    /// It had the GIL and ran. Whether in one native call will show.
    Holding,
    /// It had the GIL a moment before it was seen asleep. Whether it slept with it will show.
    Asleep,
    /// It was ready to run without the GIL, and this is what it did if it had a processor. Whether it had will show.
    Running(State),
}

/// A stretch that lasts until the next one begins.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: Nanos,
    mark: Mark,
    call: Option<u16>,
}

/// Stretches without gaps between them. The last one goes on.
///
/// Those before the last stay only while something about them, or about one before them, is open; or while they are
/// known and the next is not, for then the next may turn out to be more of the same. That is for a few
/// milliseconds, and so there are few.
#[derive(Debug, Default)]
pub(super) struct Pending {
    stretches: VecDeque<Stretch>,
}

impl Pending {
    /// From this moment on it is so. A stretch that began at the very same moment is replaced.
    pub fn push(&mut self, from: Nanos, mark: Mark, call: Option<u16>) {
        let goes_on = |last: &Stretch| (last.mark, last.call) == (mark, call);
        if self.stretches.back().is_some_and(|last| last.from >= from && !goes_on(last)) {
            self.stretches.pop_back();
        }
        if !self.stretches.back().is_some_and(goes_on) {
            self.stretches.push_back(Stretch { from, mark, call });
        }
    }

    /// Puts what has turned out in place of marks that were open; `None` leaves them.
    pub fn settle(&mut self, turned_out: impl Fn(Mark) -> Option<Mark>) {
        for stretch in &mut self.stretches {
            let Some(mark) = turned_out(stretch.mark) else {
                continue;
            };
            stretch.mark = mark;
            // The call that it was seen in matters only if it slept there with the GIL.
            if mark != Mark::Known(State::HoldsBlocked) {
                stretch.call = None;
            }
        }
    }

    /// Writes what is known and over.
    pub fn flush(&mut self, thread: ThreadKey, out: &mut Vec<Record>) {
        while let (Some(&first), Some(second)) = (self.stretches.front().copied().as_ref(), self.stretches.get_mut(1)) {
            let (Mark::Known(state), Mark::Known(_)) = (first.mark, second.mark) else {
                break;
            };
            if (first.mark, first.call) == (second.mark, second.call) {
                second.from = first.from;
            } else {
                write(thread, first, second.from, state, out);
            }
            self.stretches.pop_front();
        }
    }

    /// Writes what is known, up to `to` of what goes on.
    pub fn cut(&mut self, thread: ThreadKey, to: Nanos, out: &mut Vec<Record>) {
        self.flush(thread, out);
        let next = self.stretches.get(1).map(|next| next.from);
        let Some(first) = self.stretches.front_mut() else {
            return;
        };
        let Mark::Known(state) = first.mark else {
            return;
        };
        let end = next.unwrap_or(to);
        write(thread, *first, end, state, out);
        first.from = first.from.max(end);
    }

    /// Writes all of it, up to its end. All must be settled.
    pub fn finish(&mut self, thread: ThreadKey, end: Nanos, out: &mut Vec<Record>) {
        debug_assert!(self.stretches.iter().all(|stretch| matches!(stretch.mark, Mark::Known(_))));
        self.flush(thread, out);
        self.cut(thread, end, out);
        self.stretches.clear();
    }

    /// How many stretches there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.stretches.len()
    }
}

fn write(thread: ThreadKey, stretch: Stretch, to: Nanos, state: State, out: &mut Vec<Record>) {
    if stretch.from < to {
        out.push(Record::Span(Span { thread, from: stretch.from, to, state, call: stretch.call }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREAD: ThreadKey = ThreadKey(3);
    const PYTHON: Mark = Mark::Known(State::HoldsPython);
    const SLEEP: Mark = Mark::Known(State::Sleep);

    fn spans(records: &[Record]) -> Vec<(Nanos, Nanos, char)> {
        let span = |record: &Record| match record {
            Record::Span(span) => (span.from, span.to, span.state.letter()),
            other => panic!("{other:?}"),
        };
        records.iter().map(span).collect()
    }

    #[test]
    fn what_is_open_holds_back_what_follows_and_joins_what_is_alike() {
        let (mut pending, mut out) = (Pending::default(), Vec::new());
        for (from, mark) in [(0, SLEEP), (10, PYTHON), (20, Mark::Holding), (30, Mark::Holding), (40, SLEEP)] {
            pending.push(from, mark, None);
            pending.flush(THREAD, &mut out);
        }
        assert_eq!(spans(&out), [(0, 10, 's')]);
        pending.settle(|mark| (mark == Mark::Holding).then_some(PYTHON));
        pending.flush(THREAD, &mut out);
        assert_eq!(spans(&out), [(0, 10, 's'), (10, 40, 'P')]);
        pending.finish(THREAD, 50, &mut out);
        assert_eq!(spans(&out)[2..], [(40, 50, 's')]);
    }

    #[test]
    fn a_cut_writes_what_is_known_and_no_more() {
        let (mut pending, mut out) = (Pending::default(), Vec::new());
        pending.push(0, SLEEP, Some(35));
        pending.cut(THREAD, 7, &mut out);
        pending.cut(THREAD, 3, &mut out);
        pending.cut(THREAD, 7, &mut out);
        assert_eq!(spans(&out), [(0, 7, 's')]);
        pending.push(8, Mark::Holding, None);
        pending.cut(THREAD, 20, &mut out);
        pending.cut(THREAD, 30, &mut out);
        assert_eq!(spans(&out), [(0, 7, 's'), (7, 8, 's')]);
        pending.settle(|_| Some(PYTHON));
        pending.cut(THREAD, 30, &mut out);
        assert_eq!(spans(&out)[2..], [(8, 30, 'P')]);
    }

    #[test]
    fn no_stretch_is_empty() {
        let (mut pending, mut out) = (Pending::default(), Vec::new());
        pending.push(5, SLEEP, None);
        pending.push(9, PYTHON, None);
        pending.push(9, SLEEP, None);
        assert_eq!(pending.len(), 1);
        pending.finish(THREAD, 5, &mut out);
        assert_eq!(spans(&out), []);
    }
}
