//! Exceptions that travel: as themselves where they survive the journey, else as a `RemoteError` that tells what they were.
//!
//! Both carry the traceback of the place where they were raised, as frames and as a text, and what led to them:
//! `plait._lineage` knows what that is made of.
//!
//! Form: three texts (type name, message, traceback), each a `u32` length and UTF-8, the lineage in the same way, then the
//! exception's pickle, or nothing when it cannot travel as itself.

use pyo3::exceptions::{PyBaseException, PyOSError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

use super::load::loads;
use super::pickle::{Root, dumps, is_interrupt};

/// Appends an exception. Never fails: what cannot be found out about it is said so.
pub fn encode_exception(py: Python<'_>, error: &PyErr, out: &mut Vec<u8>) {
    // Up to Python 3.11 an error that was just caught keeps its traceback beside the exception; this puts it in.
    let exception = error.clone_ref(py).into_value(py).into_bound(py);
    let [type_name, message, traceback] = describe(&exception);
    // Before the pickle, in which what it takes off the exception is not to be.
    let lineage = packed_lineage(&exception);
    let (pickle, message) = match travelling_pickle(&exception) {
        Ok(pickle) => (Some(pickle), message),
        Err(why) => {
            let why = summary(py, &why);
            (None, format!("{message} (it could not be sent as itself: {why})"))
        }
    };
    for text in [&type_name, &message, &traceback] {
        push(&text.as_bytes()[..text.len().min(u32::MAX as usize)], out);
    }
    push(lineage.as_ref().map_or(&[], |lineage| lineage.as_bytes()), out);
    if let Some(pickle) = pickle {
        out.extend_from_slice(pickle.as_bytes());
    }
}

fn push(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The exception that [`encode_exception`] wrote, its remote traceback as `__cause__`. Never fails: bytes that cannot be
/// read, and pickles that do not load here, give a `RemoteError` that says so.
pub fn decode_exception(py: Python<'_>, bytes: &[u8]) -> PyErr {
    let Some(([type_name, message, traceback], lineage, pickle)) = split(bytes) else {
        let message = "the worker's report of an exception was cut short or overwritten".into();
        return replacement(py, &["unknown exception".into(), message, String::new()]);
    };
    if pickle.is_empty() {
        return restored(py, replacement(py, &[type_name, message, traceback]), None, lineage);
    }
    let loaded = loads(py, pickle, None).and_then(|value| Ok(value.cast_into::<PyBaseException>()?));
    let exception = match loaded {
        Ok(exception) => PyErr::from_value(exception.into_any()),
        Err(why) if is_interrupt(py, &why) => return why,
        Err(why) => {
            let why = summary(py, &why);
            let message = format!("{message} (it could not be unpickled here: {why})");
            return restored(py, replacement(py, &[type_name, message, traceback]), None, lineage);
        }
    };
    restored(py, exception, Some(&traceback), lineage)
}

/// The exception with its frames, what led to it, and as its cause the text of its traceback, where it has none.
fn restored(py: Python<'_>, exception: PyErr, traceback: Option<&str>, lineage: &[u8]) -> PyErr {
    if !lineage.is_empty() {
        let restore = py.import(intern!(py, "plait._lineage")).and_then(|module| module.getattr("restore"));
        let done =
            restore.and_then(|restore| restore.call1((exception.value(py), traceback, PyBytes::new(py, lineage))));
        match done {
            Ok(_) => return PyErr::from_value(exception.value(py).clone().into_any()),
            Err(why) if is_interrupt(py, &why) => return why,
            // What cannot be read is left out.
            Err(_) => {}
        }
    }
    if let Some(traceback) = traceback
        && let Ok(cause) = from_errors(py, "remote_traceback").and_then(|class| class.call1((traceback,)))
    {
        exception.set_cause(py, Some(PyErr::from_value(cause)));
    }
    exception
}

fn split(bytes: &[u8]) -> Option<([String; 3], &[u8], &[u8])> {
    let mut rest = bytes;
    let mut part = || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (part, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rest = tail;
        Some(part)
    };
    let texts = [part()?, part()?, part()?].map(|text| String::from_utf8_lossy(text).into_owned());
    let lineage = part()?;
    Some((texts, lineage, rest))
}

fn from_errors<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "plait._errors"))?.getattr(name)
}

/// A `RemoteError`, or what making one raised.
fn replacement(py: Python<'_>, texts: &[String; 3]) -> PyErr {
    let [type_name, message, traceback] = texts;
    let made = from_errors(py, "RemoteError").and_then(|class| class.call1((type_name, message, traceback)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// What an error says, in a line, whatever its class makes of that.
fn summary(py: Python<'_>, error: &PyErr) -> String {
    let [type_name, message, _] = describe(&error.clone_ref(py).into_value(py).into_bound(py));
    if message.is_empty() { type_name } else { format!("{type_name}: {message}") }
}

/// Type name, message and traceback of an exception.
fn describe(exception: &Bound<'_, PyBaseException>) -> [String; 3] {
    let py = exception.py();
    let texts = py
        .import(intern!(py, "plait._remote"))
        .and_then(|module| module.call_method1(intern!(py, "describe"), (exception,)))
        .and_then(|texts| texts.extract::<[Bound<'_, PyString>; 3]>())
        .map(|texts| texts.map(|text| text.to_string_lossy().into_owned()));
    texts.unwrap_or_else(|error| {
        let type_name = exception.get_type().name().map_or_else(|_| "exception".into(), |name| name.to_string());
        [type_name, format!("describing it failed: {}", error.value(py)), String::new()]
    })
}

/// What is restored with the exception beside itself; nothing where that cannot be found out.
fn packed_lineage<'py>(exception: &Bound<'py, PyBaseException>) -> Option<Bound<'py, PyBytes>> {
    static PACKED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let packed = PACKED.import(exception.py(), "plait._lineage", "packed").ok()?.call1((exception,)).ok()?;
    packed.cast_into::<PyBytes>().ok().filter(|packed| u32::try_from(packed.as_bytes().len()).is_ok())
}

/// The exception's pickle, when unpickling gives an exception of the same type again.
fn travelling_pickle<'py>(exception: &Bound<'py, PyBaseException>) -> PyResult<Bound<'py, PyBytes>> {
    let py = exception.py();
    if is_plain(exception)? {
        return dumps(py, exception.as_any(), Root::Exception);
    }
    static PICKLED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(PICKLED.import(py, "plait._rebuild", "pickled")?.call1((exception,))?.cast_into::<PyBytes>()?)
}

/// Whether it is a built-in exception with plain arguments and nothing else, which surely unpickles.
fn is_plain(exception: &Bound<'_, PyBaseException>) -> PyResult<bool> {
    let py = exception.py();
    let class = exception.get_type();
    // SAFETY: live types, read as every object's type may be read.
    let (made_by_python, keeps_more) = unsafe {
        let class = class.as_type_ptr();
        let base = ffi::PyExc_BaseException.cast::<ffi::PyTypeObject>();
        (ffi::PyType_HasFeature(class, ffi::Py_TPFLAGS_HEAPTYPE) != 0, (*class).tp_basicsize != (*base).tp_basicsize)
    };
    // Only a class that no Python code made is surely what its module and name say.
    if made_by_python || class.module()? != "builtins" {
        return Ok(false);
    }
    // What is kept beside `args`, such as `NameError.name`, is pickled by `OSError` alone.
    if keeps_more && !exception.is_instance_of::<PyOSError>() {
        return Ok(false);
    }
    if exception.getattr(intern!(py, "__dict__"))?.is_truthy()? {
        return Ok(false);
    }
    let args = exception.getattr(intern!(py, "args"))?.cast_into::<PyTuple>()?;
    Ok(args.iter_borrowed().all(|arg| {
        arg.is_none()
            || arg.is_exact_instance_of::<PyString>()
            || arg.is_exact_instance_of::<PyInt>()
            || arg.is_exact_instance_of::<PyFloat>()
            || arg.is_exact_instance_of::<PyBytes>()
            || arg.is_exact_instance_of::<PyBool>()
    }))
}
