//! Calls in the caller's own thread, a batch at a time: a plain loop, that looks at the clock.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyIterator, PyList, PyString, PyTuple};

use crate::{beacon, callout};

/// The most calls between two looks at the clock: after tiny calls, so many long ones may come before that is seen.
const STRIDE: usize = 8;

/// Characters of a string that nobody misses.
const SHORT_TEXT: usize = 1024;

/// Calls that take less than this together are looked at more seldom.
const SHORT: Duration = Duration::from_micros(10);

/// Calls `fn` with items of the iterator (tuples of arguments with `star`) and appends each result to `results`, until
/// there were `count` of them, or `limit` seconds are over, or the input has ended. Gives how many calls were made,
/// whether the input has ended, what it raised, and whether all results are plain. What `fn` raises is raised.
#[pyfunction]
pub fn call_batch(
    r#fn: &Bound<'_, PyAny>,
    items: &Bound<'_, PyIterator>,
    star: bool,
    count: usize,
    limit: f64,
    results: &Bound<'_, PyList>,
) -> PyResult<(usize, bool, Option<PyErr>, bool)> {
    let limit = Duration::try_from_secs_f64(limit).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let py = items.py();
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
        let result =
            if star { callout::call(r#fn, item.cast::<PyTuple>()?, None) } else { callout::call_one(r#fn, &item) };
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
