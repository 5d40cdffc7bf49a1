//! What a thread of a Python program can be doing, as far as its lane is concerned.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a thread does at one moment, seen from outside.
///
/// The order is that of a legend: who has the GIL, who wants it, who runs without it, who waits for something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// It has the GIL and runs bytecode.
    HoldsPython,
    /// It has the GIL and has been in one native call for so long that others notice.
    HoldsNative,
    /// It has the GIL and sleeps in a system call.
    HoldsBlocked,
    /// It has the GIL and collects garbage.
    HoldsGc,
    /// It wants the GIL, which another thread has.
    Waits,
    /// It gave the GIL away because it was asked to, and waits until the other has taken it.
    HandsOff,
    /// It runs without the GIL: native code that has released it, or a thread that Python does not know.
    Native,
    /// It could run, but has no processor.
    Runnable,
    /// It waits for the network: a socket's data, room to send, a connection.
    Network,
    /// It waits for a disk, or for a file or pipe.
    Disk,
    /// It waits until one of several things happens: `select`, `poll`, `epoll`; an event loop at rest.
    Poll,
    /// It sleeps for a time.
    Sleep,
    /// It waits for a lock other than the GIL, as the idle threads of a pool do.
    Lock,
    /// It waits for a child process.
    Child,
    /// In a free-threaded Python: attached to the interpreter, so it may run Python code.
    Attached,
    /// In a free-threaded Python: detached from the interpreter, and running.
    Detached,
    /// Nobody looked, or what was seen makes no sense.
    #[default]
    Unknown,
}

impl State {
    /// All of them, in the order of a legend.
    pub const ALL: [Self; 17] = [
        Self::HoldsPython,
        Self::HoldsNative,
        Self::HoldsBlocked,
        Self::HoldsGc,
        Self::Waits,
        Self::HandsOff,
        Self::Native,
        Self::Runnable,
        Self::Network,
        Self::Disk,
        Self::Poll,
        Self::Sleep,
        Self::Lock,
        Self::Child,
        Self::Attached,
        Self::Detached,
        Self::Unknown,
    ];

    /// A short name that programs may rely on: `holds-python`, `waits`, …
    pub const fn word(self) -> &'static str {
        match self {
            Self::HoldsPython => "holds-python",
            Self::HoldsNative => "holds-native",
            Self::HoldsBlocked => "holds-blocked",
            Self::HoldsGc => "holds-gc",
            Self::Waits => "waits",
            Self::HandsOff => "hands-off",
            Self::Native => "native",
            Self::Runnable => "runnable",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Poll => "poll",
            Self::Sleep => "sleep",
            Self::Lock => "lock",
            Self::Child => "child",
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Unknown => "unknown",
        }
    }

    /// What it is called where people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::HoldsPython => "GIL: Python code",
            Self::HoldsNative => "GIL: native code",
            Self::HoldsBlocked => "GIL: held asleep",
            Self::HoldsGc => "GIL: garbage collection",
            Self::Waits => "waits for the GIL",
            Self::HandsOff => "hands the GIL over",
            Self::Native => "runs without the GIL",
            Self::Runnable => "waits for a processor",
            Self::Network => "network",
            Self::Disk => "disk or file",
            Self::Poll => "polls",
            Self::Sleep => "sleeps",
            Self::Lock => "waits for a lock",
            Self::Child => "waits for a child",
            Self::Attached => "attached",
            Self::Detached => "detached, runs",
            Self::Unknown => "unknown",
        }
    }

    /// One letter, for lanes drawn in text.
    pub const fn letter(self) -> char {
        match self {
            Self::HoldsPython => 'P',
            Self::HoldsNative => 'N',
            Self::HoldsBlocked => 'B',
            Self::HoldsGc => 'G',
            Self::Waits => 'w',
            Self::HandsOff => 'h',
            Self::Native => 'n',
            Self::Runnable => 'r',
            Self::Network => 'i',
            Self::Disk => 'd',
            Self::Poll => 'o',
            Self::Sleep => 's',
            Self::Lock => 'l',
            Self::Child => 'c',
            Self::Attached => 'A',
            Self::Detached => 'a',
            Self::Unknown => '?',
        }
    }

    /// Whether it has the GIL in it.
    pub const fn holds_gil(self) -> bool {
        matches!(self, Self::HoldsPython | Self::HoldsNative | Self::HoldsBlocked | Self::HoldsGc)
    }

    /// Whether it wants the GIL and does not have it.
    pub const fn wants_gil(self) -> bool {
        matches!(self, Self::Waits | Self::HandsOff)
    }

    /// Whether it uses a processor, or would if there were one.
    pub const fn wants_processor(self) -> bool {
        matches!(
            self,
            Self::HoldsPython
                | Self::HoldsNative
                | Self::HoldsGc
                | Self::Native
                | Self::Runnable
                | Self::Attached
                | Self::Detached
        )
    }

    /// Whether it waits for something that is neither the GIL nor a processor.
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::Network | Self::Disk | Self::Poll | Self::Sleep | Self::Lock | Self::Child)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_letters_name_one_state_each() {
        for (number, one) in State::ALL.iter().enumerate() {
            for other in &State::ALL[number + 1..] {
                assert_ne!(one.word(), other.word());
                assert_ne!(one.letter(), other.letter());
                assert_ne!(one.label(), other.label());
            }
        }
    }

    #[test]
    fn no_state_both_has_and_wants_the_gil_or_runs_and_is_blocked() {
        for state in State::ALL {
            assert!(!(state.holds_gil() && state.wants_gil()), "{state}");
            assert!(!(state.is_blocked() && state.wants_processor()), "{state}");
        }
    }
}
