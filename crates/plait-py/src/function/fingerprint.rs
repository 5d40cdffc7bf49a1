//! What a function's pickle depends on, remembered so that looking tells whether it is still so.
//!
//! Everything is compared by identity. What cannot change is held, so that its address is not given to another object;
//! functions, classes and modules are watched through weak references where they have them, so that a fingerprint keeps no function and
//! nothing it captured alive. What can change unseen (a list, an instance, a class of `__main__`) has no fingerprint.

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyCode, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyFunction,
    PyInt, PyModule, PyRange, PyString, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference,
};

use super::table::Key;
use crate::codec::byname;

/// A borrowed pointer that may be null.
type Object = *mut ffi::PyObject;

/// Larger strings, numbers of items and numbers of watched things are left to the comparison of pickles.
const HELD_BYTES: isize = 64 << 10;
const HELD_ITEMS: usize = 256;
const FUNCTIONS: usize = 64;

/// The state of everything that the pickle of one function was made from.
pub struct Fingerprint {
    /// The function itself first, then those by-value functions it leads to.
    functions: Vec<FunctionPrint>,
    /// Functions that refer to a package send its submodules along, as far as they were loaded.
    module_count: Option<usize>,
}

/// What one function is made of.
struct FunctionPrint {
    /// None for the first, which the caller has.
    function: Option<Py<PyWeakrefReference>>,
    code: Py<PyAny>,
    /// Name, qualified name, documentation, module.
    labels: [Option<Py<PyAny>>; 4],
    defaults: Vec<Watch>,
    closure: Vec<Watch>,
    kwdefaults: Vec<(Py<PyAny>, Watch)>,
    attributes: Vec<(Py<PyAny>, Watch)>,
    annotations: Vec<(Py<PyAny>, Watch)>,
    globals: Vec<(Py<PyString>, Watch)>,
}

/// One thing that must still be the same object.
enum Watch {
    /// Not there: an empty cell, a name that is not defined.
    Absent,
    /// Cannot change, and is held.
    Held(Py<PyAny>),
    /// Watched, not held.
    Weak(Py<PyWeakrefReference>),
}

impl Watch {
    fn matches(&self, py: Python<'_>, now: Object) -> bool {
        match self {
            Watch::Absent => now.is_null(),
            Watch::Held(object) => ptr::eq(object.as_ptr(), now),
            Watch::Weak(reference) => reference
                .bind(py)
                .upgrade()
                .is_some_and(|object| ptr::eq(object.as_ptr(), now)),
        }
    }
}

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
        let mut taker = Taker {
            py: function.py(),
            pending: vec![function.clone()],
            sees_package: false,
        };
        let mut functions = Vec::new();
        while let Some(function) = taker.pending.get(functions.len()).cloned() {
            match taker.print(&function, functions.is_empty())? {
                Some(print) if functions.len() < FUNCTIONS => functions.push(print),
                _ => return Ok(None),
            }
        }
        let module_count = taker.sees_package.then(|| byname::module_count(taker.py));
        Ok(Some(Fingerprint {
            functions,
            module_count,
        }))
    }

    /// Whether the function, perhaps another object than the one the fingerprint was taken from, would pickle the same.
    pub fn matches(&self, function: &Bound<'_, PyFunction>) -> bool {
        let py = function.py();
        if self
            .module_count
            .is_some_and(|count| count != byname::module_count(py))
        {
            return false;
        }
        self.functions.iter().all(|print| match &print.function {
            None => print.matches(function),
            // That it is still the one referred to was seen by the watch on the reference to it, or will be.
            Some(helper) => helper.bind(py).upgrade().is_some_and(|helper| {
                helper
                    .cast_exact::<PyFunction>()
                    .is_ok_and(|helper| print.matches(helper))
            }),
        })
    }
}

/// What functions that may pickle the same have in common, quickly told.
pub fn shape(function: &Bound<'_, PyFunction>) -> Key {
    let parts = parts(function);
    if cfg!(Py_GIL_DISABLED) {
        return Key::identity(parts.func_code);
    }
    let addresses = [parts.func_code]
        .into_iter()
        .chain(items(parts.func_closure).map(cell_contents));
    Key::of(
        addresses
            .chain(items(parts.func_defaults))
            .map(|object| object as usize),
    )
}

impl FunctionPrint {
    fn matches(&self, function: &Bound<'_, PyFunction>) -> bool {
        let py = function.py();
        let parts = parts(function);
        let labels = labels(parts);
        ptr::eq(self.code.as_ptr(), parts.func_code)
            && self
                .labels
                .iter()
                .zip(labels)
                .all(|(label, now)| match label {
                    Some(label) => ptr::eq(label.as_ptr(), now),
                    None => now.is_null(),
                })
            && all_match(
                py,
                &self.closure,
                items(parts.func_closure).map(cell_contents),
            )
            && all_match(py, &self.defaults, items(parts.func_defaults))
            && dict_matches(py, &self.kwdefaults, parts.func_kwdefaults)
            && dict_matches(py, &self.attributes, parts.func_dict)
            && dict_matches(py, &self.annotations, parts.func_annotations)
            && self
                .globals
                .iter()
                .all(|(name, watch)| watch.matches(py, look_up(parts.func_globals, name.as_ptr())))
    }
}

fn all_match(py: Python<'_>, watches: &[Watch], mut now: impl Iterator<Item = Object>) -> bool {
    watches
        .iter()
        .all(|watch| now.next().is_some_and(|object| watch.matches(py, object)))
        && now.next().is_none()
}

/// `dict` may be null, which is an empty one. Anything but a dict (annotations not asked for yet) is no match.
fn dict_matches(py: Python<'_>, watches: &[(Py<PyAny>, Watch)], dict: Object) -> bool {
    if dict.is_null() {
        return watches.is_empty();
    }
    // SAFETY: not null, and a part of a live function; the type is checked before it is read as a dict.
    let length = unsafe {
        if ffi::PyDict_Check(dict) == 0 {
            return false;
        }
        ffi::PyDict_Size(dict)
    };
    watches.len().cast_signed() == length
        && watches
            .iter()
            .all(|(key, watch)| watch.matches(py, look_up(dict, key.as_ptr())))
}

/// The parts of a function. Borrowed from it, and good until Python code runs.
fn parts<'a>(function: &'a Bound<'_, PyFunction>) -> &'a ffi::PyFunctionObject {
    // SAFETY: a Bound of PyFunction is a live function object, which has this layout; attached. The fields change only when
    // Python code assigns them, which no caller lets run while it uses a field.
    unsafe { &*function.as_ptr().cast() }
}

fn labels(parts: &ffi::PyFunctionObject) -> [Object; 4] {
    [
        parts.func_name,
        parts.func_qualname,
        parts.func_doc,
        parts.func_module,
    ]
}

/// The items of a tuple that may be null.
fn items<'a>(tuple: Object) -> impl Iterator<Item = Object> + use<'a> {
    // SAFETY: callers pass a function's closure or defaults: null or a live tuple, alive until Python code runs.
    let length = if tuple.is_null() {
        0
    } else {
        unsafe { ffi::PyTuple_GET_SIZE(tuple) }
    };
    // SAFETY: index is below the tuple's size.
    (0..length).map(move |index| unsafe { ffi::PyTuple_GET_ITEM(tuple, index) })
}

/// What a cell holds, or null.
fn cell_contents(cell: Object) -> Object {
    // SAFETY: the items of a closure are cells, and borrowed contents are used before Python code runs.
    unsafe { (*cell.cast::<ffi::PyCellObject>()).ob_ref }
}

/// What a dict has under a key, or null.
fn look_up(dict: Object, key: Object) -> Object {
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

/// Takes a fingerprint.
struct Taker<'py> {
    py: Python<'py>,
    /// The functions met so far.
    pending: Vec<Bound<'py, PyFunction>>,
    sees_package: bool,
}

impl<'py> Taker<'py> {
    fn print(
        &mut self,
        function: &Bound<'py, PyFunction>,
        is_first: bool,
    ) -> PyResult<Option<FunctionPrint>> {
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
        let closure: Vec<_> = items(parts.func_closure)
            .map(|cell| own(cell_contents(cell)))
            .collect();
        let defaults: Vec<_> = items(parts.func_defaults).map(own).collect();
        let (kwdefaults, attributes, globals) = (
            own(parts.func_kwdefaults),
            own(parts.func_dict),
            own(parts.func_globals),
        );
        let globals = globals
            .expect("a function has globals")
            .cast_into::<PyDict>()?;

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
        let annotations = annotations
            .map(|(key, value)| (key.unbind(), reference(&value)))
            .collect();

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
        let function = if is_first {
            None
        } else {
            Some(PyWeakrefReference::new(function)?.unbind())
        };
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

    fn watch_all(
        &mut self,
        values: Vec<Option<Bound<'py, PyAny>>>,
    ) -> PyResult<Option<Vec<Watch>>> {
        values
            .into_iter()
            .map(|value| self.watch(value).transpose())
            .map(Option::transpose)
            .collect::<PyResult<_>>()
    }

    fn watch_dict(
        &mut self,
        dict: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Vec<(Py<PyAny>, Watch)>>> {
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
        return tuple
            .iter_borrowed()
            .all(|item| is_immutable(&item, budget));
    }
    if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
        return set.iter().all(|item| is_immutable(&item, budget));
    }
    value.is_exact_instance_of::<PyRange>() || is_pattern(value)
}

fn is_pattern(value: &Bound<'_, PyAny>) -> bool {
    static PATTERN: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    PATTERN
        .import(value.py(), "re", "Pattern")
        .is_ok_and(|pattern| value.get_type().is(pattern))
}
