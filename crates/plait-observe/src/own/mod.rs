//! What calls of functions do in this very process: their time, the CPU's, the GIL's, and what else ran meanwhile.
//!
//! [`Calls`] is the account of one function's calls, on any thread, many at once. Clocks are read where a call begins and ends; who
//! holds the GIL in between cannot be read from a clock, so one thread of the process, the *sampler*, looks now and then
//! at the words of the GIL and at the threads that have calls. It runs in windows of some milliseconds and ends with the
//! last of them. It takes no lock that a call takes, and none is held in a fork.
//!
//! | file | what |
//! |---|---|
//! | `seat.rs` | a thread that has calls, and what the sampler saw of it |
//! | `sampler.rs` | the thread that looks |
//! | `calls.rs` | the account: calls that ended and calls in flight |
//! | `figures.rs` | what is told of it |
//! | `clocks.rs` | the kernel's figures of a thread and of the process |
//! | `holds.rs`, `holds/` | who kept a GIL for too long |

mod calls;
mod clocks;
mod figures;
mod holds;
mod sampler;
mod seat;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

pub use calls::{Batch, Calls, Ticket};
pub use figures::CallFigures;
pub use holds::{Hold, Holds, Namer, NoWatch, name_functions};

use crate::memory::OwnGil;
use crate::{Gils, Python, Reason, Version};

/// Where the GIL of this process lies, found once.
static GIL: OnceLock<Result<OwnGil, Reason>> = OnceLock::new();

/// Forks that this process has come through since it was another's child.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Tells where the runtime of the Python lies that this process runs: the address of its `_PyRuntime`. The sampler calls
/// `hasten` on its thread when it begins, to be run soon whenever it wakes up. Of all calls the first counts.
///
/// # Errors
/// A [`Reason`] why the GIL of this process cannot be read.
pub fn look_at(runtime: u64, version: Version, hasten: fn()) -> Result<(), Reason> {
    sampler::hasten_by(hasten);
    GIL.get_or_init(|| find(runtime, version)).as_ref().map(|_| ()).map_err(Clone::clone)
}

fn find(runtime: u64, version: Version) -> Result<OwnGil, Reason> {
    let pid = std::process::id();
    if !cfg!(target_env = "gnu") {
        return Err(Reason::Platform { pid });
    }
    let gils = Gils::of(Python { pid, version, runtime })?;
    // New interpreters are put at the head of the list, so the main one is the last.
    let main = gils.gils().last().ok_or(Reason::NotReady { pid })?;
    OwnGil::within(runtime, main.address).ok_or(Reason::Unrecognised {
        pid,
        version,
        what: "the GIL of its main interpreter is no part of its runtime",
    })
}

/// The GIL that is looked at; `None` while it is not known.
fn gil() -> Option<OwnGil> {
    GIL.get()?.as_ref().ok().copied()
}

/// What a thread does to itself; blocked, they would end the process before a handler could say where it crashed.
const NOT_BLOCKED: [Signal; 7] =
    [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP];

/// Starts a thread with no signal of the process let in: a Ctrl-C is for the interpreter's main thread.
fn undisturbed<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut blocked = SigSet::all();
    for signal in NOT_BLOCKED {
        blocked.remove(signal);
    }
    // A thread begins with the mask of the one that starts it: so there is no moment without.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = start();
    before.thread_set_mask()?;
    started
}

/// For where the GIL cannot be read: notes for one call in flight, of several for each in its turn, whether some thread held
/// the GIL just now, as the sampler notes who did.
pub fn guess(held: bool) {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let seats: Vec<_> = seat::all().filter(|seat| seat.has_calls()).collect();
    let holder = TURN.fetch_add(1, Ordering::Relaxed).checked_rem(seats.len());
    for (number, seat) in seats.into_iter().enumerate() {
        seat.guess(held, Some(number) == holder);
    }
}

/// To be called in the child of a fork, at once: the sampler and all other threads were the parent's. Waits for nothing.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    sampler::forget();
    seat::keep_own();
}

fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}
