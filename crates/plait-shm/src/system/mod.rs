//! What is the operating system's own: a trait for each concept, and who implements it here.
//!
//! There are two implementations. [`linux`] has memfd, futexes, the kernel's list of robust futexes and process descriptors;
//! [`portable`] has what POSIX has: `shm_open`, naps, `waitid` and pipes. Tests of this module hold both to the same promises; all else of
//! this crate, and of the crates on top of it, runs on one of them: on [`linux`], or, elsewhere and under
//! `--cfg portable`, on [`portable`]. What Miri does not know of either is in `calls`.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::process::{Pid, Signal};
use rustix::time::Timespec;

use crate::segment::Mapping;
use crate::sync::{AtomicU32, Futex, Slept};

#[cfg(any(miri, acted))]
mod acted;
mod calls;
#[cfg(all(test, target_os = "linux", not(any(miri, acted))))]
mod conformance;
#[cfg(target_os = "linux")]
#[cfg_attr(portable, allow(dead_code, reason = "the tests hold it to its promises"))]
pub(crate) mod linux;
#[cfg(any(all(test, not(any(miri, acted))), portable, not(target_os = "linux")))]
#[cfg_attr(
    not(any(portable, not(target_os = "linux"))),
    allow(dead_code, reason = "the tests hold it to its promises")
)]
pub(crate) mod portable;

#[cfg(target_os = "linux")]
pub(crate) use calls::mmap_anonymous;
pub(crate) use calls::{fstat, ftruncate, getrlimit, mmap, munmap};
#[cfg(all(target_os = "linux", not(portable)))]
pub use linux::Linux as Here;
#[cfg(all(target_os = "linux", not(portable)))]
pub(crate) use linux::Wiped as HereWord;
#[cfg(any(portable, not(target_os = "linux")))]
pub(crate) use portable::OfFork as HereWord;
#[cfg(any(portable, not(target_os = "linux")))]
pub use portable::Portable as Here;

/// Which of them is in force: `linux` or `portable`.
pub const PLATFORM: &str = if cfg!(all(target_os = "linux", not(portable))) { "linux" } else { "portable" };

/// A file without a name, for what one process writes and others read once.
///
/// # Errors
/// The system's.
pub fn private_file(name: &str) -> io::Result<File> {
    Here::private(name)
}

/// Files without a name, whose memory processes share by descriptors.
pub(crate) trait Files {
    /// A new one, empty, closed on exec. `name` is for those who look at mappings, and means nothing else.
    fn create(name: &str) -> io::Result<OwnedFd>;

    /// One for plain reading and writing, closed on exec.
    fn private(name: &str) -> io::Result<File>;

    /// From now on its length should not change, in no process.
    fn seal(file: BorrowedFd<'_>) -> io::Result<()>;

    /// Is it one that was sealed? Where files have no seals: may it be one?
    fn is_sealed(file: BorrowedFd<'_>) -> bool;

    /// Gives a part of it memory, so that no lack is a signal to who writes there. New bytes are zeros, the others stay.
    fn fill(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()>;

    /// Gives the memory of whole pages back, which read as zeros then. False: it could not, and they are as they were.
    fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> bool;

    /// Writes all of `bytes` at a place of it, where a lack of memory is an error if the system can tell.
    fn write(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads as much as `into` holds from a place of it.
    fn read(file: BorrowedFd<'_>, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Keeps a mapping out of core dumps: who writes one reads everything, and so would fill the holes of the file. A hint.
    fn omit_from_dumps(mapping: &Mapping);

    /// Makes all of a mapping ready to be read. A hint.
    fn populate(mapping: &Mapping);

    /// Was surely nothing ever written to the pages of the `len` bytes from `at` on, which lie in a private mapping?
    fn is_unwritten(at: usize, len: usize) -> bool;
}

/// Sleeping on words that other processes write.
pub(crate) trait WakeUps {
    /// Sleeps while the word is as expected, until it is woken or until an instant of [`crate::sync::now`]. It may end early, as if woken.
    fn sleep(word: &AtomicU32, expected: u32, until: Option<u64>) -> Slept;

    /// The same with several words, of which one has to be woken. There is at least one.
    fn sleep_any(words: &[(&Futex, u32)], until: Option<u64>) -> Slept;

    /// Wakes at least `count` of those who sleep on the word, if there are so many.
    fn wake(word: &AtomicU32, count: u32);

    /// Has [`WakeUps::sleep_any`] look at words every now and then, as where the kernel cannot watch several.
    fn look_instead();
}

/// Marking words of processes that have died: [`DIED`](crate::locks::DIED) instead of the life that stands in them.
pub(crate) trait Deaths {
    type Will: Will;

    /// How often somebody has to [look](Deaths::look) at a word to have it marked, in nanoseconds; never, where the kernel marks it.
    const LOOK_EVERY: Option<u64>;

    /// Marks the word, if the life in it has ended.
    fn look(word: &AtomicU32);

    /// Has the calling thread run as soon as it is woken, if it can be had.
    fn run_at_once();
}

/// What the calling thread leaves: words that hold its life are marked when its process has ended.
pub(crate) trait Will: Sized {
    /// In place of an earlier one: `kept` is in it for good, `pending` until it is told otherwise.
    fn make(kept: Option<&Futex>, pending: Option<&Futex>) -> io::Result<Self>;

    /// From now on the life may come to stand in this word, or leave it.
    fn set_pending(&self, word: Option<&Futex>);

    /// What has to stand in words: not 0, and without the bits of DIED and WATCHED.
    fn life(&self) -> u32;
}

/// A word of this process alone, which a forked child finds to be 0.
pub(crate) trait ForkWord: Sized {
    fn new() -> io::Result<Self>;
    fn load(&self) -> u32;
    fn store(&self, word: u32);
    /// Makes it another if it is 0; whether it did.
    fn claim(&self, word: u32) -> bool;
}

/// Watching processes, by descriptors that become ready (readable, or hung up) when theirs has ended, and that can be handed on.
pub trait ProcessWatch {
    /// What has to be made before a fork, so that its child can be watched.
    type Birth;

    /// A descriptor of this process, for others.
    ///
    /// # Errors
    /// The system's.
    fn own() -> io::Result<OwnedFd>;

    /// To be called before a fork.
    ///
    /// # Errors
    /// The system's.
    fn prepare() -> io::Result<Self::Birth>;

    /// After the fork, in the parent, which has not waited for the child yet: a descriptor of it.
    ///
    /// # Errors
    /// The system's.
    fn watch(birth: Self::Birth, child: Pid) -> io::Result<OwnedFd>;

    /// After the fork, in the child: a descriptor of it for others.
    ///
    /// # Errors
    /// The system's.
    fn live(birth: Self::Birth) -> io::Result<OwnedFd>;

    /// A descriptor of a process that lived a moment ago; `None` when it has ended.
    ///
    /// # Errors
    /// The system's; `Unsupported` where there is no descriptor to be had of a process that did not give one: ask again later whether
    /// it has ended.
    fn find(pid: Pid) -> io::Result<Option<OwnedFd>>;

    /// Sends a signal to the process with this descriptor and this id. Nothing, if it has ended.
    ///
    /// # Errors
    /// The system's.
    fn signal(process: BorrowedFd<'_>, pid: Pid, signal: Signal) -> io::Result<()>;
}

fn timespec(nanoseconds: u64) -> Timespec {
    let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    Timespec { tv_sec: seconds as i64, tv_nsec: rest as i64 }
}
