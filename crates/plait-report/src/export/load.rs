//! How busy each GIL and each process was, in equal steps of time: the curves beside the lanes.

use plait_trace::{Kind, Nanos, ProcessKey, Recording, Subject};

use crate::rates::{Growth, growths};

/// A curve has so many steps at most, give or take one.
const STEPS: u64 = 1000;
/// And no step is shorter.
const SHORTEST: Nanos = 10_000_000;

/// The curves of a recording.
pub(crate) struct Load {
    /// By GIL.
    pub(crate) gils: Vec<GilLoad>,
    /// By process.
    pub(crate) processes: Vec<ProcessLoad>,
    /// The share of time in which something on the machine waited for a processor.
    pub(crate) pressure: Curve,
}

pub(crate) struct GilLoad {
    /// The share of time for which it was held.
    pub(crate) held: Curve,
    /// How many threads waited for it, on average.
    pub(crate) waiters: Curve,
    /// How many times a second it went from one thread to another.
    pub(crate) switches: Curve,
}

pub(crate) struct ProcessLoad {
    /// How many processors' worth of time it used.
    pub(crate) cpu: Curve,
    /// How many of its threads waited for a processor, on average.
    pub(crate) delay: Curve,
    /// The share of time for which its control group was held back.
    pub(crate) throttled: Curve,
}

/// Something per time, step by step; a step of which nothing is known has no value.
#[derive(Clone)]
pub(crate) struct Curve {
    width: Nanos,
    end: Nanos,
    sums: Vec<f64>,
    known: Vec<bool>,
}

impl Load {
    pub(crate) fn of(recording: &Recording) -> Self {
        let end = recording.length();
        let width = width_for(end);
        let empty = Curve::new(width, end);
        let mut load = Self {
            gils: recording.gils.iter().map(|_| GilLoad::new(&empty)).collect(),
            processes: recording.processes.iter().map(|_| ProcessLoad::new(&empty)).collect(),
            pressure: empty,
        };
        load.add_spans(recording);
        load.add_counts(recording);
        load
    }

    fn add_spans(&mut self, recording: &Recording) {
        for (lane, load) in recording.gils.iter().zip(&mut self.gils) {
            for hold in &lane.holds {
                load.held.add(hold.from, hold.to, (hold.to - hold.from) as f64);
            }
            // It was looked at for as long as its process was there: what is not held is free.
            if let Some(track) = recording.processes.get(lane.gil.process.index()) {
                let end = track.ended.unwrap_or(Nanos::MAX);
                load.held.know(track.process.found, end);
                load.waiters.know(track.process.found, end);
            }
        }
        for lane in &recording.threads {
            let Some(gil) = gil_of(recording, lane.thread.process, lane.thread.interpreter) else { continue };
            for span in lane.spans.iter().filter(|span| span.state.wants_gil()) {
                self.gils[gil].waiters.add(span.from, span.to, (span.to - span.from) as f64);
            }
        }
    }

    fn add_counts(&mut self, recording: &Recording) {
        let growths = growths(recording);
        let counted = |process: ProcessKey, kind| growths.contains_key(&(Subject::Process(process), kind));
        for (&(of, kind), list) in &growths {
            let (of, of_thread) = match of {
                Subject::Thread(thread) => {
                    let process = recording.threads.get(thread.index()).map(|lane| lane.thread.process);
                    // What is known of the process as a whole counts, or else what is known of its threads.
                    match process.filter(|&process| !counted(process, kind)) {
                        Some(process) => (Subject::Process(process), true),
                        None => continue,
                    }
                }
                of => (of, false),
            };
            let curve = match (of, kind) {
                (Subject::Process(process), Kind::CpuTime) => {
                    self.processes.get_mut(process.index()).map(|load| &mut load.cpu)
                }
                (Subject::Process(process), Kind::RunDelay) => {
                    self.processes.get_mut(process.index()).map(|load| &mut load.delay)
                }
                (Subject::Process(process), Kind::ThrottledTime) if !of_thread => {
                    self.processes.get_mut(process.index()).map(|load| &mut load.throttled)
                }
                (Subject::Gil(gil), Kind::Switches) => self.gils.get_mut(gil.index()).map(|load| &mut load.switches),
                (Subject::Machine, Kind::Pressure) => Some(&mut self.pressure),
                _ => None,
            };
            let Some(curve) = curve else { continue };
            for growth in list {
                curve.grow(growth);
            }
            if let (Some(first), Some(last)) = (list.first(), list.last()) {
                curve.know(first.from, last.to);
            }
        }
    }
}

impl GilLoad {
    fn new(empty: &Curve) -> Self {
        Self { held: empty.clone(), waiters: empty.clone(), switches: empty.clone() }
    }
}

impl ProcessLoad {
    fn new(empty: &Curve) -> Self {
        Self { cpu: empty.clone(), delay: empty.clone(), throttled: empty.clone() }
    }
}

impl Curve {
    fn new(width: Nanos, end: Nanos) -> Self {
        let steps = end.div_ceil(width) as usize;
        Self { width, end, sums: vec![0.0; steps], known: vec![false; steps] }
    }

    fn grow(&mut self, growth: &Growth) {
        self.add(growth.from, growth.to, growth.by as f64);
    }

    /// Spreads `amount` evenly over a stretch of time.
    fn add(&mut self, from: Nanos, to: Nanos, amount: f64) {
        let (from, to) = (from.min(self.end), to.min(self.end));
        if from >= to {
            return;
        }
        let whole = (to - from) as f64;
        for step in (from / self.width) as usize..=((to - 1) / self.width) as usize {
            let (begin, end) = self.bounds(step);
            self.sums[step] += amount * (to.min(end) - from.max(begin)) as f64 / whole;
        }
    }

    fn know(&mut self, from: Nanos, to: Nanos) {
        let (from, to) = (from.min(self.end), to.min(self.end));
        if from < to {
            self.known[(from / self.width) as usize..=((to - 1) / self.width) as usize].fill(true);
        }
    }

    fn bounds(&self, step: usize) -> (Nanos, Nanos) {
        let begin = step as u64 * self.width;
        (begin, begin.saturating_add(self.width).min(self.end))
    }

    /// How long a step is.
    pub(crate) fn width(&self) -> Nanos {
        self.width
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sums.len()
    }

    /// Beginning, end, and amount per nanosecond of each step of which something is known.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (Nanos, Nanos, f64)> {
        self.sums.iter().zip(&self.known).enumerate().filter(|&(_, (_, &known))| known).map(|(step, (&sum, _))| {
            let (begin, end) = self.bounds(step);
            (begin, end, sum / (end - begin) as f64)
        })
    }
}

/// The GIL that a thread of this interpreter needs.
fn gil_of(recording: &Recording, process: ProcessKey, interpreter: Option<i64>) -> Option<usize> {
    let interpreter = interpreter?;
    recording.gils.iter().position(|lane| lane.gil.process == process && lane.gil.interpreters.contains(&interpreter))
}

/// A round time that divides `length` into some hundreds of steps.
fn width_for(length: Nanos) -> Nanos {
    let wanted = length.div_ceil(STEPS).max(SHORTEST);
    let mut unit: Nanos = SHORTEST;
    loop {
        for times in [1, 2, 5] {
            let width = unit.saturating_mul(times);
            if width >= wanted {
                return width;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_not_too_many() {
        assert_eq!(width_for(0), SHORTEST);
        assert_eq!(width_for(60_000_000_000), 100_000_000);
        assert_eq!(width_for(61_000_000_000 * 3), 200_000_000);
        for length in [1, 12_345_678_901, u64::MAX] {
            assert!(length.div_ceil(width_for(length)) <= STEPS);
        }
    }

    #[test]
    fn what_lies_across_steps_is_shared_out() {
        let mut curve = Curve::new(10, 35);
        curve.add(5, 25, 20.0);
        curve.know(5, 25);
        let steps: Vec<_> = curve.steps().collect();
        assert_eq!(steps, [(0, 10, 0.5), (10, 20, 1.0), (20, 30, 0.5)]);
        curve.add(30, 100, 5.0);
        curve.know(30, 100);
        assert_eq!(curve.steps().last(), Some((30, 35, 1.0)), "what lies beyond the end is cut");
    }
}
