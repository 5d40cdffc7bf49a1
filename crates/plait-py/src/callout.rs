//! Calls out of Rust into what a user wrote.
//!
//! While an interpreter before 3.14 ends, it ends every other thread that asks for it by `pthread_exit`, which unwinds
//! the thread's stack. Python's own frames are made for that; Rust's are not, and the process would abort in the middle
//! of a program's orderly end. So a thread that comes by here in this way sleeps until the process is gone, as
//! newer interpreters let it do themselves. PyO3 does the same where it takes the interpreter back.
//!
//! What has to come through here is what may run long in Python, or wait: that is where the end finds a thread.

use std::hint::black_box;
use std::thread;

use pyo3::ffi;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyTuple};

type Next = unsafe extern "C" fn(*mut PyObject) -> *mut PyObject;
type UnwindingNext = unsafe extern "C-unwind" fn(*mut PyObject) -> *mut PyObject;
type Vectorcall = unsafe extern "C" fn(*mut PyObject, *const *mut PyObject, usize, *mut PyObject) -> *mut PyObject;
type UnwindingVectorcall =
    unsafe extern "C-unwind" fn(*mut PyObject, *const *mut PyObject, usize, *mut PyObject) -> *mut PyObject;
type Call = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
type UnwindingCall = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// Lets nothing unwind past it.
struct Sleep;

impl Drop for Sleep {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

/// The next item of an iterator.
pub fn next<'py>(iterator: &Bound<'py, PyIterator>) -> Option<PyResult<Bound<'py, PyAny>>> {
    // Through a pointer that the compiler cannot see through: PyO3 declares that the function never unwinds, and what is
    // known of a function in one place holds in all.
    // SAFETY: the ABIs differ in nothing but that.
    let next = unsafe { std::mem::transmute::<Next, UnwindingNext>(black_box(ffi::PyIter_Next)) };
    let sleep = Sleep;
    // SAFETY: an iterator that is alive, in a thread that is attached. What unwinds out of it is the forced unwinding of
    // a thread that ends; it goes no further than `sleep`, so that no frame of Rust is left without its destructors.
    let item = unsafe { next(iterator.as_ptr()) };
    std::mem::forget(sleep);
    if item.is_null() {
        return PyErr::take(iterator.py()).map(Err);
    }
    // SAFETY: a new reference, which nobody else holds.
    Some(Ok(unsafe { Bound::from_owned_ptr(iterator.py(), item) }))
}

/// Calls a function with one argument.
pub fn call_one<'py>(function: &Bound<'py, PyAny>, arg: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let args = [arg.as_ptr()];
    // SAFETY: as in `next`.
    let call = unsafe { std::mem::transmute::<Vectorcall, UnwindingVectorcall>(black_box(ffi::PyObject_Vectorcall)) };
    let sleep = Sleep;
    // SAFETY: objects that are alive, one argument and no names, in a thread that is attached. Of unwinding holds what is
    // said in `next`.
    let result = unsafe { call(function.as_ptr(), args.as_ptr(), 1, std::ptr::null_mut()) };
    std::mem::forget(sleep);
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), result) }
}

/// Calls a function.
pub fn call<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: as in `next`.
    let call = unsafe { std::mem::transmute::<Call, UnwindingCall>(black_box(ffi::PyObject_Call)) };
    let sleep = Sleep;
    // SAFETY: objects that are alive, a tuple and a dict or null as is asked for, in a thread that is attached. Of unwinding
    // holds what is said in `next`.
    let result = unsafe { call(function.as_ptr(), args.as_ptr(), kwargs) };
    std::mem::forget(sleep);
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), result) }
}
