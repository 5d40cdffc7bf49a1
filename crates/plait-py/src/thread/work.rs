//! The life of a worker thread: it takes tasks and runs them, and while it waits for a task of its own pool it sees to
//! it that somebody runs that one: by running it itself, or by lending its place (`lending`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use plait_engine::native;
use plait_engine::tally::{Counters, Place};
use plait_engine::threads::Popped;
use plait_engine::threads::waits::Waiter;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use crate::future::{FutureCore, Held, Phase, tell};

use crate::{callout, context};

use super::lending::{self, Lent};
use super::limited::{self, Attempt};
use super::{Call, Tasks, ThreadHome, finish};

/// What a worker thread knows of its pool, and of itself.
pub(super) struct Works {
    pub(super) tasks: Arc<Tasks>,
    pub(super) home: ThreadHome,
    /// Starts another thread of the pool.
    pub(super) start: Py<PyAny>,
    /// What the initializer has set of context variables, if anything.
    pub(super) initialized: Option<Py<PyAny>>,
    /// The thread, as Python knows it.
    pub(super) thread: Py<PyAny>,
    /// Whether a call with a timeout runs here.
    pub(super) timed: Cell<bool>,
    /// Where it is in the tally, unless there are more threads than that tells of.
    pub(super) place: Option<usize>,
    /// The call that runs here, and its number once it waits for others; 0 before.
    running: Cell<Option<Arc<FutureCore>>>,
    waiter: Cell<Waiter>,
}

impl Works {
    fn place(&self) -> Option<&Place> {
        self.tasks.tally.place(self.place?)
    }

    /// A call begins; gives what it stands before.
    fn enter(&self) -> u64 {
        self.place().map_or(0, |place| place.enter(some_milliseconds_ago()))
    }

    /// It is over.
    fn exit(&self, before: u64) {
        if let Some(place) = self.place() {
            place.exit(before);
        }
    }

    /// It was the last of its task.
    pub(super) fn hear(&self) {
        if let Some(place) = self.place() {
            place.hear();
        }
    }

    /// A call that was given up is over after all.
    pub(super) fn come_back(&self) {
        if let Some(place) = self.place() {
            place.lose(false);
        }
    }

    /// Makes a call of `core`'s; what that lent while it waited is taken back at its end.
    pub(super) fn during<R>(
        &self,
        py: Python<'_>,
        core: Arc<FutureCore>,
        call: impl FnOnce() -> R,
    ) -> (Arc<FutureCore>, R) {
        let address = Arc::as_ptr(&core);
        let outer = (self.running.replace(Some(core)), self.waiter.replace(0));
        let before = self.enter();
        let called = call();
        self.exit(before);
        let core = self.running.replace(outer.0).expect("put there above, and taken out by nobody");
        debug_assert_eq!(Arc::as_ptr(&core), address);
        let waiter = self.waiter.replace(outer.1);
        if waiter != 0 {
            lending::left(py, waiter);
        }
        (core, called)
    }

    /// The call that runs in this thread.
    pub(super) fn running(&self) -> Option<Arc<FutureCore>> {
        let core = self.running.take();
        self.running.set(core.clone());
        core
    }

    /// The number of that call as one that waits.
    pub(super) fn waiter(&self) -> Waiter {
        if self.waiter.get() == 0 {
            self.waiter.set(lending::next_waiter());
        }
        self.waiter.get()
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        if let Some(place) = self.place() {
            place.leave();
        }
    }
}

/// The time as the kernel last noted it, which costs next to nothing.
fn some_milliseconds_ago() -> u64 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

thread_local! {
    /// The pool this thread works for.
    static WORKS: RefCell<Option<Rc<Works>>> = const { RefCell::new(None) };
    /// Which pool that is, for those that ask only to hear that it is another.
    static WORKS_FOR: Cell<ThreadHome> = const { Cell::new(ThreadHome::NONE) };
}

fn works_of(home: ThreadHome) -> Option<Rc<Works>> {
    if WORKS_FOR.get() != home {
        return None;
    }
    WORKS.with_borrow(Clone::clone)
}

/// What this thread knows of its pool, if it works for one.
pub(super) fn works() -> Option<Rc<Works>> {
    if WORKS_FOR.get() == ThreadHome::NONE {
        return None;
    }
    WORKS.with_borrow(Clone::clone)
}

/// Whether this thread is a worker of the pool.
pub(super) fn works_for(home: ThreadHome) -> bool {
    WORKS_FOR.get() == home
}

/// See [`super::ThreadQueue::work`].
pub(super) fn work(py: Python<'_>, tasks: &Arc<Tasks>, home: ThreadHome, start: Py<PyAny>, thread: Py<PyAny>) {
    let initialized = context::of_submitter(py).unwrap_or_else(|error| {
        error.write_unraisable(py, None);
        None
    });
    let place = tasks.tally.take(gettid().as_raw_nonzero().get().cast_unsigned());
    Counters::add(&tasks.tally.count().started);
    let (timed, running, waiter) = (Cell::new(false), Cell::new(None), Cell::new(0));
    let works =
        Rc::new(Works { tasks: Arc::clone(tasks), home, start, initialized, thread, timed, place, running, waiter });
    WORKS.set(Some(Rc::clone(&works)));
    WORKS_FOR.set(home);
    // A child that was forked in a call has this thread alone, and leaves the other tasks to the parent.
    while !home.is_foreign() {
        let popped = match tasks.pop_nowait() {
            Popped::Empty => py.detach(|| tasks.pop_wait(None)),
            found => found,
        };
        match popped {
            Popped::Task(core) => run(py, &works, core),
            Popped::Empty => {}
            Popped::Leave => break,
        }
    }
    WORKS_FOR.set(ThreadHome::NONE);
    WORKS.take();
}

/// Does what a task needs; nothing if somebody has begun it already, or it was cancelled.
fn run(py: Python<'_>, works: &Works, core: Arc<FutureCore>) {
    let Some(call) = core.begin() else { return follow_up(py, works, &core) };
    let call = *call;
    if call.limits.is_some() {
        return limited::run(py, works, Attempt::first(core, call));
    }
    let (core, held) = works.during(py, core, || match call.make(py, works.initialized.as_ref()) {
        Ok(value) => Held::Value(value),
        Err(error) => Held::Error(error.into_value(py).into_any()),
    });
    // The arguments go before the result is known, as when a plain call returns.
    drop(call);
    works.hear();
    finish(py, &works.tasks, &core, held);
}

/// What is left of a call that was abandoned: the next try, or telling those who asked.
#[cold]
fn follow_up(py: Python<'_>, works: &Works, core: &Arc<FutureCore>) {
    if let Some(attempt) = core.again() {
        limited::run(py, works, *attempt);
    } else if core.phase().is_done() {
        tell(py, core);
    }
}

/// Called before this thread waits for `core`, which lasts no longer than what is returned.
///
/// A worker that waits for a task of its own pool runs it itself if nobody has begun it: else all workers could wait for
/// tasks that no worker is left to run. Where a timeout is involved the task has to be in a thread of its own, to be
/// abandoned alone, and what another pool is to run is not this thread's: then it may lend its place.
pub fn help<'py>(py: Python<'py>, core: &Arc<FutureCore>, home: ThreadHome) -> PyResult<Option<Lent<'py>>> {
    if WORKS_FOR.get() == ThreadHome::NONE {
        return Ok(None);
    }
    if let Some(works) = works_of(home) {
        if core.phase() != Phase::Pending {
            return Ok(None);
        }
        if !works.timed.get() && !is_timed(core) {
            run(py, &works, Arc::clone(core));
            return Ok(None);
        }
    }
    lending::lend(py, core, home)
}

fn is_timed(core: &FutureCore) -> bool {
    let timed = |call: &Call| call.limits.as_ref().is_some_and(|limits| limits.timeout.is_some());
    matches!(&core.slot().held, Held::Call(call) if timed(call))
}

/// Runs `work()` in a thread that Python does not know of: for the end of a program, where some versions start no other.
/// Returns whether there was a thread to be had.
#[pyfunction]
pub fn start_native(work: Py<PyAny>) -> bool {
    let run = move || {
        Python::try_attach(|py| {
            let work = work.into_bound(py);
            if let Err(error) = callout::call(&work, &PyTuple::empty(py), None) {
                error.write_unraisable(py, Some(&work));
            }
        });
    };
    native::spawn(thread::Builder::new().name("plait-thread".into()), run).is_ok()
}
