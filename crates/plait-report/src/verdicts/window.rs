//! Stretches of time, and what of them lies within others.

use plait_trace::{Nanos, Recording};
use serde::Serialize;

/// A stretch of time within a recording, in nanoseconds since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The first moment.
    pub from: Nanos,
    /// The first moment after it.
    pub to: Nanos,
}

impl Window {
    /// From one moment to another; empty where the second is not the later one.
    pub(super) fn new(from: Nanos, to: Nanos) -> Self {
        Self { from, to: to.max(from) }
    }

    /// How long it is.
    pub fn length(self) -> Nanos {
        self.to.saturating_sub(self.from)
    }

    /// How long it is, in seconds.
    pub fn seconds(self) -> f64 {
        seconds(self.length())
    }

    /// What of it lies within the other.
    pub(super) fn within(self, other: Self) -> Self {
        let from = self.from.max(other.from);
        Self::new(from, self.to.min(other.to))
    }

    pub(super) fn is_empty(self) -> bool {
        self.length() == 0
    }

    pub(super) fn holds(self, at: Nanos) -> bool {
        self.from <= at && at < self.to
    }
}

/// Nanoseconds as seconds.
pub(super) fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// A part of a whole, from 0 to 1; 0 where there is no whole.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 && part.is_finite() { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}

/// How many of one in the other, on average; 0 where there is no whole.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 && part.is_finite() { (part / whole).max(0.0) } else { 0.0 }
}

/// Stretches of time that do not overlap, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Union(Vec<Window>);

impl Union {
    pub fn of(mut windows: Vec<Window>) -> Self {
        windows.retain(|window| !window.is_empty());
        windows.sort_by_key(|window| window.from);
        let mut union: Vec<Window> = Vec::new();
        for window in windows {
            match union.last_mut() {
                Some(last) if window.from <= last.to => last.to = last.to.max(window.to),
                _ => union.push(window),
            }
        }
        Self(union)
    }

    /// The time of `window` that is in it.
    pub fn of_window(&self, window: Window) -> Nanos {
        let first = self.0.partition_point(|own| own.to <= window.from);
        let own = self.0[first..].iter().take_while(|own| own.from < window.to);
        own.fold(0, |sum: Nanos, own| sum.saturating_add(own.within(window).length()))
    }

    pub fn count_in(&self, window: Window) -> usize {
        self.0.iter().filter(|own| !own.within(window).is_empty()).count()
    }
}

/// When nobody looked.
pub(super) fn gaps(recording: &Recording) -> Union {
    Union::of(recording.gaps.iter().map(|gap| Window::new(gap.from, gap.to)).collect())
}

/// How many threads did something at a time: a number that goes up and down, and can be added up over time.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Moment, number from then on, and the nanoseconds added up until then.
    steps: Vec<(Nanos, u64, u128)>,
}

impl Level {
    pub fn of(windows: &[Window]) -> Self {
        let mut edges: Vec<(Nanos, i64)> = Vec::with_capacity(2 * windows.len());
        for window in windows.iter().filter(|window| !window.is_empty()) {
            edges.push((window.from, 1));
            edges.push((window.to, -1));
        }
        edges.sort_unstable();
        let mut steps: Vec<(Nanos, u64, u128)> = Vec::new();
        let mut level = 0i64;
        for (at, change) in edges {
            level += change;
            let number = level.max(0) as u64;
            match steps.last().copied() {
                Some((last, _, _)) if last == at => steps.last_mut().expect("there is one").1 = number,
                Some((last, before, sum)) => {
                    steps.push((at, number, sum + u128::from(before) * u128::from(at - last)));
                }
                None => steps.push((at, number, 0)),
            }
        }
        Self { steps }
    }

    /// The number times the time, over `window`; in nanoseconds.
    pub fn sum(&self, window: Window) -> Nanos {
        let sum = self.until(window.to).saturating_sub(self.until(window.from));
        Nanos::try_from(sum).unwrap_or(Nanos::MAX)
    }

    fn until(&self, at: Nanos) -> u128 {
        match self.steps.partition_point(|step| step.0 <= at).checked_sub(1) {
            Some(last) => {
                let (from, number, sum) = self.steps[last];
                sum + u128::from(number) * u128::from(at - from)
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(pairs: &[(Nanos, Nanos)]) -> Vec<Window> {
        pairs.iter().map(|&(from, to)| Window::new(from, to)).collect()
    }

    #[test]
    fn what_overlaps_counts_once() {
        let union = Union::of(windows(&[(5, 8), (0, 2), (1, 3), (8, 9), (4, 4)]));
        assert_eq!(union.of_window(Window::new(0, 100)), 7);
        assert_eq!(union.of_window(Window::new(2, 6)), 2);
        assert_eq!(union.of_window(Window::new(3, 5)), 0);
        assert_eq!(union.count_in(Window::new(0, 6)), 2);
    }

    #[test]
    fn levels_add_up() {
        let level = Level::of(&windows(&[(0, 10), (5, 10), (5, 7)]));
        assert_eq!(level.sum(Window::new(0, 20)), 17);
        assert_eq!(level.sum(Window::new(4, 6)), 1 + 3);
        assert_eq!(level.sum(Window::new(10, 20)), 0);
        let huge = Level::of(&windows(&[(0, Nanos::MAX), (0, Nanos::MAX)]));
        assert_eq!(huge.sum(Window::new(0, Nanos::MAX)), Nanos::MAX);
    }

    #[test]
    fn shares_are_shares() {
        assert_eq!([share(1.0, 0.0), share(f64::NAN, 1.0), share(3.0, 2.0), share(1.0, 2.0)], [0.0, 0.0, 1.0, 0.5]);
    }
}
