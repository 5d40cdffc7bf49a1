//! `Event`, as in `threading`.

use plait_engine::locks::Event;
use pyo3::prelude::*;

use super::travel::{self, Pickled, There, full, not_joined};
use super::waiting::{self, Ended, Wait, block};

/// See `plait.Event`.
#[pyclass(frozen, subclass, module = "plait._core")]
pub struct EventBase {
    event: Event,
}

#[pymethods]
impl EventBase {
    #[new]
    #[pyo3(signature = (*, _there=None))]
    fn new(py: Python<'_>, _there: Option<There>) -> PyResult<Self> {
        let event = match _there {
            Some(there) => travel::arrived(py, &there, Event::at)?,
            None => Event::create(&travel::home(py)?).map_err(|error| not_joined(&error))?.ok_or_else(full)?,
        };
        Ok(Self { event })
    }

    /// Whether it is set.
    fn is_set(&self) -> bool {
        self.event.is_set()
    }

    /// Set it, and let all go that wait.
    fn set(&self) {
        self.event.set();
    }

    /// Clear it.
    fn clear(&self) {
        self.event.clear();
    }

    /// Wait until it is set: True, or False if it was not within `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        if self.event.is_set() {
            return Ok(true);
        }
        let until = waiting::deadline(timeout)?;
        let mut watching = self.event.watching().map_err(|error| not_joined(&error))?;
        Ok(block(py, &mut watching, until)?.is_some())
    }

    /// Begin to wait for a coroutine.
    fn _begin(&self, tell: Py<PyAny>, timeout: Option<f64>) -> PyResult<Wait> {
        let watching = self.event.watching().map_err(|error| not_joined(&error))?;
        waiting::begin(watching, waiting::deadline(timeout)?, tell, |out, _| Box::new(Told(out.is_ok())))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let event = &slf.get().event;
        travel::pickled(slf, event.memory(), event.name())
    }
}

/// Whether it came.
pub struct Told(pub bool);

impl Ended for Told {
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.0.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn undo(self: Box<Self>) {}
}
