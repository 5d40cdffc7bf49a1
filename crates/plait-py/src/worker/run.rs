//! A worker's loop: claim, run, tell, until the pool says stop.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;
use std::time::Duration;

use plait_engine::worker::{Desk, Worker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::hands::Hands;
use super::{output, stop, worker_error};
use crate::logs::RecordWriter;
use crate::{context, memory, own};

/// How often an idle worker looks up from its sleep for no reason: a safety net, not a mechanism.
const NAP: Duration = Duration::from_secs(60);

/// A worker's loop.
#[pyclass(frozen, module = "plait._core")]
pub struct WorkerLoop {
    worker: Mutex<Option<Worker>>,
    desk: Desk,
    number: u32,
}

impl WorkerLoop {
    /// A loop that has not begun.
    pub fn new(worker: Worker) -> Self {
        own::begin(worker.desk());
        Self { desk: worker.desk(), number: u32::from(worker.id().0), worker: Mutex::new(Some(worker)) }
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

    /// The handler of the signal that ends the call that runs.
    #[pyo3(signature = (*_args))]
    fn on_stop(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        stop::on_signal(py, &self.desk)
    }

    /// In place of `sys.unraisablehook`, which `tell` was: what would end a call is not lost.
    #[expect(clippy::unused_self, reason = "a method, as `on_stop`, of which it is the other half")]
    fn on_unraisable(&self, tell: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = tell.py();
        if stop::is_lost_order(py, &error.getattr(intern!(py, "exc_type"))?)? {
            return Ok(());
        }
        tell.call1((error,)).map(drop)
    }

    /// Keeps the last of what this process prints, for the error of its death. `unwritten`: it is the beginning of a line,
    /// which is to be written out by `flush` after the call.
    fn keep(&self, printed: &[u8], unwritten: bool) {
        self.desk.keep(printed);
        if unwritten {
            output::set_unwritten();
        }
    }

    /// The shared memory that the pool gave each worker, by its table.
    ///
    /// # Errors
    /// `RuntimeError` for what is no table; `MemoryError` when it cannot be mapped.
    fn given<'py>(&self, py: Python<'py>, table: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let pieces = self.desk.given(table).map_err(|error| worker_error(&error.into()))?;
        memory::list(py, &pieces)
    }

    /// Where log records are written.
    fn records(&self) -> RecordWriter {
        RecordWriter::new(self.desk.clone(), self.number)
    }

    /// The descriptor that stacks are to be written to when it comes to the worst. It stays open.
    fn dump_file(&self) -> PyResult<RawFd> {
        Ok(self.desk.dump_file()?.as_raw_fd())
    }

    /// Lets the time of the call that runs stand still, while a debugger has it; how much of it was used, in nanoseconds.
    fn stop_clock(&self) -> Option<u64> {
        self.desk.stop_clock()
    }

    /// Lets the time of the call that runs go on.
    fn start_clock(&self, used: u64) {
        self.desk.start_clock(used);
    }

    /// Runs tasks until the pool says stop; with `watch_growth`, tells it by how much this process grows. `flush` is called
    /// after a call that printed the beginning of a line.
    #[pyo3(signature = (flush, watch_growth=false))]
    fn run(&self, py: Python<'_>, flush: Py<PyAny>, watch_growth: bool) -> PyResult<()> {
        let taken = self.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(mut worker) = taken else { return Err(PyRuntimeError::new_err("the worker runs already")) };
        if watch_growth {
            worker.watch_growth();
        }
        context::keep_base(py)?;
        worker.greet(None);
        let mut hands = Hands::new(self.desk.clone(), flush);
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
