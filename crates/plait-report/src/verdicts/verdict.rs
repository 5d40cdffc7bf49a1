//! A verdict: what holds the program up, with its figures, where it was seen, and what to do.

use std::fmt;

use plait_trace::{Nanos, ProcessKey, State, ThreadKey};
use serde::Serialize;

use super::code::Spot;
use super::confidence::{Confidence, Figure};

/// What a verdict says, as a word that programs may rely on. The order is that of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The control group's quota stops the program.
    Throttled,
    /// More threads want to run than there are processors.
    Oversubscribed,
    /// An event loop does not get to its events.
    LoopStalled,
    /// Native code keeps the GIL while others wait.
    GilHog,
    /// Garbage collection keeps the GIL while others wait, or takes a good part of the time.
    GcPause,
    /// Threads take turns with the GIL.
    GilContention,
    /// All processors are in use.
    Saturated,
    /// One thread at a time runs Python code.
    PythonCpuBound,
    /// One thread at a time is in native code that keeps the GIL, and nobody waits for it.
    NativeHolding,
    /// Native code runs without the GIL.
    NativeReleasing,
    /// The program waits for the network, for disks, for events or for time to pass.
    IoBound,
    /// Threads wait for a lock of the program's own.
    LockBound,
    /// A free-threaded Python computes.
    FreeThreaded,
    /// A process does something, but who has its GIL cannot be seen.
    Unseen,
    /// Other programs use the processors.
    BusyMachine,
    /// None of the causes explains most of the time.
    Mixed,
    /// Nothing happens.
    Idle,
    /// It was too short to say anything.
    NotEnoughData,
}

impl Word {
    /// All of them, the most important first.
    pub const ALL: [Self; 18] = [
        Self::Throttled,
        Self::Oversubscribed,
        Self::LoopStalled,
        Self::GilHog,
        Self::GcPause,
        Self::GilContention,
        Self::Saturated,
        Self::PythonCpuBound,
        Self::NativeHolding,
        Self::NativeReleasing,
        Self::IoBound,
        Self::LockBound,
        Self::FreeThreaded,
        Self::Unseen,
        Self::BusyMachine,
        Self::Mixed,
        Self::Idle,
        Self::NotEnoughData,
    ];

    /// The word: `gil-hog`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Oversubscribed => "oversubscribed",
            Self::LoopStalled => "loop-stalled",
            Self::GilHog => "gil-hog",
            Self::GcPause => "gc-pause",
            Self::GilContention => "gil-contention",
            Self::Saturated => "saturated",
            Self::PythonCpuBound => "python-cpu-bound",
            Self::NativeHolding => "native-holding",
            Self::NativeReleasing => "native-releasing",
            Self::IoBound => "io-bound",
            Self::LockBound => "lock-bound",
            Self::FreeThreaded => "free-threaded",
            Self::Unseen => "unseen",
            Self::Mixed => "mixed",
            Self::BusyMachine => "busy-machine",
            Self::Idle => "idle",
            Self::NotEnoughData => "not-enough-data",
        }
    }

    /// What it is called where people read it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Throttled => "Throttled",
            Self::Oversubscribed => "Oversubscribed",
            Self::LoopStalled => "Event loop stalled",
            Self::GilHog => "GIL hog",
            Self::GcPause => "Garbage collection pauses",
            Self::GilContention => "GIL contention",
            Self::Saturated => "All processors in use",
            Self::PythonCpuBound => "Python CPU-bound",
            Self::NativeHolding => "Native code that keeps the GIL",
            Self::NativeReleasing => "Native code that releases the GIL",
            Self::IoBound => "I/O-bound",
            Self::LockBound => "Lock-bound",
            Self::FreeThreaded => "Free-threaded",
            Self::Unseen => "GIL out of sight",
            Self::Mixed => "Mixed",
            Self::BusyMachine => "Busy machine",
            Self::Idle => "Idle",
            Self::NotEnoughData => "Not enough data",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// What to call it: `app.py (PID 7)`, `4 plait workers`, `the program`.
    pub name: String,
    /// Its processes; empty where it is about the whole program.
    pub processes: Vec<ProcessKey>,
}

/// Where it was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Which thread.
    pub thread: ThreadKey,
    /// What to call the thread: `main thread`.
    pub name: String,
    /// When it began.
    pub from: Nanos,
    /// When it ended.
    pub to: Nanos,
    /// What the thread did, for the most part.
    pub state: Option<State>,
    /// The C function that it was in, by a native stack taken meanwhile.
    pub function: Option<String>,
    /// The Python code that it was in.
    pub spot: Option<Spot>,
    /// For event loops: the callback that the loop ran.
    pub callback: Option<Spot>,
}

/// What holds the program up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// A word that programs may rely on.
    pub word: Word,
    /// What it is called.
    pub title: &'static str,
    /// What it is about.
    pub about: About,
    /// What was seen, with its figures: one sentence or two.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
    /// How far it is to be trusted.
    pub confidence: Confidence,
    /// The figures that it rests on.
    pub figures: Vec<Figure>,
    /// Where it was seen, the weightiest first.
    pub evidence: Vec<Evidence>,
    /// How often somebody looked.
    pub samples: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_json_says_and_are_ordered_by_importance() {
        for word in Word::ALL {
            assert_eq!(serde_json::to_string(&word).ok(), Some(format!("{:?}", word.as_str())));
        }
        assert!(Word::ALL.is_sorted());
    }
}
