//! Numbers that all processes of a program see, and that change by one instruction of the processor: `plait.Value` and
//! `plait.Array`.
//!
//! They lie in shared memory as shared arrays do, and travel as these: as references. Promises: a read sees a number that was
//! written, whole; of changes by `add`, `swap` and `compare_and_swap` none is lost, whichever threads and processes make
//! them, and all agree on their order; a process that is killed leaves no cell half-written and nothing locked.

mod array;
mod kind;
mod value;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict};

use crate::buffer::Buffer;
use crate::memory::shared_buffer;
pub use array::{Array, array_at};
use kind::Kind;
pub use value::{Value, value_at};

/// Whether this thread starts a process of multiprocessing's, which gets what is pickled: since Python 3.14 that has the protocol of
/// plait's own pickles.
fn is_spawning(py: Python<'_>) -> PyResult<bool> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    let Some(processes) = modules.get_item("multiprocessing.popen_fork")? else {
        return Ok(false);
    };
    // Every way of starting has a class that derives from this one; pools of plait's that stand in for one have not.
    let started = py.import("multiprocessing.context")?.call_method0("get_spawning_popen")?;
    started.is_instance(&processes.getattr("Popen")?)
}

/// Cells of one kind, one after the other, in memory that everybody sees.
struct Cells {
    /// Keeps the memory, and its place among what is known to be shared.
    buffer: Py<Buffer>,
    start: NonNull<u8>,
    len: usize,
    kind: Kind,
    /// For whoever changes several, or one in several steps. The cells themselves never ask for it.
    lock: Option<Py<PyAny>>,
}

// SAFETY: the memory stays where it is while `buffer` does, which any thread may hold; it is changed by atomics alone.
unsafe impl Send for Cells {}
// SAFETY: as above.
unsafe impl Sync for Cells {}

impl Cells {
    /// New ones, all zero.
    fn new(py: Python<'_>, kind: Kind, len: usize, lock: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let lock = lock.map(lock_of).transpose()?.flatten();
        let nbytes =
            len.checked_mul(kind.size()).ok_or_else(|| PyValueError::new_err("so many cells no memory holds"))?;
        Self::over(shared_buffer(py, nbytes)?, kind, len, lock)
    }

    /// Those that lie in memory which came from another process.
    ///
    /// # Errors
    /// `TypeError` if it is memory that nobody else sees: then it did not come by plait.
    fn arrived(
        memory: &Bound<'_, PyAny>,
        kind: &str,
        len: usize,
        lock: Option<Py<PyAny>>,
        class: &str,
    ) -> PyResult<Self> {
        let py = memory.py();
        let kind = Kind::of(pyo3::types::PyString::new(py, kind).as_any())?;
        let buffer = Buffer::shared_under(memory)?.ok_or_else(|| {
            PyTypeError::new_err(format!(
                "this plait.{class} was pickled as a copy, which would count by itself: pass it through plait, as an argument of a \
                 call, in a closure or in initargs; it cannot be kept in a file, go to another machine, or go into a pool that a \
                 worker has made"
            ))
        })?;
        Self::over(buffer, kind, len, lock)
    }

    fn over(buffer: Py<Buffer>, kind: Kind, len: usize, lock: Option<Py<PyAny>>) -> PyResult<Self> {
        let (start, room) = buffer.get().memory();
        let fits = len.checked_mul(kind.size()).is_some_and(|nbytes| nbytes <= room);
        match NonNull::new(start) {
            Some(start) if fits && start.as_ptr().addr().is_multiple_of(kind.size()) => {
                Ok(Self { buffer, start, len, kind, lock })
            }
            _ => Err(PyValueError::new_err(
                "the memory of these cells is too small, or lies askew: the message is garbled",
            )),
        }
    }

    /// What pickle makes of them: the function that puts them together elsewhere, and what it needs.
    fn reduce<'py>(&self, py: Python<'py>, rebuild: &str, class: &str, protocol: u32) -> PyResult<Bound<'py, PyAny>> {
        static PICKLE_BUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if protocol < 5 || is_spawning(py)? {
            return Err(PyTypeError::new_err(format!(
                "a plait.{class} can be sent by plait alone: as an argument of a call, in a closure or in initargs"
            )));
        }
        let rebuild = py.import("plait._core")?.getattr(rebuild)?;
        let memory = PICKLE_BUFFER.import(py, "pickle", "PickleBuffer")?.call1((&self.buffer,))?;
        Ok((rebuild, (memory, self.kind.name(), self.len, &self.lock)).into_pyobject(py)?.into_any())
    }

    /// # Errors
    /// `ValueError` if there is none.
    fn get_lock(&self, py: Python<'_>, class: &str) -> PyResult<Py<PyAny>> {
        self.lock.as_ref().map(|lock| lock.clone_ref(py)).ok_or_else(|| {
            PyValueError::new_err(format!(
                "this plait.{class} was made without a lock: pass lock=True, or change it by add(), swap() or \
                 compare_and_swap(), which need none"
            ))
        })
    }

    fn place(&self, at: usize) -> *mut u8 {
        assert!(at < self.len, "plait bug: cell {at} of {}", self.len);
        // SAFETY: so many cells lie there, as was checked when this was made.
        unsafe { self.start.as_ptr().add(at * self.kind.size()) }
    }

    fn byte(&self, at: usize) -> &AtomicU8 {
        assert!(self.kind.size() == 1, "plait bug: a wide cell is no byte");
        // SAFETY: `place` lies inside of the memory, which stays as long as `self`. Whoever else writes to it does so by plain
        // stores of whole numbers, through a NumPy array over the same memory; then this reads the old one or the new one.
        unsafe { AtomicU8::from_ptr(self.place(at)) }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(self.kind.size() == 8, "plait bug: a byte is no word");
        // SAFETY: as in `byte`; and it is aligned, as was checked when this was made.
        unsafe { AtomicU64::from_ptr(self.place(at).cast()) }
    }

    fn load(&self, at: usize) -> u64 {
        match self.kind.size() {
            1 => self.byte(at).load(Ordering::SeqCst).into(),
            _ => self.word(at).load(Ordering::SeqCst),
        }
    }

    fn store(&self, at: usize, word: u64) {
        match self.kind.size() {
            1 => self.byte(at).store(word as u8, Ordering::SeqCst),
            _ => self.word(at).store(word, Ordering::SeqCst),
        }
    }

    fn swap(&self, at: usize, word: u64) -> u64 {
        match self.kind.size() {
            1 => self.byte(at).swap(word as u8, Ordering::SeqCst).into(),
            _ => self.word(at).swap(word, Ordering::SeqCst),
        }
    }

    /// `Err` is what was there instead.
    fn exchange(&self, at: usize, current: u64, new: u64) -> Result<(), u64> {
        const ORDER: Ordering = Ordering::SeqCst;
        match self.kind.size() {
            1 => self.byte(at).compare_exchange(current as u8, new as u8, ORDER, ORDER).map(drop).map_err(u64::from),
            _ => self.word(at).compare_exchange(current, new, ORDER, ORDER).map(drop),
        }
    }

    /// Sets a cell if it holds what is expected; whether it did.
    fn compare_and_swap(&self, at: usize, expected: u64, new: u64) -> bool {
        let mut current = self.load(at);
        while self.kind.same(current, expected) {
            match self.exchange(at, current, new) {
                Ok(()) => return true,
                Err(found) => current = found,
            }
        }
        false
    }

    /// Adds, one if nothing is said, and gives the sum.
    ///
    /// # Errors
    /// `OverflowError` if that does not fit; the cell is as it was.
    fn add(&self, at: usize, amount: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
        let amount = self.kind.amount(amount)?;
        let mut current = self.load(at);
        loop {
            let sum = self.kind.sum(current, amount).ok_or_else(|| self.kind.overflow())?;
            match self.exchange(at, current, sum) {
                Ok(()) => return Ok(sum),
                Err(found) => current = found,
            }
        }
    }
}

/// The lock that `lock=` asks for: a new one, somebody's own, or none.
fn lock_of(lock: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    if let Ok(flag) = lock.cast::<PyBool>() {
        let new = || lock.py().import("plait")?.getattr("RLock")?.call0().map(Bound::unbind);
        return flag.is_true().then(new).transpose();
    }
    if lock.hasattr("acquire")? && lock.hasattr("release")? {
        return Ok(Some(lock.clone().unbind()));
    }
    Err(PyTypeError::new_err("lock= takes True, False or a lock, such as a plait.Lock"))
}

/// `Value[int]` in annotations.
fn alias<'py>(class: &Bound<'py, pyo3::types::PyType>, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    class.py().import("types")?.getattr("GenericAlias")?.call1((class, item))
}
