//! The items of containers, without a reference taken to any.

use std::slice;

use pyo3::ffi;

use super::{Items, Written};

/// # Safety
/// `tuple` is a live tuple, and outlives what is returned.
pub(super) unsafe fn tuple_items<'a>(tuple: *mut ffi::PyObject) -> Items<'a> {
    // SAFETY: a tuple's items lie behind its head and never change.
    unsafe {
        let length = ffi::PyTuple_GET_SIZE(tuple) as usize;
        slice::from_raw_parts((&raw const (*tuple.cast::<ffi::PyTupleObject>()).ob_item).cast(), length)
    }
}

/// # Safety
/// `list` is a live list, and nothing changes it while what is returned is in use.
pub(super) unsafe fn list_items<'a>(list: *mut ffi::PyObject) -> Items<'a> {
    // SAFETY: a list's items lie where ob_item points; that is null when there are none.
    unsafe {
        let length = ffi::PyList_GET_SIZE(list) as usize;
        if length == 0 {
            return &[];
        }
        slice::from_raw_parts((*list.cast::<ffi::PyListObject>()).ob_item, length)
    }
}

/// # Safety
/// `dict` is a live dict, and nothing changes it until this returns.
pub(super) unsafe fn each_entry(
    dict: *mut ffi::PyObject,
    mut visit: impl FnMut(*mut ffi::PyObject, *mut ffi::PyObject) -> Written,
) -> Written {
    let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: dict is a dict and does not change (contract); key and value are borrowed from it.
    while unsafe { ffi::PyDict_Next(dict, &raw mut position, &raw mut key, &raw mut value) } != 0 {
        visit(key, value)?;
    }
    Ok(())
}
