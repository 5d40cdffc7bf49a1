//! What of a context goes to a worker process: bytes before the arguments of a call.
//!
//! `plait._context` finds the names of variables and pickles values. It is asked only where a variable is set, and again only
//! when another one is, or another value: what was made last is kept, where every value in it is one that cannot change.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::{copy_current, is_empty};
use crate::codec::{Message, byname};
use crate::form;

/// What was made of a context, as bytes; none where nothing in it can go.
type Packed = Option<Arc<[u8]>>;

struct Last {
    /// What had been learned about variables: [`EPOCH`], and the number of modules, each of which may name some.
    known: (u64, usize),
    /// Variables, and the values of those that go.
    items: Vec<(Py<PyAny>, Option<Py<PyAny>>)>,
    packed: Packed,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

static EPOCH: AtomicU64 = AtomicU64::new(0);

/// A variable has got a name: what was made of contexts before may lack it.
#[pyfunction]
pub fn forget_contexts() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// What of the current context goes to a worker.
///
/// # Errors
/// An interrupt; what cannot be sent is left out.
pub fn of_current(py: Python<'_>) -> PyResult<Packed> {
    of_context(&copy_current(py)?)
}

/// The same of some context.
pub fn of_context(context: &Bound<'_, PyAny>) -> PyResult<Packed> {
    if is_empty(context)? { Ok(None) } else { pack(context) }
}

fn pack(context: &Bound<'_, PyAny>) -> PyResult<Packed> {
    let py = context.py();
    let items: Vec<_> = context.call_method0(intern!(py, "items"))?.try_iter()?.collect::<PyResult<_>>()?;
    let items: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)> =
        items.iter().map(|item| item.extract()).collect::<PyResult<_>>()?;
    let known = (EPOCH.load(Ordering::Relaxed), byname::module_count(py));
    let is_last = |last: &Last| {
        last.known == known
            && last.items.len() == items.len()
            && last.items.iter().zip(&items).all(|((variable, value), now)| {
                variable.is(&now.0) && value.as_ref().is_none_or(|value| value.is(&now.1))
            })
    };
    let packed = LAST.with_borrow(|last| last.as_ref().filter(|last| is_last(last)).map(|last| last.packed.clone()));
    if let Some(packed) = packed {
        return Ok(packed);
    }
    let packer = py.import(intern!(py, "plait._context"))?.getattr(intern!(py, "pack"))?;
    let told = packer.call1((PyTuple::new(py, &items)?,))?;
    let (bytes, goes) = told.extract::<(Option<Bound<'_, PyBytes>>, Option<Vec<bool>>)>()?;
    let packed: Packed = bytes.map(|bytes| bytes.as_bytes().into());
    let last = goes.map(|goes| {
        let keep = |((variable, value), goes): ((Bound<'_, PyAny>, Bound<'_, PyAny>), bool)| {
            (variable.unbind(), goes.then(|| value.unbind()))
        };
        let known = (EPOCH.load(Ordering::Relaxed), byname::module_count(py));
        Last { known, items: items.into_iter().zip(goes).map(keep).collect(), packed: packed.clone() }
    });
    // What goes with it may run code, which may come by here.
    let _outdated = LAST.replace(last);
    Ok(packed)
}

/// Begins a message with what was made of a context; the form that the message then has.
pub fn push(packed: Option<&Arc<[u8]>>, form: u8, out: &mut Message) -> u8 {
    let Some(packed) = packed else { return form };
    let length = u32::try_from(packed.len()).expect("`plait._context` sends no more than that");
    out.bytes.extend_from_slice(&length.to_le_bytes());
    out.bytes.extend_from_slice(packed);
    form | form::IN_CONTEXT
}
