//! The rules by which figures become a verdict: free functions over plain data.
//!
//! Each threshold is a constant below. What a rule cannot see in the figures it leaves unsaid.

use super::reason::Reason;
use super::row::{MARGIN, Row, StartUp};
use super::verdict::{Advice, Grounds, Other, Verdict};

/// In serial, calls that compute use at least this share of a core. Half, so that a busy machine does not hide it.
const COMPUTES: f64 = 0.5;
/// In serial, calls that wait use less than this share of a core.
const WAITS: f64 = 0.3;
/// So much waiting for the GIL is worth a word.
const GIL_WAIT: f64 = 0.2;
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
    rows.iter()
        .find(|row| !row.peer && row.backend == "serial" && row.ran())
}

/// The best row, and the verdict.
#[must_use]
pub(super) fn decide(case: &Case<'_>) -> (Option<usize>, Verdict) {
    let mut candidates: Vec<usize> = (0..case.rows.len())
        .filter(|&i| !case.rows[i].peer && case.rows[i].ran())
        .collect();
    candidates.sort_by_key(|&i| (simplicity(&case.rows[i].backend), case.rows[i].workers, i));
    let Some(&simplest) = candidates.first() else {
        let failed = case.rows.iter().any(|row| !row.peer && row.error.is_some());
        let advice = if failed {
            Advice::AllFailed
        } else {
            Advice::NothingMeasured
        };
        return (
            None,
            Verdict {
                advice,
                reasons: case.loose_ends(&[]),
            },
        );
    };
    // From the simplest on, each must beat the best so far by more than the noise to take its place.
    let best = candidates.iter().copied().fold(simplest, |best, next| {
        if case.rows[next].beats(&case.rows[best], StartUp::Counted) {
            next
        } else {
            best
        }
    });
    let others: Vec<&Row> = candidates
        .iter()
        .filter(|&&i| i != best)
        .map(|&i| &case.rows[i])
        .collect();
    let ran: Vec<&Row> = candidates.iter().map(|&i| &case.rows[i]).collect();
    let (advice, mut reasons) = case.advise(&case.rows[best], &others);
    reasons.extend(case.faster_peers(&case.rows[best]));
    reasons.extend(case.loose_ends(&ran));
    (Some(best), Verdict { advice, reasons })
}

/// Among equals the simpler is better: it starts sooner, shares more, and fails in fewer ways.
fn simplicity(backend: &str) -> usize {
    let order = ["serial", "asyncio", "threads", "interpreters", "processes"];
    order
        .iter()
        .position(|&name| name == backend)
        .unwrap_or(order.len())
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
                let advice = Advice::Use {
                    backend: best.name(),
                    workers: best.workers,
                    speedup: speedup.median,
                };
                (advice, self.why_use(best, serial, others))
            }
            // The rounds of the two never met.
            None => (self.prefer(best, others), Vec::new()),
        }
    }

    fn only(&self, row: &Row) -> Advice {
        let seconds = row
            .seconds
            .map(|seconds| seconds.median)
            .unwrap_or_default();
        Advice::OnlyOne {
            backend: self.label(row),
            seconds,
        }
    }

    fn prefer(&self, best: &Row, others: &[&Row]) -> Advice {
        let median = |row: &Row| row.seconds.map_or(f64::INFINITY, |seconds| seconds.median);
        let Some(next) = others.iter().min_by(|a, b| median(a).total_cmp(&median(b))) else {
            return self.only(best);
        };
        let gain = best
            .gain_over(next, StartUp::LeftOut)
            .map(|gain| gain.median);
        let gain = gain.filter(|_| best.beats(next, StartUp::LeftOut));
        Advice::Prefer {
            backend: best.name(),
            workers: best.workers,
            over: self.label(next),
            gain,
        }
    }

    fn stay_serial(&self, serial: &Row, others: &[&Row]) -> (Advice, Vec<Reason>) {
        let computes = serial.cores.is_some_and(|cores| cores >= COMPUTES);
        let eaten: Vec<&&Row> = others
            .iter()
            .filter(|row| row.beats(serial, StartUp::LeftOut))
            .collect();
        let grounds = if self.cpus == 1 && computes && eaten.is_empty() {
            Grounds::OneCore
        } else if !eaten.is_empty() {
            Grounds::StartUp
        } else if others
            .iter()
            .filter_map(|row| row.speedup)
            .any(|speedup| speedup.median >= 1.005)
        {
            Grounds::Noise
        } else {
            Grounds::Slower
        };
        let speedup = |row: &&Row| Other {
            backend: self.label(row),
            speedup: row.speedup.map(|s| s.median),
        };
        let advice = Advice::StaySerial {
            grounds,
            others: others.iter().map(speedup).collect(),
        };
        let mut reasons: Vec<Reason> = eaten
            .iter()
            .filter_map(|row| self.start_up_eats(row, serial))
            .collect();
        let short = others
            .iter()
            .rev()
            .find_map(|row| self.short_calls(row, serial));
        let explained = grounds == Grounds::OneCore || !reasons.is_empty() || short.is_some();
        reasons.extend(short);
        if !explained {
            if serial.cores.is_some_and(|cores| cores < WAITS) {
                reasons.extend(serial.cores.map(|cores| Reason::Waits { cores }));
            }
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
                false => self
                    .gil_wait(other, Some(best))
                    .or_else(|| self.as_fast(other, best))
                    .or_else(|| {
                        other.speedup.map(|s| Reason::Reached {
                            backend: self.label(other),
                            speedup: s.median,
                        })
                    }),
            };
            reasons.extend(reason);
        }
        reasons.extend(self.limit(best, serial));
        reasons.extend(self.start_up_aside(best, serial));
        reasons
    }

    fn why_threads(&self, threads: &Row, serial: &Row) -> Option<Reason> {
        let computed = serial.cores?;
        let side_by_side = threads
            .cores
            .filter(|&cores| cores >= SIDE_BY_SIDE && computed >= COMPUTES);
        let little = threads.gil_wait.is_none_or(|share| share < GIL_WAIT);
        match side_by_side {
            Some(cores) if !self.gil => Some(Reason::FreeThreaded { cores }),
            Some(cores) => little.then_some(Reason::ReleasesGil {
                cores,
                gil_wait: threads.gil_wait,
            }),
            None => (computed < WAITS).then_some(Reason::Waits { cores: computed }),
        }
    }

    /// Threads that waited for the GIL. It is the cause of what they did not gain only when `best`, which has no such
    /// wait, gained more, on cores enough for both to do so.
    fn gil_wait(&self, row: &Row, best: Option<&Row>) -> Option<Reason> {
        let (share, speedup) = (
            row.gil_wait.filter(|&share| share >= GIL_WAIT)?,
            row.speedup?.median,
        );
        if !self.gil || row.backend != "threads" {
            return None;
        }
        let behind =
            best.is_some_and(|best| best.backend != "threads" && best.beats(row, StartUp::LeftOut));
        let reason = Reason::GilWait {
            backend: self.label(row),
            speedup,
            share,
            cause: behind && self.cpus > 1,
        };
        (best.is_none() || behind).then_some(reason)
    }

    /// `other` is no faster than the simpler `best`, and no slower either.
    fn as_fast(&self, other: &Row, best: &Row) -> Option<Reason> {
        if best.beats(other, StartUp::LeftOut) {
            return None;
        }
        let start_up = best
            .startup_seconds
            .zip(other.startup_seconds)
            .filter(|(own, other)| *own < CHEAPER * other);
        let memory = best
            .pss_bytes
            .zip(other.pss_bytes)
            .filter(|(own, other)| (*own as f64) < CHEAPER * *other as f64);
        let speedup = other.speedup.map(|speedup| speedup.median);
        Some(Reason::AsFast {
            backend: self.label(other),
            speedup,
            advised: self.label(best),
            start_up,
            memory,
        })
    }

    /// What kept `row` from the speed-up that its workers could have brought.
    fn limit(&self, row: &Row, serial: &Row) -> Option<Reason> {
        let computes = serial.cores.is_some_and(|cores| cores >= COMPUTES);
        let workers = if computes {
            row.workers.min(self.cpus)
        } else {
            row.workers
        };
        let usable = workers.min(self.items);
        let speedup = row.speedup?.median;
        if speedup >= FAR_BELOW * workers as f64 || self.gil_wait(row, None).is_some() {
            return None;
        }
        let backend = self.label(row);
        let stretch = row
            .call_seconds
            .zip(serial.call_seconds)
            .map(|(own, serial)| own / serial);
        let stretch = stretch.filter(|times| times.is_finite() && *times >= STRETCHED);
        let few_cores = row
            .cores
            .filter(|&cores| computes && usable > 1 && cores < FAR_BELOW * usable as f64);
        if let (Some(cores), Some(times)) = (few_cores, stretch) {
            let same_cpu = row
                .cpu_seconds
                .zip(serial.cpu_seconds)
                .is_some_and(|(own, serial)| own <= STRETCHED * serial);
            return Some(Reason::FewCores {
                backend,
                cores,
                usable,
                busy: same_cpu.then_some(times),
            });
        }
        if let Some(times) = stretch {
            return Some(Reason::SlowerCalls { backend, times });
        }
        if let (Some(longest), Some(mean), Some(seconds)) =
            (row.longest_call_seconds, row.call_seconds, row.seconds)
        {
            let share = longest / seconds.median;
            if (LONGEST_SHARE..=1.0).contains(&share) && longest >= UNEVEN * mean {
                return Some(Reason::LongestCall { backend, share });
            }
        }
        if self.items < workers {
            return Some(Reason::FewItems {
                items: self.items,
                workers: row.workers,
            });
        }
        few_cores.map(|cores| Reason::FewCores {
            backend,
            cores,
            usable,
            busy: None,
        })
    }

    fn short_calls(&self, row: &Row, serial: &Row) -> Option<Reason> {
        let call_seconds = serial
            .call_seconds
            .filter(|&seconds| seconds < SHORT_CALL)?;
        let item_seconds = row.seconds?.median / self.items.max(1) as f64;
        (serial.beats(row, StartUp::LeftOut) && item_seconds > call_seconds * STRETCHED).then(
            || Reason::ShortCalls {
                backend: self.label(row),
                call_seconds,
                item_seconds,
            },
        )
    }

    /// `row` is faster than `simpler` only while its start-up is left out.
    fn start_up_eats(&self, row: &Row, simpler: &Row) -> Option<Reason> {
        let speedup = row.gain_over(simpler, StartUp::LeftOut)?.median;
        let saved_seconds = (simpler.seconds?.median - row.seconds?.median).max(0.0);
        let startup_seconds = row.startup_seconds?;
        Some(Reason::StartUpEats {
            backend: self.label(row),
            speedup,
            startup_seconds,
            saved_seconds,
        })
    }

    fn start_up_aside(&self, best: &Row, serial: &Row) -> Option<Reason> {
        let startup_seconds = best.startup_seconds?;
        let speedup_with = best.gain_over(serial, StartUp::Counted)?.median;
        (startup_seconds > START_UP_SHARE * best.total_seconds()?).then_some(Reason::StartUpAside {
            startup_seconds,
            speedup_with,
        })
    }

    fn noisiest(&self, serial: &Row, others: &[&Row]) -> Option<Reason> {
        let deviation = |row: &&Row| {
            row.seconds
                .and_then(|seconds| seconds.deviation())
                .unwrap_or(0.0)
        };
        let rows = others.iter().copied().chain([serial]);
        let row = rows.max_by(|a, b| deviation(a).total_cmp(&deviation(b)))?;
        let deviation = deviation(&row);
        (deviation > NOISY).then(|| Reason::Noisy {
            backend: self.label(row),
            deviation,
        })
    }

    fn faster_peers(&self, best: &Row) -> Vec<Reason> {
        let faster = self
            .rows
            .iter()
            .filter(|row| row.peer && row.ran())
            .filter_map(|peer| {
                let own = self.counterpart(peer).unwrap_or(best);
                let gain = peer.gain_over(own, StartUp::LeftOut)?.median;
                peer.beats(own, StartUp::LeftOut)
                    .then(|| Reason::PeerFaster {
                        peer: self.label(peer),
                        speedup: gain,
                        than: self.label(own),
                    })
            });
        faster.collect()
    }

    /// plait's row of the same kind as `peer`, with as many workers where there is one.
    fn counterpart(&self, peer: &Row) -> Option<&Row> {
        let name = peer.backend.to_lowercase();
        let kind = match name.as_str() {
            name if name.contains("thread") => "threads",
            name if ["process", "loky", "pool", "joblib"]
                .iter()
                .any(|word| name.contains(word)) =>
            {
                "processes"
            }
            _ => return None,
        };
        let own = || {
            self.rows
                .iter()
                .filter(|row| !row.peer && row.backend == kind && row.ran())
        };
        own()
            .find(|row| row.workers == peer.workers)
            .or_else(|| own().next())
    }

    /// What has to be known whatever was advised: who failed, and whether it was cut short.
    fn loose_ends(&self, ran: &[&Row]) -> Vec<Reason> {
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
                None => reasons.push(Reason::Failed {
                    backends: vec![self.label(row)],
                    error: text,
                }),
            }
        }
        let failed = self
            .rows
            .iter()
            .filter(|row| row.peer && row.error.is_some());
        let peers: Vec<String> = failed.map(|row| self.label(row)).collect();
        if !peers.is_empty() {
            reasons.push(Reason::PeersFailed { peers });
        }
        if self.interrupted {
            let rounds = ran
                .iter()
                .filter_map(|row| row.seconds)
                .map(|seconds| seconds.rounds)
                .min()
                .unwrap_or(0);
            reasons.push(Reason::Interrupted {
                rounds,
                planned: self.rounds_planned.max(rounds),
            });
        }
        reasons
    }

    /// The row's name, with its workers where another row has the same name.
    fn label(&self, row: &Row) -> String {
        let twins = self
            .rows
            .iter()
            .filter(|other| other.backend == row.backend && other.peer == row.peer)
            .count();
        let name = row.name();
        if twins > 1 {
            format!("{name} ({})", crate::units::count(row.workers, "worker"))
        } else {
            name
        }
    }
}

// The margin that makes a row faster must be one that the verdict's own figures show.
const _: () = assert!(MARGIN >= 0.05);
