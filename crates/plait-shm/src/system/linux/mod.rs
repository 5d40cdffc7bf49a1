//! Linux: files are memfds, words are futexes, lives are in the kernel's lists of robust futexes.

mod deaths;
mod files;
mod forks;
mod wakes;
mod watch;

/// This implementation. Its parts are where the traits are.
#[derive(Debug, Clone, Copy)]
pub struct Linux;

#[cfg(any(test, not(portable)))]
pub(crate) use forks::Wiped;
