//! The reasons a verdict can give, each with the figures it rests on, and their wording.
//!
//! A reason says what the figures show and no more: "because" stands only where the rules found cause and effect.

use std::fmt;

use serde::Serialize;

use crate::plain_text::shortened;
use crate::units::{bytes, count, number, seconds, share, times};

/// So much of an error stands in the verdict; its row has all of it.
const ERROR_CHARS: usize = 120;

/// Why the advice is what it is, or what has to be known beside it. Times in seconds, memory in bytes; backends by
/// the name under which the verdict speaks of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs)] // of the fields: each variant says what its figures are
pub enum Reason {
    /// Threads waited for the GIL; `cause` when that is why they did not gain more.
    GilWait { backend: String, speedup: f64, share: f64, cause: bool },
    /// Another backend's speed-up, for comparison.
    Reached { backend: String, speedup: f64 },
    /// Threads computed side by side, since there is no GIL.
    FreeThreaded { cores: f64 },
    /// Threads computed side by side although there is a GIL.
    ReleasesGil { cores: f64, gil_wait: Option<f64> },
    /// Other programs had the cores for this share of serial's time, in which its thread was ready to run.
    BusyMachine { share: f64 },
    /// In serial, the calls used little of a core.
    Waits { cores: f64 },
    /// Another backend was as fast as the simpler one that is advised. `start_up` and `memory`: of the advised one, and
    /// of the other, where the advised one's is smaller.
    AsFast {
        backend: String,
        speedup: Option<f64>,
        advised: String,
        start_up: Option<(f64, f64)>,
        memory: Option<(u64, u64)>,
    },
    /// A backend got fewer cores than it could use. `busy`: how much longer a call took than in serial, where its
    /// CPU time did not grow, so that the rest of the time was other programs'.
    FewCores { backend: String, cores: f64, usable: usize, busy: Option<f64> },
    /// A single call took longer than in serial, `times` as long.
    SlowerCalls { backend: String, times: f64 },
    /// One call took so large a share of the round that the others could not shorten it.
    LongestCall { backend: String, share: f64 },
    /// There was less to do at a time than workers to do it.
    FewItems { items: usize, workers: usize },
    /// A call is shorter than what handing it over costs.
    ShortCalls { backend: String, call_seconds: f64, item_seconds: f64 },
    /// Starting the backend takes longer than it then saves.
    StartUpEats { backend: String, speedup: f64, startup_seconds: f64, saved_seconds: f64 },
    /// Start-up of the advised backend is not in its speed-up, and is not small beside it.
    StartUpAside { startup_seconds: f64, speedup_with: f64 },
    /// Rounds of one backend differed much from each other.
    Noisy { backend: String, deviation: f64 },
    /// Another library's executor was faster than plait's of the same kind by more than the noise.
    PeerFaster { peer: String, speedup: f64, than: String },
    /// These backends did not do all of their calls, all with this error.
    Failed { backends: Vec<String>, error: String },
    /// These peers did not do all of their calls; their rows say why.
    PeersFailed { peers: Vec<String> },
    /// The comparison was ended early.
    Interrupted { rounds: usize, planned: usize },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GilWait { backend, speedup, share: waited, cause } => {
                let (backend, waited) = (subject(backend), share(*waited));
                let gained = match *speedup {
                    s if s < 0.95 => "lost time",
                    s if s < 1.05 => "gained nothing",
                    _ => "gained less",
                };
                if *cause {
                    let speedup = times(*speedup);
                    write!(
                        f,
                        "{backend} {gained} ({speedup}) because they spent {waited} of their time waiting for the GIL."
                    )
                } else {
                    write!(f, "{backend} spent {waited} of their time waiting for the GIL.")
                }
            }
            Self::Reached { backend, speedup } => {
                write!(f, "{} reached {}.", subject(backend), times(*speedup))
            }
            Self::FreeThreaded { cores } => {
                write!(f, "This Python runs without a GIL, and threads used {} cores at a time.", number(*cores))
            }
            Self::ReleasesGil { cores, gil_wait } => {
                write!(f, "The calls compute outside the GIL: threads used {} cores at a time", number(*cores))?;
                match gil_wait {
                    Some(waited) => {
                        write!(f, " and waited for the GIL {} of the time.", share(*waited))
                    }
                    None => f.write_str("."),
                }
            }
            Self::BusyMachine { share: part } => {
                write!(
                    f,
                    "Other programs had the cores for {} of serial's time: compare again when the machine is quiet.",
                    share(*part)
                )
            }
            Self::Waits { cores } => {
                write!(f, "The calls mostly wait: in serial they used {} of a core.", share(*cores))
            }
            Self::AsFast { backend, speedup, advised, start_up, memory } => {
                write!(f, "{} were no faster", subject(backend))?;
                if let Some(speedup) = speedup {
                    write!(f, " ({})", times(*speedup))?;
                }
                let start_up =
                    start_up.map(|(own, other)| format!("start in {} instead of {}", seconds(own), seconds(other)));
                let memory = memory.map(|(own, other)| format!("take {} instead of {}", bytes(own), bytes(other)));
                let gains: Vec<String> = start_up.into_iter().chain(memory).collect();
                match gains.is_empty() {
                    true => f.write_str("."),
                    false => write!(f, ", and {advised} {}.", gains.join(" and ")),
                }
            }
            Self::FewCores { backend, cores, usable, busy } => {
                write!(f, "{} got {} of the {usable} cores they could use", subject(backend), number(*cores))?;
                match busy {
                    Some(longer) => write!(
                        f,
                        ", and each call took {} as long as in serial for the same CPU time: the cores were busy with other work.",
                        times(*longer)
                    ),
                    None => f.write_str("."),
                }
            }
            Self::SlowerCalls { backend, times: longer } => {
                write!(f, "On {backend} a single call took {} as long as in serial.", times(*longer))
            }
            Self::LongestCall { backend, share: part } => write!(
                f,
                "On {backend} the longest call alone took {} of the time, so more workers cannot help.",
                share(*part)
            ),
            Self::FewItems { items, workers } => {
                write!(f, "There were only {} for {}.", count(*items, "item"), count(*workers, "worker"))
            }
            Self::ShortCalls { backend, call_seconds, item_seconds } => write!(
                f,
                "A call takes {}, but on {backend} each item took {}: handing calls over costs more than it gains.",
                seconds(*call_seconds),
                seconds(*item_seconds)
            ),
            Self::StartUpEats { backend, speedup, startup_seconds, saved_seconds } => write!(
                f,
                "Once started, {backend} are {} faster, but starting them takes {} and saves {}.",
                times(*speedup),
                seconds(*startup_seconds),
                seconds(*saved_seconds)
            ),
            Self::StartUpAside { startup_seconds, speedup_with } => {
                write!(f, "Start-up takes another {}: {} with it.", seconds(*startup_seconds), times(*speedup_with))
            }
            Self::Noisy { backend, deviation } => write!(
                f,
                "Rounds of {backend} differed by up to {} from their median, so small differences do not show.",
                share(*deviation)
            ),
            Self::PeerFaster { peer, speedup, than } => {
                write!(f, "The peer {peer} was {} faster than plait's {than}.", times(*speedup))
            }
            Self::Failed { backends, error } => {
                let error = shortened(error, ERROR_CHARS);
                let end = if error.ends_with(['.', '!', '?', '…']) { "" } else { "." };
                write!(f, "{} failed: {error}{end}", subject(&list(backends)))
            }
            Self::PeersFailed { peers } => {
                write!(f, "Of the peers, {} did not run to the end.", list(peers))
            }
            Self::Interrupted { rounds: 0, .. } => f.write_str("Interrupted before every backend had ended a round."),
            Self::Interrupted { rounds, planned } => {
                write!(f, "Interrupted: this rests on {rounds} of {}.", count(*planned, "round"))
            }
        }
    }
}

/// A name at the head of a sentence. Names of plait's backends are words, so they take a capital.
pub(super) fn subject(name: &str) -> String {
    let ours = ["serial", "asyncio", "threads", "interpreters", "processes"].iter().any(|word| name.starts_with(word));
    let mut chars = name.chars();
    match chars.next() {
        Some(first) if ours => first.to_uppercase().chain(chars).collect(),
        _ => name.to_owned(),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
