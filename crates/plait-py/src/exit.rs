//! The end of the interpreter, for threads that are not its own.
//!
//! The engine's thread that runs callbacks is counted while it is in Python: the exit waits for it, as the stdlib's does for
//! the thread that runs them there, and then keeps it out ([`leave_callbacks`]). A thread that waits for a result while the
//! interpreter is taken down is left where it is ([`check_signals`]).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::future::deadline;

/// Futures that have ended and whose callbacks are still to be run by the engine's thread.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Threads of the engine that are in Python, or about to be.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// Whether no more of them may go there.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// How often an exit that waits looks.
const GLANCE: Duration = Duration::from_millis(1);

/// How long it waits for callbacks that nobody begins to run: only if the system had no thread for them.
const IN_VAIN: Duration = Duration::from_secs(2);

/// A future has ended, and its callbacks are left to the engine's thread.
pub fn expect_callbacks() {
    WAITING.fetch_add(1, Ordering::SeqCst);
}

/// On the engine's thread: runs the callbacks of `count` futures, unless the interpreter is ending.
pub fn run_callbacks(count: usize, run: impl FnOnce(Python<'_>)) {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    if !is_closed() {
        Python::try_attach(run);
    }
    WAITING.fetch_sub(count, Ordering::SeqCst);
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}

/// Whether the interpreter has no more use for callbacks, or for what they raise.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::SeqCst)
}

/// While a thread waits: lets Python's signal handlers run. Never returns once the interpreter is being taken down.
pub fn check_signals() -> PyResult<()> {
    match Python::try_attach(|py| py.check_signals()) {
        Some(checked) => checked,
        // What CPython itself does with such threads from 3.14 on.
        None => loop {
            thread::park();
        },
    }
}

/// In a forked child, which has none of the engine's threads.
pub fn forget_callbacks() {
    WAITING.store(0, Ordering::SeqCst);
    INSIDE.store(0, Ordering::SeqCst);
    CLOSED.store(false, Ordering::SeqCst);
}

/// At the interpreter's end: waits until the callbacks of all futures that have ended were run, and lets no more run from
/// then on; after `timeout` seconds that holds for those that have not begun. Whether none runs any more.
#[pyfunction]
#[pyo3(signature = (timeout=None))]
pub fn leave_callbacks(py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
    let deadline = deadline(timeout);
    let mut seen = (WAITING.load(Ordering::SeqCst), Instant::now());
    loop {
        let waiting = WAITING.load(Ordering::SeqCst);
        let inside = INSIDE.load(Ordering::SeqCst) > 0;
        if inside || waiting != seen.0 {
            seen = (waiting, Instant::now());
        }
        let idle = !inside && (waiting == 0 || seen.1.elapsed() >= IN_VAIN);
        let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if idle || over {
            CLOSED.store(true, Ordering::SeqCst);
        }
        // Who came in before it was closed is counted by now.
        if is_closed() && INSIDE.load(Ordering::SeqCst) == 0 {
            return Ok(true);
        }
        if over {
            return Ok(false);
        }
        py.detach(|| thread::sleep(GLANCE));
        py.check_signals()?;
    }
}
