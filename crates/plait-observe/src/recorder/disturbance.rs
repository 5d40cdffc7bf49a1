//! Switches of the threads that are looked at, less those that the look itself has caused.
//!
//! The observer takes a processor to look. Where all are in use, it takes it from somebody who would have gone on, and then
//! sees that thread without one: at each look, however little of the time that is.

use plait_trace::Nanos;
use rustix::io::Errno;

use crate::Pid;
use crate::memory::{Switches, Turn};

/// Who makes room writes its record first, and the newcomer its own right after.
const MAKING_ROOM: Nanos = 20_000;

/// Opens the switches of threads, for the thread that looks at them.
#[derive(Debug)]
pub(super) struct Disturbance {
    /// The kernel has refused none so far.
    is_told: bool,
    /// Those of the observer's own thread.
    own: Option<Switches>,
}

impl Disturbance {
    pub fn new() -> Self {
        Self { is_told: true, own: None }
    }

    /// Has the kernel tell of a thread's switches, if it may. To be called by the thread that looks.
    pub fn open(&mut self, tid: Pid) -> Option<Switches> {
        if !self.is_told {
            return None;
        }
        let own = || Switches::of(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned());
        let found = match &self.own {
            Some(_) => Switches::of(tid),
            None => own().and_then(|own| {
                self.own = Some(own);
                Switches::of(tid)
            }),
        };
        match found {
            Ok(switches) => Some(switches),
            Err(Errno::SRCH) => None,
            // Not allowed, or no more room: the others go by their times.
            Err(_) => {
                self.is_told = false;
                None
            }
        }
    }

    /// The turn of a thread as it would be if nobody looked.
    pub fn undo(&self, turn: Turn) -> Turn {
        let own = self.own.as_ref().and_then(Switches::last);
        match own {
            Some(own) if makes_room(turn, own) => Turn { has_processor: true, since: 0 },
            _ => turn,
        }
    }
}

/// Whether a thread has left its processor to the observer, whose own turn is `own`.
fn makes_room(turn: Turn, own: Turn) -> bool {
    let before = own.since.checked_sub(turn.since);
    own.has_processor && !turn.has_processor && before.is_some_and(|before| before <= MAKING_ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_right_before_the_observer_came_makes_room() {
        let turn = |has_processor, since| Turn { has_processor, since };
        let own = turn(true, 1_000_000);
        assert!(makes_room(turn(false, 999_000), own));
        assert!(!makes_room(turn(false, 900_000), own), "it was without one before");
        assert!(!makes_room(turn(false, 1_000_500), own), "it left another processor");
        assert!(!makes_room(turn(true, 999_000), own));
    }
}
