//! `Semaphore` and `BoundedSemaphore`, as in `threading`.

use plait_engine::locks::{Left, Semaphore};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::travel::{self, Pickled, There, full, not_joined};
use super::waiting::{self, Ended, Wait, block};

/// See `plait.Semaphore`.
#[pyclass(frozen, subclass, module = "plait._core")]
pub struct SemaphoreBase {
    semaphore: Semaphore,
}

#[pymethods]
impl SemaphoreBase {
    #[new]
    #[pyo3(signature = (value=1, *, _bounded=false, _there=None))]
    fn new(py: Python<'_>, value: i64, _bounded: bool, _there: Option<There>) -> PyResult<Self> {
        let semaphore = match _there {
            Some(there) => travel::arrived(py, &there, Semaphore::at)?,
            None => {
                if value < 0 {
                    return Err(PyValueError::new_err("semaphore initial value must be >= 0"));
                }
                let Some(value) = u32::try_from(value).ok().filter(|value| *value <= i32::MAX.cast_unsigned()) else {
                    return Err(PyValueError::new_err("semaphore initial value must be below 2**31"));
                };
                let made = Semaphore::create(&travel::home(py)?, value, _bounded);
                made.map_err(|error| not_joined(&error))?.ok_or_else(full)?
            }
        };
        Ok(Self { semaphore })
    }

    /// Take a permit: True, or False if none was to be had within `timeout` seconds, or at once if not `blocking`.
    #[pyo3(signature = (blocking=true, timeout=None))]
    fn acquire(&self, py: Python<'_>, blocking: bool, timeout: Option<f64>) -> PyResult<bool> {
        if !blocking && timeout.is_some() {
            return Err(PyValueError::new_err("can't specify timeout for non-blocking acquire"));
        }
        let got = self.semaphore.try_acquire().map_err(|error| not_joined(&error))?;
        if got || !blocking {
            return Ok(got);
        }
        let until = waiting::deadline(timeout)?;
        let mut permit = self.semaphore.acquiring().map_err(|error| not_joined(&error))?;
        Ok(block(py, &mut permit, until)?.is_some())
    }

    /// Give `n` permits back, or add new ones; `ValueError`, and nothing done, if that is more than there may be.
    #[pyo3(signature = (n=1))]
    fn release(&self, n: i64) -> PyResult<()> {
        if n < 1 {
            return Err(PyValueError::new_err("n must be one or more"));
        }
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let released = self.semaphore.release(n).map_err(|error| not_joined(&error))?;
        released.map_err(|_| PyValueError::new_err("Semaphore released too many times"))
    }

    /// How many permits are free.
    #[getter]
    fn _value(&self, py: Python<'_>) -> PyResult<u32> {
        py.detach(|| self.semaphore.value()).map_err(|error| not_joined(&error))
    }

    /// How many there were at first.
    #[getter]
    fn _initial_value(&self) -> u32 {
        self.semaphore.first()
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, None)
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release(1)
    }

    /// Begin to take a permit for a coroutine.
    fn _begin(&self, tell: Py<PyAny>, timeout: Option<f64>) -> PyResult<Wait> {
        let permit = self.semaphore.acquiring().map_err(|error| not_joined(&error))?;
        let semaphore = self.semaphore.clone();
        waiting::begin(permit, waiting::deadline(timeout)?, tell, move |out, _| Box::new(Got { semaphore, out }))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let semaphore = &slf.get().semaphore;
        travel::pickled(slf, semaphore.memory(), semaphore.name())
    }
}

/// A coroutine's permit, or not.
struct Got {
    semaphore: Semaphore,
    out: Result<(), Left>,
}

impl Ended for Got {
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.out.is_ok().into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn undo(self: Box<Self>) {
        if self.out.is_ok() {
            let _ = self.semaphore.release(1);
        }
    }
}
