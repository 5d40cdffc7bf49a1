//! The class that `plait.ProcessPoolExecutor` derives from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use plait_engine::pool::{Pool, PoolConfig};
use plait_trace::pools::PoolKind;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::origin::Origin;
use super::{Limits, ProcessHome, forks};
use crate::function::FunctionTable;
use crate::future::deadline;
use crate::pools::Published;
use crate::{errors, memory, program, stats};

/// The engine of `plait.ProcessPoolExecutor`, which derives from it.
#[pyclass(subclass, frozen, weakref, module = "plait._core")]
pub struct ProcessEngine {
    home: OnceLock<Arc<ProcessHome>>,
}

impl ProcessEngine {
    pub fn home(&self) -> PyResult<&Arc<ProcessHome>> {
        self.home.get().ok_or_else(|| PyRuntimeError::new_err("the executor's __init__ was not called"))
    }
}

impl Drop for ProcessEngine {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        if home.is_foreign() {
            return;
        }
        home.published.close();
        home.pool().shutdown(false);
        if !home.pool().is_ended() {
            program::adopt(&home);
        }
    }
}

#[pymethods]
impl ProcessEngine {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { home: OnceLock::new() }
    }

    /// Opens the pool. `origin` is (program, arguments, environment) of the nursery, or a socket to one that runs already and is
    /// this pool's alone. `setup` is what each worker is given, and `given` the shared memory that it speaks of.
    #[pyo3(
        name = "_open",
        signature = (max_workers, max_tasks_per_child, setup, given, origin, timeout, retries, memory, growth, grace)
    )]
    #[expect(clippy::too_many_arguments, reason = "called from one place")]
    fn open(
        &self,
        py: Python<'_>,
        max_workers: usize,
        max_tasks_per_child: Option<u64>,
        setup: Vec<u8>,
        given: Vec<Bound<'_, PyAny>>,
        origin: Origin,
        timeout: Option<f64>,
        retries: u32,
        memory: Option<u64>,
        growth: Option<u64>,
        grace: f64,
    ) -> PyResult<()> {
        let grace = Duration::try_from_secs_f64(grace).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let limits = plait_engine::pool::Limits { memory, growth, grace };
        let config = PoolConfig { max_workers, max_tasks_per_child, limits, setup };
        let heap = memory::program()?;
        let given = given.iter().map(|memory| memory::shared_piece(&heap, memory));
        let given = given.filter_map(Result::transpose).collect::<PyResult<Vec<_>>>()?;
        let pool = py
            .detach(|| Pool::new(config, Arc::clone(&heap), origin.nursery()?))
            .map_err(|error| errors::new_pool(&error))?;
        let published = Published::new(PoolKind::Processes, None, max_workers, pool.tally());
        let home = ProcessHome {
            published,
            beacons: Mutex::default(),
            pool: Some(pool),
            functions: Mutex::new(HashMap::new()),
            table: FunctionTable::with_buffers(Arc::clone(&heap)),
            heap,
            _given: given,
            forks: forks(),
            limits: Limits::new(timeout, retries)?,
        };
        let home = Arc::new(home);
        program::enroll(&home);
        self.home.set(home).map_err(|_| PyValueError::new_err("the executor is open already"))
    }

    /// Schedule `fn(*args, **kwargs)` on a worker process and return its future.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        py: Python<'py>,
        r#fn: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let home = self.home()?;
        home.submit(py, r#fn, args, kwargs, &home.limits)
    }

    /// The same with limits of the call's own.
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
        self.home()?.submit(py, r#fn, args, kwargs, &Limits::new(timeout, retries)?)
    }

    /// Refuses new tasks; with `cancel_pending` those not begun are cancelled.
    #[pyo3(name = "_shutdown")]
    fn shutdown(&self, py: Python<'_>, cancel_pending: bool) {
        if let Some(home) = self.home.get()
            && !home.is_foreign()
        {
            home.published.close();
            py.detach(|| home.pool().shutdown(cancel_pending));
        }
    }

    /// After a shutdown: waits until all workers have ended, up to `timeout` seconds; whether they have.
    #[pyo3(name = "_join", signature = (timeout=None))]
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let Some(home) = self.home.get() else { return Ok(true) };
        home.join(py, deadline(timeout))
    }

    /// Takes no more tasks, cancels those not begun, tries none again, and kills all workers; or, with `politely`, sends
    /// them SIGTERM.
    #[pyo3(name = "_give_up", signature = (politely=false))]
    fn give_up(&self, py: Python<'_>, politely: bool) {
        if let Some(home) = self.home.get()
            && !home.is_foreign()
        {
            py.detach(|| home.give_up(politely));
        }
    }

    /// What is counted, and the workers: see `plait._stats`.
    #[pyo3(name = "_figures")]
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let home = self.home()?;
        home.check()?;
        stats::of_processes(py, home)
    }

    /// Figures of the moment: tasks submitted and pending, process ids of the workers, workers expected, unexpected deaths.
    #[pyo3(name = "_stats")]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let home = self.home()?;
        home.check()?;
        let stats = home.pool().stats();
        let dict = PyDict::new(py);
        dict.set_item("submitted", stats.submitted)?;
        dict.set_item("pending", stats.pending)?;
        dict.set_item("pids", stats.pids)?;
        dict.set_item("expected", stats.expected)?;
        dict.set_item("deaths", stats.deaths)?;
        dict.set_item("broken", stats.broken.as_deref())?;
        Ok(dict)
    }
}
