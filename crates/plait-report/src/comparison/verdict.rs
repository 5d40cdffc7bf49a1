//! The verdict: what to do, in one sentence, and the reasons, a sentence each.

use std::fmt;

use serde::Serialize;

use super::reason::Reason;
use crate::units::{count, seconds, times};

/// What to do, and why. Its `Display` is the text to print: one paragraph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub advice: Advice,
    /// Why, and what else has to be known; the weightiest first.
    pub reasons: Vec<Reason>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs)] // of the fields: each variant says what its figures are
pub enum Advice {
    /// Use this backend; it was faster than serial.
    Use { backend: String, workers: usize, speedup: f64 },
    /// Use this backend; serial has no figures, so it is set against the fastest of the others. `gain` is absent
    /// when it is not larger than the noise.
    Prefer { backend: String, workers: usize, over: String, gain: Option<f64> },
    /// Nothing was faster than serial.
    StaySerial { grounds: Grounds, others: Vec<Other> },
    /// Only one of plait's backends did all of its calls.
    OnlyOne { backend: String, seconds: f64 },
    /// None of plait's backends did all of its calls.
    AllFailed,
    /// Not one round has ended.
    NothingMeasured,
}

/// Why serial is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// The others were not faster.
    Slower,
    /// The others were not faster by more than the noise.
    Noise,
    /// The others were faster only when their start-up is left out.
    StartUp,
    /// The calls compute, and this process may use a single core.
    OneCore,
    /// Threads were faster in time, but took turns on one core: what they gained is the machine's unevenness.
    InTurns,
}

/// A backend that is not advised, and its speed-up over serial.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Other {
    /// The backend.
    pub backend: String,
    /// Its speed-up, where there is one.
    pub speedup: Option<f64>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.advice.fmt(f)?;
        self.reasons.iter().try_for_each(|reason| write!(f, " {reason}"))
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use { backend, workers, speedup } => {
                write!(f, "Use {backend}: {} faster than serial on {}.", times(*speedup), count(*workers, "worker"))
            }
            Self::Prefer { backend, workers, over, gain: Some(gain) } => {
                write!(f, "Use {backend}: {} faster than {over} on {}.", times(*gain), count(*workers, "worker"))
            }
            Self::Prefer { backend, over, gain: None, .. } => {
                write!(f, "Use {backend}: {over} did not beat them by more than the noise.")
            }
            Self::StaySerial { grounds, others } => {
                let why = match grounds {
                    Grounds::Slower => "nothing was faster",
                    Grounds::Noise => "nothing was faster by more than the noise",
                    Grounds::StartUp => "with start-up counted, nothing was faster",
                    Grounds::OneCore => "only one core is available, so nothing can compute side by side",
                    Grounds::InTurns => "threads took turns on one core, so their gain is the machine's unevenness",
                };
                let without = if *grounds == Grounds::StartUp { "without it, " } else { "" };
                write!(f, "Stay with serial: {why} ({without}{}).", speedups(others))
            }
            Self::OnlyOne { backend, seconds: time } => {
                let them = if backend == "serial" { "it" } else { "them" };
                write!(
                    f,
                    "Only {backend} ran to the end ({}): there is nothing to compare {them} with.",
                    seconds(*time)
                )
            }
            Self::AllFailed => f.write_str("No backend ran to the end."),
            Self::NothingMeasured => f.write_str("Nothing was measured."),
        }
    }
}

fn speedups(others: &[Other]) -> String {
    let text = |other: &Other| match other.speedup {
        Some(speedup) => format!("{} {}", other.backend, times(speedup)),
        None => other.backend.clone(),
    };
    others.iter().map(text).collect::<Vec<_>>().join(", ")
}
