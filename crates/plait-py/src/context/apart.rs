//! A function whose calls do not see what others of them have set.

use std::sync::{Mutex, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{copy, copy_current, enter, is_empty};
use crate::callout;

/// Calls `fn` with the same arguments, each time in a copy of the context in which this was made: for calls that are one task.
#[pyclass(frozen, module = "plait._core")]
pub struct Apart {
    function: Py<PyAny>,
    values: Py<PyAny>,
    /// An empty context that calls have left so, where they all begin with none.
    used: Option<Mutex<Option<Py<PyAny>>>>,
}

#[pymethods]
impl Apart {
    #[new]
    #[pyo3(signature = (function, /))]
    fn new(py: Python<'_>, function: Py<PyAny>) -> PyResult<Self> {
        let values = copy_current(py)?;
        let used = is_empty(&values)?.then(Mutex::default);
        Ok(Self { function, values: values.unbind(), used })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        // Taken out meanwhile: the function may call this again.
        let used = self.used.as_ref().and_then(|used| used.lock().unwrap_or_else(PoisonError::into_inner).take());
        let context = used.map_or_else(|| copy(self.values.bind(py)), |used| Ok(used.into_bound(py)))?;
        let entered = enter(context.clone())?;
        let result = callout::call(self.function.bind(py), args, kwargs);
        drop(entered);
        if let Some(used) = &self.used
            && is_empty(&context)?
        {
            *used.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.unbind());
        }
        result
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.values)
    }
}
