//! The collector: a thread that drains results when nobody waits for them but somebody wants to be told, that runs what
//! tickets put off (callbacks), and that hears workers' notes at any time.
//!
//! It is started with the first worker. It stays out of the way of threads that wait: while somebody else drains, it
//! only looks every few milliseconds whether that is still so.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use event_listener::Event;
use plait_shm::Wake;

use crate::native;

use super::drive::Awaited;
use super::outcome::Ticket;
use super::state::{Shared, locked};

/// First and longest pause of a collector that has nothing to do but look.
const GLANCE: Duration = Duration::from_millis(1);
const LONG_GLANCE: Duration = Duration::from_millis(8);

/// For so long a collector that was rung in vain does not hear.
const DEAF: Duration = Duration::from_micros(200);

/// "Done" when the collector should stop driving.
struct Relief<'a, T: Ticket>(&'a Shared<T>, Event);

impl<T: Ticket> Awaited for Relief<'_, T> {
    fn is_done(&self) -> bool {
        let shared = self.0;
        shared.wanted.load(Ordering::SeqCst) > 0
            || shared.has_chores()
            || !shared.needs_collector()
            || (shared.closing.load(Ordering::Relaxed) && shared.is_ended())
    }

    fn event(&self) -> &Event {
        &self.1
    }
}

impl<T: Ticket> Shared<T> {
    /// Makes sure that somebody drains although nobody waits.
    pub(super) fn alert(this: &Arc<Self>) {
        if !this.collecting.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(this);
            let thread = thread::Builder::new().name("plait-collector".into());
            let started = native::spawn(thread, move || Self::collect(&shared));
            if started.is_err() {
                // No thread to be had now: the next alert tries again; waiters drain for themselves meanwhile.
                this.collecting.store(false, Ordering::Release);
            }
        } else {
            this.memory.pressure().poke();
        }
    }

    fn needs_collector(&self) -> bool {
        self.watched.load(Ordering::Relaxed) > 0
            || self.backlog.load(Ordering::Relaxed)
            || self.closing.load(Ordering::Relaxed)
    }

    /// Whether there is something that only the binding can do.
    fn has_chores(&self) -> bool {
        !locked(&self.deferred).is_empty() || self.unheard.is_waiting()
    }

    fn collect(this: &Arc<Self>) {
        let relief = Relief(this, Event::new());
        let mut glance = GLANCE;
        // Notes were there, and another thread held the role: it may have looked before they were written.
        let mut missed = false;
        loop {
            let deferred = std::mem::take(&mut *locked(&this.deferred));
            // After taking those: what was written before they ended is heard before they are told of.
            if this.unheard.is_waiting() {
                Self::handle_notes(this);
            }
            if !deferred.is_empty() {
                T::run_deferred(deferred);
                continue;
            }
            if this.closing.load(Ordering::Acquire) && this.is_ended() && !this.has_chores() {
                return;
            }
            let drains = this.drains.load(Ordering::Relaxed);
            let pause = (missed || this.needs_collector()).then_some(glance);
            // What it is needed for may come while it lies down for good, and the poke that goes with it then finds nobody
            // asleep.
            let ready = || {
                this.has_chores()
                    || (!missed && locked(&this.readers).has_notes())
                    || (pause.is_none() && this.needs_collector())
            };
            let woken = this.memory.pressure().wait(ready, pause);
            if this.has_chores() {
                continue;
            }
            missed = locked(&this.readers).has_notes();
            if !missed && this.drains.load(Ordering::Relaxed) != drains {
                glance = (glance * 2).min(LONG_GLANCE);
                if !matches!(woken, Wake::TimedOut) {
                    // Another thread is at work: whoever rings need not wake this one each time.
                    thread::sleep(DEAF);
                }
                continue;
            }
            if !missed && !this.needs_collector() && matches!(woken, Wake::TimedOut) {
                glance = GLANCE;
                continue;
            }
            let Ok(role) = this.role.try_lock() else {
                // Somebody waits, for as long as it may take.
                glance = (glance * 2).min(LONG_GLANCE);
                continue;
            };
            (glance, missed) = (GLANCE, false);
            let driven: Result<bool, Infallible> = Self::drive(this, &relief, None, &mut || Ok(()));
            drop(role);
            this.hand_over();
            let Ok(_) = driven;
        }
    }
}
