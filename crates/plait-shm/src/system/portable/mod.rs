//! What POSIX has, and macOS therefore, too: `shm_open`, naps, `kill` and `waitid`, pipes.
//!
//! What it does worse than [`super::linux`]: files have no seals, so who scribbles could also cut one short; memory that is
//! given back stays the file's; a wake-up comes up to a millisecond late; of a dead process is known when somebody looks, and not while it is a
//! zombie of a process that looks at nothing; an `exec` of a process that has locks is no death.

mod deaths;
mod files;
mod forks;
mod wakes;
mod watch;

/// This implementation. Its parts are where the traits are.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

#[cfg_attr(not(any(portable, not(target_os = "linux"))), allow(unused_imports))]
pub(crate) use forks::OfFork;
