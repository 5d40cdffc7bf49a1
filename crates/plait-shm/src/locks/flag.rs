//! The word of an event: a flag that threads wait for.
//!
//! | bits of the word | meaning | who writes, when |
//! |---|---|---|
//! | 0 | it is set | who sets or clears it |
//! | 1–31 | how often it was set | who sets it, by the same compare-and-swap |
//!
//! Promises: who waits when it is set is let go, also if it is cleared at once. Nobody holds it, so nothing is lost
//! with anybody: who dies between setting it and waking the others is seen to by the keepers.

use super::pending::Pause;
use crate::sync::{Futex, Ordering};

const SET: u32 = 1;

#[repr(C, align(64))]
pub(crate) struct FlagWord(Futex);

/// What the word was when somebody began to wait.
#[derive(Clone, Copy)]
pub(crate) struct Begun(u32);

impl FlagWord {
    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(Futex::new(0))
    }

    pub(crate) fn is_set(&self) -> bool {
        // SYNC POINT with `set`, as in `look`.
        self.0.load(Ordering::Acquire) & SET != 0
    }

    /// Sets it, and lets all go that wait.
    pub(crate) fn set(&self) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            // Set already: it is set once more all the same, for those who see what was written before this.
            let next = if seen & SET == 0 { (seen | SET).wrapping_add(2) } else { seen };
            // SYNC POINT with `is_set`, `look` and `clear`.
            match self.0.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) if next != seen => return self.0.wake_all(),
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    pub(crate) fn clear(&self) {
        // SYNC POINT with `set`: who clears it, and then looks for what it was set for, sees that.
        self.0.fetch_and(!SET, Ordering::Acquire);
    }

    /// Begins to wait: no setting is missed from now on.
    pub(crate) fn begin(&self) -> Begun {
        Begun(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn look(&self, begun: Begun) -> Result<(), Pause<'_>> {
        // SYNC POINT with `set`.
        let seen = self.0.load(Ordering::Acquire);
        if seen & SET != 0 || seen >> 1 != begun.0 >> 1 { Ok(()) } else { Err(Pause::new(&self.0, seen)) }
    }

    /// Wakes all, to look again: somebody has died.
    pub(crate) fn see_to(&self) {
        self.0.wake_all();
    }
}
