//! Why a backend gained what it gained, or did not: each cause is found by its own rule, or not at all.

use super::{COMPUTES, Case, WAITS};
use crate::comparison::reason::Reason;
use crate::comparison::row::{Row, StartUp};

/// So much waiting for the GIL is worth a word.
pub(super) const GIL_WAIT: f64 = 0.2;
/// Threads that get so many cores compute side by side.
const SIDE_BY_SIDE: f64 = 1.3;
/// A speed-up, or a number of cores, below this share of what could be had asks for a reason.
const FAR_BELOW: f64 = 0.75;
/// A call that takes so many times as long as in serial is slower beyond doubt.
const STRETCHED: f64 = 1.25;
/// The longest call bounds the round when it takes so much of it,
const LONGEST_SHARE: f64 = 0.7;
/// and is so many times as long as the mean call.
const UNEVEN: f64 = 1.5;
/// Calls below this are short, in seconds.
const SHORT_CALL: f64 = 1e-3;
/// Start-up above this share of the time with it is told.
const START_UP_SHARE: f64 = 0.1;
/// A deviation above this is told when the noise decides.
const NOISY: f64 = 0.2;
/// Start-up and memory below this share of another's are cheaper.
const CHEAPER: f64 = 0.8;

impl Case<'_> {
    /// How threads came to be the best: side by side, or by waiting at the same time.
    pub(super) fn why_threads(&self, threads: &Row, serial: &Row) -> Option<Reason> {
        let computed = serial.demand()?;
        let side_by_side = threads.cores.filter(|&cores| cores >= SIDE_BY_SIDE && computed >= COMPUTES);
        let little = threads.gil_wait.is_none_or(|share| share < GIL_WAIT);
        match side_by_side {
            Some(cores) if !self.gil => Some(Reason::FreeThreaded { cores }),
            Some(cores) => little.then_some(Reason::ReleasesGil { cores, gil_wait: threads.gil_wait }),
            None => (computed < WAITS).then_some(Reason::Waits { cores: computed }),
        }
    }

    /// Threads that waited for the GIL. It is the cause of what they did not gain only when `best`, which has no such
    /// wait, gained more, on cores enough for both to do so.
    pub(super) fn gil_wait(&self, row: &Row, best: Option<&Row>) -> Option<Reason> {
        let (share, speedup) = (row.gil_wait.filter(|&share| share >= GIL_WAIT)?, row.speedup?.median);
        if !self.gil || row.backend != "threads" {
            return None;
        }
        let behind = best.is_some_and(|best| best.backend != "threads" && best.beats(row, StartUp::LeftOut));
        let reason = Reason::GilWait { backend: self.label(row), speedup, share, cause: behind && self.cpus > 1 };
        (best.is_none() || behind).then_some(reason)
    }

    /// `other` is no faster than the simpler `best`, and no slower either.
    pub(super) fn as_fast(&self, other: &Row, best: &Row) -> Option<Reason> {
        if best.beats(other, StartUp::LeftOut) {
            return None;
        }
        let start_up = best.startup_seconds.zip(other.startup_seconds).filter(|(own, other)| *own < CHEAPER * other);
        let memory = best.pss_bytes.zip(other.pss_bytes).filter(|(own, other)| (*own as f64) < CHEAPER * *other as f64);
        let speedup = other.speedup.map(|speedup| speedup.median);
        Some(Reason::AsFast { backend: self.label(other), speedup, advised: self.label(best), start_up, memory })
    }

    /// What kept `row` from the speed-up that its workers could have brought.
    pub(super) fn limit(&self, row: &Row, serial: &Row) -> Option<Reason> {
        let computes = serial.demand().is_some_and(|cores| cores >= COMPUTES);
        let workers = if computes { row.workers.min(self.cpus) } else { row.workers };
        let usable = workers.min(self.items);
        let speedup = row.speedup?.median;
        if speedup >= FAR_BELOW * workers as f64 || self.gil_wait(row, None).is_some() {
            return None;
        }
        let backend = self.label(row);
        let stretch = row.call_seconds.zip(serial.call_seconds).map(|(own, serial)| own / serial);
        let stretch = stretch.filter(|times| times.is_finite() && *times >= STRETCHED);
        let few_cores = row.cores.filter(|&cores| computes && usable > 1 && cores < FAR_BELOW * usable as f64);
        if let (Some(cores), Some(times)) = (few_cores, stretch) {
            let same_cpu =
                row.cpu_seconds.zip(serial.cpu_seconds).is_some_and(|(own, serial)| own <= STRETCHED * serial);
            return Some(Reason::FewCores { backend, cores, usable, busy: same_cpu.then_some(times) });
        }
        if let Some(times) = stretch {
            return Some(Reason::SlowerCalls { backend, times });
        }
        if let (Some(longest), Some(mean), Some(seconds)) = (row.longest_call_seconds, row.call_seconds, row.seconds) {
            let share = longest / seconds.median;
            if (LONGEST_SHARE..=1.0).contains(&share) && longest >= UNEVEN * mean {
                return Some(Reason::LongestCall { backend, share });
            }
        }
        if self.items < workers {
            return Some(Reason::FewItems { items: self.items, workers: row.workers });
        }
        few_cores.map(|cores| Reason::FewCores { backend, cores, usable, busy: None })
    }

    pub(super) fn short_calls(&self, row: &Row, serial: &Row) -> Option<Reason> {
        let call_seconds = serial.call_seconds.filter(|&seconds| seconds < SHORT_CALL)?;
        let item_seconds = row.seconds?.median / self.items.max(1) as f64;
        (serial.beats(row, StartUp::LeftOut) && item_seconds > call_seconds * STRETCHED).then(|| Reason::ShortCalls {
            backend: self.label(row),
            call_seconds,
            item_seconds,
        })
    }

    /// `row` is faster than `simpler` only while its start-up is left out.
    pub(super) fn start_up_eats(&self, row: &Row, simpler: &Row) -> Option<Reason> {
        let speedup = row.gain_over(simpler, StartUp::LeftOut)?.median;
        let saved_seconds = (simpler.seconds?.median - row.seconds?.median).max(0.0);
        let startup_seconds = row.startup_seconds?;
        Some(Reason::StartUpEats { backend: self.label(row), speedup, startup_seconds, saved_seconds })
    }

    pub(super) fn start_up_aside(&self, best: &Row, serial: &Row) -> Option<Reason> {
        let startup_seconds = best.startup_seconds?;
        let speedup_with = best.gain_over(serial, StartUp::Counted)?.median;
        (startup_seconds > START_UP_SHARE * best.total_seconds()?)
            .then_some(Reason::StartUpAside { startup_seconds, speedup_with })
    }

    pub(super) fn noisiest(&self, serial: &Row, others: &[&Row]) -> Option<Reason> {
        let deviation = |row: &&Row| row.seconds.and_then(|seconds| seconds.deviation()).unwrap_or(0.0);
        let rows = others.iter().copied().chain([serial]);
        let row = rows.max_by(|a, b| deviation(a).total_cmp(&deviation(b)))?;
        let deviation = deviation(&row);
        (deviation > NOISY).then(|| Reason::Noisy { backend: self.label(row), deviation })
    }
}
