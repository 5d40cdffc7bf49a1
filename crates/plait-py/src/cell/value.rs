//! `plait.Value`: one number.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::Cells;
use super::kind::Kind;

/// A number that all threads and worker processes see.
///
/// `kind` says which: `int` ("int64"), "uint64", `float` ("float64") or `bool`; a typecode as
/// `multiprocessing.Value` takes it, a type of ctypes or a NumPy dtype are understood, too. Integers have 64 bits,
/// whatever width was asked for, and floats are double.
///
/// It goes to workers as an argument, in a closure, in `initargs` and with a fork, always as a reference. Its
/// methods change it in one step: none of their changes is lost, and no lock is needed. `counter.value += 1` is two
/// steps, a read and a write, and loses what others write in between; with `lock=True` there is a `plait.RLock` to
/// hold meanwhile, `get_lock()`. A lock of one's own may be given, too.
///
/// Raises `TypeError` for a kind that no cell holds and for a value that is not of it, `OverflowError` for one that
/// does not fit.
///
/// >>> import plait
/// >>> counter = plait.Value(int)
/// >>> _ = list(plait.map(lambda n: counter.add(n), range(5), backend="processes", workers=2))
/// >>> counter.value
/// 10
#[pyclass(frozen, weakref, module = "plait")]
pub struct Value(Cells);

#[pymethods]
impl Value {
    #[new]
    #[pyo3(signature = (kind, value=None, *, lock=None))]
    fn new(
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        lock: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = kind.py();
        let kind = Kind::of(kind)?;
        let word = value.map_or(Ok(0), |value| kind.word(value))?;
        let cells = Cells::new(py, kind, 1, lock)?;
        cells.store(0, word);
        Ok(Self(cells))
    }

    /// The number. Reading and writing it are one step each; both together, as in `x.value += 1`, are two.
    #[getter]
    fn value(&self, py: Python<'_>) -> Py<PyAny> {
        self.0.kind.object(py, self.0.load(0))
    }

    #[setter]
    fn set_value(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.store(0, self.0.kind.word(value)?);
        Ok(())
    }

    /// What it holds: "int64", "uint64", "float64" or "bool".
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.name()
    }

    /// Adds to the number, in one step, and returns the sum.
    ///
    /// Raises `OverflowError` if the sum does not fit, and changes nothing then; `TypeError` for a bool.
    #[pyo3(signature = (amount=None, /))]
    fn add(&self, py: Python<'_>, amount: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        Ok(self.0.kind.object(py, self.0.add(0, amount)?))
    }

    /// Sets the number, in one step, and returns what it was.
    #[pyo3(signature = (value, /))]
    fn swap(&self, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let word = self.0.kind.word(value)?;
        Ok(self.0.kind.object(value.py(), self.0.swap(0, word)))
    }

    /// Sets the number to `new` if it is `expected`, in one step; returns whether it was.
    ///
    /// Numbers are compared as by `==`, and NaN equals NaN.
    #[pyo3(signature = (expected, new, /))]
    fn compare_and_swap(&self, expected: &Bound<'_, PyAny>, new: &Bound<'_, PyAny>) -> PyResult<bool> {
        let kind = self.0.kind;
        Ok(self.0.compare_and_swap(0, kind.word(expected)?, kind.word(new)?))
    }

    /// The lock that it was made with, for several steps that belong together; `add`, `swap` and `compare_and_swap` need
    /// none, and do not heed it.
    ///
    /// Raises `ValueError` if it was made without.
    fn get_lock(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.0.get_lock(py, "Value")
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("plait.Value('{}', {})", self.0.kind.name(), self.value(py).bind(py).repr()?))
    }

    /// A copy is the same cell: two numbers that nobody keeps apart would be none.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce_ex__<'py>(&self, py: Python<'py>, protocol: u32) -> PyResult<Bound<'py, PyAny>> {
        self.0.reduce(py, "value_at", "Value", protocol)
    }

    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::alias(cls, item)
    }
}

/// The cell in memory that came from another process.
///
/// # Errors
/// `TypeError` if it came as a copy.
#[pyfunction]
#[pyo3(signature = (memory, kind, len, lock=None))]
pub fn value_at(memory: &Bound<'_, PyAny>, kind: &str, len: usize, lock: Option<Py<PyAny>>) -> PyResult<Value> {
    Cells::arrived(memory, kind, len, lock, "Value").map(Value)
}
