//! Waiting for what a lock or its kin gives: in this thread, without the interpreter and with an ear for signals, or for an event loop.
//!
//! What coroutines wait for is watched by one thread for all (`plait_engine::locks::Waiters`). What it got for one that has been cancelled
//! meanwhile goes back at once, in whichever thread that is found out: a cancelled coroutine never holds anything.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plait_engine::locks::{Deadline, Left, Pending, Ticket, Waiters, wait};
use pyo3::exceptions::{PyOSError, PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::program::forks;

/// How long the main thread sleeps before it looks for a signal that came just before it fell asleep.
const SLICE: Duration = Duration::from_millis(50);

/// The most seconds that one may ask for, as `threading.TIMEOUT_MAX`.
const MOST: f64 = 9_223_372_036.0;

/// An instant so many seconds ahead; none: never. What has passed is now.
///
/// # Errors
/// `OverflowError`, `ValueError` for what is no number of seconds.
pub fn deadline(timeout: Option<f64>) -> PyResult<Option<Deadline>> {
    let Some(seconds) = timeout else { return Ok(None) };
    if seconds > MOST {
        return Err(PyOverflowError::new_err("timeout value is too large"));
    }
    // What `max` makes of a NaN would be no time at all.
    let ahead = if seconds.is_nan() { None } else { Duration::try_from_secs_f64(seconds.max(0.0)).ok() };
    let ahead = ahead.ok_or_else(|| PyValueError::new_err("the timeout is no number of seconds"))?;
    Ok(Some(Deadline::after(ahead)))
}

/// How long to wait, as `threading.Lock.acquire` is told: not at all, or until then.
///
/// # Errors
/// As `threading`'s.
pub fn blocking(blocking: bool, timeout: f64) -> PyResult<Option<Option<Deadline>>> {
    if !blocking && timeout != -1.0 {
        return Err(PyValueError::new_err("can't specify a timeout for a non-blocking call"));
    }
    if timeout < 0.0 && timeout != -1.0 {
        return Err(PyValueError::new_err("timeout value must be a non-negative number"));
    }
    let until = if timeout < 0.0 { None } else { deadline(Some(timeout))? };
    Ok(blocking.then_some(until))
}

/// Waits until there is something, or until the deadline: then `None`.
///
/// # Errors
/// What signal handlers raise; nothing was got then.
pub fn block<P>(py: Python<'_>, pending: &mut P, deadline: Option<Deadline>) -> PyResult<Option<P::Out>>
where
    P: Pending + Send,
    P::Out: Send,
{
    // Handlers of signals run in the main thread, which may fall asleep just after one came.
    let main = is_main();
    loop {
        let until = if main { Some(Deadline::after(SLICE)).into_iter().chain(deadline).min() } else { deadline };
        match py.detach(|| wait(pending, until)) {
            Ok(out) => return Ok(Some(out)),
            Err(Left::TimedOut) if deadline.is_some_and(Deadline::is_over) => {
                py.check_signals()?;
                return Ok(None);
            }
            Err(_) => py.check_signals()?,
        }
    }
}

thread_local! {
    /// After how many forks it was asked whether this is the main thread, and whether it is.
    static MAIN: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
}

/// Is this the main thread? A fork makes the thread that forks the main one.
fn is_main() -> bool {
    let forks = forks();
    // Kept, since it takes two system calls, as many as the wait itself.
    if let Some((_, known)) = MAIN.get().filter(|(asked, _)| *asked == forks) {
        return known;
    }
    let known = rustix::thread::gettid() == rustix::process::getpid();
    MAIN.set(Some((forks, known)));
    known
}

/// What a wait for an event loop has come to.
pub trait Ended: Send {
    /// What the coroutine is given.
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// Nobody wants it any more.
    fn undo(self: Box<Self>);
}

enum State {
    Waiting,
    Ended(Box<dyn Ended>),
    /// Taken, or nobody wants it.
    Over,
}

struct Slot(Mutex<State>);

impl Slot {
    fn swap(&self, state: State) -> State {
        std::mem::replace(&mut *self.lock(), state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody wants it any more.
    fn abandon(&self) {
        if let State::Ended(ended) = self.swap(State::Over) {
            ended.undo();
        }
    }
}

/// A wait for an event loop.
#[pyclass(frozen, module = "plait._core")]
pub struct Wait {
    slot: Arc<Slot>,
    waiters: Arc<Waiters>,
    ticket: Ticket,
}

#[pymethods]
impl Wait {
    /// What came of it, once it was told that it is over.
    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.slot.swap(State::Over) {
            State::Ended(ended) => ended.value(py),
            _ => Err(PyRuntimeError::new_err("the wait is not over, or was taken")),
        }
    }

    /// Nobody waits any more: what came, or comes at this moment, goes back.
    fn abandon(&self) {
        self.slot.abandon();
        self.waiters.cancel(self.ticket);
    }
}

/// Waits without blocking, and calls `tell` from another thread when it is over. `end` says there what came of it.
///
/// # Errors
/// `OSError` when there is no thread to be had.
pub fn begin<P, F>(pending: P, deadline: Option<Deadline>, tell: Py<PyAny>, end: F) -> PyResult<Wait>
where
    P: Pending + Send + 'static,
    P::Out: 'static,
    F: FnOnce(Result<P::Out, Left>, P) -> Box<dyn Ended> + Send + 'static,
{
    let waiters = waiters()?;
    let slot = Arc::new(Slot(Mutex::new(State::Waiting)));
    let theirs = Arc::clone(&slot);
    let ticket = waiters.add(pending, deadline, move |out, pending| {
        let ended = end(out, pending);
        {
            let mut state = theirs.lock();
            if matches!(*state, State::Over) {
                drop(state);
                return ended.undo();
            }
            *state = State::Ended(ended);
        }
        // A loop that is closed, or an interpreter that has ended: nobody will ever ask.
        let told = Python::try_attach(|py| tell.call0(py).is_ok());
        if told != Some(true) {
            theirs.abandon();
        }
    });
    Ok(Wait { slot, waiters, ticket })
}

/// The forks before it was made, and the thread that waits for coroutines.
static WAITERS: Mutex<Option<(u64, Arc<Waiters>)>> = Mutex::new(None);

fn waiters() -> PyResult<Arc<Waiters>> {
    let mut waiters = WAITERS.lock().unwrap_or_else(PoisonError::into_inner);
    let forks = forks();
    if let Some((born, waiters)) = &*waiters
        && *born == forks
    {
        return Ok(Arc::clone(waiters));
    }
    let started = Waiters::start().map_err(|error| {
        PyOSError::new_err(format!("there is no thread for coroutines that wait: {error}; see `ulimit -u`"))
    })?;
    let new = Arc::new(started);
    // That of a parent process has no thread here, which its end would wait for.
    std::mem::forget(waiters.replace((forks, Arc::clone(&new))));
    Ok(new)
}
