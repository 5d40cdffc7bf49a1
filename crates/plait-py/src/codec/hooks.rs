//! The codec's private face in Python, `plait._core.codec`: for `plait._byvalue` and for the tests.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use super::{Kind, byname};

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
    module.add_function(wrap_pyfunction!(strangers, &module)?)?;
    module.add_function(wrap_pyfunction!(travels, &module)?)?;
    module.add_function(wrap_pyfunction!(resolves, &module)?)?;
    parent.add_submodule(&module)
}

type Message<'py> = (u8, Bound<'py, PyBytes>);

fn message<'py>(py: Python<'py>, write: impl FnOnce(&mut Vec<u8>) -> PyResult<Kind>) -> PyResult<Message<'py>> {
    let mut out = Vec::new();
    let kind = write(&mut out)?;
    Ok((kind as u8, PyBytes::new(py, &out)))
}

/// One value to `(kind, bytes)`.
#[pyfunction]
fn encode<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Message<'py>> {
    message(py, |out| super::encode_value(py, value, out))
}

/// What `encode` gave, back to the value.
#[pyfunction]
fn decode<'py>(py: Python<'py>, kind: u8, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    super::decode_value(py, kind.try_into()?, bytes)
}

/// The arguments of a call to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (args, kwargs=None))]
fn encode_call<'py>(
    py: Python<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Message<'py>> {
    message(py, |out| super::encode_call(py, args, kwargs, out))
}

/// What `encode_call` gave, back to `(args, kwargs or None)`.
#[pyfunction]
fn decode_call<'py>(
    py: Python<'py>,
    kind: u8,
    bytes: &[u8],
) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    super::decode_call(py, kind.try_into()?, bytes)
}

/// A call that carries its callable to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (function, args, kwargs=None))]
fn encode_direct<'py>(
    py: Python<'py>,
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Message<'py>> {
    message(py, |out| super::encode_direct(py, function, args, kwargs, out))
}

/// What `encode_direct` gave, back to `(function, args, kwargs or None)`.
#[pyfunction]
fn decode_direct<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<super::DirectCall<'py>> {
    super::decode_direct(py, bytes)
}

/// The items of a chunk to `(kind, bytes)`.
#[pyfunction]
#[pyo3(signature = (items, first=0))]
#[expect(clippy::needless_pass_by_value, reason = "arguments from Python arrive owned")]
fn encode_chunk<'py>(py: Python<'py>, items: Vec<Bound<'py, PyAny>>, first: u64) -> PyResult<Message<'py>> {
    message(py, |out| super::encode_chunk(py, &items, first, out))
}

/// What `encode_chunk` gave, back to a list.
#[pyfunction]
fn decode_chunk<'py>(py: Python<'py>, kind: u8, bytes: &[u8]) -> PyResult<Bound<'py, PyList>> {
    super::decode_chunk(py, kind.try_into()?, bytes)
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
