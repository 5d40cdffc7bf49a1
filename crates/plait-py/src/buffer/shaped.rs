//! Memory under a format and a shape: how a `memoryview` arrives.
//!
//! `memoryview.cast` knows neither the formats of records nor the order of Fortran, so what a memoryview was is told by an
//! object of plait's own, and the memoryview is made of that.

use std::ffi::{CString, c_int};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::codec::TakenBuffer;

/// See the file's head.
#[pyclass(frozen, module = "plait._core")]
pub struct Shaped {
    memory: TakenBuffer,
    format: CString,
    itemsize: usize,
    shape: Vec<ffi::Py_ssize_t>,
    strides: Vec<ffi::Py_ssize_t>,
    fortran: bool,
}

/// A memoryview of what `memory` exports, in the order of Fortran or in that of C.
///
/// # Errors
/// `ValueError` if there is not just as much memory as the shape takes.
#[pyfunction]
pub fn memory_view<'py>(
    memory: &Bound<'py, PyAny>,
    format: &str,
    itemsize: usize,
    shape: Vec<usize>,
    fortran: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = memory.py();
    let memory = TakenBuffer::of(memory)?;
    let mismatch = || PyValueError::new_err(format!("{format:?} of {itemsize} bytes and shape {shape:?} do not fit"));
    let elements = shape.iter().try_fold(1, |count: usize, &length| count.checked_mul(length)).ok_or_else(mismatch)?;
    let fits = elements.checked_mul(itemsize) == Some(memory.len());
    let itemsize_of = |format| calcsize(py, format).map_or(itemsize, |size| size);
    if !fits || itemsize == 0 || itemsize_of(format) != itemsize {
        return Err(mismatch());
    }
    let mut strides = vec![0; shape.len()];
    let mut stride = itemsize;
    let mut put = |axis: usize| {
        strides[axis] = stride as ffi::Py_ssize_t;
        stride = stride.saturating_mul(shape[axis].max(1));
    };
    if fortran {
        (0..shape.len()).for_each(&mut put)
    } else {
        (0..shape.len()).rev().for_each(&mut put)
    }
    let format = CString::new(format).map_err(|_| mismatch())?;
    let shape = shape.iter().map(|&length| length as ffi::Py_ssize_t).collect();
    let exporter = Bound::new(py, Shaped { memory, format, itemsize, shape, strides, fortran })?;
    // SAFETY: attached, as the Bound shows; any object may be asked, and what is returned is a new reference or an error.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(exporter.as_ptr())) }
}

/// How many bytes `struct` takes for a format; nothing for those that it does not know.
fn calcsize(py: Python<'_>, format: &str) -> Option<usize> {
    static CALCSIZE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CALCSIZE.import(py, "struct", "calcsize").ok()?.call1((format,)).ok()?.extract().ok()
}

#[pymethods]
impl Shaped {
    /// # Safety
    /// Python hands over a view that is to be filled in.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        let asks = |flag: c_int| flags & flag == flag;
        let (c_order, fortran) = this.orders();
        if asks(ffi::PyBUF_WRITABLE) && this.memory.is_readonly() {
            return Err(PyBufferError::new_err("the memory is read-only"));
        }
        let refused = (asks(ffi::PyBUF_C_CONTIGUOUS) || !asks(ffi::PyBUF_STRIDES)) && !c_order;
        if refused || asks(ffi::PyBUF_F_CONTIGUOUS) && !fortran {
            return Err(PyBufferError::new_err("the memory is in another order"));
        }
        let when =
            |flag, pointer: *const ffi::Py_ssize_t| if asks(flag) { pointer.cast_mut() } else { std::ptr::null_mut() };
        // SAFETY: Python hands over a view to fill in (contract). What is pointed to belongs to `slf`, which never changes and to
        // which the view takes a reference.
        unsafe {
            *view = ffi::Py_buffer {
                buf: this.memory.ptr().cast_mut().cast(),
                len: this.memory.len() as ffi::Py_ssize_t,
                itemsize: this.itemsize as ffi::Py_ssize_t,
                readonly: c_int::from(this.memory.is_readonly()),
                ndim: this.shape.len() as c_int,
                format: if asks(ffi::PyBUF_FORMAT) { this.format.as_ptr().cast_mut() } else { std::ptr::null_mut() },
                shape: when(ffi::PyBUF_ND, this.shape.as_ptr()),
                strides: when(ffi::PyBUF_STRIDES, this.strides.as_ptr()),
                obj: slf.into_ptr(),
                ..ffi::Py_buffer::new()
            };
        }
        Ok(())
    }
}

impl Shaped {
    /// Whether the elements lie in the order of C, and in that of Fortran.
    fn orders(&self) -> (bool, bool) {
        let flat = self.memory.len() == 0 || self.shape.iter().filter(|&&length| length != 1).count() < 2;
        (flat || !self.fortran, flat || self.fortran)
    }
}
