//! What the chooser answers. Python sees it as JSON with these names.

use serde::{Deserialize, Serialize};

use super::predict::Prediction;

/// Where calls can go, from the simplest on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// One after the other.
    Serial,
    /// Threads of this process.
    Threads,
    /// Worker processes.
    Processes,
    /// Threads of this process, each with an interpreter of its own.
    Interpreters,
}

impl Backend {
    /// All of them, the simplest first. The last one can end the program by a crash, and its calls cannot be stopped.
    pub const ALL: [Self; 4] = [Self::Serial, Self::Threads, Self::Processes, Self::Interpreters];

    /// Its name, as users write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Threads => "threads",
            Self::Processes => "processes",
            Self::Interpreters => "interpreters",
        }
    }
}

/// The best that one backend offers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Where the calls would go.
    pub backend: Backend,
    /// To how many workers; a run on threads may begin with fewer.
    pub workers: usize,
    /// Seconds predicted for the remaining calls.
    pub seconds: f64,
    /// What speaks against it whatever it takes.
    pub why_not: Option<String>,
}

impl From<&Prediction> for Candidate {
    fn from(prediction: &Prediction) -> Self {
        Self {
            backend: prediction.backend,
            workers: prediction.workers,
            seconds: prediction.seconds,
            why_not: prediction.why_not.clone(),
        }
    }
}

/// Where the remaining calls should go, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Choice {
    /// The backend.
    pub backend: Backend,
    /// How many workers it should begin with.
    pub workers: usize,
    /// How many it may ever have.
    pub most_workers: usize,
    /// Items to a chunk; `None`: as `crate::chunk` finds.
    pub chunksize: Option<u64>,
    /// Seconds predicted for the remaining calls.
    pub seconds: f64,
    /// The best of each backend, the simplest first.
    pub candidates: Vec<Candidate>,
    /// The best backend beside the chosen one, if any other was possible.
    pub runner_up: Option<Backend>,
    /// The runner-up's seconds by the chosen one's. Below 1 where the simpler of two near ones was taken.
    pub margin: Option<f64>,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// The backends that this run was on before, in order: [`super::revise`] keeps them here.
    #[serde(default)]
    pub left: Vec<Backend>,
}
