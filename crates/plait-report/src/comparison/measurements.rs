//! What `plait compare` measured, as it comes from Python: plain data, nothing worked out yet.
//!
//! Times are in seconds, memory in bytes, shares between 0 and 1. A figure that could not be measured is absent;
//! one that makes no sense (negative, not finite) is treated as absent.

use serde::{Deserialize, Serialize};

use crate::sketch::Sketch;

/// One comparison: a function, its items, and the rounds of each backend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// The function as the user named it: `primes.py:count_primes`.
    pub function: String,
    /// The file it came from, where there is one.
    #[serde(default)]
    pub file: Option<String>,
    /// How the user would write the items in code: `ITEMS`.
    #[serde(default)]
    pub call_expr: Option<String>,
    /// How many items each round maps.
    pub items: usize,
    /// How many rounds of each backend were meant to run.
    #[serde(default)]
    pub rounds_planned: usize,
    /// Whether Ctrl-C ended the comparison before its last round.
    #[serde(default)]
    pub interrupted: bool,
    /// Where it ran.
    pub machine: Machine,
    /// The backends, in the order in which they are shown.
    #[serde(default)]
    pub runs: Vec<Run>,
}

/// The machine and the Python that ran the comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// How many cores this process may use.
    pub cpus: usize,
    /// What the machine calls its processor.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// Version of Python.
    pub python: String,
    /// Whether this Python ran with a GIL.
    pub gil: bool,
    /// Version of plait.
    pub plait: String,
}

/// One backend's share of the comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// `serial`, `threads`, `processes`, or the name of a peer.
    pub backend: String,
    /// Whether it is another library's executor, there for comparison only.
    #[serde(default)]
    pub peer: bool,
    /// How many workers it had.
    pub workers: usize,
    /// Its rounds. Rounds are interleaved: the n-th of one backend ran next to the n-th of another, so that both met
    /// the same state of the machine.
    #[serde(default)]
    pub rounds: Vec<Round>,
    /// Why it could not run, or which calls raised; one line.
    #[serde(default)]
    pub error: Option<String>,
    /// What its threads did in one of the rounds.
    #[serde(default)]
    pub sketch: Option<Sketch>,
    /// Times of single rounds with other numbers of workers.
    #[serde(default)]
    pub scaling: Vec<Scaled>,
}

/// All items mapped once, on another number of workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Scaled {
    /// How many.
    pub workers: usize,
    /// As [`Round::seconds`].
    pub seconds: f64,
}

/// All items mapped once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// From the first call handed over to the last result, on workers that had started already.
    pub seconds: f64,
    /// From the making of the backend to workers that can take calls. Not part of `seconds`.
    #[serde(default)]
    pub startup_seconds: Option<f64>,
    /// CPU time of this process and its workers during `seconds`.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// Share of the time in which threads wanted to run that they waited for the GIL.
    #[serde(default)]
    pub gil_wait: Option<f64>,
    /// Time in which the calling thread was ready to run, but other threads had the cores. Known of a serial round, which
    /// has one thread only; not in `cpu_seconds`, and no waiting of the calls' own.
    #[serde(default)]
    pub starved_seconds: Option<f64>,
    /// Memory of this process and its workers, shared pages counted once (PSS), at its highest.
    #[serde(default)]
    pub pss_bytes: Option<u64>,
    /// The single calls, or as many of them as were timed.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// How many calls raised.
    #[serde(default)]
    pub failed_calls: usize,
}

/// One call of the function, timed where it ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Index of its item.
    pub item: usize,
    /// When it started, counted from the round's first call.
    pub start: f64,
    /// How long it took.
    pub seconds: f64,
    /// Which worker ran it.
    #[serde(default)]
    pub worker: usize,
}
