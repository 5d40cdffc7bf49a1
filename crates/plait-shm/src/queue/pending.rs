//! Waiting for a queue: for an item, for room, for all to be done.

use super::handle::Queue;
use super::notice::{Notice, look_twice};
use super::outcome::{Offer, PutError, TakeError, Taken};
use super::parcel::{Parcel, this_thread};
use crate::locks::{JoinError, Pause, Pending};

/// A message that is to be put.
pub enum Message {
    /// One that is copied when there is room.
    Bytes {
        /// Its label, below 128.
        kind: u8,
        /// The message.
        bytes: Vec<u8>,
    },
    /// One that lies in the queue's memory already.
    Parcel(Parcel),
}

/// A message that was taken.
pub struct Item {
    /// What it was labelled with.
    pub kind: u8,
    /// The message, if it is no parcel.
    pub bytes: Vec<u8>,
    /// The parcel.
    pub parcel: Option<Parcel>,
    /// How often it was taken before, by those who died before it was done.
    pub times: u32,
}

/// Somebody waits for room.
pub struct Putting {
    queue: Queue,
    message: Message,
    slept: bool,
}

impl Queue {
    /// Puts a message once there is room, as something to wait for.
    pub fn putting(&self, message: Message) -> Putting {
        Putting { queue: self.clone(), message, slept: false }
    }

    /// Takes a message once there is one, as something to wait for.
    pub fn getting(&self) -> Getting {
        self.getting_as(this_thread())
    }

    /// The same as [`Queue::take_as`] does.
    pub fn getting_as(&self, who: u32) -> Getting {
        Getting { queue: self.clone(), who, slept: false }
    }

    /// Waits until all messages are done or lost, as something to wait for.
    pub fn joining(&self) -> Joining {
        Joining { queue: self.clone() }
    }
}

impl Pending for Putting {
    /// Whether it was put: if not, the queue was shut.
    type Out = Result<bool, PutError>;

    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        let Self { queue, message, slept } = self;
        let put = look_twice(&queue.words.room.0, slept, || {
            let offer = match message {
                Message::Bytes { kind, bytes } => queue.offer(*kind, bytes),
                Message::Parcel(parcel) => queue.offer_parcel(parcel),
            };
            match offer {
                Ok(Offer::Full) => None,
                Ok(offer) => Some(Ok(offer == Offer::Done)),
                Err(error) => Some(Err(error)),
            }
        });
        match put {
            Ok(put) => {
                self.leave();
                Ok(put)
            }
            Err(seen) => Err(Pause::new(&self.queue.words.room.0.0, seen)),
        }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.slept) {
            self.queue.words.room.0.pass_on(|| !self.queue.is_full().unwrap_or(true));
        }
    }
}

/// Somebody waits for a message.
pub struct Getting {
    queue: Queue,
    who: u32,
    slept: bool,
}

impl Pending for Getting {
    /// The message; `None`: there is none, and the queue was shut.
    type Out = Result<Option<Item>, TakeError>;

    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        let Self { queue, who, slept } = self;
        let got = look_twice(&queue.words.items.0, slept, || {
            let mut bytes = Vec::new();
            match queue.take_as(*who, &mut bytes) {
                Ok(Taken::Empty) => None,
                Ok(Taken::Closed) => Some(Ok(None)),
                Ok(Taken::Message { kind, parcel, times }) => Some(Ok(Some(Item { kind, bytes, parcel, times }))),
                Err(error) => Some(Err(error)),
            }
        });
        match got {
            Ok(got) => {
                self.leave();
                Ok(got)
            }
            Err(seen) => Err(Pause::new(&self.queue.words.items.0.0, seen)),
        }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.slept) {
            self.queue.words.items.0.pass_on(|| !self.queue.is_empty());
        }
    }
}

/// Somebody waits until all is done.
pub struct Joining {
    queue: Queue,
}

impl Pending for Joining {
    type Out = Result<(), JoinError>;

    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        let queue = &self.queue;
        let all = look_twice(&queue.words.idle.0, &mut false, || match queue.open() {
            Ok(0) => Some(Ok(())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        all.map_err(|seen| Pause::new(&queue.words.idle.0.0, seen))
    }

    // All who wait are woken at once.
    fn leave(&mut self) {}
}

/// What a [`Ready`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A message to be taken.
    Message,
    /// Room for a message: its length, and whether it is a parcel.
    Room {
        /// In bytes.
        len: u64,
        /// See [`Queue::pack`].
        is_parcel: bool,
    },
}

/// Somebody waits until it is worthwhile to try, or the queue was shut; another may be faster then. For those who may be cancelled
/// between this and their try: they call [`Queue::pass_on`] instead.
pub struct Ready {
    queue: Queue,
    wanted: Wanted,
    slept: bool,
}

impl Queue {
    /// Waits until it is worthwhile to try.
    pub fn ready(&self, wanted: Wanted) -> Ready {
        Ready { queue: self.clone(), wanted, slept: false }
    }

    /// Is it worthwhile to try?
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn is_ready(&self, wanted: Wanted) -> Result<bool, JoinError> {
        let ends = self.ends()?;
        Ok(match wanted {
            _ if ends.is_closed() => true,
            Wanted::Message => !self.is_empty(),
            Wanted::Room { len, is_parcel } => ends.has_room(len, is_parcel),
        })
    }

    /// Who was to try does not: another is woken, if there is one.
    pub fn pass_on(&self, wanted: Wanted) {
        self.notice(wanted).pass_on(|| self.is_ready(wanted).unwrap_or(false));
    }

    fn notice(&self, wanted: Wanted) -> &Notice {
        match wanted {
            Wanted::Message => &self.words.items.0,
            Wanted::Room { .. } => &self.words.room.0,
        }
    }
}

impl Pending for Ready {
    type Out = Result<(), JoinError>;

    fn look(&mut self) -> Result<Self::Out, Pause<'_>> {
        let Self { queue, wanted, slept } = self;
        let ready = look_twice(queue.notice(*wanted), slept, || match queue.is_ready(*wanted) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        match ready {
            Ok(ready) => {
                // This one tries; whoever sleeps besides is woken by the next change, and for what there is more than this one wants.
                if std::mem::take(slept) {
                    queue.notice(*wanted).pass_on(|| match wanted {
                        Wanted::Message => queue.len() > 1,
                        Wanted::Room { .. } => true,
                    });
                }
                Ok(ready)
            }
            Err(seen) => Err(Pause::new(&self.queue.notice(self.wanted).0, seen)),
        }
    }

    fn leave(&mut self) {
        if std::mem::take(&mut self.slept) {
            self.queue.pass_on(self.wanted);
        }
    }
}
