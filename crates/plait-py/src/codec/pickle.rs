//! Pickles: C pickle first, `plait._byvalue` (cloudpickle) for what it cannot send.

use std::ffi::c_int;

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyInt, PyString};

use super::byname::{self, Reach};
use super::globals::some_names;
use crate::worker::is_loading;

/// What is pickled, so that an error can name the path to the culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// The tuple of arguments, or a list of that and the keywords: `args[0].stream`.
    Call,
    /// Function, arguments, keywords: as [`Root::Call`], or `fn.<closure>.name`.
    Direct,
    /// A result: `result.stream`.
    Value,
    /// The list of a chunk's items, the first of which is that one of the map's: `items[0].stream`.
    Chunk(u64),
    /// Function and such a list: as [`Root::Chunk`], or `fn.stream`.
    DirectChunk(u64),
    /// A function: `fn.<closure>.name`.
    Function,
    /// An exception: `exception.args[0]`.
    Exception,
}

impl Root {
    fn name(self, py: Python<'_>) -> &Bound<'_, PyString> {
        match self {
            Root::Call => intern!(py, "call"),
            Root::Direct => intern!(py, "direct"),
            Root::Value => intern!(py, "result"),
            Root::Chunk(_) => intern!(py, "items"),
            Root::DirectChunk(_) => intern!(py, "direct items"),
            Root::Function => intern!(py, "fn"),
            Root::Exception => intern!(py, "exception"),
        }
    }

    /// The number of the first item.
    fn first(self) -> u64 {
        match self {
            Root::Chunk(first) | Root::DirectChunk(first) => first,
            _ => 0,
        }
    }
}

/// Longer bytes are unpickled in place; shorter ones are copied, which costs less than lending them.
const LEND_FROM: usize = 4096;

/// Appends a pickle of `value`.
pub(crate) fn dumps_into(py: Python<'_>, value: &Bound<'_, PyAny>, root: Root, out: &mut Vec<u8>) -> PyResult<()> {
    out.extend_from_slice(dumps(py, value, root)?.as_bytes());
    Ok(())
}

/// A pickle of `value` that a worker can read.
pub(crate) fn dumps<'py>(py: Python<'py>, value: &Bound<'py, PyAny>, root: Root) -> PyResult<Bound<'py, PyBytes>> {
    match c_dumps(py, value) {
        Ok(pickle) => match byname::reach(py, pickle.as_bytes())? {
            Reach::Same => return Ok(pickle),
            Reach::SameWithExceptions => return Ok(with_exceptions(py, value)?.unwrap_or(pickle)),
            Reach::Strange => {}
        },
        // Any exception may be the value's own way to say that it does not pickle; cloudpickle's answer counts.
        Err(error) if is_final(py, &error) => return Err(error),
        Err(_) => {}
    }
    dumps_by_value(py, value, root)
}

/// A pickle of a value that holds exceptions, in which they do not go as C pickle sends them: their constructors may well
/// refuse what that hands them. `None` when it does not pickle so.
#[cold]
fn with_exceptions<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match DUMPS.import(py, "plait._rebuild", "pickled_within")?.call1((value,)) {
        Ok(pickle) => Ok(Some(pickle.cast_into::<PyBytes>()?)),
        Err(error) if is_interrupt(py, &error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A pickle of `value` by cloudpickle.
pub(crate) fn dumps_by_value<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    root: Root,
) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let pickle = DUMPS.import(py, "plait._byvalue", "dumps")?.call1((value, root.name(py), root.first()))?;
    Ok(pickle.cast_into::<PyBytes>()?)
}

fn c_dumps<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static PROTOCOL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let dumps = DUMPS.import(py, "_pickle", "dumps")?;
    let protocol = PROTOCOL.get_or_try_init(py, || PyResult::Ok(PyInt::new(py, 5).into_any().unbind()))?;
    let args = [value.as_ptr(), protocol.as_ptr()];
    // SAFETY: attached; the callable and the two arguments are alive during the call, and the call steals nothing.
    let pickle = unsafe {
        let result = ffi::PyObject_Vectorcall(dumps.as_ptr(), args.as_ptr(), args.len(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, result)?
    };
    Ok(pickle.cast_into::<PyBytes>()?)
}

/// Whether an error of C pickle has nothing to do with the value, so that no other pickler is to be asked.
pub(super) fn is_final(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyMemoryError>(py) || is_interrupt(py, error)
}

/// Whether an error came from a signal, such as Ctrl-C, that arrived while foreign code ran. An `Exception` never counts.
pub(crate) fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    static ASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if error.is_instance_of::<PyException>(py) {
        return false;
    }
    // As in `encode_exception`: this puts the traceback into the exception.
    let value = error.clone_ref(py).into_value(py);
    let answer = ASK.import(py, "plait._interrupt", "is_interrupt").and_then(|ask| ask.call1((value,))?.is_truthy());
    // In doubt it gets through.
    answer.unwrap_or(true)
}

/// What a message is, so that an error can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The arguments of a call.
    Call,
    /// A result in the parent, the items of a chunk in a worker.
    Value,
    /// A function.
    Function,
}

/// The value of a message's pickle.
///
/// # Errors
/// `plait.NotPicklable` with what unpickling raised, whatever it was, as its cause. Interrupts pass through, and so do
/// the `Exception`s of a function's module.
pub(crate) fn load_message<'py>(py: Python<'py>, bytes: &[u8], message: Message) -> PyResult<Bound<'py, PyAny>> {
    loads(py, bytes).map_err(|error| explained(py, error, bytes, message))
}

/// What unpickling raised, as [`load_message`] raises it; `bytes` say what the message is made of.
#[cold]
pub(super) fn explained(py: Python<'_>, error: PyErr, bytes: &[u8], message: Message) -> PyErr {
    let plain = message == Message::Function && error.is_instance_of::<PyException>(py);
    if plain || is_interrupt(py, &error) { error } else { unloadable(py, error, bytes, message) }
}

#[cold]
fn unloadable(py: Python<'_>, error: PyErr, bytes: &[u8], message: Message) -> PyErr {
    let in_worker = is_loading();
    let path = match message {
        Message::Call => intern!(py, "args"),
        Message::Value if in_worker => intern!(py, "items"),
        Message::Value => intern!(py, "result"),
        Message::Function => intern!(py, "fn"),
    };
    let explain = || {
        let explain = py.import(intern!(py, "plait._unloadable"))?.getattr(intern!(py, "explain"))?;
        explain.call1((error.into_value(py), path, some_names(bytes), in_worker))
    };
    explain().map_or_else(|error| error, PyErr::from_value)
}

/// The value of a pickle. Nothing in it refers to `bytes`.
///
/// # Errors
/// What unpickling raises.
pub(crate) fn loads<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let loads = LOADS.import(py, "_pickle", "loads")?;
    if bytes.len() < LEND_FROM {
        return call_one(loads, PyBytes::new(py, bytes).as_any());
    }
    let view = Lent::new(py, bytes)?;
    call_one(loads, &view.0)
}

fn call_one<'py>(function: &Bound<'py, PyAny>, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let args = [argument.as_ptr()];
    // SAFETY: attached, as the Bounds show; both objects are alive during the call, and the call steals nothing.
    unsafe {
        let result = ffi::PyObject_Vectorcall(function.as_ptr(), args.as_ptr(), args.len(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(function.py(), result)
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
