//! Log records on their way from a worker to the handlers of its parent: the crossing; what they are made of is
//! `plait._logs`' business.
//!
//! A record is a pickle. One that is too long for a note goes in pieces, each behind a byte that says which it is. Promises:
//! no record is lost while its process lives, and none is heard twice; a worker that writes faster than it is heard waits.
//! Python is told a batch at a time, with no lock held. What stops a thread that hears records while it was to hand out a
//! result is raised there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub use plait_engine::pool::LOG;
use plait_engine::pool::Note;
use plait_engine::worker::{Desk, NoteError};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::exit;
use crate::worker::tasks_begun;

/// The piece goes on with what came before it.
const GOES_ON: u8 = 1;

/// There is more to come.
const UNFINISHED: u8 = 2;

/// Where a worker writes records.
#[pyclass(frozen, module = "plait._core")]
pub struct RecordWriter {
    desk: Desk,
    worker: u32,
    longest: usize,
}

impl RecordWriter {
    /// That of the worker with this number.
    pub fn new(desk: Desk, worker: u32) -> Self {
        let longest = desk.longest_note() - 1;
        Self { desk, worker, longest }
    }

    /// Writes a piece, and waits for room. False: this process is no worker.
    fn write_piece(&self, py: Python<'_>, mark: u8, piece: &[u8]) -> PyResult<bool> {
        loop {
            match self.desk.note(LOG, &[&[mark], piece]) {
                Ok(()) => return Ok(true),
                Err(NoteError::Forked) => return Ok(false),
                Err(NoteError::Full) => {
                    py.detach(|| self.desk.wait_for_room());
                    // Within a record nothing may come between, such as a signal's handler that logs.
                    if mark & GOES_ON == 0 {
                        py.check_signals()?;
                    }
                }
                Err(error) => return Err(PyRuntimeError::new_err(error.to_string())),
            }
        }
    }
}

#[pymethods]
impl RecordWriter {
    /// The worker's number in its pool.
    #[getter]
    fn worker(&self) -> u32 {
        self.worker
    }

    /// How many tasks the worker has begun.
    #[getter]
    #[expect(clippy::unused_self, reason = "a property of the worker, of which a process has one")]
    fn tasks(&self) -> u64 {
        tasks_begun()
    }

    /// Sends a record to the parent. False: this process was forked from a worker, and is not heard.
    fn write(&self, py: Python<'_>, record: &[u8]) -> PyResult<bool> {
        let pieces = record.len().div_ceil(self.longest).max(1);
        for (at, piece) in record.chunks(self.longest).enumerate() {
            let goes_on = if at > 0 { GOES_ON } else { 0 };
            let unfinished = if at + 1 < pieces { UNFINISHED } else { 0 };
            if !self.write_piece(py, goes_on | unfinished, piece)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The beginnings of records, by the process that is writing them.
static BEGUN: Mutex<Option<HashMap<i32, Vec<u8>>>> = Mutex::new(None);

/// The record that a note ends, if it ends one.
fn whole(note: Note) -> Option<Vec<u8>> {
    let pid = note.pid();
    let (&mark, piece) = note.bytes.split_first()?;
    if mark == 0 {
        return Some(piece.to_vec());
    }
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = begun.get_or_insert_default();
    if mark & GOES_ON == 0 {
        // What an earlier process of this number left unfinished goes.
        begun.remove(&pid);
    }
    let mut record = begun.remove(&pid).unwrap_or_default();
    record.extend_from_slice(piece);
    if mark & UNFINISHED == 0 {
        return Some(record);
    }
    begun.insert(pid, record);
    None
}

thread_local! {
    /// This thread hears records before it hands out a result.
    static HEARING: Cell<bool> = const { Cell::new(false) };
    /// What stopped a handler on it, and is to be raised.
    static STOPPED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Has the parent's handlers hear records.
pub fn on_records(notes: Vec<Note>) {
    let records: Vec<Vec<u8>> = notes.into_iter().filter_map(whole).collect();
    if records.is_empty() {
        return;
    }
    // While the interpreter ends there is nobody left to hear them.
    exit::run_callbacks(0, |py| {
        let Err(error) = hear(py, &records) else { return };
        if HEARING.get() && !error.is_instance_of::<PyException>(py) {
            STOPPED.with_borrow_mut(|stopped| {
                stopped.get_or_insert(error);
            });
        } else {
            error.write_unraisable(py, None);
        }
    });
}

fn hear(py: Python<'_>, records: &[Vec<u8>]) -> PyResult<()> {
    let records = PyList::new(py, records.iter().map(|record| PyBytes::new(py, record)))?;
    py.import(intern!(py, "plait._logs"))?.call_method1(intern!(py, "hear"), (records,))?;
    Ok(())
}

/// Runs `take`, which may hear records on this thread.
///
/// # Errors
/// What stopped one of the parent's handlers and is no mere exception, such as Ctrl-C.
pub fn hearing(take: impl FnOnce()) -> PyResult<()> {
    let outer = HEARING.replace(true);
    take();
    HEARING.set(outer);
    STOPPED.take().map_or(Ok(()), Err)
}
