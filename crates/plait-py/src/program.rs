//! What belongs to the whole program and to no pool alone: its nurseries, pools that were collected, and its forks.
//!
//! A fork copies locks as they are. Those of this file that another thread may hold are taken before one and let go after it,
//! in both processes, so that the child finds them free.

use std::cell::RefCell;
use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::thread;
use std::time::Duration;

use plait_engine::nursery::{Launch, Nursery};
use pyo3::prelude::*;

use crate::exit;
use crate::future::deadline;
use crate::process::ProcessHome;

/// Counts the forks this process has come through: a pool made before the last one is the parent's.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A nursery, with the forks before it was launched.
type Known = (u64, Launch, Arc<Nursery>);

static NURSERIES: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Pools whose executor was collected while tasks were pending: they finish them, and the program's end waits for that.
/// The futures of those tasks keep them alive, and nothing else, so that they go when the last has ended.
static ORPHANS: Mutex<Vec<Weak<ProcessHome>>> = Mutex::new(Vec::new());

/// How often a thread that wants to fork looks whether a nursery is launched.
const GLANCE: Duration = Duration::from_millis(1);

type Orphans = MutexGuard<'static, Vec<Weak<ProcessHome>>>;

thread_local! {
    /// The lock of the nurseries, while this thread forks.
    static HELD: RefCell<Option<MutexGuard<'static, Vec<Known>>>> = const { RefCell::new(None) };
    /// That of the orphans, which pools are given to by whatever drops them: so it is taken for the fork alone, and not while
    /// Python runs around it what may drop one.
    static ORPHANS_HELD: RefCell<Option<Orphans>> = const { RefCell::new(None) };
}

unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

extern "C" fn take_orphans() {
    let orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    ORPHANS_HELD.with(|cell| cell.replace(Some(orphans)));
}

extern "C" fn give_orphans() {
    drop(ORPHANS_HELD.with(RefCell::take));
}

/// Has forks take the lock of the orphans.
pub fn prepare_for_forks() {
    // SAFETY: the handlers are functions of this library, which is never unloaded. They take a lock under which nobody waits for
    // anything, and nobody forks.
    unsafe { pthread_atfork(Some(take_orphans), Some(give_orphans), Some(give_orphans)) };
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
    let nursery = Nursery::launch(launch)?;
    known.push((forks, launch.clone(), Arc::clone(&nursery)));
    Ok(nursery)
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
