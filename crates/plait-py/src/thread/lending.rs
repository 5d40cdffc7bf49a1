//! Threads of pools that wait for calls of thread pools, and the places that they lend meanwhile.
//!
//! `plait_engine::threads::waits` decides; here is the one table of the program, and what follows from it. A thread that is
//! none of a pool's is not in it, and pays nothing. Promise: what was lent is taken back when the wait is over, and at the
//! latest when the call that waited has ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plait_engine::pool::Awaited;
use plait_engine::threads::Pushed;
use plait_engine::threads::waits::{Change, Pool, Waiter, Waits};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::callout;
use crate::future::{FutureCore, Phase};

use super::work::{Works, works};
use super::{Tasks, ThreadHome};

/// All that wait. Calls go by numbers, which outlive them.
#[derive(Default)]
struct Table {
    waits: Waits<u64, ThreadHome>,
    lenders: HashMap<Waiter, Lender>,
}

/// The pool of a call that waits.
struct Lender {
    tasks: Arc<Tasks>,
    home: ThreadHome,
    /// Starts a thread of its.
    start: Py<PyAny>,
}

impl Table {
    /// Does what the waits ask for; gives what starts threads that are to start.
    fn change(&self, py: Python<'_>, changes: &[Change]) -> Vec<Py<PyAny>> {
        let mut starts = Vec::new();
        for change in changes {
            let (Change::Lend(waiter) | Change::TakeBack(waiter)) = change;
            // In a forked child the pools of the parent are left alone.
            let lender = self.lenders.get(waiter).filter(|lender| !lender.home.is_foreign());
            match (change, lender) {
                (_, None) => {}
                (Change::Lend(_), Some(lender)) => {
                    if lender.tasks.lend() == Pushed::Hire {
                        starts.push(lender.start.clone_ref(py));
                    }
                }
                (Change::TakeBack(_), Some(lender)) => lender.tasks.take_back(),
            }
        }
        starts
    }
}

/// Locked by attached threads only, so that no fork happens meanwhile; nothing of Python's is called or let go of under it.
fn table() -> MutexGuard<'static, Option<Table>> {
    static TABLE: Mutex<Option<Table>> = Mutex::new(None);
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the threads that changes have asked for, after the table was let go of.
fn start_all(py: Python<'_>, starts: Vec<Py<PyAny>>) -> PyResult<()> {
    starts.iter().try_for_each(|start| callout::call(start.bind(py), &PyTuple::empty(py), None).map(drop))
}

/// The same where nobody waits for what they are to do.
fn start_unheard(py: Python<'_>, starts: Vec<Py<PyAny>>) {
    if let Err(error) = start_all(py, starts) {
        error.write_unraisable(py, None);
    }
}

/// A wait that is over when this is dropped.
pub struct Lent<'py> {
    py: Python<'py>,
    waiter: Waiter,
    awaited: u64,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let starts = table().as_mut().map(|table| {
            let changes = table.waits.on_given_up(self.waiter, self.awaited);
            table.change(self.py, &changes)
        });
        start_unheard(self.py, starts.unwrap_or_default());
    }
}

/// This thread waits for `core`, which is to run in the thread pool `home`, until what is returned is dropped. `None`: it
/// runs no call of a pool, or is known to wait for this one.
///
/// # Errors
/// There is no thread to be had for a place that was lent.
pub(super) fn lend<'py>(py: Python<'py>, core: &Arc<FutureCore>, home: ThreadHome) -> PyResult<Option<Lent<'py>>> {
    let Some(waiter) = wait(py, core, home)? else { return Ok(None) };
    Ok(Some(Lent { py, waiter, awaited: number(core) }))
}

/// This thread waits for `core` until that has ended, or until the call ends that this thread runs now. Whoever completes
/// it has to say so, see [`ended`]: Python's machinery has asked for its end before.
///
/// # Errors
/// As [`lend`].
pub fn await_here(py: Python<'_>, core: &Arc<FutureCore>, home: ThreadHome) -> PyResult<()> {
    wait(py, core, home)?;
    if core.is_done() {
        // Perhaps just now, before the wait was known.
        ended(py, core);
    }
    Ok(())
}

fn wait(py: Python<'_>, core: &Arc<FutureCore>, home: ThreadHome) -> PyResult<Option<Waiter>> {
    let Some(works) = works() else { return Ok(None) };
    let Some(running) = works.running() else { return Ok(None) };
    if works.home.is_foreign() || core.is_done() {
        return Ok(None);
    }
    let waiter = works.waiter();
    let (is_new, starts) = {
        let mut table = table();
        let table = table.get_or_insert_default();
        table.lenders.entry(waiter).or_insert_with(|| lender(py, &works));
        let pool = Pool { name: works.home, places: works.tasks.places() };
        let waited = table.waits.on_wait(waiter, (number(&running), pool), (number(core), home));
        if waited.comes_first
            && core.phase() == Phase::Pending
            && let Some(lender) = table.lenders.values().find(|lender| lender.home == home)
        {
            lender.tasks.prefer(waiter, Arc::clone(core));
        }
        (waited.is_new, table.change(py, &waited.changes))
    };
    start_all(py, starts)?;
    Ok(is_new.then_some(waiter))
}

fn lender(py: Python<'_>, works: &Works) -> Lender {
    Lender { tasks: Arc::clone(&works.tasks), home: works.home, start: works.start.clone_ref(py) }
}

/// A future of a thread pool has ended; does nothing if no thread of a pool waits for it.
pub fn ended(py: Python<'_>, core: &FutureCore) {
    let Some(number) = core.number() else { return };
    let starts = table().as_mut().map(|table| {
        let changes = table.waits.on_end(number);
        table.change(py, &changes)
    });
    start_unheard(py, starts.unwrap_or_default());
}

/// A call that waited has ended.
#[cold]
pub(super) fn left(py: Python<'_>, waiter: Waiter) {
    let Some((starts, _lender)) = table().as_mut().map(|table| {
        let changes = table.waits.on_left(waiter);
        (table.change(py, &changes), table.lenders.remove(&waiter))
    }) else {
        return;
    };
    start_unheard(py, starts);
}

/// A number for a call that waits.
pub(super) fn next_waiter() -> Waiter {
    next()
}

/// The number of a future, which it gets when it is first asked for.
fn number(core: &FutureCore) -> u64 {
    core.number_or(next)
}

fn next() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}
