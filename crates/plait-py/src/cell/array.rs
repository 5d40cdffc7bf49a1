//! `plait.Array`: numbers of one kind in a row.

use std::ffi::c_int;

use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySlice, PyType};

use super::Cells;
use super::kind::Kind;

/// Numbers in a row that all threads and worker processes see, each of which is a cell like a `plait.Value`.
///
/// `kind` is as for `plait.Value`. `cells` says how many there are, all zero, or is an iterable of their first
/// values. Reads and writes by index or slice are as those of a list that cannot grow; each number is read or written
/// in one step, a slice number by number. `add`, `swap` and `compare_and_swap` change one in one step. `lock` and
/// `get_lock()` are as with a `plait.Value`, for changes of several.
///
/// `numpy.asarray(array)` and `memoryview(array)` are over the same memory, and go to workers as shared arrays do.
///
/// Raises `TypeError` and `OverflowError` as `plait.Value` does, `ValueError` for a negative number of cells, and
/// `MemoryError` where there is no room.
///
/// >>> import plait
/// >>> hits = plait.Array(int, 3)
/// >>> _ = list(plait.map(lambda n: hits.add(n % 3), range(30), backend="processes", workers=2))
/// >>> list(hits)
/// [10, 10, 10]
#[pyclass(frozen, weakref, sequence, module = "plait")]
pub struct Array {
    cells: Cells,
    /// For views of it.
    shape: [ffi::Py_ssize_t; 1],
    strides: [ffi::Py_ssize_t; 1],
}

impl Array {
    fn over(cells: Cells) -> Self {
        let (shape, strides) = ([cells.len as ffi::Py_ssize_t], [cells.kind.size() as ffi::Py_ssize_t]);
        Self { cells, shape, strides }
    }

    /// The place of an index, which may count from the end.
    fn at(&self, index: isize) -> PyResult<usize> {
        let len = self.cells.len;
        let at = if index < 0 { index.checked_add_unsigned(len) } else { Some(index) };
        at.and_then(|at| usize::try_from(at).ok())
            .filter(|&at| at < len)
            .ok_or_else(|| PyIndexError::new_err(format!("there is no cell {index} in an Array of {len}")))
    }

    fn places(&self, slice: &Bound<'_, PySlice>) -> PyResult<impl Iterator<Item = usize> + use<>> {
        let found = slice.indices(self.cells.len as isize)?;
        Ok((0..found.slicelength).map(move |nth| (found.start + nth as isize * found.step) as usize))
    }
}

#[pymethods]
impl Array {
    #[new]
    #[pyo3(signature = (kind, cells, *, lock=None))]
    fn new(kind: &Bound<'_, PyAny>, cells: &Bound<'_, PyAny>, lock: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let py = kind.py();
        let kind = Kind::of(kind)?;
        if cells.hasattr("__index__")? {
            let len: isize = cells.extract()?;
            let len =
                usize::try_from(len).map_err(|_| PyValueError::new_err("an Array has no negative number of cells"))?;
            return Cells::new(py, kind, len, lock).map(Self::over);
        }
        let words = cells.try_iter().map_err(|_| {
            PyTypeError::new_err(
                "the second argument of plait.Array is how many cells there are, or their first values",
            )
        })?;
        let words = words.map(|value| kind.word(&value?)).collect::<PyResult<Vec<_>>>()?;
        let cells = Cells::new(py, kind, words.len(), lock)?;
        words.into_iter().enumerate().for_each(|(at, word)| cells.store(at, word));
        Ok(Self::over(cells))
    }

    /// What its cells hold: "int64", "uint64", "float64" or "bool".
    #[getter]
    fn kind(&self) -> &'static str {
        self.cells.kind.name()
    }

    fn __len__(&self) -> usize {
        self.cells.len
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, PyAny>> {
        // SAFETY: attached, as the Bound shows; it is a sequence, and what is returned is a new reference or an error.
        unsafe { Bound::from_owned_ptr_or_err(slf.py(), ffi::PySeqIter_New(slf.as_ptr())) }
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let object = |at| self.cells.kind.object(py, self.cells.load(at)).into_bound(py);
        match index.cast::<PySlice>() {
            Ok(slice) => Ok(PyList::new(py, self.places(slice)?.map(object).collect::<Vec<_>>())?.into_any()),
            Err(_) => Ok(object(self.at(index.extract()?)?)),
        }
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(slice) = index.cast::<PySlice>() else {
            self.cells.store(self.at(index.extract()?)?, self.cells.kind.word(value)?);
            return Ok(());
        };
        let places: Vec<usize> = self.places(slice)?.collect();
        let words = value.try_iter()?.map(|value| self.cells.kind.word(&value?)).collect::<PyResult<Vec<_>>>()?;
        if places.len() != words.len() {
            let (room, given) = (places.len(), words.len());
            return Err(PyValueError::new_err(format!("{given} values for {room} cells: an Array cannot grow")));
        }
        places.into_iter().zip(words).for_each(|(at, word)| self.cells.store(at, word));
        Ok(())
    }

    /// Adds to the number at `index`, in one step, and returns the sum.
    ///
    /// Raises `OverflowError` if the sum does not fit, and changes nothing then; `TypeError` for bools; `IndexError`.
    #[pyo3(signature = (index, amount=None, /))]
    fn add(&self, py: Python<'_>, index: isize, amount: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        Ok(self.cells.kind.object(py, self.cells.add(self.at(index)?, amount)?))
    }

    /// Sets the number at `index`, in one step, and returns what it was.
    #[pyo3(signature = (index, value, /))]
    fn swap(&self, index: isize, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let word = self.cells.kind.word(value)?;
        Ok(self.cells.kind.object(value.py(), self.cells.swap(self.at(index)?, word)))
    }

    /// Sets the number at `index` to `new` if it is `expected`, in one step; returns whether it was.
    ///
    /// Numbers are compared as by `==`, and NaN equals NaN.
    #[pyo3(signature = (index, expected, new, /))]
    fn compare_and_swap(&self, index: isize, expected: &Bound<'_, PyAny>, new: &Bound<'_, PyAny>) -> PyResult<bool> {
        let kind = self.cells.kind;
        Ok(self.cells.compare_and_swap(self.at(index)?, kind.word(expected)?, kind.word(new)?))
    }

    /// The lock that it was made with, for several steps that belong together; `add`, `swap` and `compare_and_swap` need
    /// none, and do not heed it.
    ///
    /// Raises `ValueError` if it was made without.
    fn get_lock(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.cells.get_lock(py, "Array")
    }

    fn __repr__(&self) -> String {
        format!("<plait.Array of {} cells, {}>", self.cells.len, self.cells.kind.name())
    }

    /// A copy is the same cells, as with a `plait.Value`.
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce_ex__<'py>(&self, py: Python<'py>, protocol: u32) -> PyResult<Bound<'py, PyAny>> {
        self.cells.reduce(py, "array_at", "Array", protocol)
    }

    #[classmethod]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        super::alias(cls, item)
    }

    /// # Safety
    /// Python hands over a view that is to be filled in.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let Self { cells, shape, strides } = slf.get();
        let asks = |flag: c_int| flags & flag == flag;
        let when = |flag, numbers: &[ffi::Py_ssize_t]| {
            if asks(flag) { numbers.as_ptr().cast_mut() } else { std::ptr::null_mut() }
        };
        let (size, format) = (cells.kind.size(), cells.kind.format());
        // SAFETY: Python hands over a view to fill in (contract). What is pointed to belongs to `slf`, which never changes and to
        // which the view takes a reference. Others may write to the memory at any time, as they may to every buffer of Python's.
        unsafe {
            *view = ffi::Py_buffer {
                buf: cells.start.as_ptr().cast(),
                len: (cells.len * size) as ffi::Py_ssize_t,
                itemsize: size as ffi::Py_ssize_t,
                readonly: 0,
                ndim: 1,
                format: if asks(ffi::PyBUF_FORMAT) { format.as_ptr().cast_mut() } else { std::ptr::null_mut() },
                shape: when(ffi::PyBUF_ND, shape),
                strides: when(ffi::PyBUF_STRIDES, strides),
                obj: slf.clone().into_ptr(),
                ..ffi::Py_buffer::new()
            };
        }
        Ok(())
    }
}

/// The cells in memory that came from another process.
///
/// # Errors
/// `TypeError` if they came as a copy.
#[pyfunction]
#[pyo3(signature = (memory, kind, len, lock=None))]
pub fn array_at(memory: &Bound<'_, PyAny>, kind: &str, len: usize, lock: Option<Py<PyAny>>) -> PyResult<Array> {
    Cells::arrived(memory, kind, len, lock, "Array").map(Array::over)
}
