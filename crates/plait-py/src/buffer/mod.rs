//! Memory of the commons as Python objects: what buffers that came from another process are made of.
//!
//! A [`Buffer`] exports a stretch of a [`Mapping`] through the buffer protocol, to be written to as well; arrays and
//! memoryviews that were received refer to one. Promises: the memory stays mapped until the last object that refers to it is
//! gone, and only then is let go what keeps the block from being used anew.

mod live;
mod shaped;
pub mod spare;

use std::ffi::c_int;
use std::ops::Range;
use std::sync::Arc;

use plait_engine::heap::{Access, Mapped};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyTuple};

use crate::codec::TakenBuffer;
use live::Mapping;
pub use live::{Found, Keep, LIVE, Live, any_shared, find};
pub use shaped::memory_view;

/// A stretch of mapped memory.
#[pyclass(frozen, weakref, module = "plait._core")]
pub struct Buffer {
    mapping: Arc<Mapping>,
    range: Range<usize>,
}

impl Buffer {
    /// One of this stretch of mapped memory, of which there may be any number. `keep` is dropped when the memory is unmapped: that
    /// of the first, for there is one for what is mapped.
    ///
    /// # Errors
    /// `ValueError` if the stretch is not all inside.
    pub fn new(py: Python<'_>, mapped: Arc<Mapped>, range: Range<usize>, keep: Keep) -> PyResult<Py<Self>> {
        let len = mapped.len();
        if range.start > range.end || range.end > len {
            let Range { start, end } = range;
            return Err(PyValueError::new_err(format!(
                "bytes {start}..{end} of a block of {len}: the message is garbled"
            )));
        }
        Py::new(py, Self { mapping: Mapping::of(mapped, keep), range })
    }

    /// One of the memory that an object exports, if all processes see that; None if it is this process's own.
    ///
    /// # Errors
    /// What the object raises; `BufferError` if its memory is not contiguous.
    pub fn shared_under(memory: &Bound<'_, PyAny>) -> PyResult<Option<Py<Self>>> {
        let taken = TakenBuffer::of(memory)?;
        match find(taken.ptr(), taken.len()) {
            Some(Found { mapped, at, keep }) if mapped.access() == Access::Shared => {
                Self::new(memory.py(), mapped, at..at + taken.len(), keep).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Where it begins, and its bytes. Good for as long as this object lives.
    pub fn memory(&self) -> (*mut u8, usize) {
        // SAFETY: the range lies inside of the mapping.
        (unsafe { self.mapping.mapped().as_ptr().add(self.range.start) }, self.range.len())
    }
}

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        self.range.len()
    }

    fn __repr__(&self) -> String {
        let how = match self.mapping.mapped().access() {
            Access::Snapshot => "snapshot",
            Access::Shared => "shared",
        };
        format!("<plait buffer of {} bytes, {how}>", self.range.len())
    }

    /// It arrives as a memoryview: of what it was made there is nobody's business.
    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, protocol: u32) -> PyResult<Bound<'py, PyTuple>> {
        static MEMORYVIEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static PICKLE_BUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = slf.py();
        let memory = if protocol >= 5 {
            PICKLE_BUFFER.import(py, "pickle", "PickleBuffer")?.call1((slf,))?
        } else {
            PyByteArray::from(slf.as_any())?.into_any()
        };
        (MEMORYVIEW.import(py, "builtins", "memoryview")?, (memory,)).into_pyobject(py)
    }

    /// # Safety
    /// Python hands over a view that is to be filled in.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: the range lies inside of the mapping, which stays while `slf` does; the view takes a reference to that. Others may
        // write to the memory at any time, as they may to every buffer of Python's.
        let filled = unsafe {
            let start = this.mapping.mapped().as_ptr().add(this.range.start).cast();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, this.range.len() as ffi::Py_ssize_t, 0, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// The memory at an address as an object that keeps it; None if it is not all in one mapping.
#[pyfunction]
pub fn buffer_span(py: Python<'_>, address: usize, nbytes: usize) -> PyResult<Option<Py<Buffer>>> {
    let Some(Found { mapped, at, keep }) = find(address as *const u8, nbytes) else { return Ok(None) };
    Buffer::new(py, mapped, at..at + nbytes, keep).map(Some)
}

/// Where the memory that an object exports begins; for an empty one, anything.
///
/// # Errors
/// What the object raises; `BufferError` if its memory is not contiguous.
#[pyfunction]
pub fn address_of(memory: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(TakenBuffer::of(memory)?.ptr() as usize)
}
