//! Whether the standard streams hold the beginning of a line that was not written out yet.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// A stream holds back the beginning of a line.
pub fn set_unwritten() {
    UNWRITTEN.store(true, Ordering::Relaxed);
}

/// Has it written out, so that it is not lost with the process; where it cannot be, nobody is left to read it.
pub fn write_out(py: Python<'_>, flush: &Py<PyAny>) {
    if UNWRITTEN.load(Ordering::Relaxed) && UNWRITTEN.swap(false, Ordering::Relaxed) {
        let _ = flush.call0(py);
    }
}
