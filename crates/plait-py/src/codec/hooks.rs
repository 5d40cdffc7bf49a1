//! The codec's private face in Python, `plait._core.codec`: for `plait._pickled` and for the tests.

use std::sync::{Arc, PoisonError};

use plait_engine::heap::Piece;
use pyo3::exceptions::{PyBaseException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyTuple};

use super::{Kind, Message, TakenBuffer, byname, taken};
use crate::buffer::{Buffer, Found, LIVE};
use crate::memory;
use crate::scratch::with_message;

/// Adds the module `codec` to the extension module.
///
/// # Errors
/// What making a module raises.
pub fn add_to(parent: &Bound<'_, PyModule>) -> PyResult<()> {
    let module = PyModule::new(parent.py(), "codec")?;
    module.add_function(wrap_pyfunction!(encode, &module)?)?;
    module.add_function(wrap_pyfunction!(decode, &module)?)?;
    module.add_function(wrap_pyfunction!(encode_call, &module)?)?;
    module.add_function(wrap_pyfunction!(decode_call, &module)?)?;
    module.add_function(wrap_pyfunction!(encode_direct, &module)?)?;
    module.add_function(wrap_pyfunction!(decode_direct, &module)?)?;
    module.add_function(wrap_pyfunction!(encode_chunk, &module)?)?;
    module.add_function(wrap_pyfunction!(decode_chunk, &module)?)?;
    module.add_function(wrap_pyfunction!(encode_exception, &module)?)?;
    module.add_function(wrap_pyfunction!(decode_exception, &module)?)?;
    module.add_function(wrap_pyfunction!(lengths, &module)?)?;
    module.add_function(wrap_pyfunction!(taken::stays, &module)?)?;
    module.add_function(wrap_pyfunction!(mapped, &module)?)?;
    module.add_function(wrap_pyfunction!(mappings, &module)?)?;
    module.add_function(wrap_pyfunction!(strangers, &module)?)?;
    module.add_function(wrap_pyfunction!(travels, &module)?)?;
    module.add_function(wrap_pyfunction!(resolves, &module)?)?;
    parent.add_submodule(&module)
}

type Sent<'py> = (u8, Bound<'py, PyBytes>);

/// A message to `(kind, bytes)`. Its buffers travel beside it when there is a list for them, as they do to a worker:
/// where memory of the commons is mapped already, else copied; either may be written to.
fn sent<'py>(
    py: Python<'py>,
    buffers: Option<&Bound<'py, PyList>>,
    write: impl FnOnce(&mut Message) -> PyResult<Kind>,
) -> PyResult<Sent<'py>> {
    let mut out = if buffers.is_some() { Message::outgoing() } else { Message::default() };
    let kind = write(&mut out)?;
    if let Some(buffers) = buffers {
        for buffer in &out.buffers {
            match buffer.found() {
                Some(Found { mapped, at, keep }) => {
                    let range = *at..at + buffer.len();
                    buffers.append(Buffer::new(py, Arc::clone(mapped), range, Arc::clone(keep))?)?;
                }
                None => buffers.append(PyByteArray::new(py, buffer.bytes()))?,
            }
        }
    }
    let body = PyBytes::new_with(py, out.len(), |mut room| {
        for part in out.parts() {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
        }
        Ok(())
    })?;
    Ok((kind as u8, body))
}

/// One value to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (value, buffers=None))]
fn encode<'py>(
    py: Python<'py>,
    value: &Bound<'py, PyAny>,
    buffers: Option<&Bound<'py, PyList>>,
) -> PyResult<Sent<'py>> {
    sent(py, buffers, |out| super::encode_value(py, value, out))
}

/// The lengths of the parts of a value's message: of its body, and of what travels beside it.
#[pyfunction]
fn lengths(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<(Vec<usize>, Vec<usize>)> {
    with_message(|out| {
        (out.takes_buffers, out.takes_long) = (true, true);
        super::encode_value(py, value, out)?;
        Ok((out.parts().map(<[u8]>::len).collect(), out.buffers.iter().map(TakenBuffer::len).collect()))
    })
}

/// What `encode` gave, back to the value.
#[pyfunction]
#[pyo3(signature = (kind, bytes, buffers=None))]
fn decode<'py>(
    py: Python<'py>,
    kind: u8,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    super::decode_value(py, kind.try_into()?, bytes, buffers)
}

/// The arguments of a call to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (args, kwargs=None, buffers=None))]
fn encode_call<'py>(
    py: Python<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    buffers: Option<&Bound<'py, PyList>>,
) -> PyResult<Sent<'py>> {
    sent(py, buffers, |out| super::encode_call(py, args, kwargs, out))
}

/// What `encode_call` gave, back to `(args, kwargs or None)`.
#[pyfunction]
#[pyo3(signature = (kind, bytes, buffers=None))]
fn decode_call<'py>(
    py: Python<'py>,
    kind: u8,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    super::decode_call(py, kind.try_into()?, bytes, buffers)
}

/// A call that carries its callable to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (function, args, kwargs=None, buffers=None))]
fn encode_direct<'py>(
    py: Python<'py>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    buffers: Option<&Bound<'py, PyList>>,
) -> PyResult<Sent<'py>> {
    sent(py, buffers, |out| super::encode_direct(py, function, args, kwargs, out))
}

/// What `encode_direct` gave, back to `(function, args, kwargs or None)`.
#[pyfunction]
#[pyo3(signature = (bytes, buffers=None))]
fn decode_direct<'py>(
    py: Python<'py>,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<super::DirectCall<'py>> {
    super::decode_direct(py, bytes, buffers)
}

/// The items of a chunk to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (items, first=0, buffers=None))]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python arrive owned")]
fn encode_chunk<'py>(
    py: Python<'py>,
    items: Vec<Bound<'py, PyAny>>,
    first: u64,
    buffers: Option<&Bound<'py, PyList>>,
) -> PyResult<Sent<'py>> {
    sent(py, buffers, |out| super::encode_chunk(py, &items, first, out))
}

/// What `encode_chunk` gave, back to a list.
#[pyfunction]
#[pyo3(signature = (kind, bytes, buffers=None))]
fn decode_chunk<'py>(
    py: Python<'py>,
    kind: u8,
    bytes: &[u8],
    buffers: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyList>> {
    super::decode_chunk(py, kind.try_into()?, bytes, buffers)
}

/// An exception to bytes.
#[pyfunction]
fn encode_exception<'py>(py: Python<'py>, exception: Bound<'py, PyBaseException>) -> Bound<'py, PyBytes> {
    let mut out = Vec::new();
    super::encode_exception(py, &PyErr::from_value(exception.into_any()), &mut out);
    PyBytes::new(py, &out)
}

/// What `encode_exception` gave, back to the exception or its stand-in.
#[pyfunction]
fn decode_exception<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyBaseException> {
    super::decode_exception(py, bytes).into_value(py).into_bound(py)
}

/// Bytes in shared memory, as they arrive from another process.
#[pyfunction]
#[pyo3(signature = (data, shared=false))]
fn mapped(py: Python<'_>, data: &[u8], shared: bool) -> PyResult<Py<Buffer>> {
    let hold = memory::heap()?.put(&[data], None).map_err(|error| PyMemoryError::new_err(error.to_string()))?;
    memory::object(py, &if shared { Piece::shared(hold) } else { Piece::snapshot(hold) })
}

/// How many mappings are known.
#[pyfunction]
fn mappings() -> usize {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// The `(module, name)` pairs in a pickle that mean nothing, or something else, in a worker.
#[pyfunction]
fn strangers<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyList>> {
    byname::strangers(py, pickle)
}

/// Whether a name in this module means the same in a worker.
#[pyfunction]
fn travels(py: Python<'_>, module: &str) -> PyResult<bool> {
    byname::travels(py, module.as_bytes())
}

/// Whether a worker finds this very object under its module and qualified name.
#[pyfunction]
fn resolves(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    byname::resolves(object)
}
