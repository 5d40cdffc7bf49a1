//! Queues in shared memory: many producers, many consumers, in threads of any process, of whom any may die at any instant.
//!
//! `words` are a queue's words and their journals, `ends` what is done at its two ends, `ring` its records, `heap` and `parcel`
//! where long messages lie, `kept` what was taken and comes back if its taker dies, `notice` how one waits, `handle` the queue as it is
//! used. An item is in the queue whole or not at all.

mod ends;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod heap;
mod kept;
#[cfg(not(loom))]
mod lot;
mod notice;
#[cfg(not(loom))]
mod outcome;
#[cfg(not(loom))]
mod parcel;
#[cfg(not(loom))]
mod pending;
mod position;
mod reference;
mod ring;
mod words;

#[cfg(not(loom))]
pub use handle::{Bounds, Queue};
#[cfg(not(loom))]
pub(crate) use lot::forget;
#[cfg(not(loom))]
pub use outcome::{Offer, PutError, TakeError, Taken};
#[cfg(not(loom))]
pub use parcel::{Parcel, this_thread};
#[cfg(not(loom))]
pub use pending::{Getting, Item, Joining, Message, Putting, Ready, Wanted};
#[cfg(not(loom))]
pub(crate) use words::QueueWords;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
