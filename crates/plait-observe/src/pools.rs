//! Which pools a process of plait's has, and what they count, as the process itself says in its memory.
//!
//! Found and read as the beacon is. What a slot leads to is believed when the slot is the same before and after.

use std::fs::File;
use std::os::unix::fs::FileExt;

use plait_trace::pools::{COUNTS, Counts, HEAD, NOTED, Noted, PLACE, Place, PoolKind, SLOT, Slot, head};

use crate::Pid;
use crate::beacon::find::{Table, address_in};

/// The table of a live process.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Of this process, and not of the next one that gets its number.
    memory: File,
    address: u64,
}

/// A pool as its process tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub slot: Slot,
    pub counts: Counts,
    /// Places that somebody has; of processes with what these note down.
    pub workers: Vec<(Place, Option<Noted>)>,
}

impl Pools {
    /// Finds the table of `pid`; `None` when plait is not loaded there, or the process may not be read.
    pub fn find(pid: Pid) -> Option<Self> {
        let found =
            Self { memory: File::open(format!("/proc/{pid}/mem")).ok()?, address: address_in(pid, Table::Pools)? };
        found.head().map(|_| found)
    }

    /// How many slots are to be read, and how many pools are in none.
    fn head(&self) -> Option<(usize, u32)> {
        head(&self.bytes::<HEAD>(self.address)?)
    }

    /// The pools, and how many more there are; `None` when the process has ended.
    pub fn read(&self) -> Option<(Vec<Told>, u32)> {
        let (used, untold) = self.head()?;
        Some(((0..used).filter_map(|number| self.pool(number)).collect(), untold))
    }

    fn pool(&self, number: usize) -> Option<Told> {
        let at = self.address + (HEAD + number * SLOT) as u64;
        let before = self.bytes::<SLOT>(at)?;
        let slot = Slot::decode(&before)?;
        let counts = Counts::decode(&self.bytes::<{ 8 * COUNTS }>(slot.counts)?);
        let mut places = vec![0; slot.len as usize * PLACE];
        self.memory.read_exact_at(&mut places, slot.places).ok()?;
        let places = places.as_chunks::<PLACE>().0.iter().map(Place::decode).filter(|place| place.id != 0);
        let workers = places
            .map(|place| {
                // Its memory goes with the worker.
                let noted = (place.noted != 0).then(|| self.bytes::<NOTED>(place.noted)).flatten();
                (place, noted.as_ref().map(Noted::decode))
            })
            .collect();
        (self.bytes::<SLOT>(at)? == before).then_some(Told { slot, counts, workers })
    }

    fn bytes<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }
}

impl Told {
    /// Answers of worker processes that the program has not taken yet.
    pub fn unheard(&self) -> u64 {
        let unheard =
            |(place, noted): &(Place, Option<Noted>)| noted.map_or(0, |noted| noted.ended.saturating_sub(place.done));
        self.workers.iter().map(unheard).sum::<u64>().min(self.counts.pending())
    }

    /// Whether there is nothing to say of it: it takes no tasks any more, and has none.
    pub fn is_over(&self) -> bool {
        let has_workers = self.slot.kind != PoolKind::Asyncio && !self.workers.is_empty();
        self.slot.most == 0 && !has_workers && self.counts.pending() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plait_trace::pools::{MAGIC, VERSION};

    /// A table in this very process, with one pool.
    struct Table {
        words: Vec<u64>,
        _figures: Box<[u64; COUNTS]>,
        _places: Box<[u64; 2 * PLACE / 8]>,
        _noted: Box<[u64; 3]>,
    }

    fn at<T>(place: &T) -> u64 {
        (&raw const *place).expose_provenance() as u64
    }

    impl Table {
        fn new() -> Self {
            let figures = Box::new([9, 3, 1, 0, 0, 1, 0, 0]);
            let noted = Box::new([4 * 7 + 1, 0, 55]);
            let mut places = Box::new([0; 2 * PLACE / 8]);
            (places[0], places[1], places[3]) = (77, 4, at(&*noted));
            let mut words = vec![0; (HEAD + 2 * SLOT) / 8];
            words[0] = u64::from_ne_bytes(MAGIC);
            words[1] = u64::from(VERSION) | (SLOT as u64) << 32;
            words[2] = 2 | 2 << 32;
            words[3] = 5;
            let slot = &mut words[(HEAD + SLOT) / 8..];
            slot[..4].copy_from_slice(&[6, 1, at(&*figures), at(&*places)]);
            slot[4] = 2 | (PoolKind::Processes as u64) << 32;
            slot[5] = 4 | 3 << 32;
            slot[6] = u64::from_ne_bytes(*b"abc\0\0\0\0\0");
            Self { words, _figures: figures, _places: places, _noted: noted }
        }

        fn pools(&self) -> Pools {
            let memory = File::open("/proc/self/mem").expect("own memory opens");
            Pools { memory, address: self.words.as_ptr().expose_provenance() as u64 }
        }
    }

    #[test]
    fn pools_are_read_with_their_figures_and_workers() {
        let mut table = Table::new();
        let (told, untold) = table.pools().read().expect("a table");
        assert_eq!(untold, 5);
        let [pool] = &told[..] else { panic!("the first slot is free: {told:?}") };
        assert_eq!((pool.slot.name.as_str(), pool.slot.most, pool.counts.pending()), ("abc", 4, 5));
        let [(place, Some(noted))] = pool.workers[..] else { panic!("one worker: {pool:?}") };
        assert_eq!((place.id, place.done, noted), (77, 4, Noted { ended: 7, is_busy: true, since: 55 }));
        assert_eq!(pool.unheard(), 3);
        assert!(!pool.is_over());

        // Where its figures were is nothing any more.
        table.words[(HEAD + SLOT) / 8 + 2] = 8;
        assert_eq!(table.pools().read().expect("a table").0, []);
        table.words[0] = 0;
        assert_eq!(table.pools().read(), None);
    }

    #[test]
    fn no_process_no_pools() {
        assert!(Pools::find(Pid::MAX).is_none());
        assert!(Pools::find(std::process::id()).is_none());
    }
}
