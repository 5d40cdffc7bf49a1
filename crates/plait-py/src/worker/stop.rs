//! Ending the call that runs, by an exception in the main thread, when the pool orders it.
//!
//! The order is a signal; its Python handler comes here. Whether there is still something to end is asked of shared
//! memory, so a signal that comes late, or from a stranger, does nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use plait_engine::pool::STOP_SIGNAL;
use plait_engine::worker::Desk;
use pyo3::prelude::*;
use pyo3::{ffi, intern};

/// A call is being made, so an exception has somewhere to go. Written and read by the main thread alone.
static CALLING: AtomicBool = AtomicBool::new(false);

/// The exception was raised already: who catches it is not asked twice.
static ASKED: AtomicBool = AtomicBool::new(false);

/// A call begins, which may be ended on the way. Raises at once if the order was faster.
pub fn begin_call(py: Python<'_>, desk: &Desk) -> PyResult<()> {
    CALLING.store(true, Ordering::Relaxed);
    on_signal(py, desk)
}

/// The call has ended: nothing is raised any more.
pub fn end_call() {
    CALLING.store(false, Ordering::Relaxed);
}

/// What the signal's handler does: raises if the call that runs is to end.
pub fn on_signal(py: Python<'_>, desk: &Desk) -> PyResult<()> {
    if !desk.is_ordered_to_end() || !CALLING.load(Ordering::Relaxed) || ASKED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    Err(PyErr::from_value(call_stopped(py)?.call0()?))
}

/// Whether an error that Python could not hand on is the order, and thus comes again: it struck in a callback of a weak
/// reference, say, or in a finalizer, whose errors end in a message while the call goes on.
pub fn is_lost_order(py: Python<'_>, kind: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !kind.is(call_stopped(py)?) {
        return Ok(false);
    }
    ASKED.store(false, Ordering::Relaxed);
    // SAFETY: notes a signal as if it had arrived; the interpreter is attached, and its handler was set before any call.
    unsafe { ffi::PyErr_SetInterruptEx(STOP_SIGNAL) };
    Ok(true)
}

fn call_stopped(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "plait._errors"))?.getattr(intern!(py, "CallStopped"))
}
