//! What one look at a process brings home: each GIL's words, each thread's system call and its processor time.

use plait_trace::{GilKey, Nanos, ThreadKey};

use crate::memory::{Naps, Turn};
use crate::subject::GilLook;
use crate::{Gil, Pid};

/// A GIL at a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GilSeen {
    pub key: GilKey,
    pub gil: Gil,
    pub look: GilLook,
}

/// A thread at a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadLook {
    pub key: ThreadKey,
    /// As the observer numbers threads, for it is compared with [`GilLook::holder`].
    pub tid: Pid,
    pub call: Call,
    /// Read after `call`. Worth its cost for threads that run and for the holder of a GIL.
    pub sched: Option<Sched>,
    /// Whether it has a processor, and since when in the recording; `None` where that cannot be told.
    pub turn: Option<Turn>,
    /// How it slept since the look before, in the recording, where that can be told.
    pub naps: Naps,
    /// In a free-threaded Python, whether its thread state is attached; `None` where there is a GIL.
    pub attached: Option<bool>,
}

/// What the kernel says that a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It runs, or could if it had a processor.
    Running,
    /// It is blocked, but in no system call: a page is fetched for it, or somebody has stopped it.
    Outside,
    /// It sleeps in a system call.
    In {
        number: u16,
        /// The first argument.
        first: u64,
        target: Target,
    },
}

/// What the descriptor is that a system call was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Socket,
    File,
    Pipe,
    /// An event counter, a timer and their like.
    Other,
    /// The call has none, or it cannot be told.
    None,
}

/// The processor time of a thread since it began, in nanoseconds.
///
/// The kernel brings `run` up to date when the thread leaves its processor and at each tick of the clock (4 ms apart at
/// 250 Hz), `delay` when it gets a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sched {
    /// For which it ran.
    pub run: u64,
    /// For which it could have run and had no processor.
    pub delay: u64,
}

/// The holder of a GIL has not moved in its Python code for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hogging {
    pub thread: ThreadKey,
    /// When it was first seen where it is.
    pub since: Nanos,
    /// Threads that wanted the GIL at the last look.
    pub waiters: usize,
}
