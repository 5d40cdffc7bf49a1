//! `Lock` and `RLock`, as in `threading`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use plait_engine::locks::{Acquired, Left, Lock, RLock, ReleaseError};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::travel::{self, Pickled, There, full, not_joined};
use super::waiting::{self, Ended, Wait, block, blocking};
use crate::errors;

/// See `plait.Lock`.
#[pyclass(frozen, subclass, module = "plait._core")]
pub struct LockBase {
    lock: Lock,
}

impl LockBase {
    /// It was acquired: True, or whoever held it has died.
    fn told(&self, py: Python<'_>, acquired: Acquired) -> PyResult<bool> {
        let Some(died) = acquired.died else { return Ok(true) };
        let _ = self.lock.release();
        Err(errors::owner_died(py, died.pid))
    }
}

#[pymethods]
impl LockBase {
    #[new]
    #[pyo3(signature = (*, _there=None))]
    fn new(py: Python<'_>, _there: Option<There>) -> PyResult<Self> {
        let lock = match _there {
            Some(there) => travel::arrived(py, &there, Lock::at)?,
            None => Lock::create(&travel::home(py)?).map_err(|error| not_joined(&error))?.ok_or_else(full)?,
        };
        Ok(Self { lock })
    }

    /// Acquire it: True, or False if it was not to be had within `timeout` seconds, or at once if not `blocking`.
    ///
    /// Raises `plait.OwnerDied` if the process that held it has died; the lock is free then.
    #[pyo3(name = "acquire", signature = (blocking=true, timeout=-1.0))]
    fn acquire(&self, py: Python<'_>, blocking: bool, timeout: f64) -> PyResult<bool> {
        if blocking && timeout == -1.0 && self.lock.try_idle().map_err(|error| not_joined(&error))? {
            return Ok(true);
        }
        let Some(until) = self::blocking(blocking, timeout)? else {
            let acquired = self.lock.try_acquire().map_err(|error| not_joined(&error))?;
            return acquired.map_or(Ok(false), |acquired| self.told(py, acquired));
        };
        let mut acquiring = self.lock.acquiring().map_err(|error| not_joined(&error))?;
        block(py, &mut acquiring, until)?.map_or(Ok(false), |acquired| self.told(py, acquired))
    }

    /// Release it, whoever holds it; `RuntimeError` if nobody does.
    fn release(&self) -> PyResult<()> {
        self.lock.release().map_err(|_| PyRuntimeError::new_err("release unlocked lock"))
    }

    /// Whether a process holds it that lives.
    fn locked(&self) -> bool {
        self.lock.is_held()
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, -1.0)
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

    /// Begin to acquire it for a coroutine.
    fn _begin(&self, tell: Py<PyAny>, timeout: Option<f64>) -> PyResult<Wait> {
        let acquiring = self.lock.acquiring().map_err(|error| not_joined(&error))?;
        let lock = self.lock.clone();
        waiting::begin(acquiring, waiting::deadline(timeout)?, tell, move |out, _| Box::new(Got { lock, out }))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let lock = &slf.get().lock;
        travel::pickled(slf, lock.memory(), lock.name())
    }
}

/// A coroutine's lock, or not.
struct Got {
    lock: Lock,
    out: Result<Acquired, Left>,
}

impl Ended for Got {
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Self { lock, out } = *self;
        let got = out.map_or(Ok(false), |acquired| LockBase { lock }.told(py, acquired))?;
        Ok(got.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn undo(self: Box<Self>) {
        if self.out.is_ok() {
            let _ = self.lock.release();
        }
    }
}

thread_local! {
    /// The number of this thread among those that hold locks.
    static ME: Cell<u32> = const { Cell::new(0) };
}

/// A number that no other thread or task of this process has.
#[pyfunction]
pub fn new_holder() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn me() -> u32 {
    ME.with(|me| {
        if me.get() == 0 {
            me.set(new_holder());
        }
        me.get()
    })
}

/// See `plait.RLock`.
#[pyclass(frozen, subclass, module = "plait._core")]
pub struct RLockBase {
    lock: RLock,
}

impl RLockBase {
    fn told(&self, py: Python<'_>, who: u32, acquired: Acquired) -> PyResult<bool> {
        let Some(died) = acquired.died else { return Ok(true) };
        let _ = self.lock.release(who);
        Err(errors::owner_died(py, died.pid))
    }
}

fn not_released(error: ReleaseError) -> PyErr {
    PyRuntimeError::new_err(match error {
        ReleaseError::NotHeld => "cannot release un-acquired lock",
        ReleaseError::NotMine => "cannot release un-acquired lock: another thread, task or process holds it",
    })
}

#[pymethods]
impl RLockBase {
    #[new]
    #[pyo3(signature = (*, _there=None))]
    fn new(py: Python<'_>, _there: Option<There>) -> PyResult<Self> {
        let lock = match _there {
            Some(there) => travel::arrived(py, &there, RLock::at)?,
            None => RLock::create(&travel::home(py)?).map_err(|error| not_joined(&error))?.ok_or_else(full)?,
        };
        Ok(Self { lock })
    }

    /// Acquire it, once more if this thread holds it: True, or False if it was not to be had within `timeout` seconds, or at once if
    /// not `blocking`.
    ///
    /// Raises `plait.OwnerDied` if the process that held it has died; the lock is free then.
    #[pyo3(name = "acquire", signature = (blocking=true, timeout=-1.0))]
    fn acquire(&self, py: Python<'_>, blocking: bool, timeout: f64) -> PyResult<bool> {
        let who = me();
        if blocking && timeout == -1.0 && self.lock.try_idle(who).map_err(|error| not_joined(&error))? {
            return Ok(true);
        }
        let Some(until) = self::blocking(blocking, timeout)? else {
            let acquired = self.lock.try_acquire(who).map_err(|error| not_joined(&error))?;
            return acquired.map_or(Ok(false), |acquired| self.told(py, who, acquired));
        };
        let mut acquiring = self.lock.acquiring(who).map_err(|error| not_joined(&error))?;
        block(py, &mut acquiring, until)?.map_or(Ok(false), |acquired| self.told(py, who, acquired))
    }

    /// Release it once; `who`: a task instead of this thread.
    #[pyo3(signature = (who=None))]
    fn _release(&self, who: Option<u32>) -> PyResult<()> {
        self.lock.release(who.unwrap_or_else(me)).map_err(not_released)
    }

    /// Release it once; `RuntimeError` if this thread does not hold it.
    fn release(&self) -> PyResult<()> {
        self.lock.release(me()).map_err(not_released)
    }

    /// Whether a process holds it that lives.
    fn locked(&self) -> bool {
        self.lock.is_held()
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, -1.0)
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, _raised: &Bound<'_, PyAny>) -> PyResult<()> {
        self.release()
    }

    /// Whether this thread holds it, or the task `who`.
    #[pyo3(signature = (who=None))]
    fn _is_owned(&self, who: Option<u32>) -> bool {
        self.lock.is_mine(who.unwrap_or_else(me))
    }

    /// How often this thread has acquired it and not released it.
    fn _recursion_count(&self) -> u32 {
        self.lock.depth(me())
    }

    /// Release it wholly, and give how often it was acquired.
    #[pyo3(signature = (who=None))]
    fn _release_save(&self, who: Option<u32>) -> PyResult<u32> {
        self.lock.release_all(who.unwrap_or_else(me)).map_err(not_released)
    }

    /// Say how often its holder has acquired it.
    #[pyo3(signature = (depth, who=None))]
    fn _set_depth(&self, depth: u32, who: Option<u32>) -> PyResult<()> {
        self.lock.set_depth(who.unwrap_or_else(me), depth).map_err(not_released)
    }

    /// Begin to acquire it for the coroutine `who`.
    fn _begin(&self, tell: Py<PyAny>, timeout: Option<f64>, who: u32) -> PyResult<Wait> {
        let acquiring = self.lock.acquiring(who).map_err(|error| not_joined(&error))?;
        let lock = self.lock.clone();
        waiting::begin(acquiring, waiting::deadline(timeout)?, tell, move |out, _| {
            Box::new(GotAgain { lock, who, out })
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        let lock = &slf.get().lock;
        travel::pickled(slf, lock.memory(), lock.name())
    }
}

/// A coroutine's lock, or not.
struct GotAgain {
    lock: RLock,
    who: u32,
    out: Result<Acquired, Left>,
}

impl Ended for GotAgain {
    fn value(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Self { lock, who, out } = *self;
        let got = out.map_or(Ok(false), |acquired| RLockBase { lock }.told(py, who, acquired))?;
        Ok(got.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn undo(self: Box<Self>) {
        if self.out.is_ok() {
            let _ = self.lock.release(self.who);
        }
    }
}
