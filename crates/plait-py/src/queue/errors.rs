//! What queues raise.

use plait_engine::locks::JoinError;
use plait_engine::queue::{PutError, TakeError};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::errors::plait_error;
use crate::locks::travel::not_joined;

static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static FULL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static SHUT_DOWN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn raised(py: Python<'_>, class: &PyOnceLock<Py<PyAny>>, module: &str, name: &str) -> PyErr {
    let made = class.import(py, module, name).and_then(|class| class.call0());
    made.map_or_else(|error| error, PyErr::from_value)
}

/// There was no item in time.
pub fn empty(py: Python<'_>) -> PyErr {
    raised(py, &EMPTY, "_queue", "Empty")
}

/// There was no room in time.
pub fn full(py: Python<'_>) -> PyErr {
    raised(py, &FULL, "queue", "Full")
}

/// The queue was shut.
pub fn shut_down(py: Python<'_>) -> PyErr {
    raised(py, &SHUT_DOWN, "plait._queue", "ShutDown")
}

/// More items are said to be done than were put.
pub fn too_many_done() -> PyErr {
    PyValueError::new_err("task_done() called too many times")
}

/// A message could not be put.
pub fn not_put(error: &PutError) -> PyErr {
    match error {
        PutError::Join(error) => not_joined(error),
        PutError::Io(error) => PyMemoryError::new_err(format!(
            "there is no memory for this item of a queue: {error}; take items out first, or bound it by maxbytes"
        )),
    }
}

/// No message could be taken.
pub fn not_taken(py: Python<'_>, error: &TakeError) -> PyErr {
    match error {
        TakeError::Join(error) => not_joined(error),
        TakeError::Malformed(_) => plait_error(py, &error.to_string()),
        TakeError::Io(error) => PyMemoryError::new_err(format!(
            "there is no memory to keep an item of a queue until it is done: {error}; call task_done() for those that were taken"
        )),
    }
}

/// This process cannot take part.
pub fn not_in(error: JoinError) -> PyErr {
    not_joined(&error)
}
