//! What `Barrier` is made with.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plait_engine::locks::{Barrier, Broken, Left, Passed, Passing};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::travel::{self, Pickled, There, full, not_joined};
use super::waiting::{self, Ended, Wait, block};
use crate::errors;

/// The turnstile of a `plait.Barrier`.
#[pyclass(frozen, module = "plait._core")]
pub struct Turnstile {
    barrier: Barrier,
}

#[pymethods]
impl Turnstile {
    #[new]
    #[pyo3(signature = (parties=1, *, _there=None))]
    fn new(py: Python<'_>, parties: i64, _there: Option<There>) -> PyResult<Self> {
        let barrier = match _there {
            Some(there) => travel::arrived(py, &there, Barrier::at)?,
            None => {
                let Some(parties) = u32::try_from(parties).ok().filter(|parties| *parties > 0) else {
                    return Err(PyValueError::new_err("parties must be > 0"));
                };
                Barrier::create(&travel::home(py)?, parties).map_err(|error| not_joined(&error))?.ok_or_else(full)?
            }
        };
        Ok(Self { barrier })
    }

    #[getter]
    fn parties(&self) -> u32 {
        self.barrier.parties()
    }

    #[getter]
    fn n_waiting(&self) -> u32 {
        self.barrier.waiting()
    }

    #[getter]
    fn broken(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.barrier.is_broken()).map_err(|error| not_joined(&error))
    }

    /// Break it.
    fn abort(&self) -> PyResult<()> {
        self.barrier.abort().map_err(|error| not_joined(&error))
    }

    /// Make it as new.
    fn reset(&self) -> PyResult<()> {
        self.barrier.reset().map_err(|error| not_joined(&error))
    }

    /// Come to it.
    fn passage(&self) -> PyResult<Passage> {
        let passing = self.barrier.passing().map_err(|error| not_joined(&error))?;
        Ok(Passage(Arc::new(Mutex::new(Some(passing)))))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let barrier = &slf.get().barrier;
        travel::pickled(slf, barrier.memory(), barrier.name())
    }
}

type Held = Arc<Mutex<Option<Passing>>>;

fn held(passing: &Held) -> MutexGuard<'_, Option<Passing>> {
    passing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody is at a barrier. One that goes without `open`, when all the others are there, breaks it.
#[pyclass(frozen, module = "plait._core")]
pub struct Passage(Held);

impl Passage {
    fn take(&self) -> PyResult<Passing> {
        held(&self.0).take().ok_or_else(|| PyRuntimeError::new_err("the passage is over"))
    }
}

fn passed(py: Python<'_>, passed: Result<Passed, Broken>) -> PyResult<(u32, bool)> {
    passed.map(|passed| (passed.index, passed.last)).map_err(|_| errors::broken_barrier(py))
}

#[pymethods]
impl Passage {
    /// Wait for the others, up to `timeout` seconds: as which this one has arrived, and whether it is to `open`.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<(u32, bool)> {
        let until = waiting::deadline(timeout)?;
        let mut passing = self.take()?;
        let out = match block(py, &mut passing, until) {
            Ok(Some(out)) => out,
            Ok(None) => passing.give_up(),
            Err(error) => {
                let _ = passing.give_up();
                return Err(error);
            }
        };
        *held(&self.0) = Some(passing);
        passed(py, out)
    }

    /// The same for a coroutine; one that is cancelled breaks the barrier.
    #[pyo3(name = "_begin")]
    fn begin(&self, tell: Py<PyAny>, timeout: Option<f64>) -> PyResult<Wait> {
        let until = waiting::deadline(timeout)?;
        let (passing, home) = (self.take()?, Arc::clone(&self.0));
        waiting::begin(passing, until, tell, move |out, mut passing| {
            let out = match out {
                Ok(out) => out,
                Err(Left::TimedOut | Left::Interrupted | Left::Cancelled) => passing.give_up(),
            };
            *held(&home) = Some(passing);
            Box::new(Arrived { out, home })
        })
    }

    /// Let the others go.
    fn open(&self, py: Python<'_>) -> PyResult<()> {
        self.take()?.open().map_err(|_| errors::broken_barrier(py))
    }
}

struct Arrived {
    out: Result<Passed, Broken>,
    home: Held,
}

impl Ended for Arrived {
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(passed(py, self.out)?.into_pyobject(py)?.into_any().unbind())
    }

    fn undo(self: Box<Self>) {
        // If it was the last, that breaks it.
        drop(held(&self.home).take());
    }
}
