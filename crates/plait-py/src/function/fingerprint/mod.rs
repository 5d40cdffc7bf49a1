//! What a function's pickle depends on, remembered so that looking tells whether it is still so.
//!
//! Everything is compared by identity. What cannot change is held, so that its address is not given to another object;
//! functions, classes and modules are watched through weak references where they have them, so that a fingerprint keeps no function and
//! nothing it captured alive. What can change unseen (a list, an instance, a class of `__main__`) has no fingerprint.

mod parts;
mod take;

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyString, PyWeakrefMethods, PyWeakrefReference};

use super::table::Key;
use crate::codec::byname;
use parts::{Object, cell_contents, items, labels, look_up, parts};

/// The state of everything that the pickle of one function was made from.
pub struct Fingerprint {
    /// The function itself first, then those by-value functions it leads to.
    functions: Vec<FunctionPrint>,
    /// Functions that refer to a package send its submodules along, as far as they were loaded.
    module_count: Option<usize>,
}

/// The keys of a dict, and what is under them.
type WatchedDict = Vec<(Py<PyAny>, Watch)>;

/// What one function is made of.
struct FunctionPrint {
    /// None for the first, which the caller has.
    function: Option<Py<PyWeakrefReference>>,
    code: Py<PyAny>,
    /// Name, qualified name, documentation, module.
    labels: [Option<Py<PyAny>>; 4],
    defaults: Vec<Watch>,
    closure: Vec<Watch>,
    kwdefaults: WatchedDict,
    attributes: WatchedDict,
    annotations: WatchedDict,
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
            Watch::Weak(reference) => reference.bind(py).upgrade().is_some_and(|object| ptr::eq(object.as_ptr(), now)),
        }
    }
}

impl Fingerprint {
    /// Whether the function, perhaps another object than the one the fingerprint was taken from, would pickle the same.
    pub fn matches(&self, function: &Bound<'_, PyFunction>) -> bool {
        let py = function.py();
        if self.module_count.is_some_and(|count| count != byname::module_count(py)) {
            return false;
        }
        self.functions.iter().all(|print| match &print.function {
            None => print.matches(function),
            // That it is still the one referred to was seen by the watch on the reference to it, or will be.
            Some(helper) => helper
                .bind(py)
                .upgrade()
                .is_some_and(|helper| helper.cast_exact::<PyFunction>().is_ok_and(|helper| print.matches(helper))),
        })
    }
}

/// What functions that may pickle the same have in common, quickly told.
pub fn shape(function: &Bound<'_, PyFunction>) -> Key {
    let parts = parts(function);
    if cfg!(Py_GIL_DISABLED) {
        return Key::identity(parts.func_code);
    }
    let addresses = [parts.func_code].into_iter().chain(items(parts.func_closure).map(cell_contents));
    Key::of(addresses.chain(items(parts.func_defaults)).map(|object| object as usize))
}

impl FunctionPrint {
    fn matches(&self, function: &Bound<'_, PyFunction>) -> bool {
        let py = function.py();
        let parts = parts(function);
        let labels = labels(parts);
        ptr::eq(self.code.as_ptr(), parts.func_code)
            && self.labels.iter().zip(labels).all(|(label, now)| match label {
                Some(label) => ptr::eq(label.as_ptr(), now),
                None => now.is_null(),
            })
            && all_match(py, &self.closure, items(parts.func_closure).map(cell_contents))
            && all_match(py, &self.defaults, items(parts.func_defaults))
            && dict_matches(py, &self.kwdefaults, parts.func_kwdefaults)
            && dict_matches(py, &self.attributes, parts.func_dict)
            && dict_matches(py, &self.annotations, parts.func_annotations)
            && self.globals.iter().all(|(name, watch)| watch.matches(py, look_up(parts.func_globals, name.as_ptr())))
    }
}

fn all_match(py: Python<'_>, watches: &[Watch], mut now: impl Iterator<Item = Object>) -> bool {
    watches.iter().all(|watch| now.next().is_some_and(|object| watch.matches(py, object))) && now.next().is_none()
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
        && watches.iter().all(|(key, watch)| watch.matches(py, look_up(dict, key.as_ptr())))
}
