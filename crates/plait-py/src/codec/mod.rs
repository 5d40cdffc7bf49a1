//! Python values to bytes and back: arguments, results, chunks of items, exceptions.
//!
//! Plain values take the [`native`] form, everything else a pickle of protocol 5 made by C pickle, and what C pickle cannot
//! send (or would send under a name that a worker cannot import) a pickle made by cloudpickle. Promises: decoding gives what
//! unpickling a pickle of the value would give, with exact types; `out` is only appended to, and is as it was when an error is returned; no
//! bytes, however broken, make decoding anything worse than an exception; nothing that was decoded refers to the bytes, but to the buffers
//! that travelled beside them it may.

pub mod byname;
mod exception;
mod globals;
pub mod hooks;
mod load;
mod message;
mod native;
mod outlook;
mod pickle;
pub mod series;
mod sink;
mod taken;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

pub use exception::{decode_exception, encode_exception};
pub(crate) use load::{Content, load_message};
pub use message::Message;
pub(crate) use pickle::{Root, dumps_by_value, dumps_into, is_interrupt};
pub use taken::TakenBuffer;

/// How a message is written; travels beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// plait's own form for plain values, see [`native`].
    Native = 0,
    /// A pickle, made by C pickle or by cloudpickle; C pickle reads both.
    Pickle = 1,
}

impl TryFrom<u8> for Kind {
    type Error = PyErr;

    fn try_from(byte: u8) -> PyResult<Kind> {
        match byte {
            0 => Ok(Kind::Native),
            1 => Ok(Kind::Pickle),
            other => Err(PyValueError::new_err(format!("no such kind of message: {other}"))),
        }
    }
}

/// Appends the arguments of one call to `out`.
///
/// # Errors
/// `plait.NotPicklable`, which names the path to what cannot be sent; `MemoryError` and interrupts pass through.
pub fn encode_call(
    py: Python<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    out: &mut Message,
) -> PyResult<Kind> {
    let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
    if native::write_call(args, kwargs, &mut out.bytes) {
        return Ok(Kind::Native);
    }
    // A tuple alone is the arguments; a list is arguments and keywords: no third kind needed.
    match kwargs {
        None => dumps_into(py, args.as_any(), Root::Call, out)?,
        Some(kwargs) => dumps_into(py, PyList::new(py, [args.as_any(), kwargs.as_any()])?.as_any(), Root::Call, out)?,
    }
    Ok(Kind::Pickle)
}

/// The arguments that [`encode_call`] wrote; `buffers` are objects that export the memory of those that travelled beside the
/// bytes, in their order, here and below.
///
/// # Errors
/// `plait.NotPicklable`, with what unpickling raised as its cause; `ValueError` for bytes that no encoder wrote.
pub fn decode_call<'py>(
    py: Python<'py>,
    kind: Kind,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    match kind {
        Kind::Native => native::read_call(py, bytes),
        Kind::Pickle => {
            let call = load_message(py, bytes, buffers, Content::Call)?;
            match call.cast_into::<PyTuple>() {
                Ok(args) => Ok((args, None)),
                Err(pair) => {
                    let pair = pair.into_inner();
                    let (args, kwargs) =
                        pair.extract::<[Bound<'py, PyAny>; 2]>().map(|[args, kwargs]| (args, kwargs))?;
                    Ok((args.cast_into::<PyTuple>()?, Some(kwargs.cast_into::<PyDict>()?)))
                }
            }
        }
    }
}

/// Appends a call whose callable travels with its arguments ([`crate::function::Prepared::Direct`]). Always [`Kind::Pickle`].
///
/// # Errors
/// As [`encode_call`].
pub fn encode_direct(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    out: &mut Message,
) -> PyResult<Kind> {
    let triple = (function, args, kwargs).into_pyobject(py)?;
    dumps_into(py, triple.as_any(), Root::Direct, out)?;
    Ok(Kind::Pickle)
}

/// A call that carries its callable.
pub type DirectCall<'py> = (Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>);

/// The call that [`encode_direct`] wrote.
///
/// # Errors
/// As [`decode_call`].
pub fn decode_direct<'py>(
    py: Python<'py>,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<DirectCall<'py>> {
    let triple = load_message(py, bytes, buffers, Content::Call)?.cast_into::<PyTuple>()?;
    let (function, args, kwargs) =
        triple.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)>()?;
    let kwargs = kwargs.map(|kwargs| kwargs.cast_into::<PyDict>()).transpose()?;
    Ok((function, args.cast_into::<PyTuple>()?, kwargs))
}

/// Appends one value, such as a result, to `out`.
///
/// # Errors
/// As [`encode_call`].
pub fn encode_value(py: Python<'_>, value: &Bound<'_, PyAny>, out: &mut Message) -> PyResult<Kind> {
    if native::write_value(value, &mut out.bytes) {
        return Ok(Kind::Native);
    }
    dumps_into(py, value, Root::Value, out)?;
    Ok(Kind::Pickle)
}

/// Appends one value that goes into a queue.
///
/// # Errors
/// As [`encode_call`]; the path begins with `item`.
pub fn encode_item(py: Python<'_>, value: &Bound<'_, PyAny>, out: &mut Message) -> PyResult<Kind> {
    if native::write_value(value, &mut out.bytes) {
        return Ok(Kind::Native);
    }
    dumps_into(py, value, Root::Item, out)?;
    Ok(Kind::Pickle)
}

/// The item that [`encode_item`] wrote.
///
/// # Errors
/// As [`decode_call`].
pub fn decode_item<'py>(
    py: Python<'py>,
    kind: Kind,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match kind {
        Kind::Native => native::read_value(py, bytes),
        Kind::Pickle => load_message(py, bytes, buffers, Content::Item),
    }
}

/// Appends one value as a pickle, whatever it is.
///
/// # Errors
/// As [`encode_call`].
pub fn encode_pickle(py: Python<'_>, value: &Bound<'_, PyAny>, out: &mut Message) -> PyResult<()> {
    dumps_into(py, value, Root::Value, out)
}

/// The value that [`encode_value`] wrote.
///
/// # Errors
/// As [`decode_call`].
pub fn decode_value<'py>(
    py: Python<'py>,
    kind: Kind,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match kind {
        Kind::Native => native::read_value(py, bytes),
        Kind::Pickle => load_message(py, bytes, buffers, Content::Value),
    }
}

/// Appends one value that needs no pickle; false, and nothing done, for others. It tells its own end: see [`read_plain`].
#[inline]
pub fn write_plain(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    native::write_value(value, out)
}

/// Takes values that [`write_plain`] wrote off the front of `bytes`, up to the end or to a byte that `is_end` knows.
///
/// # Errors
/// `ValueError` for bytes that no encoder wrote, once the values before them are taken.
pub fn read_plain(
    py: Python<'_>,
    bytes: &mut &[u8],
    is_end: impl Fn(u8) -> bool,
    values: &mut Vec<Py<PyAny>>,
) -> PyResult<()> {
    native::read_front(py, bytes, is_end, values)
}

/// Appends the items of a chunk to `out`: single arguments, or tuples of arguments.
///
/// # Errors
/// As [`encode_call`]; the path begins with `items[i]`, counted from `first`.
pub fn encode_chunk(py: Python<'_>, items: &[Bound<'_, PyAny>], first: u64, out: &mut Message) -> PyResult<Kind> {
    if native::write_chunk(items, &mut out.bytes) {
        return Ok(Kind::Native);
    }
    dumps_into(py, PyList::new(py, items)?.as_any(), Root::Chunk(first), out)?;
    Ok(Kind::Pickle)
}

/// Appends a chunk whose callable travels with it, which [`decode_value`] gives as `(function, items)`. Always [`Kind::Pickle`].
///
/// # Errors
/// As [`encode_chunk`], or `fn`.
pub fn encode_direct_chunk(
    py: Python<'_>,
    function: &Bound<'_, PyAny>,
    items: &[Bound<'_, PyAny>],
    first: u64,
    out: &mut Message,
) -> PyResult<Kind> {
    let pair = (function, PyList::new(py, items)?).into_pyobject(py)?;
    dumps_into(py, pair.as_any(), Root::DirectChunk(first), out)?;
    Ok(Kind::Pickle)
}

/// The items that [`encode_chunk`] wrote, in a new list.
///
/// # Errors
/// As [`decode_call`].
pub fn decode_chunk<'py>(
    py: Python<'py>,
    kind: Kind,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    Ok(decode_value(py, kind, bytes, buffers)?.cast_into::<PyList>()?)
}
