//! The vocabulary that every room of plait shares: the ids of tasks and workers, what a thread can be doing, and what is
//! written down of a program that was watched.
//!
//! A leaf: it depends on nothing of plait, does no I/O but reading and writing its own file format where it is told to, and
//! holds no unsafe code, so that what makes measurements and what shows them never have to meet.
#![forbid(unsafe_code)]

pub mod beacon;
mod file;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod ids;
pub mod pools;
mod record;
mod recording;
mod sink;
mod state;
pub mod top;

pub use file::{FORMAT, ReadError, Writer, read};
pub use ids::{TaskId, WorkerId};
pub use record::{
    Began, Count, Dropped, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Nanos, Note, Process, ProcessKey,
    Record, Shot, Sight, Span, Stack, Subject, Task, Thread, ThreadKey,
};
pub use recording::{GilLane, Recording, ThreadLane, Track};
pub use sink::Sink;
pub use state::State;
