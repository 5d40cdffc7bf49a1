//! The Python class of futures: `concurrent.futures.Future`'s interface over a [`FutureCore`].
//!
//! `plait.Future` derives from this class first and from the stdlib's second, so `isinstance` holds and each method is
//! found here. The attributes with an underscore are what `concurrent.futures.wait`, `as_completed` and
//! asyncio read of a future; they keep the stdlib's meaning.

use std::sync::{Arc, OnceLock};

use event_listener::Listener;
use plait_engine::pool::Awaited;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::class::{is_kept, is_tracked, track};
use super::core::{Exposed, FutureCore, Held, Home, Phase, Slot};
use super::{SLICE, decode_outcome, phase_name, run_callback, tell_here};
use crate::own::own;
use crate::thread::{await_here, count_cancelled};
use crate::{codec, errors, exit};

/// The base of `plait.Future`.
#[pyclass(subclass, frozen, weakref, module = "plait._core")]
pub struct FutureBase {
    pub(super) core: OnceLock<Arc<FutureCore>>,
}

impl FutureBase {
    /// The state; a future made by hand gets its own at the first touch.
    pub fn core(&self) -> &Arc<FutureCore> {
        self.core.get_or_init(|| FutureCore::new(Home::Nowhere))
    }

    /// The value, or the exception as an error; the future must be finished or cancelled.
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = self.whole_value(py)?;
        if is_kept(&value) { value.getattr(intern!(py, "value")) } else { Ok(value) }
    }

    /// The same with what the call printed, if that came along.
    fn whole_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let core = self.core();
        let outcome = loop {
            let mut slot = core.slot();
            match &mut slot.held {
                Held::Value(value) => return Ok(value.clone_ref(py).into_bound(py)),
                Held::Error(error) => return Err(PyErr::from_value(error.clone_ref(py).into_bound(py))),
                Held::Nothing | Held::Call(_) | Held::Own(_) | Held::Again(_) => return Err(errors::cancelled(py)),
                held @ Held::Told(_) => {
                    if let Held::Told(outcome) = std::mem::replace(held, Held::Decoding) {
                        break outcome;
                    }
                }
                Held::Decoding => {
                    let listener = core.event().listen();
                    drop(slot);
                    py.detach(|| listener.wait_timeout(SLICE));
                    py.check_signals()?;
                }
            }
        };
        // Decoding calls Python, so it happens outside the lock.
        let decoded = decode_outcome(py, &outcome);
        let held = match &decoded {
            Ok(value) => Held::Value(value.clone().unbind()),
            // Such as Ctrl-C while the result was unpickled: it is still there for the next who asks.
            Err(error) if codec::is_interrupt(py, error) => Held::Told(outcome),
            Err(error) => Held::Error(error.value(py).clone().into_any().unbind()),
        };
        core.slot().held = held;
        core.event().notify(usize::MAX);
        decoded
    }

    /// What [`FutureBase::value`] says, for a caller who may let it lead back to the future: an exception's traceback holds the
    /// frame that waited, which holds the future.
    fn hand_out<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let value = slf.get().value(slf.py());
        // What came from a worker is new: nothing in it knows the future.
        let new = matches!(slf.get().core().home(), Home::Processes(_));
        if value.as_ref().is_ok_and(|value| new || !is_tracked(value)) {
            return value;
        }
        track(slf);
        value
    }

    /// Makes the parts that Python's machinery looks at, and tells the pool that somebody will look.
    fn expose<R>(slf: &Bound<'_, Self>, use_it: impl FnOnce(&mut Slot, Phase) -> R) -> R {
        let core = slf.get().core();
        let mut slot = core.slot();
        let phase = core.phase();
        let first = slot.exposed.is_none();
        if first {
            slot.exposed = Some(Box::new(Exposed { untold: !phase.is_done(), ..Exposed::default() }));
        }
        let exposed = slot.exposed.as_mut().expect("made above");
        if !phase.is_done() && exposed.future.is_none() {
            exposed.future = Some(slf.clone().into_any().unbind());
        }
        let used = use_it(&mut slot, phase);
        drop(slot);
        if first && !phase.is_done() {
            core.home().watch(core);
        }
        used
    }

    fn end(slf: &Bound<'_, Self>, held: Held) -> PyResult<()> {
        let py = slf.py();
        let core = slf.get().core();
        match core.transition(&[Phase::Pending, Phase::Running], Phase::Finished, held) {
            Some(exposed) => {
                if exposed {
                    tell_here(py, core)?;
                }
                Ok(())
            }
            None => Err(errors::invalid_state(py, core.phase(), slf)),
        }
    }
}

#[pymethods]
impl FutureBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { core: OnceLock::new() }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(core) = self.core.get() else { return Ok(()) };
        // While an engine holds the core too, what is in it is in use, whoever else has forgotten it.
        if Arc::strong_count(core) > 1 {
            return Ok(());
        }
        core.try_slot().map_or(Ok(()), |slot| slot.traverse(&visit))
    }

    fn __clear__(&self) {
        if let Some(core) = self.core.get()
            && Arc::strong_count(core) == 1
            && let Some(mut slot) = core.try_slot()
        {
            let gone = (std::mem::replace(&mut slot.held, Held::Nothing), slot.exposed.take());
            drop(slot);
            drop(gone);
        }
    }

    /// Cancel the call. Returns whether it is cancelled now.
    ///
    /// One that has begun is stopped if it runs in a process: its main thread gets an exception, and is killed if it
    /// does not end soon. A thread cannot be stopped: there a call that has begun goes on, and this returns False.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let core = slf.get().core();
        let (taken, next) = match core.home() {
            Home::Processes(home) => {
                let taken = core.phase() == Phase::Pending
                    && (home.cancel(core) || {
                        // A result that is there counts.
                        home.pump();
                        !core.is_done() && home.stop(core)
                    });
                (taken, Phase::Notified)
            }
            Home::Threads(home) => (!home.is_foreign(), Phase::Notified),
            Home::Own => (own()?.cancel(py, core)?, Phase::Notified),
            Home::Nowhere => (true, Phase::Cancelled),
        };
        if taken && let Some(exposed) = core.transition(&[Phase::Pending], next, Held::Nothing) {
            if let Home::Processes(home) = core.home()
                && exposed
            {
                home.unwatch();
            }
            if let Home::Threads(home) = core.home() {
                count_cancelled(*home);
            }
            tell_here(py, core)?;
        }
        Ok(matches!(core.phase(), Phase::Cancelled | Phase::Notified))
    }

    /// Whether the call was cancelled.
    fn cancelled(&self) -> bool {
        matches!(self.core().phase(), Phase::Cancelled | Phase::Notified)
    }

    /// Whether the call is being executed.
    fn running(&self) -> bool {
        let core = self.core();
        match (core.phase(), core.home()) {
            (Phase::Running, _) => true,
            (Phase::Pending, home) => home.is_running(core),
            _ => false,
        }
    }

    /// Whether the call was cancelled or has finished.
    fn done(&self, py: Python<'_>) -> bool {
        let core = self.core();
        // Nobody else may be looking: a loop over `done()` must see the end.
        match (core.phase(), core.home()) {
            (Phase::Pending, Home::Processes(home)) => home.pump(),
            (Phase::Pending, Home::Own) => drop(own().map(|own| own.look(py, core))),
            _ => {}
        }
        core.is_done()
    }

    /// Return the call's result, waiting for it up to `timeout` seconds.
    ///
    /// Raises the call's exception if it raised, `CancelledError` if it was cancelled, `TimeoutError` if it is not
    /// done in time.
    #[pyo3(signature = (timeout=None))]
    fn result<'py>(slf: &Bound<'py, Self>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let (base, py) = (slf.get(), slf.py());
        if base.wait(py, timeout)? { Self::hand_out(slf) } else { Err(errors::timeout(py)) }
    }

    /// Return the exception the call raised, or None; waits and raises as `result` does.
    #[pyo3(signature = (timeout=None))]
    fn exception<'py>(slf: &Bound<'py, Self>, timeout: Option<f64>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (base, py) = (slf.get(), slf.py());
        if !base.wait(py, timeout)? {
            return Err(errors::timeout(py));
        }
        match Self::hand_out(slf) {
            Ok(_) => Ok(None),
            Err(error) if base.cancelled() => Err(error),
            Err(error) => Ok(Some(error.into_value(py).into_bound(py).into_any())),
        }
    }

    /// For `plait.Future.stdout`: the result with what its call printed, or the exception; None before the end, and for a
    /// result that came alone.
    fn _kept<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if self.core().phase() != Phase::Finished {
            return None;
        }
        match self.whole_value(py) {
            Ok(value) => is_kept(&value).then_some(value),
            Err(error) => Some(error.into_value(py).into_bound(py).into_any()),
        }
    }

    /// For `await`: whether the answer may come within microseconds; then `_glance` is to follow after the loop's next turn.
    fn _expect(&self) -> bool {
        self.expect()
    }

    /// For `await`: look for the answer for some microseconds; whether the future is done.
    fn _glance(&self, py: Python<'_>) -> PyResult<bool> {
        self.glance(py)
    }

    /// For maps: wait up to `timeout` seconds until it is done, without a look at what it came to. Returns whether it is.
    #[pyo3(signature = (timeout=None))]
    fn _wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.wait(py, timeout)
    }

    /// For event loops, after they have asked to be told of the end: this thread waits for the future.
    fn _await_here(&self, py: Python<'_>) -> PyResult<()> {
        match self.core().home() {
            Home::Threads(home) => await_here(py, self.core(), *home),
            _ => Ok(()),
        }
    }

    /// Call `fn(future)` when the future is done; at once if it is.
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Bound<'_, PyAny>) -> PyResult<()> {
        let kept = r#fn.clone().unbind();
        let now = Self::expose(slf, |slot, phase| {
            match &mut slot.exposed {
                // Its end is about to be told, and shows in `_state` only then: asyncio's callback looks there.
                Some(exposed) if !phase.is_done() || exposed.untold && !exit::is_closed() => {
                    exposed.callbacks.push(kept);
                    false
                }
                _ => true,
            }
        });
        if now {
            run_callback(slf.py(), &r#fn, slf.as_any())?;
        }
        Ok(())
    }

    /// For executors: mark the future as running; returns False if it was cancelled instead.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let core = slf.get().core();
        if core.transition(&[Phase::Cancelled], Phase::Notified, Held::Nothing).is_some() {
            Self::expose(slf, |slot, _| {
                if let Some(exposed) = &mut slot.exposed {
                    exposed.future = Some(slf.clone().into_any().unbind());
                }
            });
            tell_here(py, core)?;
            return Ok(false);
        }
        if core.transition(&[Phase::Pending], Phase::Running, Held::Nothing).is_some() {
            return Ok(true);
        }
        let logger = py.import("logging")?.call_method1("getLogger", ("concurrent.futures",))?;
        logger.call_method1("critical", ("Future %s in unexpected state: %s", slf, phase_name(core.phase())))?;
        Err(pyo3::exceptions::PyRuntimeError::new_err("Future in unexpected state"))
    }

    /// For executors: finish the future with a result.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::end(slf, Held::Value(result))
    }

    /// For executors: finish the future with an exception.
    fn set_exception(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        Self::end(slf, Held::Error(exception))
    }

    #[getter(_state)]
    fn state(&self) -> &'static str {
        let core = self.core();
        let (phase, untold) = {
            let slot = core.slot();
            (core.phase(), slot.exposed.as_ref().is_some_and(|exposed| exposed.untold))
        };
        match (phase, core.home()) {
            (Phase::Pending, home) if home.is_running(core) => phase_name(Phase::Running),
            (Phase::Finished, _) if untold => phase_name(Phase::Running),
            (Phase::Cancelled | Phase::Notified, _) if untold => phase_name(Phase::Pending),
            (phase, _) => phase_name(phase),
        }
    }

    #[getter(_condition)]
    fn condition(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let fresh = py.import(intern!(py, "threading"))?.call_method0(intern!(py, "Condition"))?;
        Ok(Self::expose(slf, |slot, _| {
            let exposed = slot.exposed.get_or_insert_default();
            exposed.condition.get_or_insert_with(|| fresh.unbind()).clone_ref(py)
        }))
    }

    #[getter(_waiters)]
    fn waiters(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let fresh = PyList::empty(py).into_any().unbind();
        let waiters = Self::expose(slf, |slot, _| {
            let exposed = slot.exposed.get_or_insert_default();
            exposed.waiters.get_or_insert(fresh).clone_ref(py)
        });
        // Who takes the list sleeps until it is told.
        slf.get()._await_here(py)?;
        Ok(waiters)
    }

    #[getter(_result)]
    fn peek_result<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if self.core().phase() == Phase::Finished { self.value(py).ok() } else { None }
    }

    #[getter(_exception)]
    fn peek_exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if self.core().phase() != Phase::Finished {
            return None;
        }
        self.value(py).err().map(|error| error.into_value(py).into_bound(py).into_any())
    }

    #[getter(_done_callbacks)]
    fn callbacks<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let list: Vec<_> = {
            let slot = slf.get().core().slot();
            slot.exposed.iter().flat_map(|exposed| exposed.callbacks.iter().map(|f| f.clone_ref(py))).collect()
        };
        PyList::new(py, list)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let base = slf.get();
        let name = slf.get_type().name()?;
        let at = slf.as_ptr() as usize;
        if base.core().phase() != Phase::Finished {
            return Ok(format!("<{name} at {at:#x} state={}>", base.state().to_lowercase()));
        }
        let state = "finished";
        Ok(match base.value(slf.py()) {
            Ok(value) => format!("<{name} at {at:#x} state={state} returned {}>", value.get_type().name()?),
            Err(error) => format!("<{name} at {at:#x} state={state} raised {}>", error.get_type(slf.py()).name()?),
        })
    }
}
