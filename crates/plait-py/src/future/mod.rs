//! Futures: real `concurrent.futures.Future`s with their state in Rust.
//!
//! `core` is the state, `face` the Python class, `class` makes its instances, `waiting` waits for it, and here is what binds them: telling
//! those who asked, and making exceptions out of what the engine says.

mod class;
mod core;
mod face;
mod waiting;

pub use self::core::{FutureCore, Held, Home, Phase, ProcessTicket};
pub use class::{new_future, set_future_class, set_kept_class};
pub use face::FutureBase;
pub use waiting::SLICE;

use std::sync::Arc;
use std::time::{Duration, Instant};

use plait_engine::pool::Outcome;
use plait_engine::wire::Verdict;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::thread::ended;
use crate::{callout, codec, death, errors, exit, memory};

/// Tells waiters, then callbacks, that a future is done. Does nothing the second time.
pub fn tell(py: Python<'_>, core: &Arc<FutureCore>) {
    if let Err(error) = tell_here(py, core) {
        error.write_unraisable(py, None);
    }
}

/// The same where the user stands.
///
/// # Errors
/// What a callback raised that is no `Exception`, such as KeyboardInterrupt.
pub fn tell_here(py: Python<'_>, core: &Arc<FutureCore>) -> PyResult<()> {
    let mut raised = Ok(());
    if let Home::Threads(_) = core.home() {
        ended(py, core);
    }
    match tell_waiters(py, core) {
        Ok(Some((future, callbacks))) => {
            for callback in callbacks {
                raised = raised.and(run_callback(py, callback.bind(py), future.bind(py)));
            }
        }
        Ok(None) => {}
        Err(error) => error.write_unraisable(py, None),
    }
    raised
}

type Callbacks = (Py<PyAny>, Vec<Py<PyAny>>);

/// Makes the end of the future visible to `concurrent.futures.wait` and its kin, and hands out the callbacks.
fn tell_waiters(py: Python<'_>, core: &FutureCore) -> PyResult<Option<Callbacks>> {
    loop {
        let condition = {
            let slot = core.slot();
            let Some(exposed) = &slot.exposed else { return Ok(None) };
            exposed.condition.as_ref().map(|condition| condition.clone_ref(py))
        };
        let held = condition.as_ref().map(|condition| Entered::enter(condition.bind(py))).transpose()?;
        let (future, callbacks, waiters, phase) = {
            let mut slot = core.slot();
            let Some(exposed) = &mut slot.exposed else { return Ok(None) };
            if condition.is_none() && exposed.condition.is_some() {
                // Somebody asked for it just now, and may be counting under it.
                continue;
            }
            exposed.untold = false;
            let waiters = exposed.waiters.as_ref().map(|waiters| waiters.clone_ref(py));
            (exposed.future.take(), std::mem::take(&mut exposed.callbacks), waiters, core.phase())
        };
        let Some(future) = future else { return Ok(None) };
        if let Some(held) = &held {
            let method = match phase {
                Phase::Cancelled => None,
                Phase::Notified => Some(intern!(py, "add_cancelled")),
                _ if is_error(core) => Some(intern!(py, "add_exception")),
                _ => Some(intern!(py, "add_result")),
            };
            if let (Some(method), Some(waiters)) = (method, waiters) {
                // A copy: a waiter that is satisfied may take itself off the list.
                for waiter in waiters.bind(py).try_iter()?.collect::<PyResult<Vec<_>>>()? {
                    waiter.call_method1(method, (&future,))?;
                }
            }
            held.0.call_method0(intern!(py, "notify_all"))?;
        }
        return Ok(Some((future, callbacks)));
    }
}

/// A `threading.Condition` that is held until this is dropped.
struct Entered<'a, 'py>(&'a Bound<'py, PyAny>);

impl<'a, 'py> Entered<'a, 'py> {
    fn enter(condition: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        condition.call_method0(intern!(condition.py(), "acquire"))?;
        Ok(Self(condition))
    }
}

impl Drop for Entered<'_, '_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.call_method0(intern!(self.0.py(), "release")) {
            error.write_unraisable(self.0.py(), None);
        }
    }
}

fn is_error(core: &FutureCore) -> bool {
    match &core.slot().held {
        Held::Error(_) => true,
        Held::Told(Outcome::Called { verdict, .. }) => *verdict == Verdict::Raised,
        Held::Told(_) => true,
        Held::Nothing | Held::Call(_) | Held::Own(_) | Held::Again(_) | Held::Decoding | Held::Value(_) => false,
    }
}

/// Calls one callback; an `Exception` of its is logged, as `concurrent.futures` does, and anything else is handed on.
pub fn run_callback(py: Python<'_>, callback: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let called = PyTuple::new(py, [future]).and_then(|args| callout::call(callback, &args, None));
    let Err(error) = called else { return Ok(()) };
    if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
        return Err(error);
    }
    if exit::is_closed() {
        // Calls are being killed under it.
        return Ok(());
    }
    let logged = (|| {
        let logger = py.import("logging")?.call_method1("getLogger", ("concurrent.futures",))?;
        let info = (error.get_type(py), error.value(py), error.traceback(py));
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item("exc_info", info)?;
        logger.call_method("error", ("exception calling callback for %r", future), Some(&kwargs))
    })();
    if let Err(error) = logged {
        error.write_unraisable(py, Some(callback));
    }
    Ok(())
}

/// What an outcome is in Python: the value, or the exception to raise.
pub fn decode_outcome<'py>(py: Python<'py>, outcome: &Outcome) -> Result<Bound<'py, PyAny>, PyErr> {
    match outcome {
        Outcome::Called { verdict, payload, .. } => {
            let bytes = payload.bytes().map_err(|error| errors::plait_error(py, &error.to_string()))?;
            match verdict {
                Verdict::Returned => {
                    let buffers = memory::buffers(py, payload.pieces())?;
                    codec::decode_value(py, payload.kind.try_into()?, bytes, buffers.as_ref())
                }
                Verdict::Raised => Err(codec::decode_exception(py, bytes)),
            }
        }
        Outcome::Lost(loss) => Err(death::worker_died(py, loss)),
        Outcome::TimedOut(late) => Err(death::timed_out(py, late)),
        Outcome::Broken(reason) => Err(errors::broken_pool(py, reason)),
        Outcome::Cancelled => Err(errors::cancelled(py)),
    }
}

/// The moment `timeout` seconds from now; `None`: no limit.
pub fn deadline(timeout: Option<f64>) -> Option<Instant> {
    let timeout = Duration::try_from_secs_f64(timeout?.max(0.0)).ok()?;
    Instant::now().checked_add(timeout)
}

/// The stdlib's name of a phase.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "PENDING",
        Phase::Running => "RUNNING",
        Phase::Cancelled => "CANCELLED",
        Phase::Notified => "CANCELLED_AND_NOTIFIED",
        Phase::Finished => "FINISHED",
    }
}
