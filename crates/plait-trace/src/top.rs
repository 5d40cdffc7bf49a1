//! What a look at the pools of a program shows: made by the observer, drawn by the view of `plait top`.

use serde::Serialize;

use crate::pools::{Counts, PoolKind};

/// The pools of a program and of its worker processes, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Top {
    /// The program.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// Its pools, and those of its workers.
    pub pools: Vec<PoolNow>,
    /// Pools of which the program tells nothing, for it has too many.
    pub untold: u32,
}

/// A pool at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolNow {
    /// The process that has it.
    pub pid: u32,
    /// Its number there.
    pub number: u64,
    /// What it is called.
    pub name: String,
    /// What its workers are.
    pub kind: PoolKind,
    /// The most workers.
    pub most: u32,
    /// Tasks that wait for a worker.
    pub queued: u64,
    /// Tasks that are being run.
    pub running: u64,
    /// What it has counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Tasks that ended, each second since the last look; `None` at the first.
    pub rate: Option<f64>,
    /// Its workers.
    pub workers: Vec<WorkerNow>,
}

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerNow {
    /// Its process.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// What it is doing.
    pub state: WorkerState,
    /// The function of its task.
    pub task: Option<String>,
    /// For how long it has been at that, in seconds.
    pub seconds: Option<f64>,
    /// Tasks that it has ended.
    pub done: u64,
    /// Resident memory of its process, in bytes; of threads `None`.
    pub memory: Option<u64>,
    /// The share of a processor that it had since the last look, 1.0 being all of one; `None` at the first.
    pub cpu: Option<f64>,
    /// Where its Python code is: `resize (images.py:12)`.
    pub line: Option<String>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// Nothing.
    Idle,
    /// It runs a task.
    Busy,
    /// It runs a call that was given up at its timeout, and whose end nobody waits for.
    Abandoned,
}

impl WorkerState {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Abandoned => "abandoned",
        }
    }
}
