//! From what goes wrong in Rust to the exception a user sees. The one place where it happens.

use plait_engine::nursery::remedy;
use plait_engine::pool::{NewPoolError, Refused};
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

/// An error of this class of `module`, made with these arguments.
fn make(py: Python<'_>, module: &str, class: &str, message: &str) -> PyErr {
    let made = py.import(module).and_then(|module| module.getattr(class)?.call1((message,)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// plait's own trouble.
pub fn plait_error(py: Python<'_>, message: &str) -> PyErr {
    make(py, "plait._errors", "PlaitError", message)
}

/// Whether an error says that something cannot be sent.
pub fn is_not_picklable(py: Python<'_>, error: &PyErr) -> bool {
    py.import("plait._errors")
        .and_then(|module| error.value(py).is_instance(&module.getattr("NotPicklable")?))
        .unwrap_or(false)
}

/// An error that was raised here, as a future keeps it: without the frames it was raised in, which would keep all that
/// those who called hold. What they were stands in its cause, as a text.
pub fn for_future<'py>(py: Python<'py>, error: PyErr) -> PyResult<Bound<'py, PyAny>> {
    let detached = py.import("plait._remote")?.getattr("detached")?;
    detached.call1((error.into_value(py),))
}

/// A process has died that held a lock.
pub fn owner_died(py: Python<'_>, pid: Option<u32>) -> PyErr {
    let made = py.import("plait._errors").and_then(|module| module.getattr("OwnerDied")?.call1((pid,)));
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// A barrier is broken.
pub fn broken_barrier(py: Python<'_>) -> PyErr {
    let made = py.import("threading").and_then(|module| module.getattr("BrokenBarrierError")?.call0());
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// The pool cannot go on.
pub fn broken_pool(py: Python<'_>, message: &str) -> PyErr {
    make(py, "concurrent.futures.process", "BrokenProcessPool", message)
}

/// The future was cancelled.
pub fn cancelled(py: Python<'_>) -> PyErr {
    let made = py.import("concurrent.futures").and_then(|module| module.getattr("CancelledError")?.call0());
    match made {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// The future is not done in time.
pub fn timeout(_py: Python<'_>) -> PyErr {
    PyTimeoutError::new_err(())
}

/// A future that has ended is ended again.
pub fn invalid_state(py: Python<'_>, phase: crate::future::Phase, future: &Bound<'_, PyAny>) -> PyErr {
    let name = crate::future::phase_name(phase);
    make(py, "concurrent.futures", "InvalidStateError", &format!("{name}: {future}"))
}

/// The pool did not take a task.
pub fn refused(py: Python<'_>, refused: &Refused) -> PyErr {
    match refused {
        Refused::Closed => PyRuntimeError::new_err(refused.to_string()),
        Refused::Broken(reason) => broken_pool(py, reason),
        Refused::Memory(_) => PyMemoryError::new_err(refused.to_string()),
    }
}

/// A pool could not be made.
pub fn new_pool(error: &NewPoolError) -> PyErr {
    match error {
        NewPoolError::Config(_) | NewPoolError::TooManyWorkers { .. } => PyValueError::new_err(error.to_string()),
        NewPoolError::Io(error) => {
            let reason = remedy(error).map_or_else(|| error.to_string(), String::from);
            let message = format!("the pool cannot be made: {reason}");
            match error.raw_os_error() {
                Some(code) => PyOSError::new_err((code, message)),
                None => PyOSError::new_err(message),
            }
        }
    }
}
