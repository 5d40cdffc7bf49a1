//! A look at a value before it is pickled: which pickler will copy the least of it.
//!
//! Only the first parts of containers are looked at, so a value may have more than was seen. Then it travels all the same,
//! with a copy more.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use super::sink::LONG;

/// So many items of a container are looked at, and so deep.
const LOOKED_AT: usize = 8;
const DEPTH: u32 = 5;

/// What there is to be seen in a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Nothing that is large.
    Plain,
    /// A long stretch of bytes or text, which need not be copied into a pickle.
    Long,
    /// Arrays that pickle would copy: of dates, with gaps.
    Apart,
}

/// What a value is, or has among its first parts.
pub(super) fn look(value: &Bound<'_, PyAny>) -> Outlook {
    seen(value, 0)
}

fn seen(value: &Bound<'_, PyAny>, depth: u32) -> Outlook {
    let long = |is_long| if is_long { Outlook::Long } else { Outlook::Plain };
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return long(bytes.as_bytes().len() >= LONG);
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        // SAFETY: a live str, whose length is read.
        return long(unsafe { ffi::PyUnicode_GetLength(text.as_ptr()) } >= LONG as ffi::Py_ssize_t);
    }
    if let Ok(bytes) = value.cast_exact::<PyByteArray>() {
        return long(bytes.len() >= LONG);
    }
    if depth < DEPTH {
        let first = |parts: &mut dyn Iterator<Item = Bound<'_, PyAny>>| {
            let mut seen = parts.take(LOOKED_AT).map(|part| seen(&part, depth + 1));
            seen.find(|outlook| *outlook != Outlook::Plain).unwrap_or(Outlook::Plain)
        };
        if let Ok(parts) = value.cast_exact::<PyTuple>() {
            return first(&mut parts.iter());
        }
        if let Ok(parts) = value.cast_exact::<PyList>() {
            return first(&mut parts.iter());
        }
        if let Ok(parts) = value.cast_exact::<PyDict>() {
            return first(&mut parts.iter().map(|(_, part)| part));
        }
    }
    if is_apart(value).unwrap_or(false) { Outlook::Apart } else { Outlook::Plain }
}

/// Whether it is an array that pickle would copy, or one of those that are often made of such.
fn is_apart(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GOES_APART: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let class = value.get_type();
    // SAFETY: a live type, whose name lives as long.
    let name = unsafe { CStr::from_ptr((*class.as_type_ptr()).tp_name) };
    if name == c"numpy.ndarray" {
        return GOES_APART.import(py, "plait._reducers", "goes_apart")?.call1((value,))?.is_truthy();
    }
    if name != c"DataFrame" && name != c"Series" {
        return Ok(false);
    }
    let module = class.getattr(intern!(py, "__module__"))?;
    Ok(module.cast::<PyString>()?.to_str()?.starts_with("pandas"))
}
