//! A worker's loop: claim, run, tell, until the pool says stop.

use std::sync::Mutex;
use std::time::Duration;

use plait_engine::worker::Worker;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::hands::Hands;
use super::worker_error;

/// How often an idle worker looks up from its sleep for no reason: a safety net, not a mechanism.
const NAP: Duration = Duration::from_secs(60);

/// A worker's loop.
#[pyclass(frozen, module = "plait._core")]
pub struct WorkerLoop {
    worker: Mutex<Option<Worker>>,
}

impl WorkerLoop {
    /// A loop that has not begun.
    pub fn new(worker: Worker) -> Self {
        Self { worker: Mutex::new(Some(worker)) }
    }
}

#[pymethods]
impl WorkerLoop {
    /// Tells the pool that the worker will never be ready, and why.
    fn refuse(&self, reason: &str) {
        if let Some(worker) = self.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut() {
            worker.greet(Some(reason));
        }
    }

    /// Runs tasks until the pool says stop.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        let taken = self.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(mut worker) = taken else { return Err(PyRuntimeError::new_err("the worker runs already")) };
        worker.greet(None);
        let mut hands = Hands::default();
        loop {
            if worker.is_told() {
                worker.listen();
            }
            if worker.is_stopped() {
                return Ok(());
            }
            match worker.next_task().map_err(|error| worker_error(&error))? {
                Some(task) => hands.work(py, &mut worker, &task)?,
                None => py.detach(|| worker.sit(Some(NAP))),
            }
            // Python's signal handlers run between tasks; one that raises ends the worker, as it would end a program.
            py.check_signals()?;
        }
    }
}
