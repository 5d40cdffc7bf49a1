//! The function table's private face in Python, `plait._core.function`, for the tests.

use plait_engine::wire::table;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{FunctionTable, Prepared};

/// Adds the module `function` to the extension module.
///
/// # Errors
/// What making a module raises.
pub fn add_to(parent: &Bound<'_, PyModule>) -> PyResult<()> {
    let module = PyModule::new(parent.py(), "function")?;
    module.add_class::<PyFunctionTable>()?;
    module.add_function(wrap_pyfunction!(decode_function, &module)?)?;
    parent.add_submodule(&module)
}

#[pyclass(name = "FunctionTable", frozen)]
struct PyFunctionTable(FunctionTable);

#[pymethods]
impl PyFunctionTable {
    #[new]
    #[pyo3(signature = (functions=4096, bytes=256 << 20))]
    fn new(functions: usize, bytes: usize) -> PyFunctionTable {
        PyFunctionTable(FunctionTable::with_limits(functions, bytes))
    }

    /// `(id, bytes)` of the function as it is now, or None when it travels with its arguments.
    fn prepare<'py>(&self, function: &Bound<'py, PyAny>) -> PyResult<Option<(u64, Bound<'py, PyBytes>)>> {
        Ok(match self.0.prepare(function)? {
            Prepared::Cached { id, bytes, .. } => {
                let pickle = table::split(&bytes).map_or(&bytes[..], |(pickle, _)| pickle);
                Some((id, PyBytes::new(function.py(), pickle)))
            }
            Prepared::Direct => None,
        })
    }

    /// The ids given up since the last call.
    fn take_forgotten(&self) -> Vec<u64> {
        self.0.take_forgotten()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

/// The function that was prepared.
#[pyfunction]
fn decode_function(py: Python<'_>, bytes: &[u8]) -> PyResult<Py<PyAny>> {
    super::decode_function(py, bytes, None)
}
