//! The table itself: plain data with a bound, no Python.
//!
//! Two maps: entries by key, and ids by bytes, so that equal bytes (a lambda made anew in each round of a loop) keep their id.
//! An id is forgotten when its last entry goes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plait_engine::heap::Piece;

/// What a function is looked up by. Equal keys are a reason to compare, never a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// By the object's address.
    pub fn identity<T>(object: *const T) -> Key {
        Key::of([object as usize])
    }

    /// By several addresses, in order.
    pub fn of(addresses: impl IntoIterator<Item = usize>) -> Key {
        // The multiplier of splitmix64; addresses differ in few of their bits.
        Key(addresses.into_iter().fold(0, |key, address| {
            let mixed = (key ^ address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 29)
        }))
    }
}

/// The key is a hash already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        unreachable!("keys hash as one u64, not as {} bytes", bytes.len());
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A function as it was prepared.
pub struct Entry<N> {
    pub id: u64,
    pub bytes: Arc<[u8]>,
    /// What [`crate::codec::byname::epoch`] was.
    pub epoch: u64,
    pub nature: N,
    /// What the bytes refer to, which stays in place while this does.
    pub pieces: Arc<[Piece]>,
    /// The table's clock when it was last looked up.
    used: AtomicU64,
}

/// Bytes in use by so many entries.
struct Sent {
    bytes: Arc<[u8]>,
    /// With what they refer to.
    weight: usize,
    entries: usize,
}

/// Longer bytes get a new id without looking for equal ones: hashing them would cost more than it saves.
const SHARED_TO: usize = 64 << 10;

pub struct Table<N> {
    entries: HashMap<Key, Arc<Entry<N>>, BuildHasherDefault<KeyHasher>>,
    sent: HashMap<u64, Sent>,
    ids: HashMap<Arc<[u8]>, u64>,
    forgotten: Vec<u64>,
    clock: u64,
    last_id: u64,
    /// The length of all that is in `sent`, with what it refers to.
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl<N> Table<N> {
    pub fn new(max_entries: usize, max_bytes: usize) -> Table<N> {
        Table {
            entries: HashMap::default(),
            sent: HashMap::new(),
            ids: HashMap::new(),
            forgotten: Vec::new(),
            clock: 0,
            last_id: 0,
            bytes: 0,
            max_entries,
            max_bytes,
        }
    }

    pub fn get(&mut self, key: Key) -> Option<Arc<Entry<N>>> {
        let entry = self.entries.get(&key)?;
        self.clock += 1;
        entry.used.store(self.clock, Ordering::Relaxed);
        Some(Arc::clone(entry))
    }

    /// Keeps a function under `key`, in the place of what was there. Equal bytes get an equal id. Gives back the entry, and
    /// those that had to go, which the caller drops once it holds no lock.
    #[must_use = "what had to go is to be dropped outside the lock"]
    pub fn insert(
        &mut self,
        key: Key,
        epoch: u64,
        nature: N,
        bytes: &[u8],
        weight: usize,
        pieces: Vec<Piece>,
    ) -> (Arc<Entry<N>>, Vec<Arc<Entry<N>>>) {
        let (id, bytes) = self.send(key, bytes, weight);
        let pieces = pieces.into();
        self.clock += 1;
        let entry = Arc::new(Entry { id, bytes, epoch, nature, pieces, used: AtomicU64::new(self.clock) });
        let mut outdated = Vec::new();
        if let Some(old) = self.entries.insert(key, Arc::clone(&entry)) {
            self.release(old.id);
            outdated.push(old);
        }
        if self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            self.evict(key, &mut outdated);
        }
        (entry, outdated)
    }

    /// The id of these bytes, old or new, with one more entry counted.
    fn send(&mut self, key: Key, bytes: &[u8], weight: usize) -> (u64, Arc<[u8]>) {
        let before = self.entries.get(&key).filter(|entry| *entry.bytes == *bytes).map(|entry| entry.id);
        if let Some(id) = before.or_else(|| self.ids.get(bytes).copied())
            && let Some(sent) = self.sent.get_mut(&id)
        {
            sent.entries += 1;
            return (id, Arc::clone(&sent.bytes));
        }
        self.last_id += 1;
        let id = self.last_id;
        let bytes: Arc<[u8]> = bytes.into();
        self.bytes += weight;
        if bytes.len() <= SHARED_TO {
            self.ids.insert(Arc::clone(&bytes), id);
        }
        self.sent.insert(id, Sent { bytes: Arc::clone(&bytes), weight, entries: 1 });
        (id, bytes)
    }

    /// One entry less for this id.
    fn release(&mut self, id: u64) {
        let Some(sent) = self.sent.get_mut(&id) else {
            return;
        };
        sent.entries -= 1;
        if sent.entries > 0 {
            return;
        }
        if let Some(sent) = self.sent.remove(&id) {
            self.bytes -= sent.weight;
            if self.ids.get(&sent.bytes) == Some(&id) {
                self.ids.remove(&sent.bytes);
            }
            self.forgotten.push(id);
        }
    }

    /// Gives up the least recently used, an eighth at once so that it comes seldom; never `newest`.
    fn evict(&mut self, newest: Key, outdated: &mut Vec<Arc<Entry<N>>>) {
        let mut by_use: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, _)| **key != newest)
            .map(|(key, entry)| (entry.used.load(Ordering::Relaxed), *key))
            .collect();
        by_use.sort_unstable_by_key(|&(used, _)| used);
        let (entries_goal, bytes_goal) = (self.max_entries - self.max_entries / 8, self.max_bytes - self.max_bytes / 8);
        for (_, key) in by_use {
            if self.entries.len() <= entries_goal && self.bytes <= bytes_goal {
                break;
            }
            if let Some(entry) = self.entries.remove(&key) {
                self.release(entry.id);
                outdated.push(entry);
            }
        }
    }

    pub fn take_forgotten(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.forgotten)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}
