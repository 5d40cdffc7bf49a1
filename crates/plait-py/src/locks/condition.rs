//! What `Condition` is made with: places to wait at, beside whichever lock the face has.

use std::sync::{Mutex, PoisonError};

use plait_engine::locks::{BeginError, Condition, Notification, Notified};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::event::Told;
use super::travel::{self, Pickled, There, full, not_joined};
use super::waiting::{self, Wait, block};

/// The places of a `plait.Condition`.
#[pyclass(frozen, module = "plait._core")]
pub struct Places {
    condition: Condition,
}

#[pymethods]
impl Places {
    #[new]
    #[pyo3(signature = (*, _there=None))]
    fn new(py: Python<'_>, _there: Option<There>) -> PyResult<Self> {
        let condition = match _there {
            Some(there) => travel::arrived(py, &there, Condition::at)?,
            None => Condition::create(&travel::home(py)?).map_err(|error| not_joined(&error))?.ok_or_else(full)?,
        };
        Ok(Self { condition })
    }

    /// Begin to wait: each notification from now on counts. The caller has the lock.
    fn begin(&self) -> PyResult<Waiting> {
        let notified = self.condition.begin().map_err(|error| match error {
            BeginError::Join(error) => not_joined(&error),
            BeginError::Full => PyRuntimeError::new_err(error.to_string()),
        })?;
        Ok(Waiting(Mutex::new(Some(notified))))
    }

    /// Notify the `count` that have waited longest, or all if they are fewer; give how many. The caller has the lock.
    fn notify(&self, count: usize) -> usize {
        self.condition.notify(count)
    }

    /// How many wait.
    fn waiting(&self) -> usize {
        self.condition.waiting()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let condition = &slf.get().condition;
        travel::pickled(slf, condition.memory(), condition.name())
    }
}

/// Somebody waits for a notification. One that goes without `end` passes on what it was notified of.
#[pyclass(frozen, module = "plait._core")]
pub struct Waiting(Mutex<Option<Notified>>);

impl Waiting {
    fn watching(&self) -> PyResult<Notification> {
        let notified = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let notified = notified.as_ref().ok_or_else(|| PyRuntimeError::new_err("the wait is over"))?;
        Ok(notified.watching())
    }
}

#[pymethods]
impl Waiting {
    /// Wait for it, up to `timeout` seconds.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let until = waiting::deadline(timeout)?;
        block(py, &mut self.watching()?, until).map(drop)
    }

    /// The same for a coroutine.
    #[pyo3(name = "_begin")]
    fn begin(&self, tell: Py<PyAny>, timeout: Option<f64>) -> PyResult<Wait> {
        waiting::begin(self.watching()?, waiting::deadline(timeout)?, tell, |out, _| Box::new(Told(out.is_ok())))
    }

    /// The caller has the lock again: whether it was notified.
    fn end(&self) -> bool {
        let notified = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        notified.is_some_and(Notified::end)
    }
}
