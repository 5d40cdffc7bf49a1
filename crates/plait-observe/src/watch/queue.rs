//! Who waited for a GIL, and who slept with it in hand meanwhile.
//!
//! Spans of different threads become known in any order, so whether others waited while a holder slept is told only when
//! nothing more can come of that time.

use plait_trace::{Nanos, ThreadKey};

/// A stretch for which a thread slept with the GIL in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asleep {
    thread: ThreadKey,
    from: Nanos,
    to: Nanos,
}

/// What became of such a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub thread: ThreadKey,
    /// The part of it in which others waited for the GIL.
    pub kept: Nanos,
    /// The part in which nobody did.
    pub idle: Nanos,
}

/// The waits for one GIL.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// When at least one thread waited: in order, and none touches the next.
    waited: Vec<(Nanos, Nanos)>,
    asleep: Vec<Asleep>,
}

impl Queue {
    /// A thread waited.
    pub fn waited(&mut self, from: Nanos, to: Nanos) {
        let first = self.waited.partition_point(|stretch| stretch.1 < from);
        let behind = self.waited.partition_point(|stretch| stretch.0 <= to);
        let joined = match self.waited.get(first..behind) {
            Some([one, .., last]) => (from.min(one.0), to.max(last.1)),
            Some([one]) => (from.min(one.0), to.max(one.1)),
            _ => (from, to),
        };
        self.waited.splice(first..behind.max(first), [joined]);
    }

    /// The holder slept.
    pub fn slept(&mut self, thread: ThreadKey, from: Nanos, to: Nanos) {
        self.asleep.push(Asleep { thread, from, to });
    }

    /// Nothing more will come of the time before `before`: tells what the sleeps were that ended by then.
    pub fn settle(&mut self, before: Nanos, mut tell: impl FnMut(Settled)) {
        let waited = &self.waited;
        self.asleep.retain(|&Asleep { thread, from, to }| {
            if to > before {
                return true;
            }
            let first = waited.partition_point(|stretch| stretch.1 <= from);
            let within = waited[first..].iter().take_while(|stretch| stretch.0 < to);
            let kept = within.map(|stretch| stretch.1.min(to) - stretch.0.max(from)).sum();
            tell(Settled { thread, kept, idle: to - from - kept });
            false
        });
        let needed = self.asleep.iter().map(|asleep| asleep.from).min().unwrap_or(before).min(before);
        self.waited.drain(..self.waited.partition_point(|stretch| stretch.1 <= needed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: ThreadKey = ThreadKey(3);

    #[test]
    fn stretches_that_touch_are_one() {
        let mut queue = Queue::default();
        for (from, to) in [(10, 20), (40, 50), (0, 5), (60, 70), (20, 30), (45, 60), (29, 30)] {
            queue.waited(from, to);
        }
        assert_eq!(queue.waited, [(0, 5), (10, 30), (40, 70)]);
        queue.waited(2, 65);
        assert_eq!(queue.waited, [(0, 70)]);
    }

    #[test]
    fn a_sleep_counts_where_others_waited_whatever_became_known_first() {
        let mut queue = Queue::default();
        queue.waited(0, 12);
        queue.slept(HOLDER, 10, 30);
        queue.slept(HOLDER, 30, 95);
        queue.waited(20, 25);
        let mut told = Vec::new();
        queue.settle(50, |settled| told.push(settled));
        assert_eq!(told, [Settled { thread: HOLDER, kept: 7, idle: 13 }]);
        assert_eq!(queue.waited, [], "nothing of it is needed for the other");
        queue.waited(40, 60);
        queue.settle(60, |settled| told.push(settled));
        assert_eq!((told.len(), &queue.waited[..]), (1, &[(40, 60)][..]), "still needed");
        queue.settle(Nanos::MAX, |settled| told.push(settled));
        assert_eq!(told[1..], [Settled { thread: HOLDER, kept: 20, idle: 45 }]);
        assert!(queue.waited.is_empty() && queue.asleep.is_empty());
    }
}
