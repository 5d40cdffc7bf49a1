//! Futexes, of which the kernel can watch several at once.

use std::sync::atomic::AtomicBool;

use rustix::io::Errno;
use rustix::thread::{ClockId, futex};

use super::Linux;
use crate::sync::{AtomicU32, Futex, Ordering, Slept, now};
use crate::system::{WakeUps, calls, timespec};

/// How many words the kernel watches at once.
const WATCHED: usize = 128;

/// Where the kernel cannot watch several words (Linux before 5.16), they are looked at this often.
/// Miri's clock goes on with the steps that are run, and by so much a keeper has done little more than wake up.
const NAP: u64 = if cfg!(miri) { 50_000_000 } else { 500_000 };

/// Set when the kernel has refused to watch several words. Miri knows no call for that.
static LOOKING: AtomicBool = AtomicBool::new(cfg!(miri));

impl WakeUps for Linux {
    fn sleep(word: &AtomicU32, expected: u32, until: Option<u64>) -> Slept {
        let until = until.map(timespec);
        let all = core::num::NonZeroU32::MAX;
        slept(futex::wait_bitset(word, futex::Flags::empty(), expected, until.as_ref(), all))
    }

    fn sleep_any(words: &[(&Futex, u32)], until: Option<u64>) -> Slept {
        if words.len() <= WATCHED && !LOOKING.load(Ordering::Relaxed) {
            let mut waits = [futex::Wait::new(); WATCHED];
            for (wait, (word, expected)) in waits.iter_mut().zip(words) {
                wait.val = u64::from(*expected);
                wait.uaddr = futex::WaitPtr::new(word.as_ptr().cast());
                wait.flags = futex::WaitFlags::SIZE_U32;
            }
            let until = until.map(timespec);
            let none = futex::WaitvFlags::empty();
            match futex::waitv(&waits[..words.len()], none, until.as_ref(), ClockId::Monotonic) {
                // Not there, or not allowed.
                Err(Errno::NOSYS | Errno::PERM) => Self::look_instead(),
                ended => return slept(ended.map(|_| ())),
            }
        }
        let nap = now() + NAP;
        let over = until.is_some_and(|until| until <= nap);
        let (first, expected) = words[0];
        match Self::sleep(first, expected, Some(until.map_or(nap, |until| until.min(nap)))) {
            Slept::TimedOut if !over => Slept::Woken,
            ended => ended,
        }
    }

    /// The longest asleep first.
    fn wake(word: &AtomicU32, count: u32) {
        // It can fail for an unmapped word only, and how many it found is of no use.
        let _ = calls::futex_wake(word, futex::Flags::empty(), count.min(i32::MAX as u32));
    }

    fn look_instead() {
        LOOKING.store(true, Ordering::Relaxed);
    }
}

fn slept(ended: Result<(), Errno>) -> Slept {
    match ended {
        Ok(()) | Err(Errno::AGAIN) => Slept::Woken,
        Err(Errno::TIMEDOUT) => Slept::TimedOut,
        Err(Errno::INTR) => Slept::Interrupted,
        // EFAULT and EINVAL alone are left: an unmapped or unaligned word, which a reference to one cannot be.
        Err(error) => unreachable!("futex wait on a mapped word failed: {error}"),
    }
}
