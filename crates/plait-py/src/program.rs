//! What belongs to the whole program and to no pool alone: its nurseries, pools that were collected, and its forks.
//!
//! A fork copies locks as they are. Those that another thread may hold, of this file and of [`crate::buffer`], are taken
//! before one and let go after it, in both processes, so that the child finds them free.

use std::cell::RefCell;
use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use plait_engine::heap::Heap;
use plait_engine::locks::Still;
use plait_engine::nursery::{Launch, Nursery};
use pyo3::prelude::*;

use crate::buffer::{LIVE, Live};
use crate::future::deadline;
use crate::pools::{self, THREADS};
use crate::process::ProcessHome;
use crate::{beacon, exit, gauge, locks, terminal};

/// Counts the forks this process has come through: a pool made before the last one is the parent's.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A nursery, with the forks before it was launched.
type Known = (u64, Launch, Arc<Nursery>);

static NURSERIES: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The memory for large data, with the forks before it was made.
static HEAP: Mutex<Option<(u64, Arc<Heap>)>> = Mutex::new(None);

/// The pools of this program, whose results make room in its memory when they are taken.
static POOLS: Mutex<Vec<Weak<ProcessHome>>> = Mutex::new(Vec::new());

/// Pools whose executor was collected while tasks were pending: they finish them, and the program's end waits for that.
/// The futures of those tasks keep them alive, and nothing else, so that they go when the last has ended.
static ORPHANS: Mutex<Vec<Weak<ProcessHome>>> = Mutex::new(Vec::new());

/// How often a thread that wants to fork looks whether a nursery is launched.
const GLANCE: Duration = Duration::from_millis(1);

/// Locks that are taken while the interpreter is held, and so within the fork itself: between Python's own steps of a fork other
/// threads run, and would wait for them with the interpreter in their hands.
type Inner = (
    MutexGuard<'static, Vec<Weak<ProcessHome>>>,
    MutexGuard<'static, Option<(u64, Arc<Heap>)>>,
    MutexGuard<'static, Vec<Weak<ProcessHome>>>,
    MutexGuard<'static, Live>,
    MutexGuard<'static, terminal::Door>,
    MutexGuard<'static, pools::Tallies>,
    (MutexGuard<'static, locks::Memories>, Still),
);

thread_local! {
    /// The lock of the nurseries, while this thread forks.
    static HELD: RefCell<Option<MutexGuard<'static, Vec<Known>>>> = const { RefCell::new(None) };
    /// Those that are taken for the fork alone.
    static INNER: RefCell<Option<Inner>> = const { RefCell::new(None) };
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

extern "C" fn take_inner() {
    fn held<T>(lock: &'static Mutex<T>) -> MutexGuard<'static, T> {
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
    let inner =
        (held(&ORPHANS), held(&HEAP), held(&POOLS), held(&LIVE), terminal::door(), held(&THREADS), locks::for_fork());
    INNER.with(|cell| cell.replace(Some(inner)));
}

extern "C" fn give_inner() {
    drop(INNER.with(RefCell::take));
}

extern "C" fn begin_child() {
    give_inner();
    gauge::forked();
    beacon::forked();
    pools::forked();
}

/// Has forks take the locks that their children need.
pub fn prepare_for_forks() {
    // SAFETY: the handlers are functions of this library, which is never unloaded. They take locks under which nobody waits for
    // anything, and nobody forks.
    unsafe { pthread_atfork(Some(take_inner), Some(give_inner), Some(begin_child)) };
}

/// How many forks this process has come through.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Before a fork: nobody is in the middle of anything that the child needs.
#[pyfunction]
pub fn before_fork(py: Python<'_>) {
    let held = free(py, &NURSERIES);
    HELD.with(|cell| cell.replace(Some(held)));
}

/// After a fork, in the parent and in the child.
#[pyfunction]
pub fn after_fork(in_child: bool) {
    HELD.with(RefCell::take);
    if in_child {
        FORKS.fetch_add(1, Ordering::Relaxed);
        exit::forget_callbacks();
        terminal::forget();
    }
}

/// Takes a lock without keeping the interpreter from whoever has it.
fn free<T>(py: Python<'_>, lock: &'static Mutex<T>) -> MutexGuard<'static, T> {
    loop {
        match lock.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => py.detach(|| thread::sleep(GLANCE)),
        }
    }
}

/// The program's nursery for these settings, launched at the first call and again if it has died.
pub fn nursery(launch: &Launch) -> io::Result<Arc<Nursery>> {
    let forks = forks();
    let mut known = NURSERIES.lock().unwrap_or_else(PoisonError::into_inner);
    // Those of a parent process stay where they are, untouched: closing them is the parent's business.
    known.retain(|(born, _, nursery)| *born != forks || !nursery.is_gone());
    if let Some((_, _, nursery)) = known.iter().find(|(born, other, _)| *born == forks && other == launch) {
        return Ok(Arc::clone(nursery));
    }
    let nursery = Nursery::launch(launch, terminal::ask)?;
    known.push((forks, launch.clone(), Arc::clone(&nursery)));
    Ok(nursery)
}

/// The program's memory for large data, made at the first call. That of a parent process is left to it.
pub fn heap() -> io::Result<Arc<Heap>> {
    let forks = forks();
    let mut heap = HEAP.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((born, heap)) = &*heap
        && *born == forks
    {
        return Ok(Arc::clone(heap));
    }
    let new = Heap::new()?;
    *heap = Some((forks, Arc::clone(&new)));
    Ok(new)
}

/// A pool was made.
pub fn enroll(home: &Arc<ProcessHome>) {
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    pools.retain(|pool| pool.strong_count() > 0);
    pools.push(Arc::downgrade(home));
}

/// Takes the results that are there, of all pools.
pub fn pump() {
    let pools: Vec<_> = {
        let pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().filter_map(Weak::upgrade).collect()
    };
    for pool in pools {
        pool.pump();
    }
}

/// A pool whose executor was collected has tasks pending.
pub fn adopt(home: &Arc<ProcessHome>) {
    ORPHANS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(home));
    // Of those that were there before; the last reference to one of them may be among these.
    drop(orphans());
}

fn orphans() -> Vec<Arc<ProcessHome>> {
    let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    orphans.retain(|home| home.strong_count() > 0);
    orphans.iter().filter_map(Weak::upgrade).collect()
}

/// Waits until the pools whose executors were collected have finished. With `kill`, what they have not begun is cancelled
/// and their workers are killed; `timeout` seconds bound the waiting.
#[pyfunction]
#[pyo3(signature = (kill, timeout=None))]
pub fn join_orphans(py: Python<'_>, kill: bool, timeout: Option<f64>) -> PyResult<()> {
    let (orphans, deadline) = (orphans(), deadline(timeout));
    for home in orphans.iter().filter(|_| kill) {
        home.give_up(false);
    }
    for home in orphans {
        home.join(py, deadline)?;
    }
    Ok(())
}
