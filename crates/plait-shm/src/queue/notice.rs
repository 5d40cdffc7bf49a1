//! A word on which those sleep who wait for a change, one of whom each change wakes.
//!
//! | bits | meaning | who writes, when |
//! |---|---|---|
//! | 0 | somebody may sleep on the word | who is about to sleep, or has slept and goes; taken off by who has changed something, and wakes one |
//! | 1–31 | how often it was taken off | the latter; a keeper |
//!
//! Promises: nobody sleeps through a change that it waits for; and if a change is enough for several, those who are woken wake the
//! next (`pass_on`). Proof: the README, "Queues".

use crate::sync::{Futex, Ordering, fence};

const SLEEPERS: u32 = 1;

#[repr(transparent)]
pub(crate) struct Notice(pub(crate) Futex);

impl Notice {
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(Futex::new(0))
    }

    /// Somebody will sleep on the word while it is what this gives, unless a look after this finds what is waited for.
    pub(crate) fn announce(&self) -> u32 {
        let seen = self.0.fetch_or(SLEEPERS, Ordering::Relaxed) | SLEEPERS;
        // SYNC POINT with `ring`: either the look that follows sees the change, or `ring` sees the bit.
        fence(Ordering::SeqCst);
        seen
    }

    /// Something has changed: wakes `count` of those who sleep.
    pub(crate) fn ring(&self, count: u32) {
        // SYNC POINT with `announce`.
        fence(Ordering::SeqCst);
        let seen = self.0.load(Ordering::Relaxed);
        // If another has just taken it off, whoever that one wakes looks for more, and passes it on.
        if seen & SLEEPERS != 0
            && self.0.compare_exchange(seen, seen.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.0.wake(count);
        }
    }

    /// From one that has slept and goes, with what it waited for or without: others may sleep, and if there is more, one of them is woken.
    pub(crate) fn pass_on(&self, is_more: impl FnOnce() -> bool) {
        self.announce();
        if is_more() {
            self.0.wake(1);
        }
    }

    /// Wakes all, to look again.
    pub(crate) fn poke(&self) {
        self.0.fetch_add(2, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.0.wake_all();
    }
}

/// Looks; if in vain, announces it and looks again; if that was in vain, too, gives the word to sleep on as it is.
pub(crate) fn look_twice<R>(notice: &Notice, slept: &mut bool, mut look: impl FnMut() -> Option<R>) -> Result<R, u32> {
    if let Some(found) = look() {
        return Ok(found);
    }
    let seen = notice.announce();
    *slept = true;
    look().ok_or(seen)
}
