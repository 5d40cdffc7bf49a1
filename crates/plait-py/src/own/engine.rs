//! The engine of `plait._own.OwnPool`, the executor as a task finds it that runs in its pool.

use std::sync::{Arc, Mutex, Weak};

use plait_engine::pool::Awaited;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{OWN, locked, own};
use crate::future::{FutureCore, deadline, new_future};
use crate::process::Limits;

/// Whether this process is a worker.
#[pyfunction]
pub fn is_worker() -> bool {
    OWN.get().is_some_and(|own| !own.desk.is_forked())
}

/// See the file's head.
#[pyclass(subclass, frozen, weakref, module = "plait._core")]
pub struct OwnEngine {
    /// What was submitted by way of this object and may not have ended.
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    cores: Vec<Weak<FutureCore>>,
    /// With so many it is time to forget those that have ended.
    tidy_at: usize,
}

impl OwnEngine {
    fn remember(&self, core: &Arc<FutureCore>) {
        let mut pending = locked(&self.pending);
        if pending.cores.len() >= pending.tidy_at {
            pending.cores.retain(|core| core.upgrade().is_some_and(|core| !core.is_done()));
            pending.tidy_at = (2 * pending.cores.len()).max(64);
        }
        pending.cores.push(Arc::downgrade(core));
    }
}

#[pymethods]
impl OwnEngine {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { pending: Mutex::default() }
    }

    /// Schedule `fn(*args, **kwargs)`, with limits, and return its future.
    #[pyo3(name = "_submit_with")]
    fn submit_with<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
        retries: u32,
        r#fn: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let core = own()?.submit(py, r#fn, args, kwargs, &Limits::new(timeout, retries)?)?;
        self.remember(&core);
        new_future(py, core)
    }

    /// Waits until all that was submitted by way of this object has ended, up to `timeout` seconds; whether it has.
    #[pyo3(name = "_finish", signature = (timeout=None))]
    fn finish(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let (own, deadline) = (own()?, deadline(timeout));
        let cores: Vec<_> = locked(&self.pending).cores.iter().filter_map(Weak::upgrade).collect();
        for core in cores {
            if !own.wait(py, &core, deadline)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
