//! How a program says which pools it has, in its own memory, for whoever looks from outside: `plait top`.
//!
//! As the beacon is ([`crate::beacon`]): plain stores, no lock, and a reader believes only what agrees with itself. The table
//! tells of each pool what does not change, and where its figures lie; those are plain counters, each true by itself. All
//! numbers are in the byte order of the machine.
//!
//! A head of [`HEAD`] bytes:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`]; all else is void before it is there |
//! | 8 | 4 | [`VERSION`] |
//! | 12 | 4 | the size of a slot, [`SLOT`] |
//! | 16 | 4 | slots that there are |
//! | 20 | 4 | slots that were ever in use |
//! | 24 | 4 | pools that found no free slot, of those that live |
//!
//! Then the slots, one for each pool:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | the sequence: odd while the slot is changed |
//! | 8 | 8 | the number of the pool in its process, from 1; 0: the slot is free |
//! | 16 | 8 | the address of its counts: [`COUNTS`] words, in the order of [`Counts`] |
//! | 24 | 8 | the address of its places, one for each worker |
//! | 32 | 4 | how many places there are |
//! | 36 | 4 | the kind: 1 processes, 2 threads, 3 asyncio |
//! | 40 | 4 | the most workers |
//! | 44 | 4 | the length of the name |
//! | 48 | 80 | the name, UTF-8 |
//!
//! A place, of [`PLACE`] bytes:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 4 | the worker, by its process's or thread's number in the program's namespace; 0: nobody |
//! | 4 | 4 | of a thread: tasks that it is in, one within the other; of a loop: coroutines that run |
//! | 8 | 8 | tasks that it has ended, as far as the program has heard |
//! | 16 | 8 | of a thread: when the task began, nanoseconds of `CLOCK_MONOTONIC`, to some milliseconds |
//! | 24 | 8 | of a process: the address, in the program, of what it notes down itself ([`Noted`]); 0 if there is nothing |
//! | 32 | 4 | of a thread: 1 once its call was given up |
//!
//! **For readers.** A slot is read, then what it leads to, then the slot again: when it is the same and the sequence is even, what it leads
//! to was the pool's while it was read, for a pool is taken off the table before its memory is given back.

use serde::Serialize;

/// The first bytes.
pub const MAGIC: [u8; 8] = *b"plait\0P1";
/// The version of the layout.
pub const VERSION: u32 = 1;
/// Bytes of the head.
pub const HEAD: usize = 64;
/// Bytes of a slot.
pub const SLOT: usize = 128;
/// Slots that this version has.
pub const SLOTS: usize = 256;
/// Bytes of a name.
pub const NAME: usize = 80;
/// Words that are counted.
pub const COUNTS: usize = 8;
/// Bytes of a place.
pub const PLACE: usize = 64;
/// More places are not read.
pub const MOST_PLACES: usize = 1024;
/// Bytes of what a worker process notes down.
pub const NOTED: usize = 24;

/// What the workers of a pool are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub enum PoolKind {
    /// Worker processes.
    Processes = 1,
    /// Threads of the program.
    Threads = 2,
    /// Coroutines on a loop.
    Asyncio = 3,
}

impl PoolKind {
    const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Processes),
            2 => Some(Self::Threads),
            3 => Some(Self::Asyncio),
            _ => None,
        }
    }
}

/// What a pool has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Tasks that were submitted.
    pub submitted: u64,
    /// Tasks that returned.
    pub done: u64,
    /// Tasks that ended with an exception: their own, a timeout, the death of their worker.
    pub failed: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Further tries of tasks.
    pub retried: u64,
    /// Workers that began.
    pub started: u64,
    /// Workers that ended though nobody had asked them to.
    pub died: u64,
    /// Workers that the pool itself ended, or had end, to go on with others.
    pub recycled: u64,
}

impl Counts {
    /// Reads them from their bytes.
    pub fn decode(bytes: &[u8; 8 * COUNTS]) -> Self {
        let [submitted, done, failed, cancelled, retried, started, died, recycled] =
            [0, 8, 16, 24, 32, 40, 48, 56].map(|at| word64(bytes, at));
        Self { submitted, done, failed, cancelled, retried, started, died, recycled }
    }

    /// Tasks that have not ended.
    pub const fn pending(&self) -> u64 {
        self.submitted.saturating_sub(self.done.saturating_add(self.failed).saturating_add(self.cancelled))
    }
}

/// What a slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number of the pool; 0: the slot is free.
    pub number: u64,
    /// Where its counts lie.
    pub counts: u64,
    /// Where its places lie.
    pub places: u64,
    /// How many there are.
    pub len: u32,
    /// What its workers are.
    pub kind: PoolKind,
    /// The most workers.
    pub most: u32,
    /// What it is called.
    pub name: String,
}

impl Slot {
    /// What a copy says; `None` where it is torn, free or makes no sense.
    pub fn decode(bytes: &[u8; SLOT]) -> Option<Self> {
        let [sequence, number, counts, places] = [0, 8, 16, 24].map(|at| word64(bytes, at));
        let [len, kind, most, name_len] = [32, 36, 40, 44].map(|at| word32(bytes, at));
        let name = bytes[48..].get(..name_len as usize)?;
        let is_sound = sequence.is_multiple_of(2) && number != 0 && len as usize <= MOST_PLACES;
        let kind = PoolKind::of(kind).filter(|_| is_sound)?;
        Some(Self { number, counts, places, len, kind, most, name: plain(name) })
    }
}

/// What a place says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The worker's number; 0: nobody is here.
    pub id: u32,
    /// Of a thread: tasks that it is in; of a loop: coroutines that run.
    pub depth: u32,
    /// Tasks that it has ended.
    pub done: u64,
    /// Of a thread: when its task began.
    pub since: u64,
    /// Of a process: where [`Noted`] lies.
    pub noted: u64,
    /// Of a thread: its call was given up.
    pub is_lost: bool,
}

impl Place {
    /// Reads it from its bytes.
    pub fn decode(bytes: &[u8; PLACE]) -> Self {
        let [id, depth, lost] = [0, 4, 32].map(|at| word32(bytes, at));
        let [done, since, noted] = [8, 16, 24].map(|at| word64(bytes, at));
        Self { id, depth, done, since, noted, is_lost: lost != 0 }
    }
}

/// What a worker process notes down of itself (`plait_shm::WorkerStatus`): three words that are not copied at one moment, so
/// for showing only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Tasks that it has ended.
    pub ended: u64,
    /// Whether it runs one.
    pub is_busy: bool,
    /// Since when, nanoseconds of `CLOCK_MONOTONIC`.
    pub since: u64,
}

impl Noted {
    /// Reads it from its bytes.
    pub fn decode(bytes: &[u8; NOTED]) -> Self {
        let turns = word64(bytes, 0);
        Self { ended: turns / 4, is_busy: turns & 1 == 1, since: word64(bytes, 16) }
    }
}

/// How many slots of a table are to be read, by its head, and how many pools are in none; `None`: there is no table, or
/// one of another version.
pub fn head(bytes: &[u8; HEAD]) -> Option<(usize, u32)> {
    let [version, size, slots, used, unseated] = [8, 12, 16, 20, 24].map(|at| word32(bytes, at));
    let is_sound = bytes[..8] == MAGIC && version == VERSION && size as usize == SLOT;
    (is_sound && slots as usize <= SLOTS && used <= slots).then_some((used as usize, unseated))
}

/// Text that is fit to be shown, of any bytes.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(words: &[(usize, u64)], halves: &[(usize, u32)], name: &[u8]) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        for (at, word) in words {
            bytes[*at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        for (at, half) in halves {
            bytes[*at..at + 4].copy_from_slice(&half.to_ne_bytes());
        }
        bytes[48..48 + name.len()].copy_from_slice(name);
        bytes
    }

    #[test]
    fn a_slot_is_believed_when_it_makes_sense() {
        let of = |sequence, number, kind| {
            slot(&[(0, sequence), (8, number), (16, 7)], &[(32, 3), (36, kind), (44, 2)], b"ab")
        };
        let told = Slot::decode(&of(2, 1, 2)).expect("sound");
        assert_eq!((told.name.as_str(), told.kind, told.counts, told.len), ("ab", PoolKind::Threads, 7, 3));
        for bad in [of(3, 1, 2), of(2, 0, 2), of(2, 1, 9)] {
            assert_eq!(Slot::decode(&bad), None);
        }
        assert_eq!(Slot::decode(&slot(&[(8, 1)], &[(36, 1), (44, 81)], b"")), None, "a name beyond the slot");
        assert_eq!(Slot::decode(&slot(&[(8, 1)], &[(32, 1025), (36, 1)], b"")), None, "more places than there are");
    }

    #[test]
    fn what_is_pending_is_what_has_not_ended() {
        let mut bytes = [0; 8 * COUNTS];
        for (at, word) in [10_u64, 4, 2, 1].into_iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        assert_eq!(Counts::decode(&bytes).pending(), 3);
        assert_eq!(Counts { done: 9, submitted: 8, ..Counts::default() }.pending(), 0, "read one after the other");
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_bounded(bytes in prop::array::uniform32(any::<[u8; 4]>())) {
            let bytes: Vec<u8> = bytes.concat();
            if let Some(slot) = bytes.first_chunk::<SLOT>().and_then(Slot::decode) {
                prop_assert!(slot.len as usize <= MOST_PLACES && !slot.name.contains(char::is_control));
            }
            if let Some((used, _)) = bytes.first_chunk::<HEAD>().and_then(head) {
                prop_assert!(used <= SLOTS);
            }
        }
    }

    #[test]
    fn fuzz_pools() {
        let slot = slot(&[(8, 5), (16, 4096), (24, 8192)], &[(32, 2), (36, 1), (40, 2), (44, 3)], b"abc").to_vec();
        let mut table = vec![0; HEAD];
        table[..8].copy_from_slice(&MAGIC);
        let words = [VERSION, SLOT as u32, SLOTS as u32, 1, 0];
        words.iter().enumerate().for_each(|(at, word)| {
            table[8 + 4 * at..12 + 4 * at].copy_from_slice(&word.to_ne_bytes());
        });
        crate::fuzz::fuzz("pools", env!("CARGO_MANIFEST_DIR"), &[slot, table], |bytes| {
            if let Some((used, _)) = bytes.first_chunk().and_then(head) {
                assert!(used <= SLOTS);
            }
            if let Some(slot) = bytes.first_chunk().and_then(Slot::decode) {
                assert!(slot.len as usize <= MOST_PLACES);
            }
            bytes.first_chunk().map(Counts::decode).map(|counts| counts.pending());
            bytes.first_chunk().map(Place::decode);
            bytes.first_chunk().map(Noted::decode);
        });
    }
}
