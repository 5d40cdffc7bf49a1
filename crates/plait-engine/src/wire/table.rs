//! The table behind a message: the pieces of shared memory that belong to it, and the blocks that a worker goes on using.
//!
//! A message that has one says so by a bit of its kind ([`HAS_TABLE`]): its bytes are then the binding's, the entries, and
//! their number.

use plait_shm::Block;

use super::{Garbled, Kind, get_block, put_block, u64_at};

/// In a message's kind: a table follows its bytes.
pub const HAS_TABLE: Kind = 0x80;

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A buffer of the message.
    Piece {
        /// The block that it lies in, by which it is held.
        base: Block,
        /// Where its bytes are.
        at: Block,
        /// Whether everybody sees the same bytes, now and later.
        shared: bool,
    },
    /// The worker still uses the block of an argument that begins here.
    Kept(u64),
}

const ENTRY: usize = 33;
const SNAPSHOT: u8 = 0;
const SHARED: u8 = 1;
const KEPT: u8 = 2;
const COUNT: usize = 4;

/// Appends a table.
pub fn append(out: &mut Vec<u8>, entries: &[Entry]) {
    for entry in entries {
        let mut line = [0; ENTRY];
        match *entry {
            Entry::Piece { base, at, shared } => {
                line[0] = if shared { SHARED } else { SNAPSHOT };
                put_block(&mut line[1..17], base);
                put_block(&mut line[17..33], at);
            }
            Entry::Kept(offset) => {
                line[0] = KEPT;
                line[1..9].copy_from_slice(&offset.to_le_bytes());
            }
        }
        out.extend_from_slice(&line);
    }
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
}

/// The message before its table, and the entries.
pub fn split(bytes: &[u8]) -> Result<(&[u8], Vec<Entry>), Garbled> {
    let (rest, count) = bytes.split_last_chunk::<COUNT>().ok_or(Garbled)?;
    let count = u32::from_le_bytes(*count) as usize;
    let start = count.checked_mul(ENTRY).and_then(|len| rest.len().checked_sub(len)).ok_or(Garbled)?;
    let (body, lines) = rest.split_at(start);
    let entries = lines.chunks_exact(ENTRY).map(entry).collect::<Result<_, _>>()?;
    Ok((body, entries))
}

fn entry(line: &[u8]) -> Result<Entry, Garbled> {
    match line[0] {
        kind @ (SNAPSHOT | SHARED) => {
            let (base, at) = (get_block(&line[1..])?, get_block(&line[17..])?);
            let end = at.offset.checked_add(at.len).ok_or(Garbled)?;
            let base_end = base.offset.checked_add(base.len).ok_or(Garbled)?;
            if at.offset < base.offset || end > base_end || at.len == 0 {
                return Err(Garbled);
            }
            Ok(Entry::Piece { base, at, shared: kind == SHARED })
        }
        KEPT => Ok(Entry::Kept(u64_at(line, 1)?)),
        _ => Err(Garbled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let piece = (0..1_u64 << 40, 1..1_u64 << 30, any::<bool>(), 0..100_u64, 0..100_u64).prop_map(
            |(offset, len, shared, before, behind)| Entry::Piece {
                base: Block { offset, len: before + len + behind },
                at: Block { offset: offset + before, len },
                shared,
            },
        );
        prop_oneof![piece, any::<u64>().prop_map(Entry::Kept)]
    }

    proptest! {
        #[test]
        fn a_table_survives_the_trip(body: Vec<u8>, entries in proptest::collection::vec(any_entry(), 0..10)) {
            let mut message = body.clone();
            append(&mut message, &entries);
            prop_assert_eq!(split(&message), Ok((&body[..], entries)));
        }

        #[test]
        fn any_bytes_are_a_table_or_garbled(bytes: Vec<u8>) {
            let _ = split(&bytes);
        }
    }

    #[test]
    fn a_piece_lies_within_its_block() {
        let base = Block { offset: 100, len: 10 };
        for at in [(99, 5), (105, 6), (105, 0), (u64::MAX, 5)] {
            let mut message = Vec::new();
            append(&mut message, &[Entry::Piece { base, at: Block { offset: at.0, len: at.1 }, shared: true }]);
            assert_eq!(split(&message), Err(Garbled));
        }
    }
}
