//! By how much the recorded counters grew.

use std::collections::BTreeMap;

use plait_trace::{Kind, Nanos, Recording, Subject, ThreadKey};

use super::window::{Window, ratio, seconds};

/// A counter stands for a process if its readings span this share of the time.
const REPRESENTATIVE: f64 = 0.5;

/// A counter at its first and at its last reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    first: (Nanos, u64),
    last: (Nanos, u64),
}

impl Growth {
    /// By how much it grew. A counter that went back did not grow.
    pub fn amount(&self) -> u64 {
        self.last.1.saturating_sub(self.first.1)
    }

    /// Seconds between the two readings.
    pub fn seconds(&self) -> f64 {
        seconds(self.last.0.saturating_sub(self.first.0))
    }

    /// By how much it grew in a second; for counters of nanoseconds see [`Growth::per_time`].
    pub fn per_second(&self) -> f64 {
        ratio(self.amount() as f64, self.seconds())
    }

    /// Of a counter of nanoseconds: how many of it in the time that passed.
    pub fn per_time(&self) -> f64 {
        self.per_second() / 1e9
    }
}

/// The counters of a recording, each within the window of what it is about.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<(Subject, Kind), Growth>);

impl Counts {
    pub fn of(recording: &Recording, window_of: impl Fn(Subject) -> Window) -> Self {
        let mut windows: BTreeMap<Subject, Window> = BTreeMap::new();
        let mut growths: BTreeMap<(Subject, Kind), Growth> = BTreeMap::new();
        for count in &recording.counts {
            let window = *windows.entry(count.of).or_insert_with(|| window_of(count.of));
            if count.at < window.from || count.at > window.to {
                continue;
            }
            let read = (count.at, count.value);
            growths
                .entry((count.of, count.kind))
                .and_modify(|own| own.last = read)
                .or_insert(Growth { first: read, last: read });
        }
        growths.retain(|_, growth| growth.last.0 > growth.first.0);
        Self(growths)
    }

    /// Absent where it was not read twice.
    pub fn get(&self, of: Subject, kind: Kind) -> Option<Growth> {
        self.0.get(&(of, kind)).copied()
    }

    /// Of a counter of nanoseconds, as that of a process: its own, or those of its threads together.
    pub fn of_process(&self, process: Subject, threads: &[ThreadKey], kind: Kind, window: Window) -> Option<f64> {
        // What was read over a small part of the time says nothing of the rest.
        let own = self.get(process, kind).filter(|growth| growth.seconds() >= REPRESENTATIVE * window.seconds());
        if let Some(growth) = own {
            return Some(growth.per_time());
        }
        let grown = threads.iter().filter_map(|&thread| self.get(Subject::Thread(thread), kind));
        let mut amounts = grown.map(|growth| growth.amount() as f64).peekable();
        amounts.peek()?;
        Some(ratio(amounts.sum::<f64>() / 1e9, window.seconds()))
    }

    /// All subjects of one kind.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (Subject, Growth)> {
        self.0.iter().filter(move |((_, own), _)| *own == kind).map(|((of, _), growth)| (*of, *growth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plait_trace::Count;

    fn counts(readings: &[(Nanos, u64)]) -> Counts {
        let counts = readings.iter().map(|&(at, value)| Count { of: Subject::Machine, kind: Kind::CpuTime, at, value });
        let mut recording = Recording::default();
        recording.counts.extend(counts);
        Counts::of(&recording, |_| Window::new(10, 1_000_000_010))
    }

    #[test]
    fn only_readings_within_the_window_count() {
        let counts = counts(&[(0, 5), (10, 100), (500, 7), (1_000_000_010, 500_000_100), (2_000_000_000, u64::MAX)]);
        let growth = counts.get(Subject::Machine, Kind::CpuTime).expect("read twice");
        assert_eq!((growth.amount(), growth.seconds(), growth.per_time()), (500_000_000, 1.0, 0.5));
        assert!(counts.get(Subject::Machine, Kind::RunDelay).is_none());
    }

    #[test]
    fn one_reading_tells_nothing_and_going_back_is_no_growth() {
        assert!(counts(&[(10, 100)]).get(Subject::Machine, Kind::CpuTime).is_none());
        let back = counts(&[(10, 100), (20, 50)]);
        assert_eq!(back.get(Subject::Machine, Kind::CpuTime).map(|growth| growth.amount()), Some(0));
    }
}
