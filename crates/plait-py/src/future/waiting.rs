//! Waiting for a future: as long as it takes, or for the microseconds that an event loop can spare.

use std::time::{Duration, Instant};

use event_listener::Listener;
use plait_engine::pool::Awaited;
use pyo3::prelude::*;

use super::core::{FutureCore, Home};
use super::deadline;
use super::face::FutureBase;
use crate::own::own;
use crate::thread::help;

/// How long a thread that cannot be interrupted by a signal itself sleeps before it looks.
pub const SLICE: Duration = Duration::from_millis(50);

impl FutureBase {
    /// Waits until it is done; `false` when the time is over first.
    pub(super) fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let core = self.core();
        if core.is_done() {
            if let Home::Processes(home) = core.home() {
                home.hear(py)?;
            }
            return Ok(true);
        }
        let deadline = deadline(timeout);
        match core.home() {
            Home::Processes(home) => home.wait(py, core, deadline),
            Home::Threads(home) => {
                home.check()?;
                let _lent = help(py, core, *home)?;
                wait_event(py, core, deadline)
            }
            Home::Own => own()?.wait(py, core, deadline),
            Home::Nowhere => wait_event(py, core, deadline),
        }
    }

    /// Whether the answer may come within microseconds; then [`FutureBase::glance`] is to follow.
    pub(super) fn expect(&self) -> bool {
        matches!(self.core().home(), Home::Processes(home) if home.expect())
    }

    /// Looks for the end for some microseconds; whether it has come.
    pub(super) fn glance(&self, py: Python<'_>) -> PyResult<bool> {
        let core = self.core();
        match core.home() {
            Home::Processes(home) => home.glance(py, core),
            _ => Ok(core.is_done()),
        }
    }
}

/// Waits on the future's own event, for those whom no driver serves.
fn wait_event(py: Python<'_>, core: &FutureCore, deadline: Option<Instant>) -> PyResult<bool> {
    loop {
        let done = py.detach(|| {
            let listener = core.event().listen();
            if core.is_done() {
                return Some(true);
            }
            let until = Instant::now() + SLICE;
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            listener.wait_deadline(until);
            if core.is_done() {
                return Some(true);
            }
            deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(false)
        });
        match done {
            Some(done) => return Ok(done),
            None => py.check_signals()?,
        }
    }
}
