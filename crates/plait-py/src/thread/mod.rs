//! The thread pool's face to Python: a queue in Rust, worker threads that Python knows of.
//!
//! Submitting and finishing a task take a lock for nanoseconds and wake a thread only when one sleeps; that, and
//! the future, is where the stdlib's pool spends its time. Calls without limits know nothing of them: `work` is
//! what a worker does, `lending` who waits for calls of thread pools meanwhile, `limited` makes calls with a timeout or
//! retries, `deadlines` watches the timeouts.

mod deadlines;
mod lending;
mod limited;
mod work;

pub use lending::{await_here, ended};
pub use work::{help, start_native};

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use plait_engine::tally::{Counters, Tally};
use plait_engine::threads::{Pushed, Queue};
use plait_trace::pools::PoolKind;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::future::{FutureCore, Held, Home, Phase, new_future, tell};
use crate::pools::{self, Published};
use crate::process::forks;
use crate::{beacon, callout, context, stats};
pub use limited::Attempt;
use limited::Limits;

/// What a task of a thread pool is to call. It lies in its future until somebody begins it.
pub struct Call {
    function: Py<PyAny>,
    args: Py<PyTuple>,
    kwargs: Option<Py<PyDict>>,
    /// Of its submitter, if a variable is set there.
    context: Option<Py<PyAny>>,
    limits: Option<Box<Limits>>,
}

impl Call {
    /// Calls it, once. `initialized`: what the thread's initializer has set.
    fn make(&self, py: Python<'_>, initialized: Option<&Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let kwargs = self.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
        let _context = context::enter_for(py, self.context.as_ref(), initialized)?;
        let _running = beacon::begin_next(self.function.bind(py));
        callout::call(self.function.bind(py), self.args.bind(py), kwargs).map(Bound::unbind)
    }
}

/// What waits for a thread. A future says by its state what it needs: to be begun, to be tried again, or, when it has ended
/// because its call was abandoned, somebody to tell those who asked for its end.
pub struct Tasks {
    queue: Queue<Arc<FutureCore>>,
    tally: Arc<Tally>,
    home: ThreadHome,
    published: Published,
}

impl Deref for Tasks {
    type Target = Queue<Arc<FutureCore>>;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        pools::forget_threads(self.home.0);
    }
}

/// A place for each thread that there may be, and some for those that take the places of others.
const PLACES: usize = 256;

impl Tasks {
    fn new(max_workers: usize, name: Option<&str>, home: ThreadHome) -> Arc<Self> {
        let tally = Tally::new(max_workers.saturating_add(PLACES));
        let published = Published::new(PoolKind::Threads, name, max_workers, &tally);
        pools::know_threads(home.0, &tally);
        Arc::new(Self { queue: Queue::new(max_workers), tally, home, published })
    }

    /// Takes no more tasks.
    fn close(&self) {
        self.published.close();
        self.queue.close();
    }
}

/// A future of this pool was cancelled that nobody had begun.
pub fn count_cancelled(home: ThreadHome) {
    if let Some(tally) = pools::tally_of_threads(home.0) {
        Counters::add(&tally.count().cancelled);
    }
}

/// Which thread pool a future is at home in: the forks this process had come through when the pool was made, and a
/// number. One word, because each future has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadHome(u64);

impl ThreadHome {
    /// No pool.
    const NONE: Self = Self(0);
    /// Bits of the number; a program that makes a pool each microsecond has enough for two weeks.
    const NUMBER: u32 = 40;

    fn new() -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        Self(forks() << Self::NUMBER | (NUMBERS.fetch_add(1, Ordering::Relaxed) & ((1 << Self::NUMBER) - 1)))
    }

    /// Whether the pool is that of the parent process, whose threads are not in this one.
    pub fn is_foreign(self) -> bool {
        (self.0 ^ (forks() << Self::NUMBER)) >> Self::NUMBER != 0
    }

    /// Refuses what nobody would ever do.
    pub fn check(self) -> PyResult<()> {
        if self.is_foreign() {
            return Err(PyRuntimeError::new_err(
                "this pool belongs to the parent process; make a new one after os.fork()",
            ));
        }
        Ok(())
    }
}

/// Ends a future that this thread has begun.
fn finish(py: Python<'_>, tasks: &Tasks, core: &Arc<FutureCore>, held: Held) {
    let counters = tasks.tally.count();
    Counters::add(if matches!(held, Held::Value(_)) { &counters.done } else { &counters.failed });
    if core.transition(&[Phase::Running], Phase::Finished, held) == Some(true) {
        tell(py, core);
    }
}

/// Fails all tasks that wait.
fn fail_waiting(py: Python<'_>, tasks: &Tasks, error: &Bound<'_, PyAny>) {
    for core in tasks.drain() {
        let held = Held::Error(error.clone().unbind());
        if core.begin().is_some() || core.again().is_some() {
            finish(py, tasks, &core, held);
        } else if core.phase().is_done() {
            tell(py, &core);
        }
    }
}

/// What worker threads hold of their pool: the queue alone, so that a forgotten executor can be collected.
#[pyclass(frozen, module = "plait._core")]
pub struct ThreadQueue {
    tasks: Arc<Tasks>,
    home: ThreadHome,
}

#[pymethods]
impl ThreadQueue {
    /// `name`: what the pool is called, where it has been given a name.
    #[new]
    #[pyo3(signature = (max_workers, name=None))]
    fn new(max_workers: usize, name: Option<&str>) -> Self {
        let home = ThreadHome::new();
        Self { tasks: Tasks::new(max_workers, name, home), home }
    }

    /// What is counted, and the threads: see `plait._stats`.
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.home.check()?;
        stats::of_threads(py, &self.tasks.tally)
    }

    /// Runs tasks until there will be no more, or no place for this thread. `start` starts another thread.
    fn work(&self, py: Python<'_>, start: Py<PyAny>, thread: Py<PyAny>) {
        work::work(py, &self.tasks, self.home, start, thread);
    }

    /// The thread that was to start, or this one, does no work: it could not be started, or not be made ready.
    /// When there is no other, the tasks that wait fail with this exception.
    fn gone(&self, py: Python<'_>, error: &Bound<'_, PyAny>) {
        if self.tasks.gone() == 0 {
            fail_waiting(py, &self.tasks, error);
        }
    }

    /// Fails all tasks that nobody has begun with this exception, and takes no more.
    fn fail(&self, py: Python<'_>, error: &Bound<'_, PyAny>) {
        self.tasks.close();
        fail_waiting(py, &self.tasks, error);
    }

    /// Takes no more tasks; with `cancel_pending` those not begun are cancelled.
    fn close(&self, py: Python<'_>, cancel_pending: bool) {
        if self.home.is_foreign() {
            return;
        }
        self.tasks.close();
        if cancel_pending {
            self.cancel_waiting(py);
        }
    }

    /// After a close: waits until every task has ended or was abandoned, and no thread looks for more.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        if self.home.is_foreign() {
            return Ok(());
        }
        if work::works_for(self.home) {
            return Err(PyRuntimeError::new_err("cannot join current thread"));
        }
        while !py.detach(|| self.tasks.wait_left(crate::future::SLICE)) {
            py.check_signals()?;
        }
        Ok(())
    }

    /// The threads whose calls were abandoned and have not ended yet.
    fn abandoned(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        deadlines::abandoned(py, self.home)
    }

    /// Whether it takes no more tasks.
    #[getter]
    fn closed(&self) -> bool {
        self.home.is_foreign() || self.tasks.is_closed()
    }

    /// Sets how many threads there may be; returns how many the caller is to start now. Those that are too many end, or
    /// are kept, to be woken when there may be more.
    #[pyo3(signature = (max_workers, keep=false))]
    fn resize(&self, max_workers: usize, keep: bool) -> usize {
        if self.home.is_foreign() { 0 } else { self.tasks.resize(max_workers, keep) }
    }

    /// Tasks that no thread has begun.
    #[getter]
    fn queued(&self) -> usize {
        if self.home.is_foreign() { 0 } else { self.tasks.len() }
    }
}

impl ThreadQueue {
    fn cancel_waiting(&self, py: Python<'_>) {
        for core in self.tasks.drain() {
            if let Some(asked) = core.transition(&[Phase::Pending], Phase::Notified, Held::Nothing) {
                Counters::add(&self.tasks.tally.count().cancelled);
                if asked {
                    tell(py, &core);
                }
            } else if let Some(attempt) = core.again() {
                // It has begun: it cannot be cancelled, and ends as its last try did.
                attempt.give_up(py, &self.tasks);
            } else if core.phase().is_done() {
                tell(py, &core);
            }
        }
    }
}

/// The engine of `plait.ThreadPoolExecutor`, which derives from it.
#[pyclass(subclass, frozen, weakref, module = "plait._core")]
pub struct ThreadEngine {
    opened: OnceLock<Opened>,
}

struct Opened {
    tasks: Arc<Tasks>,
    home: ThreadHome,
    /// Starts a thread.
    start: Py<PyAny>,
    /// Those of calls that ask for none of their own.
    limits: Option<Limits>,
}

impl ThreadEngine {
    fn opened(&self) -> PyResult<&Opened> {
        self.opened.get().ok_or_else(|| PyRuntimeError::new_err("the executor's __init__ was not called"))
    }

    fn schedule<'py>(slf: &Bound<'py, Self>, call: Call) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get().opened()?;
        this.home.check()?;
        let core = FutureCore::new(Home::Threads(this.home));
        core.slot().held = Held::Call(Box::new(call));
        let future = new_future(py, Arc::clone(&core))?;
        Counters::add(&this.tasks.tally.count().submitted);
        match this.tasks.push(core) {
            Ok(Pushed::Woken | Pushed::Queued) => {}
            Ok(Pushed::Hire) => {
                callout::call(this.start.bind(py), &PyTuple::empty(py), None)?;
            }
            Err(_task) => {
                this.tasks.tally.count().submitted.fetch_sub(1, Ordering::Relaxed);
                // Says what happened in the words the stdlib uses for each case.
                let reason: String = slf.call_method0(intern!(py, "_refusal"))?.extract()?;
                return Err(PyRuntimeError::new_err(reason));
            }
        }
        Ok(future)
    }
}

#[pymethods]
impl ThreadEngine {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { opened: OnceLock::new() }
    }

    /// Takes tasks into `queue` from now on. `start` starts a thread that works on it; the limits are each call's.
    #[pyo3(name = "_open")]
    fn open(&self, queue: &ThreadQueue, start: Py<PyAny>, timeout: Option<f64>, retries: u32) {
        let limits = Limits::new(timeout, retries);
        let _ = self.opened.set(Opened { tasks: Arc::clone(&queue.tasks), home: queue.home, start, limits });
    }

    /// Schedule `fn(*args, **kwargs)` on a worker thread and return its future.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        slf: &Bound<'py, Self>,
        r#fn: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limits = slf.get().opened()?.limits.as_ref().map(|limits| Box::new(*limits));
        let kwargs = kwargs.map(Bound::unbind);
        let context = context::of_submitter(slf.py())?;
        Self::schedule(slf, Call { function: r#fn.unbind(), args: args.unbind(), kwargs, context, limits })
    }

    /// The same with limits of the call's own.
    #[pyo3(name = "_submit_with")]
    fn submit_with<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<f64>,
        retries: u32,
        r#fn: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let limits = Limits::new(timeout, retries).map(Box::new);
        let kwargs = (!kwargs.is_empty()).then(|| kwargs.unbind());
        let context = context::of_submitter(slf.py())?;
        Self::schedule(slf, Call { function: r#fn.unbind(), args: args.unbind(), kwargs, context, limits })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // It knows the initializer's arguments, which may know the executor.
        self.opened.get().map_or(Ok(()), |opened| visit.call(&opened.start))
    }
}

impl Drop for ThreadEngine {
    fn drop(&mut self) {
        if let Some(opened) = self.opened.get()
            && !opened.home.is_foreign()
        {
            opened.tasks.close();
        }
    }
}
