//! What a callable is called, without a copy: where the text lies.
//!
//! The text belongs to the function, its type or the interpreter, and stays where it is as long as the function is alive and
//! nobody renames it. A reader outside takes what it finds for what it may be.

use std::ffi::{CStr, c_char};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyFunction, PyType};

/// An address and a length.
type Text = (u64, u32);

/// What has to stay alive for the text to stay in its place.
pub type Held = Option<Box<[Py<PyAny>; 2]>>;

/// See the file's head.
#[derive(Default)]
pub struct Label {
    pub name: Text,
    pub module: Text,
    pub held: Held,
}

impl Label {
    #[inline]
    pub fn of(function: &Bound<'_, PyAny>) -> Self {
        // Without a GIL another thread may assign the names while they are read here.
        if cfg!(not(Py_GIL_DISABLED)) {
            let mut object = function.as_ptr();
            // SAFETY: all objects here are alive, the method as the function that it keeps; types say which layout they have.
            // Fields change only when Python code assigns them, and none runs before they were used: this thread has the GIL.
            unsafe {
                if ffi::Py_TYPE(object) == &raw mut PyMethod_Type {
                    object = (*object.cast::<Method>()).function;
                }
                if ffi::PyFunction_Check(object) != 0 {
                    let parts: *const ffi::PyFunctionObject = object.cast();
                    let (name, module) = ((*parts).func_qualname, (*parts).func_module);
                    return Self { name: text_of(name), module: text_of(module), held: None };
                }
            }
        }
        Self::of_other(function)
    }

    #[cold]
    #[inline(never)]
    fn of_other(function: &Bound<'_, PyAny>) -> Self {
        let mut function = function.clone();
        for _ in 0..MOST_LAYERS {
            match called_by(&function) {
                Some(called) => function = called,
                None => break,
            }
        }
        if function.cast_exact::<PyFunction>().is_ok() {
            // Alive as long as what calls it.
            return if cfg!(Py_GIL_DISABLED) {
                Self::of_attributes(&function).unwrap_or_default()
            } else {
                Self::of(&function)
            };
        }
        if let Ok(builtin) = function.cast_exact::<PyCFunction>() {
            // SAFETY: a builtin that is alive has this layout, and a definition that outlives it.
            let name = unsafe { (*(*builtin.as_ptr().cast::<ffi::PyCFunctionObject>()).m_ml).ml_name };
            return Self { name: text_at(name), ..Self::default() };
        }
        let class = function.cast::<PyType>().map_or_else(|_| function.get_type(), Clone::clone);
        // SAFETY: a type that is alive has a name, which it keeps until it is renamed.
        let name = unsafe { (*class.as_type_ptr()).tp_name };
        Self { name: text_at(name), ..Self::default() }
    }

    /// By the function's attributes, which are kept alive with the label.
    fn of_attributes(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = function.py();
        let name = function.getattr(intern!(py, "__qualname__"))?;
        let module = function.getattr(intern!(py, "__module__"))?;
        // SAFETY: both are alive.
        let texts = unsafe { (text_of(name.as_ptr()), text_of(module.as_ptr())) };
        Ok(Self { name: texts.0, module: texts.1, held: Some(Box::new([name.unbind(), module.unbind()])) })
    }
}

/// Partial objects of partial objects, at most.
const MOST_LAYERS: usize = 8;

/// What a method or a partial object calls.
fn called_by<'py>(function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = function.py();
    let class = function.get_type();
    if class.as_type_ptr() == &raw mut PyMethod_Type {
        return function.getattr(intern!(py, "__func__")).ok();
    }
    // SAFETY: a type that is alive has a name.
    let name = unsafe { CStr::from_ptr((*class.as_type_ptr()).tp_name) };
    // Only functools itself, written in C, is called so: of a class of Python's this is the name without the module.
    (name == c"functools.partial").then(|| function.getattr(intern!(py, "func")).ok()).flatten()
}

unsafe extern "C" {
    /// The type of bound methods.
    static mut PyMethod_Type: ffi::PyTypeObject;
}

/// The beginning of a bound method.
#[repr(C)]
struct Method {
    head: ffi::PyObject,
    function: *mut ffi::PyObject,
}

/// Where a string lies as UTF-8, which it keeps; nowhere if it is none.
///
/// # Safety
/// Null, or an object that is alive.
#[inline]
unsafe fn text_of(object: *mut ffi::PyObject) -> Text {
    let mut len = 0;
    // SAFETY: alive, and only asked where it is a string, by a thread that is attached.
    unsafe {
        if object.is_null() || ffi::PyUnicode_Check(object) == 0 {
            return (0, 0);
        }
        let text = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut len);
        if text.is_null() {
            // Half of a surrogate pair.
            ffi::PyErr_Clear();
            return (0, 0);
        }
        (text.expose_provenance() as u64, u32::try_from(len).unwrap_or(0))
    }
}

/// The same of a text of C's.
fn text_at(text: *const c_char) -> Text {
    if text.is_null() {
        return (0, 0);
    }
    // SAFETY: names of definitions and of types end in a zero.
    let len = unsafe { CStr::from_ptr(text) }.count_bytes();
    (text.expose_provenance() as u64, u32::try_from(len).unwrap_or(0))
}
