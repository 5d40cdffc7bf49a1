//! What a worker that submits tasks to its own pool says to its parent in notes, and what it is told in replies.
//!
//! An inner task is known by a number of its worker's, unique in the life of that process.

use std::time::Duration;

use plait_shm::Block;

use super::{ARENA, Form, Garbled, INLINE, Kind, Place, Verdict, get_block, put_block, u64_at};

/// The kinds of notes, in the byte before each.
pub mod note {
    /// Takes a new task: its number, then the rest of a [`super::Submit`] that [`PART`]s may have begun.
    pub const SUBMIT: u8 = 2;
    /// Asks for a task back if nobody has begun it.
    pub const TAKE_BACK: u8 = 3;
    /// Gives back a block that came with an answer.
    pub const RELEASE: u8 = 4;
    /// A task's number, and a piece of what is too long for one note.
    pub const PART: u8 = 5;
    /// Asks for an echo of its number, once all before it was acted on.
    pub const SYNC: u8 = 6;
    /// Has a task stopped that was begun.
    pub const STOP: u8 = 7;
    /// There is room for replies again, after there was little.
    pub const ROOM: u8 = 8;
    /// The block that begins at this offset, which the worker had kept, is not used there any more.
    pub const UNUSED: u8 = 9;
}

/// A task to be submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submit<'a> {
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How often it may be tried again.
    pub retries: u32,
    /// What to do with the payload.
    pub form: Form,
    /// How the payload is encoded.
    pub kind: Kind,
    /// The function's name, for errors.
    pub name: &'a str,
    /// The pickled function; nothing where it travels with its arguments.
    pub definition: &'a [u8],
    /// The arguments.
    pub payload: &'a [u8],
}

/// Bytes of the numbers at the beginning of a [`Submit`].
const HEAD: usize = 24;

impl<'a> Submit<'a> {
    /// The numbers at its beginning; name, definition and payload follow, in this order.
    pub fn head(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        let nanos = self.timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1));
        out[0..8].copy_from_slice(&nanos.to_le_bytes());
        out[8..12].copy_from_slice(&self.retries.to_le_bytes());
        out[12..16].copy_from_slice(&(self.name.len() as u32).to_le_bytes());
        // Up to 2⁴⁸ bytes.
        out[16..22].copy_from_slice(&(self.definition.len() as u64).to_le_bytes()[..6]);
        out[22] = self.form;
        out[23] = self.kind;
        out
    }

    /// Reads one.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Garbled> {
        let (head, rest) = bytes.split_at_checked(HEAD).ok_or(Garbled)?;
        let nanos = u64_at(head, 0)?;
        let [a, b, c, d] = [8, 9, 10, 11].map(|at| head[at]);
        let [e, f, g, h] = [12, 13, 14, 15].map(|at| head[at]);
        let mut long = [0; 8];
        long[..6].copy_from_slice(&head[16..22]);
        let definition = usize::try_from(u64::from_le_bytes(long)).map_err(|_| Garbled)?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes([e, f, g, h]) as usize).ok_or(Garbled)?;
        let (definition, payload) = rest.split_at_checked(definition).ok_or(Garbled)?;
        Ok(Self {
            timeout: (nanos > 0).then_some(Duration::from_nanos(nanos)),
            retries: u32::from_le_bytes([a, b, c, d]),
            form: head[22],
            kind: head[23],
            name: std::str::from_utf8(name).map_err(|_| Garbled)?,
            definition,
            payload,
        })
    }
}

/// A note of a single number: a task's, or that of a [`note::SYNC`].
pub fn number(bytes: &[u8]) -> Result<(u64, &[u8]), Garbled> {
    let (number, rest) = bytes.split_first_chunk().ok_or(Garbled)?;
    Ok((u64::from_le_bytes(*number), rest))
}

/// The bytes of a [`note::RELEASE`].
pub fn release(block: Block) -> [u8; 16] {
    let mut out = [0; 16];
    put_block(&mut out, block);
    out
}

/// The block of a [`note::RELEASE`].
pub fn released(bytes: &[u8]) -> Result<Block, Garbled> {
    get_block(bytes)
}

/// Why a task was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The pool has been shut down.
    Closed,
    /// The pool cannot start workers.
    Broken,
    /// There is no shared memory for it.
    Memory,
}

/// What a worker is told of one of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// It has ended.
    Answer {
        /// Returned or raised.
        verdict: Verdict,
        /// How the payload is encoded.
        kind: Kind,
        /// Where it lies: in `inline`, or in the parent's arena.
        place: Place,
        /// The payload.
        inline: &'a [u8],
    },
    /// Nobody has begun it, and nobody will: it is the worker's again.
    Yours,
    /// Somebody has begun it, or it has ended.
    Begun,
    /// It will never be run.
    Cancelled,
    /// It was not taken, with the reason in words.
    Refused(Refusal, &'a str),
    /// All notes before the [`note::SYNC`] of this number were acted on.
    Synced,
}

/// The head of a reply: what it is, and the task's number.
pub type ReplyHead = [u8; 28];

impl<'a> Reply<'a> {
    /// The reply about task `inner`: a head of which so many bytes count, and what follows it.
    pub fn encode(&self, inner: u64) -> (ReplyHead, usize, &'a [u8]) {
        let mut out = [0; 28];
        out[0..8].copy_from_slice(&inner.to_le_bytes());
        let (used, rest): (usize, &[u8]) = match *self {
            Self::Answer { verdict, kind, place, inline } => {
                out[9] = u8::from(verdict == Verdict::Raised);
                out[10] = kind;
                match place {
                    Place::Inline => {
                        out[11] = INLINE;
                        (12, inline)
                    }
                    Place::Arena(block) => {
                        out[11] = ARENA;
                        put_block(&mut out[12..], block);
                        (28, &[])
                    }
                }
            }
            Self::Yours => (9, &[]),
            Self::Begun => (9, &[]),
            Self::Cancelled => (9, &[]),
            Self::Refused(why, text) => {
                out[9] = why as u8;
                (10, text.as_bytes())
            }
            Self::Synced => (9, &[]),
        };
        out[8] = match self {
            Self::Answer { .. } => 0,
            Self::Yours => 1,
            Self::Begun => 2,
            Self::Cancelled => 3,
            Self::Refused(..) => 4,
            Self::Synced => 5,
        };
        (out, used, rest)
    }

    /// Reads a reply; first: which task it is about.
    pub fn decode(bytes: &'a [u8]) -> Result<(u64, Self), Garbled> {
        let (inner, rest) = number(bytes)?;
        let (&what, rest) = rest.split_first().ok_or(Garbled)?;
        let reply = match what {
            0 => {
                let (&[raised, kind, place], rest) = rest.split_first_chunk().ok_or(Garbled)?;
                let verdict = if raised == 0 { Verdict::Returned } else { Verdict::Raised };
                match place {
                    INLINE => Self::Answer { verdict, kind, place: Place::Inline, inline: rest },
                    ARENA => Self::Answer { verdict, kind, place: Place::Arena(get_block(rest)?), inline: &[] },
                    _ => return Err(Garbled),
                }
            }
            1 => Self::Yours,
            2 => Self::Begun,
            3 => Self::Cancelled,
            4 => {
                let (&why, text) = rest.split_first().ok_or(Garbled)?;
                let why = match why {
                    0 => Refusal::Closed,
                    1 => Refusal::Broken,
                    _ => Refusal::Memory,
                };
                Self::Refused(why, std::str::from_utf8(text).map_err(|_| Garbled)?)
            }
            5 => Self::Synced,
            _ => return Err(Garbled),
        };
        Ok((inner, reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply<'a>(bytes: &'a [u8], text: &'a str) -> impl Strategy<Value = Reply<'a>> {
        let block = (any::<u64>(), any::<u64>()).prop_map(|(offset, len)| Place::Arena(Block { offset, len }));
        let verdict = prop_oneof![Just(Verdict::Returned), Just(Verdict::Raised)];
        let why = prop_oneof![Just(Refusal::Closed), Just(Refusal::Broken), Just(Refusal::Memory)];
        prop_oneof![
            (verdict, any::<u8>(), prop_oneof![Just(Place::Inline), block]).prop_map(move |(verdict, kind, place)| {
                Reply::Answer { verdict, kind, place, inline: if place == Place::Inline { bytes } else { &[] } }
            }),
            Just(Reply::Yours),
            Just(Reply::Begun),
            Just(Reply::Cancelled),
            why.prop_map(move |why| Reply::Refused(why, text)),
            Just(Reply::Synced),
        ]
    }

    proptest! {
        #[test]
        fn a_task_survives_the_trip(
            nanos in proptest::option::of(1_u64..), retries: u32, form: u8, kind: u8, name: String,
            definition: Vec<u8>, payload: Vec<u8>,
        ) {
            let timeout = nanos.map(Duration::from_nanos);
            let submit = Submit {
                timeout, retries, form, kind, name: &name, definition: &definition, payload: &payload,
            };
            let bytes = [&submit.head(), name.as_bytes(), &definition, &payload].concat();
            prop_assert_eq!(Submit::decode(&bytes), Ok(submit));
        }

        #[test]
        fn a_reply_survives_the_trip(inner: u64, reply in reply(b"value", "why")) {
            let (head, used, rest) = reply.encode(inner);
            let bytes = [&head[..used], rest].concat();
            prop_assert_eq!(Reply::decode(&bytes), Ok((inner, reply)));
        }

        #[test]
        fn any_bytes_are_a_message_or_garbled(bytes: Vec<u8>) {
            let _ = Submit::decode(&bytes);
            let _ = Reply::decode(&bytes);
            let _ = released(&bytes);
        }
    }

    #[test]
    fn a_block_survives_the_trip() {
        let block = Block { offset: 1 << 40, len: 77 };
        assert_eq!(released(&release(block)), Ok(block));
    }
}
