//! Calls in the caller's own thread: one with each result that is asked for, or a batch at a time, in a plain loop that looks
//! at the clock.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyIterator, PyList, PyString, PyTuple};

use crate::{beacon, callout, context};

/// The most calls between two looks at the clock: after tiny calls, so many long ones may come before that is seen.
const STRIDE: usize = 8;

/// Characters of a string that nobody misses.
const SHORT_TEXT: usize = 1024;

/// Calls that take less than this together are looked at more seldom.
const SHORT: Duration = Duration::from_micros(10);

/// Calls `fn` with items of the iterator (tuples of arguments with `star`) and appends each result to `results`, until
/// there were `count` of them, or `limit` seconds are over, or the input has ended. Gives how many calls were made,
/// whether the input has ended, what it raised, and whether all results are plain. What `fn` raises is raised. Each call
/// has a copy of `context` for itself; without one, of the current one.
#[pyfunction]
#[pyo3(signature = (r#fn, items, star, count, limit, results, context=None))]
pub fn call_batch(
    r#fn: &Bound<'_, PyAny>,
    items: &Bound<'_, PyIterator>,
    star: bool,
    count: usize,
    limit: f64,
    results: &Bound<'_, PyList>,
    context: Option<Bound<'_, PyAny>>,
) -> PyResult<(usize, bool, Option<PyErr>, bool)> {
    let limit = Duration::try_from_secs_f64(limit).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let py = items.py();
    let mut contexts = context::Each::of(context.map_or_else(|| context::copy_current(py), Ok)?)?;
    let _running = beacon::begin_within(r#fn);
    let begun = Instant::now();
    let mut plain = true;
    let (mut made, mut last, mut stride, mut next_look) = (0, Duration::ZERO, 1, 1);
    while made < count {
        let item = match callout::next(items) {
            Some(Ok(item)) => item,
            None => return Ok((made, true, None, plain)),
            Some(Err(error)) if error.is_instance_of::<PyException>(py) => {
                return Ok((made, true, Some(error), plain));
            }
            Some(Err(error)) => return Err(error),
        };
        let entered = contexts.enter()?;
        let result =
            if star { callout::call(r#fn, item.cast::<PyTuple>()?, None) } else { callout::call_one(r#fn, &item) };
        drop(entered);
        let result = result?;
        plain = plain && is_plain(&result);
        results.append(result)?;
        made += 1;
        if made >= next_look {
            let now = begun.elapsed();
            if now >= limit {
                break;
            }
            stride = if now - last < SHORT { STRIDE.min(2 * stride) } else { 1 };
            (last, next_look) = (now, made + stride);
        }
    }
    Ok((made, false, None, plain))
}

/// Whether nobody can tell how long it is kept: a number, None, or a short string.
fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_none()
        || value.is_exact_instance_of::<PyBool>()
        || value.cast_exact::<PyString>().is_ok_and(|text| text.len().is_ok_and(|length| length <= SHORT_TEXT))
}

/// An iterator that calls a function with each item, as the builtin `map` does; but each call has a context of its own, with the
/// values that there were when it was made.
#[pyclass(frozen, module = "plait._core")]
pub struct SerialMap {
    function: Py<PyAny>,
    input: Py<PyIterator>,
    star: bool,
    context: Py<PyAny>,
}

#[pymethods]
impl SerialMap {
    /// Items of the iterator, or tuples of arguments with `star`.
    #[new]
    fn new(py: Python<'_>, function: Py<PyAny>, input: Py<PyIterator>, star: bool) -> PyResult<Self> {
        Ok(Self { function, input, star, context: context::copy_current(py)?.unbind() })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(item) = callout::next(self.input.bind(py)) else { return Ok(None) };
        let (function, item) = (self.function.bind(py), item?);
        let _entered = context::enter_for(py, Some(&self.context), None)?;
        if self.star {
            callout::call(function, item.cast::<PyTuple>()?, None)
        } else {
            callout::call_one(function, &item)
        }
        .map(Some)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.input)?;
        visit.call(&self.context)
    }
}
