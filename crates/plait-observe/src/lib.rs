//! Looking into live programs from outside: which threads wait for the GIL, and what a process tree uses.
//!
//! Four things are measured, the first two by a thread of its own each that states what it cost:
//!
//! * [`Watch`] samples every thread of every CPython process under a root process about a thousand times a second,
//!   and tells which share of the time that threads wanted to run they spent waiting for the GIL.
//! * [`Meter`] tells the CPU time and the peak memory of a process tree between two moments.
//! * [`tree`] lists the processes themselves.
//! * [`own`] tells what calls in this very process do: CPU time, the GIL, native threads beside them.
//!
//! Nothing is injected, stopped or traced: the kernel tells each thread's state, and the memory of a process is read only to
//! find where its GIL lies. What cannot be read is refused with a [`Reason`], never guessed. Linux only; the GIL on
//! x86-64 with glibc only. The crate knows nothing of plait's engine, links no Python, and has unsafe code in one place
//! only: where it reads the GIL of the process it lives in.
#![deny(unsafe_code)]

mod beacon;
mod clock;
mod counts;
mod gil;
mod identity;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the recorder feeds it"))]
mod lanes;
mod memory;
mod meter;
mod native;
mod observer;
pub mod own;
mod python;
mod reason;
mod recorder;
#[cfg_attr(not(test), expect(dead_code, reason = "the recorder is to read stacks"))]
mod stacks;
mod subject;
mod tree;
mod usage;
mod waiters;
mod watch;

pub use beacon::{Beacon, Doing};
pub use gil::{Gil, Gils, Moment};
pub use meter::{Meter, Usage};
pub use python::{Finder, Python, Version};
pub use reason::Reason;
pub use tree::{Pid, tree};
pub use usage::{Pss, pss_bytes, tree_cpu_seconds, tree_pss};
pub use waiters::{ProcessWaits, ThreadWaits, Waits};
pub use watch::{Watch, WatchOptions, WatchReport};
