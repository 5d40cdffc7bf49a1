//! Context variables follow a call: it sees what its submitter saw, and what it sets ends with it.
//!
//! Each call runs in a context of its own. On threads, and where the caller is, that is a copy of the submitter's; a worker
//! process is sent the values that can be named and pickled (`outgoing`), and sets them in a copy of its own (`arrived`).
//! A context without variables costs next to nothing: it is not kept, and not made anew while calls leave it empty.

mod apart;
mod arrived;
mod outgoing;

pub use apart::Apart;
pub use arrived::{Arrivals, keep_base, split};
pub use outgoing::{forget_contexts, of_context, of_current, push};

use pyo3::ffi;
use pyo3::prelude::*;

/// A context that this thread is in, until this goes.
pub struct Entered<'py>(Bound<'py, PyAny>);

/// Enters a context that nobody is in.
///
/// # Errors
/// RuntimeError: somebody is.
pub fn enter(context: Bound<'_, PyAny>) -> PyResult<Entered<'_>> {
    // SAFETY: an object that is alive, in a thread that is attached; what is no context is refused.
    let entered = unsafe { ffi::PyContext_Enter(context.as_ptr()) };
    if entered < 0 { Err(PyErr::fetch(context.py())) } else { Ok(Entered(context)) }
}

impl<'py> Entered<'py> {
    /// This thread, which is attached.
    fn py(&self) -> Python<'py> {
        self.0.py()
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: as in `enter`. No exception is set here: what calls raise was taken out of the thread's state.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } < 0 {
            PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), Some(&self.0));
        }
    }
}

/// An empty context.
fn new(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: a new reference, or null with an exception set, in a thread that is attached.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_New()) }
}

/// What this thread's variables are now.
pub fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: as in `new`.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// A context with the same values.
fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: an object that is alive, else as in `new`; what is no context is refused.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// Sets a variable in the context that this thread is in.
fn set(variable: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: objects that are alive, else as in `new`; what is no variable is refused.
    unsafe { Bound::from_owned_ptr_or_err(value.py(), ffi::PyContextVar_Set(variable.as_ptr(), value.as_ptr())) }
        .map(drop)
}

fn is_empty(context: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(context.len()? == 0)
}

/// What a submitter's call is to see; nothing where no variable is set.
pub fn of_submitter(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
    let context = copy_current(py)?;
    Ok(if is_empty(&context)? { None } else { Some(context.unbind()) })
}

/// Enters a context of its own for a call on a thread: with what its submitter saw, and beside it what the thread's
/// initializer has set.
pub fn enter_for<'py>(
    py: Python<'py>,
    submitter: Option<&Py<PyAny>>,
    initialized: Option<&Py<PyAny>>,
) -> PyResult<Entered<'py>> {
    match (submitter, initialized) {
        (None, None) => enter(new(py)?),
        (Some(context), None) | (None, Some(context)) => enter(copy(context.bind(py))?),
        (Some(submitter), Some(initialized)) => {
            let entered = enter(copy(initialized.bind(py))?)?;
            for item in submitter.bind(py).call_method0("items")?.try_iter()? {
                let (variable, value) = item?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                set(&variable, &value)?;
            }
            Ok(entered)
        }
    }
}

/// Contexts for calls that are made one after the other, each with the same values and for itself.
pub struct Each<'py> {
    values: Bound<'py, PyAny>,
    is_empty: bool,
    /// The last call's.
    used: Option<Bound<'py, PyAny>>,
}

impl<'py> Each<'py> {
    /// Each call is to see the values of this context.
    pub fn of(values: Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { is_empty: is_empty(&values)?, values, used: None })
    }

    /// Enters the next one.
    pub fn enter(&mut self) -> PyResult<Entered<'py>> {
        if self.is_empty
            && let Some(used) = &self.used
            && is_empty(used)?
        {
            // Nothing was set there, so nobody can tell it from a new one.
            return enter(used.clone());
        }
        let next = copy(&self.values)?;
        if self.is_empty {
            self.used = Some(next.clone());
        }
        enter(next)
    }
}
