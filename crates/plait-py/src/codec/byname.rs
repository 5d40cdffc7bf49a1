//! Whether a name means the same in a worker as here.
//!
//! It does not in `__main__`, in modules registered with `cloudpickle.register_pickle_by_value`, and in modules that a worker's
//! import would not find (made by hand, or loaded from a path). `plait._byname` finds that out once per module; the answer
//! is kept here as long as `sys.modules` holds the same module and [`epoch`] stays.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAnyMethods, PyDict, PyList, PySet, PyString, PyType};

use super::globals::{Pickle, each_global};

/// What was found out about a module, and which module that was.
struct Verdict {
    module: Py<PyAny>,
    travels: bool,
    /// Which of its names were asked for, and whether they are classes of exceptions.
    exceptions: HashMap<Box<[u8]>, bool>,
}

struct Verdicts {
    epoch: u64,
    by_module: HashMap<Box<[u8]>, Verdict>,
}

static VERDICTS: Mutex<Option<Verdicts>> = Mutex::new(None);

fn sys_modules(py: Python<'_>) -> PyResult<&Bound<'_, PyDict>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    MODULES
        .get_or_try_init(py, || {
            Ok(py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?.unbind())
        })
        .map(|modules| modules.bind(py))
}

/// How many modules `sys.modules` holds.
pub fn module_count(py: Python<'_>) -> usize {
    sys_modules(py).map_or(0, |modules| modules.len())
}

/// The names that cloudpickle pickles by value, once cloudpickle is loaded.
fn by_value_names(py: Python<'_>) -> Option<&Bound<'_, PySet>> {
    static NAMES: PyOnceLock<Py<PySet>> = PyOnceLock::new();
    if NAMES.get(py).is_none() {
        let module = sys_modules(py).ok()?.get_item(intern!(py, "cloudpickle.cloudpickle")).ok()??;
        let names = module.getattr(intern!(py, "_PICKLE_BY_VALUE_MODULES")).ok()?.cast_into::<PySet>().ok()?;
        let _ = NAMES.set(py, names.unbind());
    }
    NAMES.get(py).map(|names| names.bind(py))
}

/// The reducers registered with multiprocessing's pickler, once that is loaded.
fn registered_reducers(py: Python<'_>) -> Option<&Bound<'_, PyDict>> {
    static REDUCERS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    if REDUCERS.get(py).is_none() {
        let module = sys_modules(py).ok()?.get_item(intern!(py, "multiprocessing.reduction")).ok()??;
        let pickler = module.getattr(intern!(py, "ForkingPickler")).ok()?;
        let reducers = pickler.getattr(intern!(py, "_extra_reducers")).ok()?.cast_into::<PyDict>().ok()?;
        let _ = REDUCERS.set(py, reducers.unbind());
    }
    REDUCERS.get(py).map(|reducers| reducers.bind(py))
}

/// Changes when modules are registered to go by value, or reducers with multiprocessing.
pub fn epoch(py: Python<'_>) -> u64 {
    let reducers = registered_reducers(py).map_or(0, |reducers| reducers.len()) as u64;
    match by_value_names(py) {
        // The hashes, so that one name registered in another's place shows too.
        Some(names) if !names.is_empty() => names
            .iter()
            .filter_map(|name| name.hash().ok())
            .fold(reducers, |sum, hash| sum.wrapping_add(hash.cast_unsigned() as u64 | 1 << 32)),
        _ => reducers,
    }
}

/// Whether C pickle's reference to a name in this module reaches the same object in a worker.
///
/// # Errors
/// What finding the module raises.
pub fn travels(py: Python<'_>, name: &[u8]) -> PyResult<bool> {
    if is_known(name) {
        return Ok(true);
    }
    if name == b"__main__" || name == b"__mp_main__" {
        return Ok(false);
    }
    let epoch = epoch(py);
    let text = PyString::from_bytes(py, name)?;
    let Some(module) = sys_modules(py)?.get_item(&text)? else {
        return Ok(false);
    };
    {
        let verdicts = VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdicts) = verdicts.as_ref().filter(|verdicts| verdicts.epoch == epoch)
            && let Some(verdict) = verdicts.by_module.get(name)
            && verdict.module.is(&module)
        {
            return Ok(verdict.travels);
        }
    }
    static ASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static LOADING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let travels = ASK.import(py, "plait._byname", "travels_by_name")?.call1((&text,))?.is_truthy()?;
    if !travels && LOADING.import(py, "plait._byname", "is_being_imported")?.call1((&text,))?.is_truthy()? {
        // True of now, not of later.
        return Ok(false);
    }
    let verdict = Verdict { module: module.unbind(), travels, exceptions: HashMap::new() };
    // What is replaced is dropped after the lock: dropping a module may run Python code.
    let (_outdated, _replaced);
    {
        let mut verdicts = VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
        _outdated = verdicts.take_if(|verdicts| verdicts.epoch != epoch);
        let verdicts = verdicts.get_or_insert_with(|| Verdicts { epoch, by_module: HashMap::new() });
        _replaced = verdicts.by_module.insert(name.into(), verdict);
    }
    Ok(travels)
}

/// Whether a worker that imports the module by its name gets this very module.
///
/// # Errors
/// As [`travels`].
pub fn module_travels(module: &Bound<'_, PyModule>) -> PyResult<bool> {
    let py = module.py();
    let Ok(name) = module.name() else {
        return Ok(false);
    };
    let Ok(text) = name.to_str() else {
        return Ok(false);
    };
    Ok(travels(py, text.as_bytes())? && sys_modules(py)?.get_item(&name)?.is_some_and(|found| found.is(module)))
}

/// What the names in a pickle come to in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They all mean the same there.
    Same,
    /// They do, and classes of exceptions are among them.
    SameWithExceptions,
    /// Some do not, or the pickle cannot be read.
    Strange,
}

/// What the names in a pickle come to in a worker.
///
/// # Errors
/// What finding a module raises.
pub fn reach(py: Python<'_>, pickle: Pickle<'_>) -> PyResult<Reach> {
    let mut reach = Reach::Same;
    let walked = each_global(pickle, |module, name| {
        let found = travels(py, module).and_then(|travels| Ok((travels, travels && is_exception(py, module, name)?)));
        match found {
            Ok((true, false)) => ControlFlow::Continue(()),
            Ok((true, true)) => {
                reach = Reach::SameWithExceptions;
                ControlFlow::Continue(())
            }
            Ok((false, _)) => ControlFlow::Break(Ok(Reach::Strange)),
            Err(error) => ControlFlow::Break(Err(error)),
        }
    });
    match walked {
        Ok(ControlFlow::Continue(())) => Ok(reach),
        Ok(ControlFlow::Break(found)) => found,
        Err(_) => Ok(Reach::Strange),
    }
}

/// Whether a name of a module that travels is the class of exceptions, other than built-in ones.
fn is_exception(py: Python<'_>, module: &[u8], name: &[u8]) -> PyResult<bool> {
    if is_known(module) {
        return Ok(false);
    }
    {
        let verdicts = VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = verdicts.as_ref().and_then(|verdicts| verdicts.by_module.get(module));
        if let Some(&known) = verdict.and_then(|verdict| verdict.exceptions.get(name)) {
            return Ok(known);
        }
    }
    let Some(found) = find(py, module, name)? else {
        return Ok(false);
    };
    let is_exception = found.cast::<PyType>().is_ok_and(|class| is_exception_class(class));
    let mut verdicts = VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(verdict) = verdicts.as_mut().and_then(|verdicts| verdicts.by_module.get_mut(module)) {
        verdict.exceptions.insert(name.into(), is_exception);
    }
    Ok(is_exception)
}

fn is_exception_class(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a live type; only its flags are read.
    unsafe { ffi::PyType_FastSubclass(class.as_type_ptr(), ffi::Py_TPFLAGS_BASE_EXC_SUBCLASS) != 0 }
}

/// Whether a module is the same in every process.
fn is_known(module: &[u8]) -> bool {
    matches!(module, b"builtins" | b"copyreg" | b"_codecs")
}

/// The `(module, name)` pairs in a pickle that mean nothing, or something else, in a worker.
///
/// # Errors
/// As [`reach`].
pub fn strangers<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyList>> {
    let found = PyList::empty(py);
    let walked = each_global(Pickle::whole(pickle), |module, name| {
        let result = travels(py, module).and_then(|travels| {
            if travels {
                return Ok(());
            }
            found.append((PyString::from_bytes(py, module)?, PyString::from_bytes(py, name)?))
        });
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    });
    match walked {
        Ok(ControlFlow::Break(error)) => Err(error),
        // cloudpickle's bytes may hold opcodes that C pickle does not write; what came before was told.
        Ok(ControlFlow::Continue(())) | Err(_) => Ok(found),
    }
}

/// Whether a worker that imports the object's module finds this very object under its qualified name.
///
/// # Errors
/// What finding a module raises; an object without a name is just not found.
pub fn resolves(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let Ok(name) = object.getattr(intern!(py, "__qualname__")) else {
        return Ok(false);
    };
    // Methods of built-in classes, such as str.upper, have no module of their own.
    let module = object
        .getattr(intern!(py, "__module__"))
        .or_else(|_| object.getattr(intern!(py, "__objclass__"))?.getattr(intern!(py, "__module__")));
    let Ok(module) = module else { return Ok(false) };
    let (Ok(module), Ok(name)) = (module.cast_exact::<PyString>(), name.cast_exact::<PyString>()) else {
        return Ok(false);
    };
    let (Ok(module_text), Ok(name)) = (module.to_str(), name.to_str()) else {
        return Ok(false);
    };
    if name.contains("<locals>") || !travels(py, module_text.as_bytes())? {
        return Ok(false);
    }
    let Some(mut found) = sys_modules(py)?.get_item(module)? else {
        return Ok(false);
    };
    for part in name.split('.') {
        let Ok(next) = found.getattr(part) else {
            return Ok(false);
        };
        found = next;
    }
    Ok(found.is(object))
}

/// What a name of a module that is loaded stands for now.
///
/// # Errors
/// What looking into `sys.modules` raises.
pub fn find<'py>(py: Python<'py>, module: &[u8], name: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else { return Ok(None) };
    let found = sys_modules(py)?.get_item(module)?;
    Ok(found.and_then(|module| name.split('.').try_fold(module, |found, part| found.getattr(part)).ok()))
}
