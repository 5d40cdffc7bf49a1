//! Pickles: C pickle first, `plait._pickled` (in the end cloudpickle) for what it cannot send.

use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyInt, PyList, PyString, PyTuple};

use super::byname::{self, Reach};
use super::globals::Pickle;
use super::message::Message;
use super::outlook::{Outlook, look};
use super::sink::{self, Written};
use super::taken::{Frame, TakenBuffer, callback};
use crate::buffer::any_shared;
use crate::locks::travel::Sending;

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
    /// An item of a queue: `item[0].name`.
    Item,
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
            Root::Item => intern!(py, "item"),
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

/// Longer pickles are not copied into the message, where it takes long stretches.
const LONG: usize = 64 << 10;

/// Appends a pickle of `value` that a worker can read.
///
/// # Errors
/// `plait.NotPicklable`, and `out` is as it was.
pub(crate) fn dumps_into(py: Python<'_>, value: &Bound<'_, PyAny>, root: Root, out: &mut Message) -> PyResult<()> {
    let mark = out.mark();
    let _sending = Sending::begin();
    let dumped = try_dumps_into(py, value, root, out);
    if dumped.is_err() {
        out.rewind(mark);
    }
    dumped
}

fn try_dumps_into(py: Python<'_>, value: &Bound<'_, PyAny>, root: Root, out: &mut Message) -> PyResult<()> {
    if !out.takes_buffers {
        return append(&dumps(py, value, root)?, out);
    }
    let frame = Frame::open();
    let outlook = look(value);
    let dumped = match outlook {
        Outlook::Long | Outlook::Apart if out.takes_long => sink::dump(py, value).map(Dumped::Written),
        Outlook::Plain | Outlook::Long if !any_shared() => c_dumps(py, value, true).map(Dumped::Whole),
        _ => dumps_apart(py, value).map(Dumped::Whole),
    };
    match dumped {
        Ok(pickle) => match pickle.reach(py)? {
            Reach::Same => return pickle.append_with(frame, out),
            Reach::SameWithExceptions => {
                return match with_exceptions(py, value)? {
                    Some(pickle) => append(&pickle, out),
                    None => pickle.append_with(frame, out),
                };
            }
            Reach::Strange => {}
        },
        // Any exception may be the value's own way to say that it does not pickle; cloudpickle's answer counts.
        Err(error) if is_final(py, &error) => return Err(error),
        Err(_) => {}
    }
    drop(frame);
    dumps_by_value(py, value, root, out)
}

/// What C pickle made.
enum Dumped<'py> {
    Whole(Bound<'py, PyBytes>),
    Written(Written),
}

impl Dumped<'_> {
    fn reach(&self, py: Python<'_>) -> PyResult<Reach> {
        match self {
            Self::Whole(pickle) => byname::reach(py, Pickle::whole(pickle.as_bytes())),
            Self::Written(written) => byname::reach(py, Pickle::with_gaps(&written.bytes, &written.gaps())),
        }
    }

    /// Appends it and the buffers that left it.
    fn append_with(self, frame: Frame, out: &mut Message) -> PyResult<()> {
        frame.give(&mut out.buffers);
        match self {
            Self::Whole(pickle) => append(&pickle, out)?,
            Self::Written(Written { bytes, long, .. }) => {
                out.append(Message { bytes, long, ..Message::default() });
            }
        }
        Ok(())
    }
}

/// Appends a pickle that has been made.
fn append(pickle: &Bound<'_, PyBytes>, out: &mut Message) -> PyResult<()> {
    if out.takes_long && pickle.as_bytes().len() >= LONG {
        out.push_long(TakenBuffer::of(pickle)?);
    } else {
        out.bytes.extend_from_slice(pickle.as_bytes());
    }
    Ok(())
}

/// A pickle of `value`, with all its buffers, that a worker can read.
pub(crate) fn dumps<'py>(py: Python<'py>, value: &Bound<'py, PyAny>, root: Root) -> PyResult<Bound<'py, PyBytes>> {
    match c_dumps(py, value, false) {
        Ok(pickle) => match byname::reach(py, Pickle::whole(pickle.as_bytes()))? {
            Reach::Same => return Ok(pickle),
            Reach::SameWithExceptions => return Ok(with_exceptions(py, value)?.unwrap_or(pickle)),
            Reach::Strange => {}
        },
        // Any exception may be the value's own way to say that it does not pickle; cloudpickle's answer counts.
        Err(error) if is_final(py, &error) => return Err(error),
        Err(_) => {}
    }
    by_value(py, value, root, None)
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

/// Appends a pickle of `value` by cloudpickle.
///
/// # Errors
/// As [`dumps_into`].
pub(crate) fn dumps_by_value(py: Python<'_>, value: &Bound<'_, PyAny>, root: Root, out: &mut Message) -> PyResult<()> {
    let taken = if out.takes_buffers { Some(PyList::empty(py)) } else { None };
    let pickle = by_value(py, value, root, taken.as_ref())?;
    let mark = out.mark();
    let appended = taken.iter().flatten().try_for_each(|buffer| {
        out.buffers.push(TakenBuffer::of(&buffer)?);
        Ok(())
    });
    let appended = appended.and_then(|()| append(&pickle, out));
    if appended.is_err() {
        out.rewind(mark);
    }
    appended
}

/// A pickle by cloudpickle; the buffers that leave it are added to `taken`, where there is such a list.
fn by_value<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    root: Root,
    taken: Option<&Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let dumps = DUMPS.import(py, "plait._pickled", "dumps")?;
    Ok(dumps.call1((value, root.name(py), root.first(), taken))?.cast_into::<PyBytes>()?)
}

/// A pickle by C pickle; `takes_buffers` into the innermost frame.
fn c_dumps<'py>(py: Python<'py>, value: &Bound<'py, PyAny>, takes_buffers: bool) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static PROTOCOL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static NAMES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let dumps = DUMPS.import(py, "_pickle", "dumps")?;
    let protocol = PROTOCOL.get_or_try_init(py, || PyResult::Ok(PyInt::new(py, 5).into_any().unbind()))?;
    let mut args = [value.as_ptr(), protocol.as_ptr(), std::ptr::null_mut()];
    let mut names = std::ptr::null_mut();
    if takes_buffers {
        args[2] = callback(py)?.as_ptr();
        let tuple = || PyResult::Ok((intern!(py, "buffer_callback"),).into_pyobject(py)?.unbind());
        names = NAMES.get_or_try_init(py, tuple)?.as_ptr();
    }
    // SAFETY: attached; the callable, the arguments and the names are alive during the call, and the call steals nothing. Two
    // arguments have places, and the third, where there is one, has a name.
    let pickle = unsafe {
        let result = ffi::PyObject_Vectorcall(dumps.as_ptr(), args.as_ptr(), 2, names);
        Bound::from_owned_ptr_or_err(py, result)?
    };
    Ok(pickle.cast_into::<PyBytes>()?)
}

/// The same of what C pickle would copy: arrays with gaps or of dates, and views of shared memory, which stay such.
fn dumps_apart<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let pickle = DUMPS.import(py, "plait._reducers", "dumps")?.call1((value, callback(py)?))?;
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
