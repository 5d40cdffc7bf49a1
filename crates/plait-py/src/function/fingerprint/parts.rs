//! What a function object consists of, read in place.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyFunction;

/// A borrowed pointer that may be null.
pub(super) type Object = *mut ffi::PyObject;

/// The parts of a function. Borrowed from it, and good until Python code runs.
pub(super) fn parts<'a>(function: &'a Bound<'_, PyFunction>) -> &'a ffi::PyFunctionObject {
    // SAFETY: a Bound of PyFunction is a live function object, which has this layout; attached. The fields change only when
    // Python code assigns them, which no caller lets run while it uses a field.
    unsafe { &*function.as_ptr().cast() }
}

/// Name, qualified name, documentation, module.
pub(super) fn labels(parts: &ffi::PyFunctionObject) -> [Object; 4] {
    [parts.func_name, parts.func_qualname, parts.func_doc, parts.func_module]
}

/// The items of a tuple that may be null.
pub(super) fn items<'a>(tuple: Object) -> impl Iterator<Item = Object> + use<'a> {
    let length = if tuple.is_null() {
        0
    } else {
        // SAFETY: callers pass a function's closure or defaults: a live tuple, alive until Python code runs.
        unsafe { ffi::PyTuple_GET_SIZE(tuple) }
    };
    // SAFETY: index is below the tuple's size.
    (0..length).map(move |index| unsafe { ffi::PyTuple_GET_ITEM(tuple, index) })
}

/// What a cell holds, or null.
pub(super) fn cell_contents(cell: Object) -> Object {
    // SAFETY: the items of a closure are cells, and borrowed contents are used before Python code runs.
    unsafe { (*cell.cast::<ffi::PyCellObject>()).ob_ref }
}

/// What a dict has under a key, or null.
pub(super) fn look_up(dict: Object, key: Object) -> Object {
    // SAFETY: both are alive, dict is a dict. A comparison of keys that raises counts as not found: a mismatch at worst. What
    // is returned is compared by address alone.
    unsafe {
        let value = ffi::PyDict_GetItemWithError(dict, key);
        if value.is_null() && !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear();
        }
        value
    }
}
