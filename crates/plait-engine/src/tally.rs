//! What a pool counts, and who its workers are: for `stats()`, and for observers outside, who read the same words.
//!
//! Each word is true by itself; together they are of one moment only while nothing happens. Counting is an addition to a word, and
//! takes no lock. Where the words lie is told by [`Tally::counts_at`] and [`Tally::places_at`]; what they mean stands in
//! `plait_trace::pools`.

use std::mem::{offset_of, size_of};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use plait_trace::pools::{self, Counts, MOST_PLACES};

/// The counters of a pool.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Counters {
    /// Tasks that were submitted.
    pub submitted: AtomicU64,
    /// Tasks that returned.
    pub done: AtomicU64,
    /// Tasks that ended with an exception.
    pub failed: AtomicU64,
    /// Tasks that were cancelled.
    pub cancelled: AtomicU64,
    /// Further tries.
    pub retried: AtomicU64,
    /// Workers that began.
    pub started: AtomicU64,
    /// Workers that ended unasked.
    pub died: AtomicU64,
    /// Workers that were ended to go on with others.
    pub recycled: AtomicU64,
}

const _: () = assert!(size_of::<Counters>() == 8 * pools::COUNTS && offset_of!(Counters, recycled) == 56);

/// A worker's place. Its words are written by the worker, or by the one thread that manages it.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Place {
    id: AtomicU32,
    depth: AtomicU32,
    done: AtomicU64,
    since: AtomicU64,
    noted: AtomicU64,
    lost: AtomicU32,
}

const _: () = assert!(size_of::<Place>() == pools::PLACE && offset_of!(Place, noted) == 24);
const _: () = assert!(offset_of!(Place, lost) == 32);

/// See the file's head.
#[derive(Debug)]
pub struct Tally {
    counters: Counters,
    places: Box<[Place]>,
}

impl Tally {
    /// Of a pool that has so many workers at a time; a pool of more has no places for the rest.
    pub fn new(places: usize) -> Arc<Self> {
        let places = (0..places.min(MOST_PLACES)).map(|_| Place::default()).collect();
        Arc::new(Self { counters: Counters::default(), places })
    }

    /// The counters.
    pub fn count(&self) -> &Counters {
        &self.counters
    }

    /// The place of a worker that has a number of its own.
    pub fn place(&self, number: usize) -> Option<&Place> {
        self.places.get(number)
    }

    /// A free place for a worker, which is called `id` from now on, and where it is.
    pub fn take(&self, id: u32) -> Option<usize> {
        let free = |place: &Place| place.id.compare_exchange(0, id, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        self.places.iter().position(free)
    }

    /// What was counted. What has ended is read before what was submitted, so that nothing ends before it began.
    pub fn counts(&self) -> Counts {
        let Counters { submitted, done, failed, cancelled, retried, started, died, recycled } = &self.counters;
        let [done, failed, cancelled, retried, died, recycled] =
            [done, failed, cancelled, retried, died, recycled].map(|word| word.load(Ordering::Acquire));
        let [started, submitted] = [started, submitted].map(|word| word.load(Ordering::Acquire));
        Counts { submitted, done, failed, cancelled, retried, started, died, recycled }
    }

    /// Who has a place, and what is told of it.
    pub fn taken(&self) -> Vec<pools::Place> {
        self.places.iter().map(Place::read).filter(|place| place.id != 0).collect()
    }

    /// Where the counters lie.
    pub fn counts_at(&self) -> u64 {
        (&raw const self.counters).expose_provenance() as u64
    }

    /// Where the places lie, and how many there are.
    pub fn places_at(&self) -> (u64, u32) {
        (self.places.as_ptr().expose_provenance() as u64, self.places.len() as u32)
    }
}

impl Counters {
    /// One more.
    #[inline]
    pub fn add(word: &AtomicU64) {
        word.fetch_add(1, Ordering::Release);
    }
}

impl Place {
    /// A worker process has begun, which notes its work down at `noted`.
    pub fn begin(&self, pid: u32, noted: u64) {
        self.noted.store(noted, Ordering::Relaxed);
        self.id.store(pid, Ordering::Release);
    }

    /// The worker is gone.
    pub fn leave(&self) {
        self.noted.store(0, Ordering::Relaxed);
        self.depth.store(0, Ordering::Relaxed);
        self.since.store(0, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.id.store(0, Ordering::Release);
    }

    /// One more task of the worker has ended; told by one thread at a time.
    #[inline]
    pub fn hear(&self) {
        self.done.store(self.done.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// By the thread itself: a task begins. Gives what it goes on with afterwards.
    #[inline]
    pub fn enter(&self, now: u64) -> u64 {
        self.depth.store(self.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let before = self.since.load(Ordering::Relaxed);
        self.since.store(now, Ordering::Release);
        before
    }

    /// By the thread itself: the task is over, or this try of it.
    #[inline]
    pub fn exit(&self, before: u64) {
        self.since.store(before, Ordering::Relaxed);
        self.depth.store(self.depth.load(Ordering::Relaxed).saturating_sub(1), Ordering::Release);
    }

    /// So many tasks run here.
    pub fn run(&self, count: u32) {
        self.depth.store(count, Ordering::Release);
    }

    /// The call that the thread runs is given up; or, with `false`, has ended after all.
    pub fn lose(&self, lost: bool) {
        self.lost.store(lost.into(), Ordering::Release);
    }

    fn read(&self) -> pools::Place {
        pools::Place {
            id: self.id.load(Ordering::Acquire),
            depth: self.depth.load(Ordering::Acquire),
            done: self.done.load(Ordering::Relaxed),
            since: self.since.load(Ordering::Relaxed),
            noted: self.noted.load(Ordering::Relaxed),
            is_lost: self.lost.load(Ordering::Acquire) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let tally = Tally::new(2);
        assert_eq!((tally.take(7), tally.take(8), tally.take(9)), (Some(0), Some(1), None));
        let place = tally.place(0).expect("there are two");
        let before = place.enter(5);
        let inner = place.enter(6);
        assert_eq!((before, inner), (0, 5));
        place.hear();
        place.exit(inner);
        let told = tally.taken()[0];
        assert_eq!((told.id, told.depth, told.done, told.since), (7, 1, 1, 5));
        place.exit(before);
        place.leave();
        assert_eq!(tally.taken().iter().map(|place| place.id).collect::<Vec<_>>(), [8]);
        assert_eq!(tally.take(9), Some(0));
        assert_eq!(tally.taken()[0].done, 0, "the next one begins anew");
    }

    #[test]
    fn the_words_lie_where_readers_look_for_them() {
        let tally = Tally::new(3);
        Counters::add(&tally.count().submitted);
        Counters::add(&tally.count().recycled);
        let counts = tally.counts();
        assert_eq!((counts.submitted, counts.recycled, counts.pending()), (1, 1, 1));
        assert_eq!(tally.counts_at() % 64, 0);
        assert_eq!(tally.places_at().1, 3);
        assert_eq!(Tally::new(1 << 20).places_at().1 as usize, MOST_PLACES);
    }
}
