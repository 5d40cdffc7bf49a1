//! How locks reach other processes: which memory they lie in, and how that is found.
//!
//! The locks of a program lie in one memory, which its first process makes and all others open when they first need it: by the
//! descriptor of a process that has it (`/proc/PID/fd`), so that it does not matter which was started before which lock was made.
//! Workers are told where their program's memory is. A pickled lock says which memory it lies in, where that was at hand for who pickled
//! it, and its name there; it stays while that is on its way (`plait-shm`, `books.rs`). A forked child has its parent's memory.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plait_engine::locks::{JoinError, LockMemory, Name, Still, hold_still};
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use pyo3::{PyClass, intern};

use crate::errors;

/// How many lines of 64 bytes a program's memory has: for so many locks, or for an eighth of a per cent of that of conditions.
const LINES: usize = 1 << 21;

/// A process, and the number that the memory's descriptor has there.
pub type Place = (u32, i32);

/// A memory, and where it is at hand.
pub type Address = (u128, Vec<Place>);

#[derive(Default)]
pub struct Memories {
    /// The one that this process makes its locks in.
    home: Option<Home>,
    /// All that it has opened, and where they were found.
    known: Vec<(Arc<LockMemory>, Vec<Place>)>,
}

/// The program's memory, before this process needs it.
enum Home {
    Told(Address),
    Founded(OwnedFd),
    Open(Arc<LockMemory>),
}

static MEMORIES: Mutex<Memories> = Mutex::new(Memories { home: None, known: Vec::new() });

fn memories() -> MutexGuard<'static, Memories> {
    MEMORIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a fork must find at rest: see `crate::program`.
pub fn for_fork() -> (MutexGuard<'static, Memories>, Still) {
    (memories(), hold_still())
}

/// The memory that this process makes locks in.
///
/// # Errors
/// `OSError` when it cannot be made; `PlaitError` when that of the program cannot be reached.
pub fn home(py: Python<'_>) -> PyResult<Arc<LockMemory>> {
    let mut memories = memories();
    let memory = match memories.home.take() {
        Some(Home::Open(memory)) => Arc::clone(&memory),
        Some(Home::Told(address)) => match find(&mut memories, &address) {
            Some(memory) => memory,
            None => {
                let error = out_of_reach(py, &address);
                memories.home = Some(Home::Told(address));
                return Err(error);
            }
        },
        Some(Home::Founded(fd)) => open(&mut memories, fd)?,
        None => {
            let fd = LockMemory::found(LINES).map_err(|error| not_made(&error))?;
            open(&mut memories, fd)?
        }
    };
    memories.home = Some(Home::Open(Arc::clone(&memory)));
    Ok(memory)
}

/// The memory at an address, opened when it is first asked for.
///
/// # Errors
/// `PlaitError` when it cannot be reached.
pub fn at(py: Python<'_>, address: &Address) -> PyResult<Arc<LockMemory>> {
    let mut memories = memories();
    find(&mut memories, address).ok_or_else(|| out_of_reach(py, address))
}

/// Where a memory of this process is at hand: here, and where this process has it from.
pub fn address_of(memory: &Arc<LockMemory>) -> Address {
    let memories = memories();
    let from = memories.known.iter().find(|(known, _)| Arc::ptr_eq(known, memory)).map(|(_, from)| from.clone());
    let mut places = vec![(std::process::id(), memory.fd().as_raw_fd())];
    places.extend(from.into_iter().flatten().filter(|place| *place != places[0]).collect::<Vec<_>>());
    (memory.identity(), places)
}

/// Where workers of this process find the memory for locks.
#[pyfunction]
pub fn lock_address() -> PyResult<Address> {
    let mut memories = memories();
    let address = match &memories.home {
        Some(Home::Told(address)) => return Ok(address.clone()),
        Some(Home::Open(memory)) => {
            let memory = Arc::clone(memory);
            drop(memories);
            return Ok(address_of(&memory));
        }
        Some(Home::Founded(fd)) => (identity_of(fd)?, vec![(std::process::id(), fd.as_raw_fd())]),
        None => {
            let fd = LockMemory::found(LINES).map_err(|error| not_made(&error))?;
            let address = (identity_of(&fd)?, vec![(std::process::id(), fd.as_raw_fd())]);
            memories.home = Some(Home::Founded(fd));
            address
        }
    };
    Ok(address)
}

/// In a worker: this is where its program's memory for locks is.
#[pyfunction]
pub fn set_lock_address(address: Address) {
    memories().home = Some(Home::Told(address));
}

/// This process cannot take part: `RuntimeError` when too many do, `OSError` when the system refuses a thread.
pub fn not_joined(error: &JoinError) -> PyErr {
    match error {
        JoinError::Io(_) => PyOSError::new_err(error.to_string()),
        _ => PyRuntimeError::new_err(error.to_string()),
    }
}

/// There is no room for another lock.
pub fn full() -> PyErr {
    PyMemoryError::new_err("the memory for locks is full: this program keeps too many of them")
}

/// What is pickled of an object: what makes it, its class, where its memory is, and its name there.
pub type Pickled<'py> = (Bound<'py, PyAny>, (Bound<'py, PyType>, Address, u64));

/// Where something is that was pickled.
pub type There = (Address, u64);

thread_local! {
    /// What was sent in each pickle that this thread is at, the innermost last.
    static SENDING: RefCell<Vec<Vec<(usize, Name)>>> = const { RefCell::new(Vec::new()) };
}

/// While it lives a pickle is made, perhaps by several picklers in turn: what is in it is sent once.
pub struct Sending(());

impl Sending {
    pub fn begin() -> Self {
        SENDING.with_borrow_mut(|sending| sending.push(Vec::new()));
        Self(())
    }

    /// False: this pickle has it from another pickler, in vain.
    fn is_first(memory: &Arc<LockMemory>, name: Name) -> bool {
        SENDING.with_borrow_mut(|sending| {
            let Some(sent) = sending.last_mut() else { return true };
            let this = (Arc::as_ptr(memory) as usize, name);
            let is_first = !sent.contains(&this);
            if is_first {
                sent.push(this);
            }
            is_first
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        SENDING.with_borrow_mut(Vec::pop);
    }
}

/// What is pickled of `object`, which was sent by this name.
pub fn pickled<'py, T: PyClass>(
    object: &Bound<'py, T>,
    memory: &Arc<LockMemory>,
    name: Name,
) -> PyResult<Pickled<'py>> {
    if !Sending::is_first(memory, name) {
        memory.withdraw(name);
    }
    let arrived = object.py().import("plait._core")?.getattr(intern!(object.py(), "lock_arrived"))?;
    Ok((arrived, (object.as_any().get_type(), address_of(memory), name.0)))
}

/// The object of this class that was pickled, in this process.
#[pyfunction]
pub fn lock_arrived<'py>(class: &Bound<'py, PyType>, address: Address, name: u64) -> PyResult<Bound<'py, PyAny>> {
    let there = PyDict::new(class.py());
    there.set_item("_there", (address, name))?;
    class.call((), Some(&there))
}

/// What has arrived.
///
/// # Errors
/// As [`at`]; `PlaitError` when it is no more.
pub fn arrived<T>(
    py: Python<'_>,
    (address, name): &There,
    find: impl FnOnce(&Arc<LockMemory>, Name) -> Result<Option<T>, JoinError>,
) -> PyResult<T> {
    let memory = at(py, address)?;
    find(&memory, Name(*name)).map_err(|error| not_joined(&error))?.ok_or_else(|| {
        errors::plait_error(
            py,
            "a lock that was pickled is no more: nobody had kept it, and hundreds of others were made since; keep it where it is sent from",
        )
    })
}

fn find(memories: &mut Memories, address: &Address) -> Option<Arc<LockMemory>> {
    let (identity, places) = address;
    if let Some((memory, _)) = memories.known.iter().find(|(memory, _)| memory.identity() == *identity) {
        return Some(Arc::clone(memory));
    }
    // That of this program, which nobody has used here yet.
    if let Some(Home::Founded(fd)) = &memories.home
        && LockMemory::identity_of(fd).is_ok_and(|own| own == *identity)
        && let Some(Home::Founded(fd)) = memories.home.take()
    {
        let memory = open(memories, fd).ok()?;
        memories.home = Some(Home::Open(Arc::clone(&memory)));
        return Some(memory);
    }
    let told = match &memories.home {
        Some(Home::Told((own, places))) if own == identity => places.clone(),
        _ => Vec::new(),
    };
    for place in told.iter().chain(places) {
        // Another process may have the number now, and another file: the identity tells.
        if let Ok(fd) = open_in(*place)
            && LockMemory::identity_of(&fd).is_ok_and(|found| found == *identity)
            && let Ok(memory) = LockMemory::open(fd)
        {
            memories.known.push((Arc::clone(&memory), told.iter().chain(places).copied().collect()));
            return Some(memory);
        }
    }
    None
}

fn identity_of(fd: &OwnedFd) -> PyResult<u128> {
    LockMemory::identity_of(fd).map_err(|error| not_made(&error))
}

fn open_in((pid, fd): Place) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::CLOEXEC.bits().cast_signed();
    let file = File::options().read(true).write(true).custom_flags(flags).open(format!("/proc/{pid}/fd/{fd}"))?;
    Ok(file.into())
}

fn open(memories: &mut Memories, fd: OwnedFd) -> PyResult<Arc<LockMemory>> {
    let memory = LockMemory::open(fd).map_err(|error| not_made(&error))?;
    memories.known.push((Arc::clone(&memory), Vec::new()));
    Ok(memory)
}

fn not_made(error: &impl std::fmt::Display) -> PyErr {
    PyOSError::new_err(format!(
        "the memory for locks cannot be made: {error}; see `ulimit -n`, `ulimit -v` and `ulimit -f`"
    ))
}

fn out_of_reach(py: Python<'_>, (_, places): &Address) -> PyErr {
    let pids = places.iter().map(|(pid, _)| pid.to_string()).collect::<Vec<_>>().join(" or ");
    let message = format!(
        "a lock of another program cannot be reached from here: process {pids}, which has its memory, has ended, is on another machine \
         or in another container, or is another user's. Locks are for processes of one machine: send them while a process that has them \
         lives, and use the lock of the cluster's own between machines"
    );
    errors::plait_error(py, &message)
}
