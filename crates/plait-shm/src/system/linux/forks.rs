//! A page that a forked child finds empty.

use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::segment::Mapping;
use crate::sync::{AtomicU32, Ordering};
use crate::system::{ForkWord, calls};

/// The word lies in a page of its own.
pub(crate) struct Wiped {
    page: Mapping,
}

impl Wiped {
    fn word(&self) -> &AtomicU32 {
        let at: NonNull<AtomicU32> = self.page.base().cast();
        // SAFETY: the page is mapped, writable, aligned and as long as `self`, and an atomic is all that is ever in it.
        unsafe { at.as_ref() }
    }
}

impl ForkWord for Wiped {
    fn new() -> io::Result<Self> {
        let len = rustix::param::page_size();
        let page = Mapping::anonymous(len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        // SAFETY: the page is the new mapping's, and empty as it is.
        unsafe { calls::madvise(page.base().as_ptr().cast(), len, Advice::LinuxWipeOnFork)? };
        Ok(Self { page })
    }

    fn load(&self) -> u32 {
        self.word().load(Ordering::Acquire)
    }

    fn store(&self, word: u32) {
        self.word().store(word, Ordering::Release);
    }

    fn claim(&self, word: u32) -> bool {
        self.word().compare_exchange(0, word, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}
