//! The messages that cross between parent and worker, as bytes in shared memory.
//!
//! Promises: fixed little-endian layouts, written and read by safe code only; a reader that meets bytes which
//! are no message gets [`Garbled`], never a panic, because a worker's memory may have been scribbled on.

pub mod inner;
pub mod table;

pub use plait_shm::Block;
use plait_trace::TaskId;

/// Bytes that are not a message of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message in shared memory is garbled")]
pub struct Garbled;

/// How the binding encoded a payload. Opaque to the engine, which only carries it.
pub type Kind = u8;

/// What a worker shall do with the payload. Opaque to the engine, which only carries it.
pub type Form = u8;

/// Where a payload lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the message itself, after the head.
    Inline,
    /// In the sender's arena.
    Arena(Block),
}

const INLINE: u8 = 0;
const ARENA: u8 = 1;

/// The head of a task message: the function, how the arguments are encoded, and where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskHead {
    /// The function's number, unique in the pool; workers keep the functions they have loaded under it.
    pub function: u64,
    /// Where the pickled function lies in the parent's arena.
    pub definition: Block,
    /// How the arguments are encoded.
    pub kind: Kind,
    /// What to do with them.
    pub form: Form,
    /// Whether the call has a time limit, so that its beginning must be noted.
    pub timed: bool,
    /// Where the arguments lie.
    pub place: Place,
}

impl TaskHead {
    /// How the binding encoded the arguments.
    pub fn form_of_arguments(&self) -> Kind {
        self.kind & !table::HAS_TABLE
    }

    /// Bytes of a head.
    pub const LEN: usize = 28;
    /// Bytes of an arena place, which follows the head.
    pub const PLACE_LEN: usize = 16;
    /// The longest arguments that travel inside the message.
    pub const MAX_INLINE: usize = plait_shm::INLINE - Self::LEN;

    /// The head as bytes, followed by the place if the arguments lie in the arena; second: how many bytes count.
    pub fn encode(&self) -> ([u8; Self::LEN + Self::PLACE_LEN], usize) {
        let mut out = [0; Self::LEN + Self::PLACE_LEN];
        out[0..8].copy_from_slice(&self.function.to_le_bytes());
        out[8..16].copy_from_slice(&self.definition.offset.to_le_bytes());
        out[16..24].copy_from_slice(&self.definition.len.to_le_bytes());
        out[24] = self.kind;
        out[25] = self.form;
        out[27] = u8::from(self.timed);
        match self.place {
            Place::Inline => {
                out[26] = INLINE;
                (out, Self::LEN)
            }
            Place::Arena(block) => {
                out[26] = ARENA;
                put_block(&mut out[Self::LEN..], block);
                (out, Self::LEN + Self::PLACE_LEN)
            }
        }
    }

    /// Reads a head; second: the inline arguments (empty when they lie in the arena).
    pub fn decode(message: &[u8]) -> Result<(Self, &[u8]), Garbled> {
        let (head, rest) = message.split_at_checked(Self::LEN).ok_or(Garbled)?;
        let place = match head[26] {
            INLINE => Place::Inline,
            ARENA => Place::Arena(get_block(rest)?),
            _ => return Err(Garbled),
        };
        let head = Self {
            function: u64_at(head, 0)?,
            definition: get_block(&head[8..])?,
            kind: head[24],
            form: head[25],
            timed: head[27] != 0,
            place,
        };
        Ok((head, if place == Place::Inline { rest } else { &[] }))
    }
}

/// How a call ended, as its worker tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The function returned; the payload is its value.
    Returned,
    /// The function raised; the payload is the exception.
    Raised,
}

/// The head of a result record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultHead {
    /// Which task ended.
    pub task: TaskId,
    /// How.
    pub verdict: Verdict,
    /// How the payload is encoded.
    pub kind: Kind,
    /// Where it lies.
    pub place: Place,
    /// Nanoseconds from the moment the worker took the task to the moment its result was ready.
    pub nanos: u64,
}

impl ResultHead {
    /// Bytes of a head.
    pub const LEN: usize = 20;
    const PLACE_LEN: usize = 16;

    /// The head as bytes, followed by the place if the payload lies in the arena; second: how many bytes count.
    pub fn encode(&self) -> ([u8; Self::LEN + Self::PLACE_LEN], usize) {
        let mut out = [0; Self::LEN + Self::PLACE_LEN];
        out[0..8].copy_from_slice(&self.task.bits().to_le_bytes());
        out[8..16].copy_from_slice(&self.nanos.to_le_bytes());
        out[16] = match self.verdict {
            Verdict::Returned => 0,
            Verdict::Raised => 1,
        };
        out[17] = self.kind;
        match self.place {
            Place::Inline => {
                out[18] = INLINE;
                (out, Self::LEN)
            }
            Place::Arena(block) => {
                out[18] = ARENA;
                put_block(&mut out[Self::LEN..], block);
                (out, Self::LEN + Self::PLACE_LEN)
            }
        }
    }

    /// Reads a head; second: the inline payload (empty when it lies in the arena).
    pub fn decode(record: &[u8]) -> Result<(Self, &[u8]), Garbled> {
        let (head, rest) = record.split_at_checked(Self::LEN).ok_or(Garbled)?;
        let place = match head[18] {
            INLINE => Place::Inline,
            ARENA => Place::Arena(get_block(rest)?),
            _ => return Err(Garbled),
        };
        let head = Self {
            task: TaskId::from_bits(u64_at(head, 0)?),
            nanos: u64_at(head, 8)?,
            verdict: match head[16] {
                0 => Verdict::Returned,
                1 => Verdict::Raised,
                _ => return Err(Garbled),
            },
            kind: head[17],
            place,
        };
        Ok((head, if place == Place::Inline { rest } else { &[] }))
    }
}

/// What the parent says to one worker on its control ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The parent has read this block of the worker's result arena and will not look again.
    Release(Block),
}

impl Control {
    /// Bytes of a control message.
    pub const LEN: usize = 17;

    /// The message as bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let Self::Release(block) = *self;
        put_block(&mut out[1..], block);
        out
    }

    /// Reads a message.
    pub fn decode(message: &[u8]) -> Result<Self, Garbled> {
        match message.first() {
            Some(0) => Ok(Self::Release(get_block(&message[1..])?)),
            _ => Err(Garbled),
        }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Garbled> {
    let word = bytes.get(at..at + 8).ok_or(Garbled)?;
    Ok(u64::from_le_bytes(word.try_into().map_err(|_| Garbled)?))
}

fn put_block(out: &mut [u8], block: Block) {
    out[0..8].copy_from_slice(&block.offset.to_le_bytes());
    out[8..16].copy_from_slice(&block.len.to_le_bytes());
}

fn get_block(bytes: &[u8]) -> Result<Block, Garbled> {
    Ok(Block { offset: u64_at(bytes, 0)?, len: u64_at(bytes, 8)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block() -> impl Strategy<Value = Block> {
        (any::<u64>(), any::<u64>()).prop_map(|(offset, len)| Block { offset, len })
    }

    fn place() -> impl Strategy<Value = Place> {
        prop_oneof![Just(Place::Inline), block().prop_map(Place::Arena)]
    }

    proptest! {
        #[test]
        fn a_task_head_survives_the_trip(function: u64, definition in block(), kind: u8, form: u8, timed: bool, place in place(), args: Vec<u8>) {
            let head = TaskHead { function, definition, kind, form, timed, place };
            let (bytes, used) = head.encode();
            let mut message = bytes[..used].to_vec();
            if place == Place::Inline { message.extend(&args); }
            let (read, inline) = TaskHead::decode(&message).unwrap();
            prop_assert_eq!(read, head);
            prop_assert_eq!(inline, if place == Place::Inline { &args[..] } else { &[] });
        }

        #[test]
        fn a_result_head_survives_the_trip(bits: u64, nanos: u64, raised: bool, kind: u8, place in place(), value: Vec<u8>) {
            let verdict = if raised { Verdict::Raised } else { Verdict::Returned };
            let head = ResultHead { task: TaskId::from_bits(bits), verdict, kind, place, nanos };
            let (bytes, used) = head.encode();
            let mut record = bytes[..used].to_vec();
            if place == Place::Inline { record.extend(&value); }
            let (read, inline) = ResultHead::decode(&record).unwrap();
            prop_assert_eq!(read, head);
            prop_assert_eq!(inline, if place == Place::Inline { &value[..] } else { &[] });
        }

        #[test]
        fn any_bytes_are_a_message_or_garbled(bytes: Vec<u8>) {
            let _ = TaskHead::decode(&bytes);
            let _ = ResultHead::decode(&bytes);
            let _ = Control::decode(&bytes);
        }

        #[test]
        fn control_survives_the_trip(block in block()) {
            let message = Control::Release(block);
            prop_assert_eq!(Control::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn fuzz_wire() {
        let block = Block { offset: 4096, len: 100 };
        let definition = Block { offset: 64, len: 9 };
        let task = TaskHead { function: 3, definition, kind: 0, form: 0, timed: true, place: Place::Arena(block) };
        let result = ResultHead {
            task: TaskId::new(1, 2),
            verdict: Verdict::Returned,
            kind: table::HAS_TABLE,
            place: Place::Inline,
            nanos: 5,
        };
        let (bytes, used) = result.encode();
        let mut told = bytes[..used].to_vec();
        let entries = [table::Entry::Piece { base: block, at: block, shared: false }, table::Entry::Kept(7)];
        table::append(&mut told, &entries);
        let submit =
            inner::Submit { timeout: None, retries: 1, form: 0, kind: 0, name: "f", definition: b"d", payload: b"p" };
        let submit = [&[0; 8][..], &submit.head(), b"fdp"].concat();
        let seeds = [task.encode().0.to_vec(), told, submit, Control::Release(block).encode().to_vec()];
        plait_trace::fuzz::fuzz("wire", env!("CARGO_MANIFEST_DIR"), &seeds, |bytes| {
            let _ = (TaskHead::decode(bytes), Control::decode(bytes), inner::released(bytes));
            if let Ok((_, inline)) = ResultHead::decode(bytes)
                && let Ok((body, entries)) = table::split(inline)
            {
                assert!(body.len() + entries.len() <= inline.len());
                for entry in entries {
                    if let table::Entry::Piece { base, at, .. } = entry {
                        assert!(at.offset >= base.offset && at.offset + at.len <= base.offset + base.len);
                    }
                }
            }
            let _ = inner::Reply::decode(bytes);
            if let Ok((_, rest)) = inner::number(bytes) {
                let _ = inner::Submit::decode(rest);
            }
        });
    }
}
