//! The rules by which figures become a verdict: free functions over plain data.
//!
//! Here the best row and the advice; why it is so in `causes`, what else has to be known in `beside`. Each threshold is a
//! named constant. What a rule cannot see in the figures it leaves unsaid.

mod beside;
mod causes;

use super::reason::Reason;
use super::row::{Row, StartUp};
use super::verdict::{Advice, Grounds, Other, Verdict};

/// In serial, calls that compute use at least this share of a core. Half, so that a busy machine does not hide it.
const COMPUTES: f64 = 0.5;
/// In serial, calls that wait use less than this share of a core.
const WAITS: f64 = 0.3;

/// What the rules look at.
pub(super) struct Case<'a> {
    pub rows: &'a [Row],
    pub cpus: usize,
    pub gil: bool,
    pub items: usize,
    pub interrupted: bool,
    pub rounds_planned: usize,
}

/// The row that others are measured against.
pub(super) fn serial(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| !row.peer && row.backend == "serial" && row.ran())
}

/// The best row, and the verdict.
#[must_use]
pub(super) fn decide(case: &Case<'_>) -> (Option<usize>, Verdict) {
    let mut candidates: Vec<usize> =
        (0..case.rows.len()).filter(|&i| !case.rows[i].peer && case.rows[i].ran()).collect();
    candidates.sort_by_key(|&i| (simplicity(&case.rows[i].backend), case.rows[i].workers, i));
    let Some(&simplest) = candidates.first() else {
        let failed = case.rows.iter().any(|row| !row.peer && row.error.is_some());
        let advice = if failed { Advice::AllFailed } else { Advice::NothingMeasured };
        return (None, Verdict { advice, reasons: case.loose_ends(&[]) });
    };
    // From the simplest on, each must beat the best so far by more than the noise to take its place.
    let best = candidates.iter().copied().fold(simplest, |best, next| {
        if case.rows[next].beats(&case.rows[best], StartUp::Counted) && !case.took_turns(&case.rows[next]) {
            next
        } else {
            best
        }
    });
    let others: Vec<&Row> = candidates.iter().filter(|&&i| i != best).map(|&i| &case.rows[i]).collect();
    let ran: Vec<&Row> = candidates.iter().map(|&i| &case.rows[i]).collect();
    let (advice, mut reasons) = case.advise(&case.rows[best], &others);
    reasons.splice(0..0, case.busy_machine());
    reasons.extend(case.faster_peers(&case.rows[best]));
    reasons.extend(case.loose_ends(&ran));
    (Some(best), Verdict { advice, reasons })
}

/// Among equals the simpler is better: it starts sooner, shares more, and fails in fewer ways.
fn simplicity(backend: &str) -> usize {
    let order = ["serial", "asyncio", "threads", "interpreters", "processes"];
    order.iter().position(|&name| name == backend).unwrap_or(order.len())
}

impl Case<'_> {
    fn advise(&self, best: &Row, others: &[&Row]) -> (Advice, Vec<Reason>) {
        let Some(serial) = serial(self.rows) else {
            return (self.prefer(best, others), Vec::new());
        };
        match best.speedup {
            _ if others.is_empty() => (self.only(best), Vec::new()),
            _ if best.backend == "serial" => self.stay_serial(serial, others),
            Some(speedup) => {
                let advice = Advice::Use { backend: best.name(), workers: best.workers, speedup: speedup.median };
                (advice, self.why_use(best, serial, others))
            }
            // The rounds of the two never met.
            None => (self.prefer(best, others), Vec::new()),
        }
    }

    fn only(&self, row: &Row) -> Advice {
        let seconds = row.seconds.map(|seconds| seconds.median).unwrap_or_default();
        Advice::OnlyOne { backend: self.label(row), seconds }
    }

    fn prefer(&self, best: &Row, others: &[&Row]) -> Advice {
        let median = |row: &Row| row.seconds.map_or(f64::INFINITY, |seconds| seconds.median);
        let Some(next) = others.iter().min_by(|a, b| median(a).total_cmp(&median(b))) else {
            return self.only(best);
        };
        let gain = best.gain_over(next, StartUp::LeftOut).map(|gain| gain.median);
        let gain = gain.filter(|_| best.beats(next, StartUp::LeftOut));
        Advice::Prefer { backend: best.name(), workers: best.workers, over: self.label(next), gain }
    }

    fn stay_serial(&self, serial: &Row, others: &[&Row]) -> (Advice, Vec<Reason>) {
        let computes = serial.demand().is_some_and(|cores| cores >= COMPUTES);
        let (in_turns, eaten): (Vec<&&Row>, Vec<&&Row>) =
            others.iter().filter(|row| row.beats(serial, StartUp::LeftOut)).partition(|row| self.took_turns(row));
        let grounds = if self.cpus == 1 && computes && eaten.is_empty() {
            Grounds::OneCore
        } else if !eaten.is_empty() {
            Grounds::StartUp
        } else if !in_turns.is_empty() {
            Grounds::InTurns
        } else if others.iter().filter_map(|row| row.speedup).any(|speedup| speedup.median >= 1.005) {
            Grounds::Noise
        } else {
            Grounds::Slower
        };
        let speedup = |row: &&Row| Other { backend: self.label(row), speedup: row.speedup.map(|s| s.median) };
        let advice = Advice::StaySerial { grounds, others: others.iter().map(speedup).collect() };
        let mut reasons: Vec<Reason> = eaten.iter().filter_map(|row| self.start_up_eats(row, serial)).collect();
        let short = others.iter().rev().find_map(|row| self.short_calls(row, serial));
        let explained = grounds == Grounds::OneCore || !reasons.is_empty() || short.is_some();
        reasons.extend(short);
        if !explained {
            let demand = serial.demand().filter(|&cores| cores < WAITS);
            reasons.extend(demand.map(|cores| Reason::Waits { cores }));
            reasons.extend(others.iter().filter_map(|row| self.gil_wait(row, None)));
            reasons.extend(others.iter().filter_map(|row| self.limit(row, serial)));
        }
        if grounds == Grounds::Noise {
            reasons.extend(self.noisiest(serial, others));
        }
        (advice, reasons)
    }

    fn why_use(&self, best: &Row, serial: &Row, others: &[&Row]) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if best.backend == "threads" {
            reasons.extend(self.why_threads(best, serial));
        }
        for other in others.iter().filter(|row| row.backend != "serial") {
            let startup_decides = other.beats(best, StartUp::LeftOut);
            let reason = match startup_decides {
                true => self.start_up_eats(other, best),
                false => self.gil_wait(other, Some(best)).or_else(|| self.as_fast(other, best)).or_else(|| {
                    other.speedup.map(|s| Reason::Reached { backend: self.label(other), speedup: s.median })
                }),
            };
            reasons.extend(reason);
        }
        reasons.extend(self.limit(best, serial));
        reasons.extend(self.start_up_aside(best, serial));
        reasons
    }

    /// The row's name, with its workers where another row has the same name.
    fn label(&self, row: &Row) -> String {
        let twins = self.rows.iter().filter(|other| other.backend == row.backend && other.peer == row.peer).count();
        let name = row.name();
        if twins > 1 { format!("{name} ({})", crate::units::count(row.workers, "worker")) } else { name }
    }
}
