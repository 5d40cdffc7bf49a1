//! One backend's figures: medians over its rounds, and how far they spread.

use super::measurements::{Call, Round, Run, Scaled};
use super::spread::{Spread, figure, ratio};
use crate::plain_text::one_line;
use crate::sketch::Sketch;
use crate::units;

/// One backend's figures, each over all of its rounds; what was not measured is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The backend, or the peer's name, as it was measured.
    pub backend: String,
    /// Whether it is another library's executor.
    pub peer: bool,
    /// How many workers it had.
    pub workers: usize,
    /// Time of one round on workers that had started already.
    pub seconds: Option<Spread>,
    /// Serial's time over this one's, round by round: both of a pair met the same state of the machine, so what slows
    /// the whole machine down cancels out. Absent where calls failed, since less was done then.
    pub speedup: Option<Spread>,
    /// Median time to make the backend ready.
    pub startup_seconds: Option<f64>,
    /// Median CPU time of a round, parent and workers together.
    pub cpu_seconds: Option<f64>,
    /// Median of CPU time over time: how many cores the backend really got.
    pub cores: Option<f64>,
    /// Median share of the time in which the calling thread was ready to run, but other threads had the cores.
    pub starved: Option<f64>,
    /// Median share of the time in which threads wanted to run that they waited for the GIL.
    pub gil_wait: Option<f64>,
    /// Median of the memory of the whole tree.
    pub pss_bytes: Option<u64>,
    /// Mean time of a single call, over the calls of all rounds.
    pub call_seconds: Option<f64>,
    /// Median over the rounds of the longest single call.
    pub longest_call_seconds: Option<f64>,
    /// The calls of the round whose time is nearest to the median, in the order in which they started.
    pub calls: Vec<Call>,
    /// Most calls that raised in one round.
    pub failed_calls: usize,
    /// Why it could not run, or which calls raised.
    pub error: Option<String>,
    /// What its threads did in one of the rounds.
    pub sketch: Option<Sketch>,
    /// Times of single rounds with other numbers of workers, fewest workers first.
    pub scaling: Vec<Scaled>,
    /// Time of each round, with and without start-up; a round without a usable time keeps its place.
    rounds: Vec<Option<Timing>>,
}

/// Those that can be drawn, in order, one for each number of workers.
fn scaling(mut all: Vec<Scaled>) -> Vec<Scaled> {
    all.retain(|one| one.workers > 0 && one.seconds.is_finite() && one.seconds > 0.0);
    all.sort_by_key(|one| one.workers);
    all.dedup_by_key(|one| one.workers);
    all
}

/// The times of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timing {
    /// On workers that had started already.
    pub seconds: f64,
    /// With start-up.
    pub total: f64,
}

/// Whether start-up counts in a comparison of two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartUp {
    Counted,
    LeftOut,
}

/// By how much one row must be ahead to count as faster, when there are rounds enough to know the noise.
const MARGIN: f64 = 0.05;
/// The same when there are too few rounds for that.
const MARGIN_OF_FEW_ROUNDS: f64 = 0.20;
/// So many pairs of rounds show the noise.
const ENOUGH_ROUNDS: usize = 3;

impl Row {
    /// The figures of `run`, which mapped `items` in each round; `speedup` comes later, by [`Row::compare_to`].
    pub(super) fn new(run: Run, items: usize) -> Self {
        let timings: Vec<Option<Timing>> = run.rounds.iter().map(timing).collect();
        let timed = || run.rounds.iter().zip(&timings).filter(|(_, timing)| timing.is_some()).map(|(round, _)| round);
        let seconds = Spread::of(timed().map(|round| round.seconds));
        let failed_calls = run.rounds.iter().map(|round| round.failed_calls).max().unwrap_or(0);
        let calls = || timed().flat_map(usable_calls);
        let error = run.error.filter(|error| !error.trim().is_empty()).or_else(|| {
            (failed_calls > 0).then(|| format!("{failed_calls} of {} failed", units::count(items, "call")))
        });
        Self {
            seconds,
            speedup: None,
            startup_seconds: median(timed().filter_map(|round| round.startup_seconds)),
            cpu_seconds: median(timed().filter_map(|round| round.cpu_seconds)),
            cores: median(timed().filter_map(|round| ratio(round.cpu_seconds?, round.seconds))),
            starved: median(timed().filter_map(|round| ratio(round.starved_seconds?, round.seconds)))
                .map(|share| share.min(1.0)),
            gil_wait: median(timed().filter_map(|round| round.gil_wait)).map(|share| share.min(1.0)),
            pss_bytes: median(timed().filter_map(|round| round.pss_bytes).map(|bytes| bytes as f64))
                .map(|bytes| bytes as u64),
            call_seconds: mean(calls().map(|call| call.seconds)),
            longest_call_seconds: median(
                timed().filter_map(|round| usable_calls(round).map(|call| call.seconds).max_by(f64::total_cmp)),
            ),
            calls: seconds.map(|seconds| calls_of_middle_round(&run.rounds, seconds.median)).unwrap_or_default(),
            failed_calls,
            error,
            sketch: run.sketch.filter(|sketch| sketch.seconds.is_finite() && sketch.seconds > 0.0),
            scaling: scaling(run.scaling),
            rounds: timings,
            backend: run.backend,
            peer: run.peer,
            workers: run.workers,
        }
    }

    /// Takes the speed-up over `serial`, when both did all their calls.
    pub(super) fn compare_to(&mut self, serial: &Row) {
        self.speedup = self.ran().then(|| self.gain_over(serial, StartUp::LeftOut)).flatten();
    }

    /// Whether it did all of its calls, so that its time can be compared.
    pub fn ran(&self) -> bool {
        self.error.is_none() && self.seconds.is_some()
    }

    /// How many cores its calls would use on a machine that has nothing else to do.
    pub(super) fn demand(&self) -> Option<f64> {
        let cores = self.cores?;
        ratio(cores, 1.0 - self.starved.unwrap_or(0.0)).map(|demand| demand.max(cores))
    }

    /// How many times faster than `other` it was, over the pairs of rounds that both have.
    pub(super) fn gain_over(&self, other: &Row, start_up: StartUp) -> Option<Spread> {
        let time = |timing: Timing| {
            if start_up == StartUp::Counted { timing.total } else { timing.seconds }
        };
        let pairs = self.rounds.iter().zip(&other.rounds);
        Spread::of(pairs.filter_map(|(own, other)| ratio(time((*other)?), time((*own)?))))
    }

    /// Whether it was faster than `other` by more than the noise: clearly in the middle, and still faster in the lower
    /// quartile of the pairs of rounds.
    pub(super) fn beats(&self, other: &Row, start_up: StartUp) -> bool {
        self.gain_over(other, start_up).is_some_and(|gain| {
            let margin = if gain.rounds < ENOUGH_ROUNDS { MARGIN_OF_FEW_ROUNDS } else { MARGIN };
            gain.median >= 1.0 + margin && gain.q1 > 1.0
        })
    }

    /// Median time of a round with start-up.
    pub(super) fn total_seconds(&self) -> Option<f64> {
        median(self.rounds.iter().flatten().map(|timing| timing.total))
    }

    /// The backend's name, safe to show on one line.
    pub(super) fn name(&self) -> String {
        one_line(&self.backend)
    }

    /// The error, safe to show on one line.
    pub(super) fn error_line(&self) -> Option<String> {
        self.error.as_deref().map(one_line)
    }
}

fn timing(round: &Round) -> Option<Timing> {
    let seconds = figure(round.seconds)?;
    let total = figure(seconds + round.startup_seconds.and_then(figure).unwrap_or(0.0)).unwrap_or(seconds);
    Some(Timing { seconds, total })
}

fn usable_calls(round: &Round) -> impl Iterator<Item = Call> + '_ {
    round.calls.iter().copied().filter(|call| figure(call.seconds).is_some() && figure(call.start).is_some())
}

/// The first of the rounds whose time is nearest to `median`, as its calls in the order of their start.
fn calls_of_middle_round(rounds: &[Round], median: f64) -> Vec<Call> {
    let distance = |round: &&Round| (round.seconds - median).abs();
    let timed = rounds.iter().filter(|round| timing(round).is_some() && usable_calls(round).next().is_some());
    let middle = timed.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let mut calls: Vec<Call> = middle.into_iter().flat_map(usable_calls).collect();
    calls.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.item.cmp(&b.item)));
    calls
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64).and_then(figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: &[f64]) -> Row {
        let rounds = seconds.iter().map(|&seconds| Round { seconds, startup_seconds: Some(1.0), ..Round::default() });
        Row::new(Run { backend: "x".into(), workers: 1, rounds: rounds.collect(), ..Run::default() }, 4)
    }

    #[test]
    fn gains_are_taken_round_by_round() {
        // The machine was twice as slow in the second round; the medians alone would not know.
        let (serial, other) = (row(&[2.0, 4.0, 2.0]), row(&[1.0, 2.0, 1.0]));
        let gain = other.gain_over(&serial, StartUp::LeftOut).expect("three pairs");
        assert_eq!((gain.min, gain.median, gain.max, gain.rounds), (2.0, 2.0, 2.0, 3));
        assert_eq!(other.gain_over(&serial, StartUp::Counted).map(|gain| gain.median), Some(1.5));
    }

    #[test]
    fn a_round_without_a_time_keeps_its_place() {
        let gain = row(&[1.0, f64::NAN, 4.0]).gain_over(&row(&[2.0, 2.0, 4.0, 9.0]), StartUp::LeftOut);
        assert_eq!(gain.map(|gain| (gain.min, gain.max, gain.rounds)), Some((1.0, 2.0, 2)));
    }

    #[test]
    fn faster_means_faster_than_the_noise() {
        let beats = |own: &[f64], other: &[f64]| row(own).beats(&row(other), StartUp::LeftOut);
        assert!(beats(&[1.0, 1.0, 1.0], &[1.06, 1.06, 1.06]));
        assert!(!beats(&[1.0, 1.0, 1.0], &[1.04, 1.04, 1.04]), "below the margin");
        assert!(!beats(&[1.0, 1.0, 1.0, 1.0], &[0.8, 0.9, 1.3, 1.4]), "now faster, now slower");
        assert!(!beats(&[1.0], &[1.15]), "one round does not show the noise");
        assert!(beats(&[1.0], &[1.5]));
        assert!(!beats(&[], &[1.0]) && !beats(&[1.0], &[]));
    }

    #[test]
    fn calls_are_those_of_the_middle_round_in_order_of_start() {
        let call = |item, start, seconds| Call { item, start, seconds, worker: 0 };
        let round = |seconds, calls| Round { seconds, calls, ..Round::default() };
        let rounds = vec![
            round(9.0, vec![call(0, 0.0, 9.0)]),
            round(2.0, vec![call(1, 1.0, 1.0), call(0, 0.0, 1.0), call(2, 0.0, f64::NAN)]),
            round(1.0, vec![call(0, 0.0, 4.0)]),
        ];
        let row = Row::new(Run { rounds, ..Run::default() }, 2);
        assert_eq!(row.calls.iter().map(|call| call.item).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((row.call_seconds, row.longest_call_seconds), (Some(3.75), Some(4.0)));
    }

    #[test]
    fn failed_calls_make_an_error_when_none_was_told() {
        let rounds = vec![Round { seconds: 1.0, failed_calls: 2, ..Round::default() }];
        let row = Row::new(Run { rounds, error: Some(" ".into()), ..Run::default() }, 8);
        assert_eq!(row.error.as_deref(), Some("2 of 8 calls failed"));
        assert!(!row.ran());
    }
}
