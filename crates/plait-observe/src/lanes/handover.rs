//! When a GIL went from one thread to another, between two looks.
//!
//! Who waits for a GIL sleeps, and gets a processor when it is woken to take it; who has let go of a GIL because it
//! waits for something, or has to see that another takes it, falls asleep right after. Where the kernel tells when threads
//! fell asleep and woke up, handovers are known to some 10 µs; where it does not, or where who takes the GIL need not
//! wait for it and who loses it goes on without it, all that is known is that it was between the two looks.

use plait_trace::{Nanos, ThreadKey};

use crate::memory::Naps;

/// One GIL's way between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Handover {
    /// Who had it at the first look has lost it by then.
    pub lost: Nanos,
    /// Who has it at the second look has it since then.
    pub got: Nanos,
    /// Who had it in between: nobody, or somebody who was not seen.
    pub between: Option<Option<ThreadKey>>,
}

impl Handover {
    /// Nothing is known but the one moment.
    pub fn at(edge: Nanos) -> Self {
        Self { lost: edge, got: edge, between: None }
    }

    /// From a thread that slept like this, or from nobody, to another, or to nobody, between the looks at `last` and `at`.
    /// `others` tells that there were more threads in between, `takes` how long a handover is on the average.
    pub fn told(
        (last, at): (Nanos, Nanos),
        (from, to): (Option<Naps>, Option<Naps>),
        others: bool,
        takes: Nanos,
    ) -> Self {
        let edge = last.midpoint(at);
        // Who was seen with it at the first look had it then.
        let after = |at: Nanos| at.max(last + 1);
        let woke = to.and_then(|naps| naps.woke()).map(after);
        let slept = from.and_then(|naps| naps.slept_at(woke.unwrap_or(Nanos::MAX))).map(after);
        let got = woke.or(slept).unwrap_or(edge);
        let mut lost = slept.unwrap_or(got);
        if woke.is_some() && from.is_some() {
            // It was let go of before the one was woken, and before the other fell asleep.
            lost = after(lost.min(got.saturating_sub(takes)));
        }
        Self { lost, got, between: others.then_some(None) }
    }
}

/// How long it takes on the average until who was woken to take a GIL has it: the time in which it was free, though wanted, over
/// the number of times that it came to another thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taking {
    free: Nanos,
    times: u64,
}

impl Taking {
    /// Fewer tell nothing.
    const FEWEST: u64 = 50;

    pub fn note(&mut self, free: Nanos, times: u64) {
        self.free = self.free.saturating_add(free);
        self.times = self.times.saturating_add(times);
    }

    pub fn mean(&self) -> Nanos {
        if self.times < Self::FEWEST { 0 } else { self.free / self.times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Nap;

    const EDGE: Nanos = 500;

    fn told(from: Option<&[(Nanos, Nanos)]>, to: Option<&[(Nanos, Nanos)]>) -> (Nanos, Nanos) {
        handed(from, to, 0)
    }

    fn handed(from: Option<&[(Nanos, Nanos)]>, to: Option<&[(Nanos, Nanos)]>, takes: Nanos) -> (Nanos, Nanos) {
        let naps = |naps: &[(Nanos, Nanos)]| {
            // Whose waking is at 0 sleeps still.
            let nap = |&(slept, woke): &(Nanos, Nanos)| Nap { slept, woke: (woke > 0).then_some(woke) };
            Naps(std::array::from_fn(|place| naps.get(place).map(nap)))
        };
        let found = Handover::told((0, 2 * EDGE), (from.map(naps), to.map(naps)), false, takes);
        (found.lost, found.got)
    }

    #[test]
    fn without_switches_it_is_the_middle() {
        for (from, to) in
            [(Some([].as_slice()), Some([].as_slice())), (Some(&[]), None), (None, Some(&[])), (None, None)]
        {
            assert_eq!(told(from, to), (EDGE, EDGE));
        }
    }

    #[test]
    fn who_takes_it_was_woken_for_it() {
        assert_eq!(told(Some(&[]), Some(&[(100, 700)])), (700, 700));
        assert_eq!(told(None, Some(&[(100, 700)])), (700, 700));
        assert_eq!(told(None, Some(&[(400, 700), (100, 200)])), (700, 700));
        assert_eq!(told(Some(&[(900, 0)]), Some(&[(100, 700)])), (700, 700), "it fell asleep later");
        assert_eq!(told(Some(&[(300, 400)]), Some(&[(100, 700)])), (700, 700), "it woke up before");
    }

    #[test]
    fn who_lets_go_of_it_to_wait_falls_asleep() {
        assert_eq!(told(Some(&[(300, 0)]), None), (300, 300));
        assert_eq!(told(Some(&[(300, 0)]), Some(&[])), (300, 300), "who took it was awake");
        assert_eq!(told(Some(&[(300, 0)]), Some(&[(100, 350)])), (300, 350), "and nobody had it in between");
        assert_eq!(told(Some(&[(370, 0), (300, 360)]), Some(&[(100, 350)])), (300, 350), "it is woken to go on");
    }

    #[test]
    fn it_takes_as_long_as_it_takes_on_the_average() {
        assert_eq!(handed(Some(&[]), Some(&[(100, 700)]), 80), (620, 700));
        assert_eq!(handed(Some(&[(650, 0)]), Some(&[(100, 700)]), 80), (620, 700));
        assert_eq!(handed(Some(&[(600, 0)]), Some(&[(100, 700)]), 80), (600, 700), "it slept before");
        assert_eq!(handed(Some(&[]), Some(&[(10, 40)]), 80), (1, 40), "it had it at the look before");
        assert_eq!(handed(None, Some(&[(100, 700)]), 80), (700, 700));
        assert_eq!(handed(Some(&[(300, 0)]), None, 80), (300, 300));
    }
}
