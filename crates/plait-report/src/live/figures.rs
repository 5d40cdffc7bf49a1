//! The figures of a stretch of time: shares of threads, GILs and processes.

use plait_trace::{Count, GilLane, Kind, Nanos, ProcessKey, Recording, Span, State, Subject, ThreadLane};

use super::cells::Spent;

/// Counts are read some ten times a second: one that is older than this did not change since.
const READING: Nanos = 250_000_000;

/// What happened from one moment to another.
pub(super) struct Figures {
    pub(super) from: Nanos,
    /// By thread.
    pub(super) threads: Vec<ThreadFigures>,
    /// By process.
    pub(super) processes: Vec<ProcessFigures>,
}

/// What a thread did; shares are of the time for which it was there.
#[derive(Clone, Debug)]
pub(super) struct ThreadFigures {
    pub(super) spent: Spent,
    /// For how long it was there.
    pub(super) there: Nanos,
    /// Processors' worth of time that it used.
    pub(super) cpu: f64,
    /// The span in which it kept the GIL for longest.
    pub(super) hog: Option<Span>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ProcessFigures {
    /// The share of time for which each of its GILs was held.
    pub(super) gils: Vec<f64>,
    /// How many threads waited for a GIL, on average.
    pub(super) waiters: f64,
    /// Processors' worth of time that it used.
    pub(super) cpu: f64,
    /// The share of time for which its control group was held back; absent where there is no account of it.
    pub(super) throttled: Option<f64>,
}

/// How a count grew: the reading before the time in question, or the first one in it; and the last one.
#[derive(Clone, Copy, Default)]
struct Readings {
    base: Option<(Nanos, u64)>,
    last: Option<(Nanos, u64)>,
}

impl Readings {
    fn take(&mut self, from: Nanos, to: Nanos, count: &Count) {
        let reading = Some((count.at, count.value));
        if count.at <= from || self.base.is_none() {
            self.base = reading;
        }
        if count.at <= to {
            self.last = reading;
        }
    }

    /// Growth per nanosecond.
    fn rate(&self, from: Nanos, to: Nanos) -> Option<f64> {
        let ((began, base), (ended, last)) = (self.base?, self.last?);
        let began = began.max(from.saturating_sub(READING));
        // A last reading of some time ago says that nothing has changed since.
        let ended = if to.saturating_sub(ended) < READING { ended } else { to };
        let lasted = ended.checked_sub(began).filter(|&lasted| lasted > 0)?;
        Some(last.saturating_sub(base) as f64 / lasted as f64)
    }
}

impl Figures {
    pub(super) fn of(recording: &Recording, from: Nanos, to: Nanos) -> Self {
        let mut cpu = vec![Readings::default(); recording.threads.len()];
        let mut cpu_of_process = vec![Readings::default(); recording.processes.len()];
        let mut throttled = vec![Readings::default(); recording.processes.len()];
        for count in recording.counts.iter().filter(|count| count.at <= to) {
            let readings = match (count.of, count.kind) {
                (Subject::Thread(thread), Kind::CpuTime) => cpu.get_mut(thread.index()),
                (Subject::Process(process), Kind::CpuTime) => cpu_of_process.get_mut(process.index()),
                (Subject::Process(process), Kind::ThrottledTime) => throttled.get_mut(process.index()),
                _ => None,
            };
            if let Some(readings) = readings {
                readings.take(from, to, count);
            }
        }
        let threads: Vec<_> = recording
            .threads
            .iter()
            .zip(&cpu)
            .map(|(lane, cpu)| ThreadFigures::of(lane, cpu.rate(from, to), from, to))
            .collect();
        let mut processes: Vec<_> = recording
            .processes
            .iter()
            .zip(cpu_of_process.iter().zip(&throttled))
            .map(|(track, (cpu, throttled))| {
                let end = track.ended.unwrap_or(to).min(to);
                let there = end.saturating_sub(track.process.found.max(from));
                ProcessFigures::of(
                    recording,
                    track.process.key,
                    there,
                    cpu.rate(from, to),
                    throttled.rate(from, to),
                    (from, to),
                )
            })
            .collect();
        // What the kernel says of threads one by one, where it is not known of the process.
        for (lane, figures) in recording.threads.iter().zip(&threads) {
            let process = lane.thread.process.index();
            if cpu_of_process[process].rate(from, to).is_none() {
                let all = &mut processes[process];
                // A thread that was there for a part of the time used a part of a processor.
                all.cpu += figures.cpu * share(figures.there, to - from);
            }
            let waited =
                State::ALL.into_iter().filter(|state| state.wants_gil()).map(|state| figures.spent[state as usize]);
            processes[process].waiters += share(waited.sum(), to - from);
        }
        Self { from, threads, processes }
    }
}

impl ThreadFigures {
    fn of(lane: &ThreadLane, cpu: Option<f64>, from: Nanos, to: Nanos) -> Self {
        let mut spent: Spent = [0; State::ALL.len()];
        let mut hog: Option<Span> = None;
        let first = lane.spans.partition_point(|span| span.to <= from);
        for span in lane.spans[first..].iter().take_while(|span| span.from < to) {
            spent[span.state as usize] += span.to.min(to) - span.from.max(from);
            let keeps = matches!(span.state, State::HoldsNative | State::HoldsBlocked | State::HoldsGc);
            if keeps && hog.is_none_or(|known| span.to - span.from > known.to - known.from) {
                hog = Some(*span);
            }
        }
        let end = lane.ended.unwrap_or(to).min(to);
        // A thread may have been found after it was first seen by another way.
        let there = end.saturating_sub(lane.thread.found.max(from)).max(spent.iter().sum());
        let runs = |state: &State| state.wants_processor() && *state != State::Runnable;
        let ran = || share(State::ALL.into_iter().filter(runs).map(|state| spent[state as usize]).sum(), there);
        let cpu = cpu.unwrap_or_else(ran).min(1.0);
        Self { spent, there, cpu, hog }
    }

    /// The share of its time that it had the GIL.
    pub(super) fn gil(&self) -> f64 {
        self.share(State::holds_gil)
    }

    /// The share of its time that it waited for the GIL.
    pub(super) fn waits(&self) -> f64 {
        self.share(State::wants_gil)
    }

    /// Whether it did nothing but wait for something else than the GIL or a processor, or nearly.
    pub(super) fn is_idle(&self) -> bool {
        self.share(|state| state.holds_gil() || state.wants_gil() || state.wants_processor()) < 0.005
    }

    /// Whether anything is known of it.
    pub(super) fn is_known(&self) -> bool {
        self.spent.iter().any(|&spent| spent > 0)
    }

    fn share(&self, of: impl Fn(State) -> bool) -> f64 {
        share(
            State::ALL.into_iter().filter(|&state| of(state)).map(|state| self.spent[state as usize]).sum(),
            self.there,
        )
    }
}

impl ProcessFigures {
    fn of(
        recording: &Recording,
        process: ProcessKey,
        there: Nanos,
        cpu: Option<f64>,
        throttled: Option<f64>,
        (from, to): (Nanos, Nanos),
    ) -> Self {
        let held = |lane: &GilLane| {
            let first = lane.holds.partition_point(|hold| hold.to <= from);
            let holds = lane.holds[first..].iter().take_while(|hold| hold.from < to);
            share(holds.map(|hold| hold.to.min(to) - hold.from.max(from)).sum(), there)
        };
        let gils = recording.gils.iter().filter(|lane| lane.gil.process == process).map(held).collect();
        Self { gils, waiters: 0.0, cpu: cpu.unwrap_or(0.0), throttled: throttled.map(|share| share.min(1.0)) }
    }
}

/// A share of a whole, at most all of it; nothing of nothing.
fn share(part: Nanos, whole: Nanos) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::{MS, small};

    fn near(value: f64, wanted: f64) {
        assert!((value - wanted).abs() < 0.02, "{value}, not {wanted}");
    }

    #[test]
    fn shares_are_of_the_time_in_question() {
        let recording = small();
        let figures = Figures::of(&recording, 0, 500 * MS);
        near(figures.threads[0].gil(), 0.3);
        near(figures.threads[0].waits(), 0.4);
        near(figures.threads[0].cpu, 0.2);
        near(figures.threads[1].gil(), 0.5);
        near(figures.processes[0].gils[0], 0.8);
        near(figures.processes[0].waiters, 0.92);
        near(figures.processes[0].cpu, 0.2 + 0.5 + 0.08);
        assert_eq!(figures.processes[0].throttled, None);
        near(figures.processes[1].throttled.expect("it has an account"), 0.05);
        let later = Figures::of(&recording, 50 * MS, 250 * MS);
        near(later.threads[0].gil(), 0.0);
        near(later.threads[1].gil(), 1.0);
        near(later.processes[0].gils[0], 1.0);
        let hog = later.threads[1].hog.expect("the parser");
        assert_eq!((hog.from, hog.to, hog.state), (50 * MS, 250 * MS, State::HoldsNative));
    }

    #[test]
    fn a_thread_that_ended_counts_for_the_time_it_was_there() {
        let figures = Figures::of(&small(), 0, 500 * MS);
        near(figures.threads[3].gil(), 190.0 / 300.0);
        near(figures.processes[1].gils[0], 190.0 / 300.0);
    }

    #[test]
    fn counts_that_stand_still_are_not_written_down() {
        let mut readings = Readings::default();
        for (at, value) in [(100, 10), (200, 60), (900, 70)] {
            let count = Count { of: Subject::Machine, kind: Kind::CpuTime, at: at * MS, value: value * MS };
            readings.take(150 * MS, 2_000 * MS, &count);
        }
        let rate = readings.rate(150 * MS, 2_000 * MS).expect("it has grown");
        near(rate, 60.0 / 1_900.0);
        near(readings.rate(150 * MS, 1_000 * MS).expect("it has grown"), 60.0 / 800.0);
        assert_eq!(Readings::default().rate(0, 10), None);
    }
}
