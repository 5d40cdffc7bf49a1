//! The kernel's list of a thread's robust futexes: what it marks, and whom it wakes, when the thread has ended.
//!
//! Promises: however a thread with a [`Will`] ends, each word that is in it and holds the thread's id gets `DIED` instead, and
//! one of those who sleep on it is woken, before anybody can have waited for the process. The C library has a list of its own
//! for each thread, for robust mutexes; a thread with a will must use none of these.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use crate::sync::Futex;

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
    /// The thread's id, which stands in the words.
    pub(crate) thread: u32,
}

impl Will {
    /// Makes the calling thread's will, in place of an earlier one: `kept` is in it for good, `pending` until it is told otherwise.
    ///
    /// # Errors
    /// That of `set_robust_list`.
    pub(crate) fn make(kept: Option<&Futex>, pending: Option<&Futex>) -> io::Result<Self> {
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

    /// From now on the thread's id may come to stand in this word, or leave it.
    pub(crate) fn set_pending(&self, word: Option<&Futex>) {
        // The kernel adds the offset to what stands here, and reads the word there; it follows nothing else of it.
        let entry = word.map_or(0, |word| (word.as_ptr() as isize).wrapping_sub(self.list.offset) as usize);
        // The kernel reads the list on behalf of this very thread: the compiler alone must keep the order.
        compiler_fence(Ordering::SeqCst);
        self.list.pending.store(entry, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::roster::{DIED, WATCHED};
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
}
