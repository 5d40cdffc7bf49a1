//! What has to be known beside the advice: a busy machine, faster peers, failures, an early end.

use super::Case;
use super::causes::GIL_WAIT;
use crate::comparison::reason::Reason;
use crate::comparison::row::{Row, StartUp};

/// So much of serial's time without a core makes all times doubtful.
const STARVED: f64 = 0.2;
/// In serial, calls that leave nothing of a core unused use at least this share of it.
const FULL_CORE: f64 = 0.9;

impl Case<'_> {
    /// Whether other programs had so much of the cores that two threads may have gained only because they got more of
    /// them than one.
    pub(super) fn busy_machine(&self) -> Option<Reason> {
        let share = super::serial(self.rows)?.starved.filter(|&share| share >= STARVED)?;
        Some(Reason::BusyMachine { share })
    }

    /// Whether `row` are threads that took turns at the GIL on one core, with calls that leave nothing of it unused. Such
    /// threads cannot be faster than serial; where their times are shorter, the machine was uneven, or so busy that two
    /// threads got more of it than one.
    pub(super) fn took_turns(&self, row: &Row) -> bool {
        let full = super::serial(self.rows).and_then(Row::demand).is_some_and(|cores| cores >= FULL_CORE);
        let one_core = row.cores.is_some_and(|cores| cores <= 1.0);
        let waited = row.gil_wait.is_some_and(|share| share >= GIL_WAIT);
        self.gil && full && one_core && waited && row.backend == "threads"
    }

    pub(super) fn faster_peers(&self, best: &Row) -> Vec<Reason> {
        let faster = self.rows.iter().filter(|row| row.peer && row.ran()).filter_map(|peer| {
            let own = self.counterpart(peer).unwrap_or(best);
            let gain = peer.gain_over(own, StartUp::LeftOut)?.median;
            peer.beats(own, StartUp::LeftOut).then(|| Reason::PeerFaster {
                peer: self.label(peer),
                speedup: gain,
                than: self.label(own),
            })
        });
        faster.collect()
    }

    /// plait's row of the same kind as `peer`, with as many workers where there is one.
    pub(super) fn counterpart(&self, peer: &Row) -> Option<&Row> {
        let name = peer.backend.to_lowercase();
        let kind = match name.as_str() {
            name if name.contains("thread") => "threads",
            name if ["process", "loky", "pool", "joblib"].iter().any(|word| name.contains(word)) => "processes",
            _ => return None,
        };
        let own = || self.rows.iter().filter(|row| !row.peer && row.backend == kind && row.ran());
        own().find(|row| row.workers == peer.workers).or_else(|| own().next())
    }

    /// What has to be known whatever was advised: who failed, and whether it was cut short.
    pub(super) fn loose_ends(&self, ran: &[&Row]) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = Vec::new();
        for row in self.rows.iter().filter(|row| !row.peer) {
            let Some(text) = row.error_line() else {
                continue;
            };
            let same = reasons.iter_mut().find_map(|reason| match reason {
                Reason::Failed { backends, error } if *error == text => Some(backends),
                _ => None,
            });
            match same {
                Some(backends) => backends.push(self.label(row)),
                None => reasons.push(Reason::Failed { backends: vec![self.label(row)], error: text }),
            }
        }
        let failed = self.rows.iter().filter(|row| row.peer && row.error.is_some());
        let peers: Vec<String> = failed.map(|row| self.label(row)).collect();
        if !peers.is_empty() {
            reasons.push(Reason::PeersFailed { peers });
        }
        if self.interrupted {
            let rounds = ran.iter().filter_map(|row| row.seconds).map(|seconds| seconds.rounds).min().unwrap_or(0);
            reasons.push(Reason::Interrupted { rounds, planned: self.rounds_planned.max(rounds) });
        }
        reasons
    }
}
