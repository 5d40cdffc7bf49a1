//! Taking part: the seat of this process, and its keeper.
//!
//! Promises: a process takes part once, whichever of its threads comes first; a forked child takes part by itself, from its
//! first use on, and never as its parent; who leaves waits until its keeper is gone.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;

use super::keeper::{Orders, Refused};
use super::memory::Inside;
use super::roster::{Holder, SEATS};
use crate::sync::Ordering;
use crate::system::{ForkWord as _, HereWord};

/// Why a process cannot take part in a `LockMemory`.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// As many processes as there can be take part.
    Full,
    /// The system refused a thread, its list of robust futexes, or memory.
    Io(io::Error),
    /// What this process had of its parent's when it was forked is no more.
    Gone,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "{} processes share these locks already, end some of them", SEATS),
            Self::Io(error) => write!(f, "cannot start the thread that keeps this process's locks: {error}"),
            Self::Gone => f.write_str(
                "a lock that this process had when it was forked is no more, since its parent let go of it and made very many others: \
                 use it in the child earlier, or keep it in the parent",
            ),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Full | Self::Gone => None,
        }
    }
}

impl From<Refused> for JoinError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::System(error) => Self::Io(error),
        }
    }
}

/// Which seat this process has, in a word that a forked child finds empty.
pub(crate) struct Membership {
    word: HereWord,
    orders: AtomicPtr<Orders>,
}

const NONE: u32 = 0;
/// Some thread of this process is about to join. No holder is in this seat alone.
const JOINING: u32 = 3 << 8;

impl Membership {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { word: HereWord::new()?, orders: AtomicPtr::default() })
    }

    pub(crate) fn holder(&self) -> Option<Holder> {
        match self.word.load() {
            NONE | JOINING => None,
            me => Some(Holder(me)),
        }
    }

    /// Joins; `adopt` is called before anybody else of this process goes on.
    pub(crate) fn join(
        &self,
        inside: &Arc<Inside>,
        adopt: impl FnOnce(Holder) -> Result<(), JoinError>,
    ) -> Result<Holder, JoinError> {
        loop {
            if let Some(me) = self.holder() {
                return Ok(me);
            }
            if !self.word.claim(JOINING) {
                std::thread::yield_now();
                continue;
            }
            return match Orders::start(inside) {
                Ok((orders, me)) => {
                    if let Err(error) = adopt(me) {
                        orders.leave();
                        self.word.store(NONE);
                        return Err(error);
                    }
                    // A child's own, in place of its parent's, which it leaves alone.
                    self.orders.store(Arc::into_raw(orders).cast_mut(), Ordering::Relaxed);
                    self.word.store(me.0);
                    Ok(me)
                }
                Err(refused) => {
                    self.word.store(NONE);
                    Err(refused.into())
                }
            };
        }
    }

    pub(crate) fn orders(&self) -> Option<&Orders> {
        self.holder()?;
        // SAFETY: this process has joined, so the pointer is of its own keeper's orders, which live until `leave`.
        unsafe { self.orders.load(Ordering::Relaxed).as_ref() }
    }

    pub(crate) fn look(&self) {
        if let Some(orders) = self.orders() {
            orders.look();
        }
    }

    /// To be called once, when nothing of this memory is used any more.
    pub(crate) fn leave(&mut self) {
        if let Some(orders) = self.orders() {
            orders.leave();
            // SAFETY: the pointer came from `into_raw`, and nobody uses it after this.
            drop(unsafe { Arc::from_raw(self.orders.load(Ordering::Relaxed)) });
            self.word.store(NONE);
        }
    }
}
