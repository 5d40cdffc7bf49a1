//! Buffers that leave the pickle: which do, and how they are held until they are copied.
//!
//! C pickle hands every buffer that it meets to [`callback`]. Promises: what is taken stays where it is, of the same
//! length, while it is held; nested pickling (foreign code that comes back to here while it is asked for its state)
//! takes into a frame of its own.

use std::cell::RefCell;
use std::ffi::c_int;
use std::slice;

use plait_engine::heap::Access;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCFunction;

use crate::buffer::{Found, find};

/// Shorter buffers stay in the pickle: the way round it costs more than copying them twice.
pub const THRESHOLD: usize = 64 << 10;

/// The contiguous memory of an object, which keeps it as it is while this lives.
pub struct TakenBuffer {
    // In a box because an exporter may point into it, and Python finds what it is to release by it.
    view: Box<ffi::Py_buffer>,
    found: Option<Found>,
}

// SAFETY: a Py_buffer is data; what it points to belongs to the exporter, which keeps it until it is released. That is done
// under the interpreter, from any thread, as `memoryview` does it.
unsafe impl Send for TakenBuffer {}
// SAFETY: nothing changes through a shared reference.
unsafe impl Sync for TakenBuffer {}

impl TakenBuffer {
    /// Takes the buffer of an object.
    ///
    /// # Errors
    /// What the object raises; `BufferError` if its memory is not contiguous.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        // Not PyBUF_SIMPLE, which those in Fortran's order refuse.
        const FLAGS: c_int = ffi::PyBUF_ANY_CONTIGUOUS;
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: attached, as the Bound shows; the view is filled in, or left as it is with an error set.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, FLAGS) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        let found = find(view.buf.cast_const().cast(), view.len as usize);
        Ok(Self { view, found })
    }

    /// Its first byte; anything if it is empty.
    pub fn ptr(&self) -> *const u8 {
        self.view.buf.cast_const().cast()
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.view.len as usize
    }

    /// Whether nobody may write to it by way of the object.
    pub fn is_readonly(&self) -> bool {
        self.view.readonly != 0
    }

    /// Where it lies in memory that plait has mapped, if it does.
    pub fn found(&self) -> Option<&Found> {
        self.found.as_ref()
    }

    /// Its memory. Whoever may write to the object may change it meanwhile, as with every buffer of Python's.
    pub fn bytes(&self) -> &[u8] {
        if self.view.buf.is_null() {
            return &[];
        }
        // SAFETY: the exporter keeps so many bytes there until the view is released, which is when this is dropped. That nobody
        // writes to them is not fully true: another thread of the program may, and then any bytes are read, as by
        // `bytes(memoryview)`. Nothing here relies on what they are.
        unsafe { slice::from_raw_parts(self.ptr(), self.len()) }
    }
}

impl Drop for TakenBuffer {
    fn drop(&mut self) {
        // An interpreter that is ending takes nothing back any more.
        // SAFETY: attached inside; the view was filled in by PyObject_GetBuffer and is released once.
        let _ = Python::try_attach(|_| unsafe { ffi::PyBuffer_Release(&raw mut *self.view) });
    }
}

thread_local! {
    /// What was taken by each of the nested picklings of this thread.
    static FRAMES: RefCell<Vec<Vec<TakenBuffer>>> = const { RefCell::new(Vec::new()) };
}

/// A pickling that takes buffers. What it took and did not give is dropped with it.
pub(super) struct Frame(());

impl Frame {
    pub(super) fn open() -> Self {
        FRAMES.with_borrow_mut(|frames| frames.push(Vec::new()));
        Self(())
    }

    /// Ends it, and appends what it took.
    pub(super) fn give(self, buffers: &mut Vec<TakenBuffer>) {
        FRAMES.with_borrow_mut(|frames| {
            if let Some(taken) = frames.last_mut() {
                buffers.append(taken);
            }
        });
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // Dropped after the borrow: releasing runs code of the exporters.
        let _taken = FRAMES.with_borrow_mut(Vec::pop);
    }
}

/// What C pickle is given as `buffer_callback`.
pub(super) fn callback(py: Python<'_>) -> PyResult<&Bound<'_, PyCFunction>> {
    static CALLBACK: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();
    CALLBACK.get_or_try_init(py, || Ok(wrap_pyfunction!(take, py)?.unbind())).map(|callback| callback.bind(py))
}

/// Takes a buffer into the innermost frame of this thread; true if it is to stay in the pickle.
#[pyfunction]
fn take(buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
    if stays(buffer)? {
        return Ok(true);
    }
    let taken = TakenBuffer::of(buffer)?;
    Ok(FRAMES.with_borrow_mut(|frames| match frames.last_mut() {
        Some(frame) => {
            frame.push(taken);
            false
        }
        None => true,
    }))
}

unsafe extern "C" {
    /// The view that a `PickleBuffer` holds; null, with an error set, when it was released.
    fn PyPickleBuffer_GetBuffer(buffer: *mut ffi::PyObject) -> *const ffi::Py_buffer;
}

/// Whether a `PickleBuffer` stays in the pickle: the short ones do, unless their memory is shared.
///
/// # Errors
/// `TypeError` for other objects, `ValueError` for one that was released.
#[pyfunction]
pub(super) fn stays(buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: attached, as the Bound shows. Any object may be handed over: what is no PickleBuffer is refused. The view is
    // the PickleBuffer's own and read at once.
    let (start, length) = unsafe {
        match PyPickleBuffer_GetBuffer(buffer.as_ptr()).as_ref() {
            Some(view) => (view.buf.cast_const().cast::<u8>(), view.len as usize),
            None => return Err(PyErr::fetch(buffer.py())),
        }
    };
    let shared = |found: Found| found.mapped.access() == Access::Shared;
    Ok(length < THRESHOLD && !find(start, length).is_some_and(shared))
}
