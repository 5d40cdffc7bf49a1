//! The engine of plait, usable from Rust: it decides which worker processes exist and which task goes to them when.
//!
//! Decisions live in pure state machines (`scheduler`, `chunk`) that a test can drive with millions of invented events;
//! everything that touches the operating system stands around them. No Python, no unsafe code.
#![forbid(unsafe_code)]

pub mod budget;
pub mod chooser;
pub mod chunk;
pub mod climber;
mod clock;
pub mod heap;
pub mod locks;
pub mod machine;
pub mod native;
pub mod nursery;
pub mod pool;
pub mod queue;
pub mod scheduler;
mod spin;
pub mod tally;
pub mod threads;
pub mod turns;
pub mod wire;
pub mod worker;

pub use plait_shm::PLATFORM;
