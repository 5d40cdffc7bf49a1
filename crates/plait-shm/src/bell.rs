//! The eventcount: how one process sleeps until another has changed something, without a system call per change.
//!
//! Promises: whoever changes something and then rings never leaves a sleeper asleep that waits for that change; ringing is a
//! system call only when somebody has announced to sleep; a sleeper that dies costs one needless system call, later.
//! One promise needs the parent: a ringer that is killed in the middle of ringing may have silenced the bell, so after each
//! death the parent calls [`Bell::poke`] (`PoolMemory::leave_seat` does). The proof is in this crate's README.

use std::time::Duration;

#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{Futex, Ordering, Slept, fence};

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// What was waited for is there.
    Ready,
    /// Somebody rang or woke; look again whether it is there.
    Rung,
    /// The time is over.
    TimedOut,
    /// A signal handler ran in this thread (EINTR).
    Interrupted,
}

impl From<Slept> for Wake {
    fn from(slept: Slept) -> Self {
        match slept {
            Slept::Woken => Wake::Rung,
            Slept::TimedOut => Wake::TimedOut,
            Slept::Interrupted => Wake::Interrupted,
        }
    }
}

/// The lowest bit of a bell's word: somebody has announced to sleep.
const ANNOUNCED: u32 = 1;

/// A bell in shared memory. Any number of processes may ring it, any number of threads may wait on it.
///
/// | bits of the word | meaning | who writes, when |
/// |---|---|---|
/// | 0 | somebody has announced to sleep | a sleeper sets it before its last look; a ringer clears it by adding one |
/// | 1–31 | how often an announcement was answered | the ringer, by the same addition |
#[repr(C, align(64))]
pub struct Bell {
    word: Futex,
}

// SAFETY: an atomic, any value of which is a state of the bell.
#[cfg(not(loom))]
unsafe impl Shareable for Bell {}

impl Bell {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self { word: Futex::new(0) }
    }

    /// Wakes those who wait for what the caller has just changed; costs a fence and a load when nobody does.
    pub fn ring(&self) {
        // SYNC POINT with `Bell::wait`: either this load sees the announcement, or the sleeper's last look sees the change.
        fence(Ordering::SeqCst);
        self.ring_fenced();
    }

    /// Is somebody announced? For ringers that have already passed a SeqCst fence since their change.
    pub(crate) fn is_announced_fenced(&self) -> bool {
        self.word.load(Ordering::Relaxed) & ANNOUNCED != 0
    }

    /// [`Bell::ring`] for a caller that has passed a SeqCst fence since its change.
    pub(crate) fn ring_fenced(&self) {
        let seen = self.word.load(Ordering::Relaxed);
        if seen & ANNOUNCED == 0 {
            return;
        }
        // One ringer answers an announcement, the others need not: whoever announces after that answer has its fence after
        // ours, and sees our change. Adding one clears the announcement and makes the word another one in a single step.
        let answered = self.word.compare_exchange(seen, seen.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        if answered.is_ok() {
            self.word.wake_all();
        }
    }

    /// Wakes whoever sleeps now, whether something has changed or not.
    ///
    /// A thread that is about to sleep but has not announced it is not held back: to end a wait for good, first
    /// set what its `ready` looks at.
    pub fn poke(&self) {
        fence(Ordering::SeqCst);
        let mut seen = self.word.load(Ordering::Relaxed);
        // To the next even number: not announced, and another word than any sleeper compares with.
        while let Err(now) = self.word.compare_exchange_weak(
            seen,
            (seen | ANNOUNCED).wrapping_add(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        self.word.wake_all();
    }

    /// Sleeps until `ready` says that there is something, until somebody rings, or for `timeout`.
    ///
    /// `ready` is called up to two times; it must look at the shared memory anew each time.
    pub fn wait(&self, mut ready: impl FnMut() -> bool, timeout: Option<Duration>) -> Wake {
        if ready() {
            return Wake::Ready;
        }
        let announced = self.word.fetch_or(ANNOUNCED, Ordering::Relaxed) | ANNOUNCED;
        // SYNC POINT with `Bell::ring` (and `StreamReader`, which rings by its own fence).
        fence(Ordering::SeqCst);
        if ready() {
            // The announcement stays: taking it back could take another sleeper's. It costs one needless wake-up at most.
            return Wake::Ready;
        }
        self.word.sleep(announced, timeout).into()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn what_is_ready_needs_no_sleep() {
        assert_eq!(Bell::new().wait(|| true, None), Wake::Ready);
    }

    #[test]
    fn the_last_look_comes_after_the_announcement() {
        let bell = Bell::new();
        let mut looks = 0;
        let wake = bell.wait(
            || {
                looks += 1;
                looks == 2
            },
            None,
        );
        assert_eq!(wake, Wake::Ready);
        assert!(bell.is_announced_fenced());
    }

    #[test]
    fn time_runs_out() {
        assert_eq!(Bell::new().wait(|| false, Some(Duration::from_millis(1))), Wake::TimedOut);
    }

    #[test]
    fn a_ring_is_silent_without_sleepers_and_answers_one_announcement_once() {
        let bell = Bell::new();
        bell.ring();
        assert_eq!(bell.word.load(Ordering::Relaxed), 0);
        let _ = bell.wait(|| false, Some(Duration::from_millis(1)));
        assert_eq!(bell.word.load(Ordering::Relaxed), 1);
        bell.ring();
        bell.ring();
        assert_eq!(bell.word.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn ping_and_pong_lose_no_wake_up() {
        const ROUNDS: u32 = if cfg!(miri) { 100 } else { 20_000 };
        let shared = Arc::new((Bell::new(), Bell::new(), AtomicU32::new(0)));
        let other = Arc::clone(&shared);
        let pong = std::thread::spawn(move || {
            let (ping, pong, turn) = &*other;
            for round in 0..ROUNDS {
                while turn.load(Ordering::Relaxed) != 2 * round + 1 {
                    ping.wait(|| turn.load(Ordering::Relaxed) == 2 * round + 1, None);
                }
                turn.store(2 * round + 2, Ordering::Relaxed);
                pong.ring();
            }
        });
        let (ping, pong_bell, turn) = &*shared;
        for round in 0..ROUNDS {
            turn.store(2 * round + 1, Ordering::Relaxed);
            ping.ring();
            while turn.load(Ordering::Relaxed) != 2 * round + 2 {
                pong_bell.wait(|| turn.load(Ordering::Relaxed) == 2 * round + 2, None);
            }
        }
        pong.join().unwrap();
    }

    #[test]
    fn a_poke_wakes_a_sleeper_whose_ringer_died_before_waking() {
        let shared = Arc::new((Bell::new(), AtomicU32::new(0)));
        let other = Arc::clone(&shared);
        let sleeper = std::thread::spawn(move || {
            while other.1.load(Ordering::Relaxed) == 0 {
                other.0.wait(|| other.1.load(Ordering::Relaxed) != 0, None);
            }
        });
        while !shared.0.is_announced_fenced() {
            std::thread::yield_now();
        }
        // A ringer that changes, answers, and is killed before the system call.
        shared.1.store(1, Ordering::Relaxed);
        let _ = shared.0.word.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
        shared.0.poke();
        sleeper.join().unwrap();
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::model;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;
    use std::sync::Arc;

    fn wait_for(bell: &Bell, what: &AtomicU32, enough: u32) {
        while what.load(Ordering::Relaxed) < enough {
            bell.wait(|| what.load(Ordering::Relaxed) >= enough, None);
        }
    }

    #[test]
    fn a_change_that_is_rung_is_never_slept_through() {
        model(|| {
            let shared = Arc::new((Bell::new(), AtomicU32::new(0)));
            let other = Arc::clone(&shared);
            let ringer = thread::spawn(move || {
                other.1.store(1, Ordering::Relaxed);
                other.0.ring();
            });
            wait_for(&shared.0, &shared.1, 1);
            ringer.join().unwrap();
        });
    }

    #[test]
    fn two_ringers_may_share_one_answer() {
        model(|| {
            let shared = Arc::new((Bell::new(), AtomicU32::new(0)));
            let ringers = [0, 1].map(|_| {
                let other = Arc::clone(&shared);
                thread::spawn(move || {
                    other.1.fetch_add(1, Ordering::Relaxed);
                    other.0.ring();
                })
            });
            wait_for(&shared.0, &shared.1, 2);
            for ringer in ringers {
                ringer.join().unwrap();
            }
        });
    }

    #[test]
    fn two_sleepers_share_one_announcement() {
        model(|| {
            let shared = Arc::new((Bell::new(), AtomicU32::new(0)));
            let other = Arc::clone(&shared);
            let sleeper = thread::spawn(move || wait_for(&other.0, &other.1, 1));
            let other = Arc::clone(&shared);
            let ringer = thread::spawn(move || {
                other.1.store(1, Ordering::Relaxed);
                other.0.ring();
            });
            wait_for(&shared.0, &shared.1, 1);
            sleeper.join().unwrap();
            ringer.join().unwrap();
        });
    }
}
