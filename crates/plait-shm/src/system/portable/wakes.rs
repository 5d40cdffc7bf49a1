//! Naps: who sleeps looks at the words every now and then, the less often the longer it has slept.
//!
//! Processes have no lock in common here that one of them could die with, and no thread that could be gone: whoever is killed, the others
//! look. A sleep ends by itself every now and then, as if woken, for wake-ups that come with no change of the word.

use rustix::thread::{NanosleepRelativeResult, nanosleep};

use super::Portable;
use crate::sync::{AtomicU32, Futex, Ordering, Slept, now};
use crate::system::{WakeUps, timespec};

/// The first nap, and the longest, in nanoseconds: what a look costs a processor that has nothing else to do, and how late a wake-up may come.
const SHORTEST: u64 = 20_000;
const LONGEST: u64 = 1_000_000;

/// A nap is this part of the time that was slept already, so a wake-up is late by no larger part of the wait.
const PART: u64 = 8;

/// After so long a sleep ends as if woken.
const ENOUGH: u64 = 500_000_000;

impl WakeUps for Portable {
    fn sleep(word: &AtomicU32, expected: u32, until: Option<u64>) -> Slept {
        nap(|| word.load(Ordering::Acquire) != expected, until)
    }

    fn sleep_any(words: &[(&Futex, u32)], until: Option<u64>) -> Slept {
        nap(|| words.iter().any(|(word, expected)| word.load(Ordering::Acquire) != *expected), until)
    }

    fn wake(_word: &AtomicU32, _count: u32) {}

    /// It always does.
    fn look_instead() {}
}

fn nap(is_over: impl Fn() -> bool, until: Option<u64>) -> Slept {
    let begun = now();
    loop {
        if is_over() {
            return Slept::Woken;
        }
        let now = now();
        if until.is_some_and(|until| until <= now) {
            return Slept::TimedOut;
        }
        let slept = now - begun;
        if slept >= ENOUGH {
            return Slept::Woken;
        }
        let nap = (slept / PART).clamp(SHORTEST, LONGEST);
        let nap = until.map_or(nap, |until| nap.min(until - now));
        if let NanosleepRelativeResult::Interrupted(_) = nanosleep(&timespec(nap)) {
            return Slept::Interrupted;
        }
    }
}
