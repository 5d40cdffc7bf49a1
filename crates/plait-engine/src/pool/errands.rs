//! The engine's own notes between the thread that read them and the one that acts on them.
//!
//! Whichever thread drains acts on them when it has let go of all locks. Promise: one thread at a time does, so they are acted
//! on in the order in which they were read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex};

use super::notes::Note;
use super::outcome::Ticket;
use super::state::{Shared, locked};

/// Notes that nobody has acted on.
#[derive(Default)]
pub(super) struct Errands {
    queue: Mutex<VecDeque<Note>>,
    count: AtomicUsize,
    at_it: Mutex<()>,
}

impl Errands {
    pub(super) fn push(&self, note: Note) {
        locked(&self.queue).push_back(note);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn is_any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Acts on all there are, unless another thread is at it, which then does.
    fn run(&self, mut act: impl FnMut(Note)) {
        while self.is_any() {
            // Who has the lock looks at the count once more when it has let go.
            let Ok(at_it) = self.at_it.try_lock() else { return };
            loop {
                let Some(note) = locked(&self.queue).pop_front() else { break };
                self.count.fetch_sub(1, Ordering::SeqCst);
                act(note);
            }
            drop(at_it);
            // The other half of this is in `push`: either that thread finds the lock free, or this one its note.
            fence(Ordering::SeqCst);
        }
    }
}

impl<T: Ticket> Shared<T> {
    /// Acts on the engine's own notes.
    pub(super) fn run_errands(this: &Arc<Self>) {
        if this.errands.is_any() {
            this.errands.run(|note| Self::run_errand(this, &note));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Link;
    use super::super::link::testing::link;
    use super::*;
    use std::thread;

    fn note(link: &Arc<Link>, byte: u8) -> Note {
        Note { link: Arc::clone(link), kind: 2, bytes: Box::new([byte]) }
    }

    #[test]
    fn errands_are_run_in_order_whichever_thread_comes_by() {
        const EACH: u8 = 200;
        let (link, ..) = link();
        let errands = &Errands::default();
        let ran = &Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for _ in 0..EACH {
                        thread::yield_now();
                        errands.run(|note| locked(ran).push(note.bytes[0]));
                    }
                });
            }
            for byte in 0..EACH {
                errands.push(note(&link, byte));
                errands.run(|note| locked(ran).push(note.bytes[0]));
            }
        });
        assert!(!errands.is_any());
        assert_eq!(*locked(ran), (0..EACH).collect::<Vec<_>>());
    }
}
