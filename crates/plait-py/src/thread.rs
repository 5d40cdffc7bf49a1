//! The thread pool's face to Python: a queue in Rust, worker threads that Python knows of.
//!
//! Submitting and finishing a task take a lock for nanoseconds and wake a thread only when one sleeps; that, and
//! the future, is where the stdlib's pool spends its time.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plait_engine::threads::{Popped, Pushed, Queue};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::future::{FutureCore, Held, Home, Phase, new_future, tell};

/// What a task of a thread pool is to call. It lies in its future until somebody begins it.
pub struct Call {
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
}

type Tasks = Queue<Arc<FutureCore>>;

thread_local! {
    /// The queue this thread works on, by its address; 0 in threads that are no workers.
    static WORKS_ON: Cell<usize> = const { Cell::new(0) };
}

fn address(queue: &Arc<Tasks>) -> usize {
    Arc::as_ptr(queue) as usize
}

/// Runs a task unless somebody has begun it already, or it was cancelled.
fn run(py: Python<'_>, core: &Arc<FutureCore>) {
    let Some(call) = core.begin() else { return };
    let Call { function, args, kwargs } = *call;
    let called = function.bind(py).call(args.bind(py), kwargs.as_ref().map(|kwargs| kwargs.bind(py)));
    let held = match called {
        Ok(value) => Held::Value(value.unbind()),
        Err(error) => Held::Error(error.into_value(py).into_any()),
    };
    // The arguments go before the result is known, as when a plain call returns.
    drop((function, args, kwargs));
    finish(py, core, held);
}

/// A worker that waits for a task of its own pool runs it itself if nobody has begun it: else all workers could wait for
/// tasks that no worker is left to run.
pub fn help(py: Python<'_>, core: &Arc<FutureCore>, queue: usize) {
    if WORKS_ON.get() == queue {
        run(py, core);
    }
}

fn finish(py: Python<'_>, core: &Arc<FutureCore>, held: Held) {
    if core.transition(&[Phase::Running], Phase::Finished, held) == Some(true) {
        tell(py, core);
    }
}

/// What worker threads hold of their pool: the queue alone, so that a forgotten executor can be collected.
#[pyclass(frozen, module = "plait._core")]
pub struct ThreadQueue {
    queue: Arc<Tasks>,
}

#[pymethods]
impl ThreadQueue {
    /// Runs tasks until the queue is closed and empty.
    fn work(&self, py: Python<'_>) {
        WORKS_ON.set(address(&self.queue));
        loop {
            let popped = match self.queue.pop_nowait() {
                Popped::Empty => py.detach(|| self.queue.pop_wait(None)),
                found => found,
            };
            match popped {
                Popped::Task(task) => run(py, &task),
                Popped::Empty => {}
                Popped::Closed => return,
            }
        }
    }

    /// Fails all tasks that nobody has begun with this exception, and takes no more.
    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>) {
        self.queue.close();
        for task in self.queue.drain() {
            if task.begin().is_some() {
                finish(py, &task, Held::Error(error.clone().unbind()));
            }
        }
    }
}

/// The engine of `plait.ThreadPoolExecutor`, which derives from it.
#[pyclass(subclass, frozen, weakref, module = "plait._core")]
pub struct ThreadEngine {
    queue: Arc<Tasks>,
    /// Threads that may still be started.
    spare: AtomicUsize,
}

#[pymethods]
impl ThreadEngine {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { queue: Arc::new(Queue::new()), spare: AtomicUsize::new(0) }
    }

    /// Allows so many threads.
    #[pyo3(name = "_open")]
    fn open(&self, max_workers: usize) {
        self.spare.store(max_workers, Ordering::Relaxed);
    }

    /// What a worker thread is to work on.
    #[getter(_queue)]
    fn queue(&self) -> ThreadQueue {
        ThreadQueue { queue: Arc::clone(&self.queue) }
    }

    /// Schedule `fn(*args, **kwargs)` on a worker thread and return its future.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        slf: &Bound<'py, Self>,
        r#fn: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let call = Call { function: r#fn.unbind(), args: args.unbind(), kwargs: kwargs.map(Bound::unbind) };
        let core = FutureCore::new(Home::Threads(address(&this.queue)));
        core.slot().held = Held::Call(Box::new(call));
        let future = new_future(py, Arc::clone(&core))?;
        match this.queue.push(core) {
            Ok(Pushed::Woken) => {}
            Ok(Pushed::AllBusy) => {
                let one_less = |spare: usize| spare.checked_sub(1);
                if this.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                    slf.call_method0(intern!(py, "_start_thread"))?;
                }
            }
            Err(_task) => {
                // Says what happened in the words the stdlib uses for each case.
                let reason: String = slf.call_method0(intern!(py, "_refusal"))?.extract()?;
                return Err(PyRuntimeError::new_err(reason));
            }
        }
        Ok(future)
    }

    /// Refuses new tasks; with `cancel_pending` those not begun are cancelled.
    #[pyo3(name = "_close")]
    fn close(&self, py: Python<'_>, cancel_pending: bool) {
        self.queue.close();
        if cancel_pending {
            for task in self.queue.drain() {
                if let Some(true) = task.transition(&[Phase::Pending], Phase::Notified, Held::Nothing) {
                    tell(py, &task);
                }
            }
        }
    }

    /// Tasks that no thread has begun.
    #[getter(_queued)]
    fn queued(&self) -> usize {
        self.queue.len()
    }
}

impl Drop for ThreadEngine {
    fn drop(&mut self) {
        self.queue.close();
    }
}
