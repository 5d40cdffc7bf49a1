//! A worker's own pool, seen from inside: a task submits further tasks to the pool that runs it.
//!
//! They go to the parent as notes and come back as replies, which any thread of the worker reads for all (`mail`). Each
//! waits here, encoded, until it has ended: a thread that waits for one asks the parent for it back, and runs it itself if
//! nobody has begun it (`wait`). So workers cannot all wait for one another, and no process is started for it. Futures
//! that are waited for in other ways (callbacks, `concurrent.futures.wait`) have a thread that does the same (`helper`).
//!
//! Promise: a task is run once, here or there, on copies of its arguments either way.

mod call;
mod engine;
mod helper;
mod mail;
mod wait;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use plait_engine::heap::{Heap, Piece, table_of};
use plait_engine::wire::Block;
use plait_engine::wire::inner::{Submit, note};
use plait_engine::worker::{Desk, NoteError};
use plait_trace::TaskId;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::function::FunctionTable;
use crate::future::{FutureCore, Held, Home, Phase};
use crate::process::Limits;
use crate::{errors, process};
pub use call::OwnCall;
pub use engine::{OwnEngine, is_worker};
use helper::Helpers;

/// What this process has submitted to the pool that it works for.
pub struct Own {
    desk: Desk,
    table: FunctionTable,
    /// Functions that were run here, by their number in the table.
    loaded: Mutex<HashMap<u64, Py<PyAny>>>,
    sent: Mutex<HashMap<u64, Sent>>,
    last: AtomicU64,
    /// Notes of tasks that the parent may not have read.
    unsynced: AtomicUsize,
    /// The last echo that was heard.
    synced: AtomicU64,
    /// What is to be told when there is room for notes.
    owed: Mutex<Owed>,
    helpers: Helpers,
}

/// A task that the parent has not answered.
struct Sent {
    core: Arc<FutureCore>,
    stand: Stand,
}

/// How it stands with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It was submitted.
    Sent,
    /// The parent was asked for it.
    Asked,
    /// It is not to be had: somebody has begun it.
    Begun,
    /// Nobody has begun it, and nobody but this process will.
    Ours,
}

#[derive(Default)]
struct Owed {
    releases: Vec<Block>,
    room: bool,
}

static OWN: OnceLock<Own> = OnceLock::new();

/// This process has become a worker.
pub fn begin(desk: Desk) {
    let _ = OWN.set(Own {
        desk,
        table: FunctionTable::new(),
        loaded: Mutex::default(),
        sent: Mutex::default(),
        last: AtomicU64::new(0),
        unsynced: AtomicUsize::new(0),
        synced: AtomicU64::new(0),
        owed: Mutex::default(),
        helpers: Helpers::default(),
    });
}

/// The worker's memory for large data, if this process is one.
pub fn heap() -> Option<Arc<Heap>> {
    OWN.get().filter(|own| !own.desk.is_forked()).map(|own| Arc::clone(own.desk.heap()))
}

/// A task is about to end: waits until the parent has taken all that was submitted, so that the pool does not end before.
#[inline]
pub fn settle(py: Python<'_>) -> PyResult<()> {
    match OWN.get() {
        Some(own) if own.unsynced.load(Ordering::Relaxed) > 0 => own.sync(py),
        _ => Ok(()),
    }
}

/// What futures of an own pool ask of it; an error in a process that was forked from the worker.
pub fn own() -> PyResult<&'static Own> {
    OWN.get().filter(|own| !own.desk.is_forked()).ok_or_else(|| {
        PyRuntimeError::new_err("this executor works in worker processes of its own pool, and this process is none")
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Own {
    /// Submits a call; gives the state of its future, which fails at once if the call cannot be pickled.
    fn submit(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        limits: &Limits,
    ) -> PyResult<Arc<FutureCore>> {
        process::refuse_while_loading()?;
        let call = match OwnCall::encode(py, &self.table, self.desk.heap(), function, args, kwargs, limits) {
            Ok(call) => Arc::new(call),
            Err(error) if errors::is_not_picklable(py, &error) => {
                let error = errors::for_future(py, error)?.unbind();
                let core = FutureCore::new(Home::Own);
                core.transition(&[Phase::Pending], Phase::Finished, Held::Error(error));
                return Ok(core);
            }
            Err(error) => return Err(error),
        };
        let inner = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let core = FutureCore::new(Home::Own);
        core.set_task(TaskId::from_bits(inner));
        core.slot().held = Held::Own(Arc::clone(&call));
        locked(&self.sent).insert(inner, Sent { core: Arc::clone(&core), stand: Stand::Sent });
        // From here on the parent may give them back.
        self.desk.heap().lend(call.pieces());
        if let Err(error) = self.send(py, inner, &call.message(), call.pieces()) {
            locked(&self.sent).remove(&inner);
            return Err(error);
        }
        self.unsynced.fetch_add(1, Ordering::Relaxed);
        self.read_mail(py);
        Ok(core)
    }

    /// Writes a task's notes; a long one goes in pieces.
    fn send(&self, py: Python<'_>, inner: u64, submit: &Submit<'_>, pieces: &[Piece]) -> PyResult<()> {
        let number = inner.to_le_bytes();
        let head = submit.head();
        let table = if pieces.is_empty() { Vec::new() } else { table_of(pieces) };
        let body: [&[u8]; 5] = [&head, submit.name.as_bytes(), submit.definition, submit.payload, &table];
        let longest = self.desk.longest_note() - number.len();
        if body.iter().map(|part| part.len()).sum::<usize>() <= longest {
            return self.note(py, note::SUBMIT, &[&number, body[0], body[1], body[2], body[3], body[4]]);
        }
        for part in body {
            for piece in part.chunks(longest) {
                self.note(py, note::PART, &[&number, piece])?;
            }
        }
        self.note(py, note::SUBMIT, &[&number])
    }

    /// Writes a note, waiting for room if need be.
    fn note(&self, py: Python<'_>, kind: u8, parts: &[&[u8]]) -> PyResult<()> {
        loop {
            match self.desk.note(kind, parts) {
                Ok(()) => return Ok(()),
                Err(NoteError::Full) => {
                    py.detach(|| self.desk.wait_for_room());
                    py.check_signals()?;
                }
                Err(error) => return Err(errors::plait_error(py, &error.to_string())),
            }
        }
    }

    fn stand(&self, core: &FutureCore) -> Option<Stand> {
        locked(&self.sent).get(&number(core)).map(|sent| sent.stand)
    }

    /// Moves a task on from one stand to another; false if it stood otherwise.
    fn advance(&self, core: &FutureCore, from: Stand, to: Stand) -> bool {
        let mut sent = locked(&self.sent);
        let Some(sent) = sent.get_mut(&number(core)).filter(|sent| sent.stand == from) else { return false };
        sent.stand = to;
        true
    }

    /// Hands a task that came back to the one thread that may run it.
    fn claim(&self, core: &FutureCore) -> Option<Arc<OwnCall>> {
        locked(&self.sent).remove(&number(core));
        core.begin_own()
    }
}

/// The number under which parent and worker know the task.
fn number(core: &FutureCore) -> u64 {
    core.task().map_or(0, TaskId::bits)
}
