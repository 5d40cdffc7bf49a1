//! `Queue` as a Python class: `plait-shm`'s, for threads, processes and event loops at once.
//!
//! `letter` turns values into messages and back, `face` is the class, `errors` what it raises. Promises: a value is encoded before
//! anything of the queue is held, and decoded after it; who waits has let go of the interpreter, and hears signals.

mod errors;
mod face;
mod letter;

pub use face::{Letter, QueueBase};
