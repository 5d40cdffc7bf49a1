//! Looking into live programs from outside: who holds the GIL, what each thread does, and what a process tree uses.
//!
//! Five things are measured, the first three by a thread of its own each that states what it cost:
//!
//! * [`Recorder`] looks at a process tree a thousand times a second and writes down what each thread did, who had each GIL,
//!   the Python code that ran, and the native code that would not let go.
//! * [`Watch`] is a recorder that keeps nothing but one figure: which share of the time that threads wanted to run they
//!   spent waiting for the GIL.
//! * [`Meter`] tells the CPU time and the peak memory of a process tree between two moments.
//! * [`tree`] lists the processes themselves.
//! * [`own`] tells what calls in this very process do: CPU time, the GIL, native threads beside them.
//!
//! Nothing is injected, and no process is stopped: the kernel tells each thread's state, and the memory of a process is
//! read. Only a thread that keeps the GIL for long is stopped, by itself and for some 50 µs, to read its native calls; and
//! that can be switched off. What cannot be read is refused with a [`Reason`], never guessed. Linux only; the GIL on
//! x86-64 with glibc only. The crate knows nothing of plait's engine, links no Python, and has unsafe code in one place
//! only: where it reads the GIL of the process it lives in.
#![deny(unsafe_code)]

mod beacon;
mod births;
mod clock;
mod counts;
mod gil;
mod identity;
mod lanes;
mod memory;
mod meter;
mod native;
mod observer;
pub mod own;
mod pools;
mod python;
mod reason;
mod recorder;
mod stacks;
mod subject;
mod top;
mod tree;
mod usage;
mod watch;

/// Live Pythons to look at, for the tests within as for those beside.
#[cfg(test)]
#[path = "../tests/python/mod.rs"]
mod scripts;

pub use beacon::{Beacon, Doing};
pub use gil::{Gil, Gils, Moment};
pub use meter::{Meter, Usage};
pub use python::{Finder, Python, Version};
pub use reason::Reason;
pub use recorder::{Outcome, RecordOptions, Recorder};
pub use top::{Looker, programs};
pub use tree::{Pid, tree};
pub use usage::{Pss, Resident, cpu_of_process, cpu_of_thread, pss_bytes, resident, tree_cpu_seconds, tree_pss};
pub use watch::{ProcessWaits, ThreadWaits, Waits, Watch, WatchOptions, WatchReport};
