//! Mappings that are kept for the next block in the same place, so that its pages are at hand: to make a fresh mapping
//! readable takes longer than to copy what is in it.
//!
//! A mapping shows what is in the file and keeps nothing there, so it is as good for whatever comes to lie in its place
//! later; a snapshot only while nothing was ever written to it, and for one user at a time. Promises: who gets a mapping here
//! sees what a new one would show; no lock is waited for.

use std::io;
use std::sync::{Arc, Mutex};

use plait_engine::heap::{Access, Block, Mapped, Piece};
use plait_engine::queue::Parcel;

/// So many are kept.
const MOST: usize = 32;

/// Shorter snapshots are mapped anew: that costs no more than to look whether they were written to.
const LEAST: usize = 256 << 10;

/// Which stretch of which heap's file it is, and how it is mapped.
#[derive(PartialEq, Eq)]
struct Place {
    heap: u64,
    at: Block,
    access: Access,
}

impl Place {
    fn of(piece: &Piece) -> Self {
        Self { heap: piece.hold.heap_number(), at: piece.at, access: piece.access }
    }

    fn of_parcel(parcel: &Parcel) -> Self {
        // Beyond all numbers of heaps, which are counted.
        Self { heap: parcel.file_number() | 1 << 63, at: parcel.block(), access: Access::Snapshot }
    }
}

/// The one used last is at the end. Tried and never waited for: a thread that is not there any more may have it in a forked child.
static SPARE: Mutex<Vec<(Place, Arc<Mapped>)>> = Mutex::new(Vec::new());

/// A mapping of a piece.
///
/// # Errors
/// Those of `mmap`.
pub fn map(piece: &Piece) -> io::Result<Arc<Mapped>> {
    map_in(Place::of(piece), || piece.map())
}

/// A snapshot of a queue's parcel.
///
/// # Errors
/// Those of `mmap`.
pub fn map_parcel(parcel: &Parcel) -> io::Result<Arc<Mapped>> {
    map_in(Place::of_parcel(parcel), || parcel.map())
}

fn map_in(place: Place, map: impl Fn() -> io::Result<Mapped>) -> io::Result<Arc<Mapped>> {
    if let Some(known) = take(&place) {
        return Ok(known);
    }
    let mapped = map().or_else(|error| {
        // A limit on addresses may be reached by these alone.
        let spare = SPARE.try_lock().map(|mut spare| std::mem::take(&mut *spare)).unwrap_or_default();
        if spare.is_empty() {
            return Err(error);
        }
        drop(spare);
        map()
    });
    let mapped = Arc::new(mapped?);
    if place.access == Access::Shared {
        keep(place, &mapped);
    }
    Ok(mapped)
}

/// Nobody uses this mapping of a piece any more.
pub fn give_back(piece: &Piece, mapped: &Arc<Mapped>) {
    give_back_in(Place::of(piece), mapped);
}

/// The same of a parcel.
pub fn give_back_parcel(parcel: &Parcel, mapped: &Arc<Mapped>) {
    give_back_in(Place::of_parcel(parcel), mapped);
}

fn give_back_in(place: Place, mapped: &Arc<Mapped>) {
    let len = mapped.len();
    if place.access == Access::Snapshot && len >= LEAST && Arc::strong_count(mapped) == 1 && mapped.is_unwritten(0, len)
    {
        keep(place, mapped);
    }
}

fn take(place: &Place) -> Option<Arc<Mapped>> {
    let mut spare = SPARE.try_lock().ok()?;
    let at = spare.iter().position(|(known, _)| known == place)?;
    let entry = spare.remove(at);
    let mapped = Arc::clone(&entry.1);
    if entry.0.access == Access::Shared {
        // Any number may use it at the same time.
        spare.push(entry);
    }
    Some(mapped)
}

fn keep(place: Place, mapped: &Arc<Mapped>) {
    let Ok(mut spare) = SPARE.try_lock() else { return };
    // What is unmapped takes its time, and is dropped without the lock.
    let _oldest = (spare.len() >= MOST).then(|| spare.remove(0));
    spare.push((place, Arc::clone(mapped)));
    drop(spare);
}
