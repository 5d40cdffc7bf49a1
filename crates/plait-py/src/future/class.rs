//! Which class futures made by Rust have, and the making of one, which every submit pays for.

use std::ptr;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use super::core::FutureCore;
use super::face::FutureBase;
use crate::errors;

static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Tells which class the futures that Rust makes shall have; it must derive from [`FutureBase`].
#[pyfunction]
pub fn set_future_class(class: &Bound<'_, PyType>) -> PyResult<()> {
    if !class.is_subclass_of::<FutureBase>()? {
        return Err(PyTypeError::new_err("the class of futures must derive from FutureBase"));
    }
    let _ = CLASS.set(class.py(), class.clone().unbind());
    Ok(())
}

static KEPT: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Tells the class of results that come with what their call printed; its `value` is the result.
#[pyfunction]
pub fn set_kept_class(class: &Bound<'_, PyType>) {
    let _ = KEPT.set(class.py(), class.clone().unbind());
}

/// Whether a result came with what its call printed.
pub fn is_kept(value: &Bound<'_, PyAny>) -> bool {
    KEPT.get(value.py()).is_some_and(|class| value.get_type().is(class))
}

/// A Python future for `core`.
pub fn new_future<'py>(py: Python<'py>, core: Arc<FutureCore>) -> PyResult<Bound<'py, PyAny>> {
    let class = match CLASS.get(py) {
        Some(class) => class,
        None => {
            // The class is defined by a module that most programs need anyway.
            py.import("plait._future")?;
            CLASS.get(py).ok_or_else(|| errors::plait_error(py, "no class of futures was set"))?
        }
    };
    // Past `type.__call__`, which would look for an `__init__` and find the stdlib's, the most costly part of a future.
    let kind = class.bind(py).as_type_ptr();
    let no_args = PyTuple::empty(py);
    // SAFETY: `kind` is a live type that derives from FutureBase, so its tp_new slot is set and takes (type, tuple,
    // dict or null); it returns a new reference or null with an exception set.
    let made = unsafe {
        let slot = ffi::PyType_GetSlot(kind, ffi::Py_tp_new);
        let new: ffi::newfunc = std::mem::transmute(slot);
        Bound::from_owned_ptr_or_err(py, new(kind, no_args.as_ptr(), ptr::null_mut()))?
    };
    // Without the futures each run of the cycle collector costs a third less of a submit, and most never hold anything that
    // could lead back to them: `track` is for those that do. An attribute that somebody sets on a future is not
    // searched for cycles.
    // On free-threaded builds two threads could find that it has to be tracked again, and the second would end the program.
    if cfg!(not(Py_GIL_DISABLED)) {
        // SAFETY: `made` is alive and of a type with the collector's head, as instances of a class with a dict are;
        // untracking is allowed for any such object, and its deallocation copes.
        unsafe { ffi::PyObject_GC_UnTrack(made.as_ptr().cast()) };
    }
    // SAFETY: an instance of a subclass of FutureBase, made just above.
    let base = unsafe { made.cast_unchecked::<FutureBase>() };
    let _ = base.get().core.set(core);
    Ok(made)
}

/// Lets the cycle collector look at a future, which holds something that may lead back to it.
pub fn track(future: &Bound<'_, FutureBase>) {
    if !is_tracked(future.as_any()) {
        // SAFETY: the future is alive, fully made, of a type with the collector's head (see `new_future`), and not tracked: the
        // GIL is held between the look and this. Without one no future is ever untracked.
        unsafe { ffi::PyObject_GC_Track(future.as_ptr().cast()) };
    }
}

/// Whether the cycle collector looks at the object.
pub fn is_tracked(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: any living object may be asked.
    unsafe { ffi::PyObject_GC_IsTracked(object.as_ptr()) != 0 }
}
