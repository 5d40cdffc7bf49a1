//! Forks are counted, by what `pthread_atfork` has called in each child.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use crate::sync::{AtomicU32, Ordering};
use crate::system::ForkWord;

/// How many forks ago the first process of this line was.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The two ends of this process's own pipe, which no child may have; 0: none. See `watch`.
static PIPE: AtomicU64 = AtomicU64::new(0);

fn packed([read, write]: [RawFd; 2]) -> u64 {
    // Neither is 0 then.
    u64::from(read.cast_unsigned() + 1) << 32 | u64::from(write.cast_unsigned() + 1)
}

fn unpacked(pipe: u64) -> Option<[RawFd; 2]> {
    (pipe != 0).then(|| [pipe >> 32, pipe & u64::from(u32::MAX)].map(|end| (end as u32 - 1).cast_signed()))
}

/// In a forked child, which has one thread and may only do what a signal handler may.
extern "C" fn on_fork() {
    FORKS.fetch_add(1, Ordering::Release);
    for end in unpacked(PIPE.swap(0, Ordering::Relaxed)).into_iter().flatten() {
        // SAFETY: both came from descriptors that were given up for this, and nobody else closes them.
        unsafe { libc::close(end) };
    }
}

/// How many forks ago the first process was, from the first call on.
fn forks() -> io::Result<u32> {
    static COUNTED: OnceLock<i32> = OnceLock::new();
    // SAFETY: a function that lives as long as the program, and does what may be done there.
    let error = *COUNTED.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(on_fork)) });
    if error != 0 { Err(io::Error::from_raw_os_error(error)) } else { Ok(FORKS.load(Ordering::Acquire)) }
}

/// A word, and the count of forks at which it was written: one of another count is empty.
pub(crate) struct OfFork(AtomicU64);

impl OfFork {
    /// The word of this count, beside it.
    fn now(word: u32) -> u64 {
        u64::from(FORKS.load(Ordering::Acquire)) << 32 | u64::from(word)
    }
}

impl ForkWord for OfFork {
    fn new() -> io::Result<Self> {
        Ok(Self(AtomicU64::new(u64::from(forks()?) << 32)))
    }

    fn load(&self) -> u32 {
        let seen = self.0.load(Ordering::Acquire);
        if seen >> 32 == Self::now(0) >> 32 { seen as u32 } else { 0 }
    }

    fn store(&self, word: u32) {
        self.0.store(Self::now(word), Ordering::Release);
    }

    fn claim(&self, word: u32) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        let is_empty = seen >> 32 != Self::now(0) >> 32 || seen as u32 == 0;
        is_empty && self.0.compare_exchange(seen, Self::now(word), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// The reading end of this process's own pipe, if it has one.
pub(super) fn own_pipe() -> Option<RawFd> {
    unpacked(PIPE.load(Ordering::Acquire)).map(|[read, _]| read)
}

/// Keeps a pipe as this process's own until it ends, and out of its children. If it has one already, that stays, and this one is closed.
pub(super) fn keep_pipe((read, write): (OwnedFd, OwnedFd)) -> io::Result<()> {
    forks()?;
    let ends = [read.into_raw_fd(), write.into_raw_fd()];
    if PIPE.compare_exchange(0, packed(ends), Ordering::AcqRel, Ordering::Relaxed).is_err() {
        for end in ends {
            // SAFETY: just taken out of what owned it, and kept nowhere.
            drop(unsafe { OwnedFd::from_raw_fd(end) });
        }
    }
    Ok(())
}
