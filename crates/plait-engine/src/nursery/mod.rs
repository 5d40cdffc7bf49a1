//! The nursery: a clean, single-threaded process from which workers are forked in about a millisecond.
//!
//! A program with threads must not fork, and a fresh interpreter takes tens of milliseconds to start. So the parent
//! starts one nursery, once, in the background; whoever needs a worker asks it. [`Nursery`] is the parent's
//! handle; its supervisor thread hears of births and deaths and tells the pool concerned through a [`Sink`].
//! If the nursery itself dies, the deaths of its workers are still noticed, by their process descriptors.

mod client;
mod protocol;
mod server;

pub use client::{AskTerminal, Launch, Nursery, Sink, explained, new_key, remedy};
pub use protocol::Exit;
pub use server::{Next, Order, Reap, Reaped, Server, Upward};

// Not under Miri: descriptors in messages.
#[cfg(all(test, not(miri)))]
mod tests;
