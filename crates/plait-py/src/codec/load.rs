//! Unpickling messages, by C pickle, and telling what went wrong with one.

use std::ffi::c_int;

use pyo3::exceptions::PyException;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};

use super::globals::some_names;
use super::pickle::is_interrupt;
use crate::worker::is_loading;

/// Longer bytes are unpickled in place; shorter ones are copied, which costs less than lending them.
const LEND_FROM: usize = 4096;

/// What a message is, so that an error can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The arguments of a call.
    Call,
    /// A result in the parent, the items of a chunk in a worker.
    Value,
    /// An item of a queue.
    Item,
    /// A function.
    Function,
}

/// The value of a message's pickle; `buffers` are those that travelled beside it.
///
/// # Errors
/// `plait.NotPicklable` with what unpickling raised, whatever it was, as its cause. Interrupts pass through, and so do
/// the `Exception`s of a function's module.
pub(crate) fn load_message<'py>(
    py: Python<'py>,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
    content: Content,
) -> PyResult<Bound<'py, PyAny>> {
    loads(py, bytes, buffers).map_err(|error| explained(py, error, bytes, content))
}

/// What unpickling raised, as [`load_message`] raises it; `bytes` say what the message is made of.
#[cold]
pub(super) fn explained(py: Python<'_>, error: PyErr, bytes: &[u8], content: Content) -> PyErr {
    let plain = content == Content::Function && error.is_instance_of::<PyException>(py);
    if plain || is_interrupt(py, &error) { error } else { unloadable(py, error, bytes, content) }
}

#[cold]
fn unloadable(py: Python<'_>, error: PyErr, bytes: &[u8], content: Content) -> PyErr {
    let in_worker = is_loading();
    let path = match content {
        Content::Call => intern!(py, "args"),
        Content::Value if in_worker => intern!(py, "items"),
        Content::Value => intern!(py, "result"),
        Content::Item => intern!(py, "item"),
        Content::Function => intern!(py, "fn"),
    };
    let explain = || {
        let explain = py.import(intern!(py, "plait._unloadable"))?.getattr(intern!(py, "explain"))?;
        explain.call1((error.into_value(py), path, some_names(bytes), in_worker))
    };
    explain().map_or_else(|error| error, PyErr::from_value)
}

/// The value of a pickle. Nothing in it refers to `bytes`, but to `buffers` it may.
///
/// # Errors
/// What unpickling raises.
pub(crate) fn loads<'py>(
    py: Python<'py>,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if bytes.len() < LEND_FROM {
        return c_loads(PyBytes::new(py, bytes).as_any(), buffers);
    }
    let view = Lent::new(py, bytes)?;
    c_loads(&view.0, buffers)
}

fn c_loads<'py>(pickle: &Bound<'py, PyAny>, buffers: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static NAMES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let py = pickle.py();
    let loads = LOADS.import(py, "_pickle", "loads")?;
    let names = NAMES.get_or_try_init(py, || PyResult::Ok((intern!(py, "buffers"),).into_pyobject(py)?.unbind()))?;
    let args = [pickle.as_ptr(), buffers.map_or(std::ptr::null_mut(), Bound::as_ptr)];
    let names = if buffers.is_some() { names.as_ptr() } else { std::ptr::null_mut() };
    // SAFETY: attached, as the Bound shows; all objects are alive during the call, and the call steals nothing. One argument
    // has a place, and the other, where there is one, a name.
    unsafe {
        let result = ffi::PyObject_Vectorcall(loads.as_ptr(), args.as_ptr(), 1, names);
        Bound::from_owned_ptr_or_err(py, result)
    }
}

/// A memoryview of bytes that Python does not own, taken back when this is dropped.
struct Lent<'py>(Bound<'py, PyAny>);

impl<'py> Lent<'py> {
    /// The view must not outlive `bytes`, and does not: see the drop.
    fn new(py: Python<'py>, bytes: &[u8]) -> PyResult<Lent<'py>> {
        const READ_ONLY: c_int = ffi::PyBUF_READ;
        // SAFETY: attached. The view is read-only, so the const pointer is not written through; it is released in the drop, before
        // the borrow of `bytes` in `loads` ends.
        let view = unsafe {
            let bytes_start = bytes.as_ptr().cast_mut().cast();
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyMemoryView_FromMemory(bytes_start, bytes.len() as ffi::Py_ssize_t, READ_ONLY),
            )?
        };
        Ok(Lent(view))
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // A view that was released refuses every access. Releasing fails only while somebody still exports it, which the
        // unpickler never does once it has returned; were it so, going on would leave them a view of memory that is reused.
        if self.0.call_method0(intern!(self.0.py(), "release")).is_err() {
            eprintln!("plait: a message's memory is still in use after unpickling it: this is a bug in plait");
            std::process::abort();
        }
    }
}
