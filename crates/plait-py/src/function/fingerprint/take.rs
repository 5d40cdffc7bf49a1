//! Taking a fingerprint: which of a function's parts can be watched, and how.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyCode, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyFunction, PyInt, PyModule, PyRange,
    PyString, PyTuple, PyType, PyWeakrefReference,
};

use super::parts::{Object, cell_contents, items, labels, parts};
use super::{Fingerprint, FunctionPrint, Watch, WatchedDict};
use crate::codec::byname;

/// Larger strings and collections, and longer chains of helpers, are left to the comparison of pickles.
const HELD_BYTES: isize = 64 << 10;
const HELD_ITEMS: usize = 256;
const FUNCTIONS: usize = 64;

impl Fingerprint {
    /// The fingerprint of a function that goes by value, or None when something in it can change unseen.
    ///
    /// # Errors
    /// What looking at the function raises.
    pub fn take(function: &Bound<'_, PyFunction>) -> PyResult<Option<Fingerprint>> {
        if cfg!(Py_GIL_DISABLED) {
            // Another thread may change the function while its parts are read.
            return Ok(None);
        }
        let mut taker = Taker { py: function.py(), pending: vec![function.clone()], sees_package: false };
        let mut functions = Vec::new();
        while let Some(function) = taker.pending.get(functions.len()).cloned() {
            match taker.print(&function, functions.is_empty())? {
                Some(print) if functions.len() < FUNCTIONS => functions.push(print),
                _ => return Ok(None),
            }
        }
        let module_count = taker.sees_package.then(|| byname::module_count(taker.py));
        Ok(Some(Fingerprint { functions, module_count }))
    }
}

/// Takes a fingerprint.
struct Taker<'py> {
    py: Python<'py>,
    /// The functions met so far.
    pending: Vec<Bound<'py, PyFunction>>,
    sees_package: bool,
}

impl<'py> Taker<'py> {
    fn print(&mut self, function: &Bound<'py, PyFunction>, is_first: bool) -> PyResult<Option<FunctionPrint>> {
        let py = self.py;
        // Until now perhaps a tuple, or not evaluated.
        let Ok(annotations) = function.getattr("__annotations__") else {
            return Ok(None);
        };
        let parts = parts(function);
        // Owned before anything else is done, for what follows runs Python code.
        let own = |object: Object| {
            // SAFETY: null or a live object borrowed from the function.
            unsafe { Bound::from_borrowed_ptr_or_opt(py, object) }
        };
        let code = own(parts.func_code).expect("a function has code");
        let labels = labels(parts).map(|label| own(label).map(Bound::unbind));
        let closure: Vec<_> = items(parts.func_closure).map(|cell| own(cell_contents(cell))).collect();
        let defaults: Vec<_> = items(parts.func_defaults).map(own).collect();
        let (kwdefaults, attributes, globals) =
            (own(parts.func_kwdefaults), own(parts.func_dict), own(parts.func_globals));
        let globals = globals.expect("a function has globals").cast_into::<PyDict>()?;

        let Some(closure) = self.watch_all(closure)? else {
            return Ok(None);
        };
        let Some(defaults) = self.watch_all(defaults)? else {
            return Ok(None);
        };
        let Some(kwdefaults) = self.watch_dict(kwdefaults)? else {
            return Ok(None);
        };
        let Some(attributes) = self.watch_dict(attributes)? else {
            return Ok(None);
        };
        // Classes of `__main__` are common here, and who changes one in place does not mean the annotation.
        let annotations = annotations.cast_into::<PyDict>()?.iter();
        let annotations = annotations.map(|(key, value)| (key.unbind(), reference(&value))).collect();

        let mut names = vec!["__name__".to_owned(), "__package__".to_owned()];
        collect_names(&code, &mut names)?;
        names.sort_unstable();
        names.dedup();
        let mut watched = Vec::with_capacity(names.len());
        for name in names {
            let name = PyString::intern(py, &name);
            let Some(watch) = self.watch(globals.get_item(&name)?)? else {
                return Ok(None);
            };
            watched.push((name.unbind(), watch));
        }
        let function = if is_first { None } else { Some(PyWeakrefReference::new(function)?.unbind()) };
        let code = code.unbind();
        Ok(Some(FunctionPrint {
            function,
            code,
            labels,
            defaults,
            closure,
            kwdefaults,
            attributes,
            annotations,
            globals: watched,
        }))
    }

    fn watch_all(&mut self, values: Vec<Option<Bound<'py, PyAny>>>) -> PyResult<Option<Vec<Watch>>> {
        values.into_iter().map(|value| self.watch(value).transpose()).map(Option::transpose).collect::<PyResult<_>>()
    }

    fn watch_dict(&mut self, dict: Option<Bound<'py, PyAny>>) -> PyResult<Option<WatchedDict>> {
        let mut watches = Vec::new();
        if let Some(dict) = dict {
            for (key, value) in dict.cast_into::<PyDict>()?.iter() {
                let Some(watch) = self.watch(Some(value))? else {
                    return Ok(None);
                };
                watches.push((key.unbind(), watch));
            }
        }
        Ok(Some(watches))
    }

    /// How to watch a value, or None when it can change unseen.
    fn watch(&mut self, value: Option<Bound<'py, PyAny>>) -> PyResult<Option<Watch>> {
        let Some(value) = value else {
            return Ok(Some(Watch::Absent));
        };
        if is_immutable(&value, &mut HELD_ITEMS.clone()) {
            return Ok(Some(Watch::Held(value.unbind())));
        }
        if let Ok(module) = value.cast_exact::<PyModule>() {
            self.sees_package |= value.hasattr("__path__")?;
            return Ok(byname::module_travels(module)?.then(|| Watch::Held(value.unbind())));
        }
        if value.is_callable() && byname::resolves(&value)? {
            return Ok(Some(reference(&value)));
        }
        let Ok(function) = value.cast_exact::<PyFunction>() else {
            return Ok(None);
        };
        if !self.pending.iter().any(|known| known.is(function)) {
            self.pending.push(function.clone());
        }
        Ok(Some(reference(&value)))
    }
}

/// A weak watch where the type allows one.
fn reference(value: &Bound<'_, PyAny>) -> Watch {
    match PyWeakrefReference::new(value) {
        Ok(weak) => Watch::Weak(weak.unbind()),
        Err(_) => Watch::Held(value.clone().unbind()),
    }
}

/// The names that a code object, and those within it, may look up in globals; attributes are among them, which does no harm.
fn collect_names(code: &Bound<'_, PyAny>, names: &mut Vec<String>) -> PyResult<()> {
    names.extend(code.getattr("co_names")?.extract::<Vec<String>>()?);
    for constant in code.getattr("co_consts")?.cast::<PyTuple>()?.iter() {
        if constant.is_exact_instance_of::<PyCode>() {
            collect_names(&constant, names)?;
        }
    }
    Ok(())
}

/// Whether a value, with all that is in it, is of exact built-in types that cannot change, and small enough to hold.
fn is_immutable(value: &Bound<'_, PyAny>, budget: &mut usize) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    if value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyComplex>()
        || value.is_exact_instance_of::<PyEllipsis>()
    {
        return true;
    }
    if let Ok(text) = value.cast_exact::<PyString>() {
        // SAFETY: a live str.
        return unsafe { ffi::PyUnicode_GET_LENGTH(text.as_ptr()) } <= HELD_BYTES;
    }
    if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        return bytes.as_bytes().len().cast_signed() <= HELD_BYTES;
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        return tuple.iter_borrowed().all(|item| is_immutable(&item, budget));
    }
    if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
        return set.iter().all(|item| is_immutable(&item, budget));
    }
    value.is_exact_instance_of::<PyRange>() || is_pattern(value) || is_variable(value)
}

/// Whether it is a context variable: what goes of one is which it is.
fn is_variable(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object, whose type is compared.
    unsafe { ffi::PyContextVar_CheckExact(value.as_ptr()) != 0 }
}

fn is_pattern(value: &Bound<'_, PyAny>) -> bool {
    static PATTERN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    PATTERN.import(value.py(), "re", "Pattern").is_ok_and(|pattern| value.get_type().is(pattern))
}
