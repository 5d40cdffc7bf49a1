//! The columns of the comparison: their heads, and how a row's figures read in them.

use super::row::Row;
use crate::units::{self, NONE};

/// One column after the backend's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Workers,
    Time,
    /// From the fastest round to the slowest.
    Range,
    /// The largest distance of a round from the median: the range in few characters.
    Deviation,
    SpeedUp,
    StartUp,
    Cpu,
    GilWait,
    Memory,
    Call,
}

impl Column {
    /// The columns where there is room for all.
    pub const ALL: [Self; 9] = [
        Self::Workers,
        Self::Time,
        Self::Range,
        Self::SpeedUp,
        Self::StartUp,
        Self::Cpu,
        Self::GilWait,
        Self::Memory,
        Self::Call,
    ];

    /// The head; a space is a place to break it.
    pub fn head(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Time => "time",
            Self::Range => "min–max",
            Self::Deviation => "±",
            Self::SpeedUp => "speed-up",
            Self::StartUp => "start-up",
            Self::Cpu => "CPU",
            Self::GilWait => "GIL wait",
            Self::Memory => "memory",
            Self::Call => "per call",
        }
    }

    /// The head on two lines.
    pub fn tall_head(self) -> String {
        match self {
            Self::Workers => "work-\ners".to_owned(),
            Self::SpeedUp => "speed-\nup".to_owned(),
            Self::StartUp => "start-\nup".to_owned(),
            other => other.head().replace(' ', "\n"),
        }
    }

    /// What the figures are, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Workers => "how many calls can run at a time",
            Self::Time => "median time of a round, on workers that had started already",
            Self::Range => "fastest and slowest round",
            Self::Deviation => "largest distance of a round from the median",
            Self::SpeedUp => "serial's time over this one's, median of the rounds' ratios",
            Self::StartUp => "making the backend ready, not part of the time",
            Self::Cpu => "CPU time of a round, parent and workers together",
            Self::GilWait => "share of the time in which threads wanted to run that they waited for the GIL",
            Self::Memory => "memory of the parent and its workers, shared pages counted once (PSS)",
            Self::Call => "mean time of a single call",
        }
    }

    /// The row's figure.
    pub fn cell(self, row: &Row) -> String {
        let text = match self {
            Self::Workers => Some(row.workers.to_string()),
            Self::Time => row.seconds.map(|seconds| units::seconds(seconds.median)),
            Self::Range => row
                .seconds
                .filter(|seconds| seconds.rounds > 1)
                .map(|seconds| units::seconds_range(seconds.min, seconds.max)),
            Self::Deviation => {
                row.seconds.and_then(|seconds| seconds.deviation()).map(|share| format!("±{}", units::share(share)))
            }
            Self::SpeedUp => row.speedup.map(|speedup| units::times(speedup.median)),
            Self::StartUp => row.startup_seconds.map(units::seconds),
            Self::Cpu => row.cpu_seconds.map(units::seconds),
            Self::GilWait => row.gil_wait.map(units::share),
            Self::Memory => row.pss_bytes.map(units::bytes),
            Self::Call => row.call_seconds.map(units::seconds),
        };
        text.unwrap_or_else(|| NONE.to_owned())
    }
}
