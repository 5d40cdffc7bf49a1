//! The kernel's list of a thread's robust futexes: what it marks, and whom it wakes, when the thread has ended.
//!
//! Promises: however a thread with a [`Will`] ends, each word that is in it and holds the thread's id gets `DIED` instead, and
//! one of those who sleep on it is woken, before anybody can have waited for the process. The C library has a list of its own
//! for each thread, for robust mutexes; a thread with a will must use none of these.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use super::Linux;
use crate::sync::{AtomicU32, Futex};
use crate::system::{self, Deaths};

/// The kernel's `struct robust_list_head`, and the one entry that it may lead to.
#[repr(C)]
struct List {
    first: AtomicUsize,
    /// From an entry to its word.
    offset: isize,
    /// An entry whose word may hold this thread's id, whether it is in the list or not.
    pending: AtomicUsize,
    entry: AtomicUsize,
}

/// The calling thread's list.
pub(crate) struct Will {
    /// It stays until the process ends, since the kernel may read it then.
    list: &'static List,
    thread: u32,
}

impl Deaths for Linux {
    type Will = Will;
    const LOOK_EVERY: Option<u64> = None;

    /// The kernel has looked.
    fn look(_word: &AtomicU32) {}

    /// Who asks for a short slice comes before who runs already, and gets no more time for it. A keeper is often woken on the very
    /// processor on which the dead one's memory is taken down, and would wait until that is done. Linux does so from 6.12 on, and
    /// anybody may ask; before, it is asked in vain.
    fn run_at_once() {
        if let Some(mut how) = scheduled(0) {
            how.sched_runtime = SLICE;
            // SAFETY: the kernel reads what it has filled in. Where it refuses, deaths are seen to later.
            let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const how, 0) };
        }
    }
}

impl system::Will for Will {
    fn make(kept: Option<&Futex>, pending: Option<&Futex>) -> io::Result<Self> {
        let zero = || AtomicUsize::new(0);
        let list = Box::leak(Box::new(List { first: zero(), offset: 0, pending: zero(), entry: zero() }));
        let (head, entry) = (&raw const *list as usize, &raw const list.entry as usize);
        list.entry.store(head, Ordering::Relaxed);
        list.first.store(if kept.is_some() { entry } else { head }, Ordering::Relaxed);
        list.offset = kept.map_or(0, |word| (word.as_ptr() as isize).wrapping_sub(entry as isize));
        let will = Self { list, thread: rustix::thread::gettid().as_raw_pid() as u32 };
        will.set_pending(pending);
        let len = 3 * size_of::<usize>();
        if cfg!(miri) {
            // Miri knows no such list. What a test has of a dead process there is what `Keeper::go` leaves.
            return Ok(will);
        }
        // SAFETY: the head is leaked, so it is there when the thread ends; its list leads back to it; the words lie in mappings,
        // and the kernel does without those that are gone by then.
        let set = unsafe { libc::syscall(libc::SYS_set_robust_list, &raw const *will.list, len) };
        if set == 0 { Ok(will) } else { Err(io::Error::last_os_error()) }
    }

    fn set_pending(&self, word: Option<&Futex>) {
        // The kernel adds the offset to what stands here, and reads the word there; it follows nothing else of it.
        let entry = word.map_or(0, |word| (word.as_ptr() as isize).wrapping_sub(self.list.offset) as usize);
        // The kernel reads the list on behalf of this very thread: the compiler alone must keep the order.
        compiler_fence(Ordering::SeqCst);
        self.list.pending.store(entry, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// The thread's id.
    fn life(&self) -> u32 {
        self.thread
    }
}

/// How long a keeper runs at a time, as it tells the scheduler, in nanoseconds: the least that one may ask for. It runs for less.
const SLICE: u64 = 100_000;

/// How a thread is scheduled, or the calling one for 0; nothing where that is not the usual way.
fn scheduled(thread: u32) -> Option<libc::sched_attr> {
    if cfg!(miri) {
        // Where it cannot be asked for.
        return None;
    }
    // SAFETY: numbers only, which may all be 0.
    let mut how: libc::sched_attr = unsafe { std::mem::zeroed() };
    let len = size_of::<libc::sched_attr>();
    // SAFETY: the kernel writes no more bytes than there are.
    let asked = unsafe { libc::syscall(libc::SYS_sched_getattr, thread, &raw mut how, len, 0) };
    (asked == 0 && how.sched_policy == libc::SCHED_OTHER as u32).then_some(how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::{DIED, WATCHED};
    use crate::system::Will as _;
    use std::sync::Arc;

    /// What a thread leaves in two words that have its id.
    fn left(kept: Option<usize>, pending: Option<usize>) -> [u32; 2] {
        let words = Arc::new([Futex::new(0), Futex::new(0)]);
        let theirs = Arc::clone(&words);
        let thread = std::thread::spawn(move || {
            let will = Will::make(kept.map(|at| &theirs[at]), pending.map(|at| &theirs[at])).unwrap();
            theirs[0].store(will.thread | WATCHED, Ordering::Relaxed);
            theirs[1].store(will.thread, Ordering::Relaxed);
        });
        // The thread is joined when the kernel clears its id, which comes after the list.
        thread.join().unwrap();
        [0, 1].map(|i| words[i].load(Ordering::Relaxed))
    }

    #[test]
    #[cfg_attr(miri, ignore = "kernel")]
    fn what_is_in_the_will_is_marked_and_nothing_else() {
        assert!(left(None, None).iter().all(|word| word & DIED == 0));
        let kept = left(Some(0), None);
        assert_eq!((kept[0], kept[1] & DIED), (DIED | WATCHED, 0));
        assert_eq!(left(Some(0), Some(1)), [DIED | WATCHED, DIED]);
        let pending = left(None, Some(1));
        assert_eq!((pending[0] & DIED, pending[1]), (0, DIED));
    }

    #[test]
    #[cfg_attr(any(miri, portable), ignore = "not with these keepers")]
    fn a_keeper_runs_when_it_is_woken() {
        let memory = crate::LockMemory::create(16).unwrap();
        let me = memory.me().unwrap().seat().unwrap();
        let thread = memory.roster().seats[me].life.load(Ordering::Relaxed) & !WATCHED;
        // Where the whole program is scheduled in another way, or no thread has a slice of its own, there is nothing to ask for.
        let own = scheduled(0).map_or(0, |how| how.sched_runtime);
        let keepers = scheduled(thread).map_or(0, |how| how.sched_runtime);
        assert!(own == 0 || keepers == SLICE, "{keepers} ns, not {SLICE}");
    }
}
