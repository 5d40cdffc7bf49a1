//! A thread that has calls, as the sampler sees it.
//!
//! Seats are never freed, so that the sampler walks their list without a lock; a thread that ends leaves its seat to the next.
//! The words of a seat have one writer each: its thread says what it is and how many calls it is in, the sampler
//! adds up what it saw. Whoever wants to know of one call takes the difference between its end and its beginning.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use super::clocks;
use crate::lanes::{Call, ThreadFiles};
use crate::memory::OwnMoment;
use crate::{Gil, Pid};

/// What was seen of a thread while it had a call: so often was it looked at, and so often was it found that way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// All looks.
    pub looks: u64,
    /// It held the GIL.
    pub held: u64,
    /// Another thread did.
    pub other: u64,
    /// So often, when it did not hold it, it was looked up what it did.
    pub asked: u64,
    /// Of those, it waited for the GIL: which another had, or had been told to take and was not awake for yet.
    pub waiting: u64,
}

impl Seen {
    pub fn since(self, before: Self) -> Self {
        Self {
            looks: self.looks.wrapping_sub(before.looks),
            held: self.held.wrapping_sub(before.held),
            other: self.other.wrapping_sub(before.other),
            asked: self.asked.wrapping_sub(before.asked),
            waiting: self.waiting.wrapping_sub(before.waiting),
        }
    }

    pub fn add(&mut self, more: Self) {
        self.looks += more.looks;
        self.held += more.held;
        self.other += more.other;
        self.asked += more.asked;
        self.waiting += more.waiting;
    }
}

#[derive(Debug)]
pub(super) struct Seat {
    next: OnceLock<&'static Seat>,
    taken: AtomicBool,
    tid: AtomicU32,
    /// Calls that the thread is in, one within the other.
    depth: AtomicU32,
    /// Its thread state in the interpreter, an address.
    thread_state: AtomicU64,
    looks: AtomicU64,
    held: AtomicU64,
    other: AtomicU64,
    asked: AtomicU64,
    waiting: AtomicU64,
    /// The sampler's own. The lock is there for the child of a fork, which drops the files; nobody waits for it.
    probe: Mutex<Probe>,
}

#[derive(Debug, Default)]
struct Probe {
    files: Option<(Pid, ThreadFiles)>,
    /// It was asleep for the GIL, which had gone to another thread this often by then.
    wanted: Option<u64>,
}

static FIRST: Seat = Seat::new();

struct Mine(&'static Seat);

impl Drop for Mine {
    fn drop(&mut self) {
        self.0.depth.store(0, Ordering::Relaxed);
        self.0.taken.store(false, Ordering::Release);
    }
}

thread_local! {
    static MINE: Mine = Mine(Seat::take());
}

/// The seat of the calling thread; `None` when the thread is about to end.
pub(super) fn mine() -> Option<&'static Seat> {
    MINE.try_with(|mine| mine.0).ok()
}

/// All seats, empty ones too.
pub(super) fn all() -> impl Iterator<Item = &'static Seat> {
    std::iter::successors(Some(&FIRST), |seat| seat.next.get().copied())
}

/// In the child of a fork: its threads are gone but for the calling one, which has another number now.
pub(super) fn keep_own() {
    if !FIRST.taken.load(Ordering::Relaxed) && FIRST.next.get().is_none() {
        // No thread ever had a call.
        return;
    }
    let own = mine();
    for seat in all() {
        // What the parent's sampler had open reads the parent's threads.
        if let Ok(mut probe) = seat.probe.try_lock() {
            *probe = Probe::default();
        }
        if own.is_some_and(|own| std::ptr::eq(own, seat)) {
            seat.tid.store(clocks::own_tid(), Ordering::Relaxed);
        } else {
            seat.depth.store(0, Ordering::Relaxed);
            seat.taken.store(false, Ordering::Relaxed);
        }
    }
}

/// For words that have one writer.
fn one_more(word: &AtomicU64) {
    word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Seat {
    const fn new() -> Self {
        Self {
            next: OnceLock::new(),
            taken: AtomicBool::new(false),
            tid: AtomicU32::new(0),
            depth: AtomicU32::new(0),
            thread_state: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            held: AtomicU64::new(0),
            other: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            probe: Mutex::new(Probe { files: None, wanted: None }),
        }
    }

    fn take() -> &'static Self {
        let free = |seat: &&Self| seat.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let seat = all().find(free).unwrap_or_else(|| {
            let made = Box::leak(Box::new(Self::new()));
            made.taken.store(true, Ordering::Relaxed);
            let made: &'static Self = made;
            // Another thread may put its own at the end in between.
            while all().last().is_none_or(|last| last.next.set(made).is_err()) {}
            made
        });
        seat.tid.store(clocks::own_tid(), Ordering::Relaxed);
        seat
    }

    pub fn tid(&self) -> Pid {
        self.tid.load(Ordering::Relaxed)
    }

    pub fn has_calls(&self) -> bool {
        self.depth.load(Ordering::Relaxed) > 0
    }

    /// The thread of this seat begins a call, with this thread state.
    pub fn enter(&self, thread_state: u64) {
        self.thread_state.store(thread_state, Ordering::Relaxed);
        self.depth.store(self.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// It has ended one.
    pub fn leave(&self) {
        self.depth.store(self.depth.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// What the sampler saw so far.
    pub fn seen(&self) -> Seen {
        Seen {
            looks: self.looks.load(Ordering::Relaxed),
            held: self.held.load(Ordering::Relaxed),
            other: self.other.load(Ordering::Relaxed),
            asked: self.asked.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// The sampler's look; `ask` allows it to read what the thread does while it has not the GIL, which costs a system call.
    pub fn look(&self, gil: Gil, moment: OwnMoment, ask: bool) {
        one_more(&self.looks);
        if moment.held {
            if moment.last_holder == self.thread_state.load(Ordering::Relaxed) {
                one_more(&self.held);
                return;
            }
            one_more(&self.other);
        }
        if ask && let Some(waits) = self.waits(gil, moment) {
            one_more(&self.asked);
            if waits {
                one_more(&self.waiting);
            }
        }
    }

    /// Notes a guess: whether some thread held the GIL, and whether that counts as this one.
    pub fn guess(&self, held: bool, this: bool) {
        one_more(&self.looks);
        if held {
            one_more(if this { &self.held } else { &self.other });
        }
    }

    /// Whether the thread, which has not the GIL, waits for it.
    fn waits(&self, gil: Gil, moment: OwnMoment) -> Option<bool> {
        let tid = self.tid();
        let mut probe = self.probe.try_lock().ok()?;
        if probe.files.as_ref().is_none_or(|(of, _)| *of != tid) {
            *probe = Probe::default();
            probe.files = Some((tid, ThreadFiles::open(std::process::id(), tid).ok()?));
        }
        let waits = match probe.files.as_mut()?.1.call().ok()? {
            // Woken every few milliseconds to ask for it, and it cannot have had it since. While nobody has it, what such a
            // thread lacks is a processor.
            Call::Running => {
                moment.held && probe.wanted.is_some_and(|switches| moment.switches.wrapping_sub(switches) <= 1)
            }
            asleep => gil.is_waited_for_in(asleep),
        };
        probe.wanted = waits.then_some(moment.switches);
        Some(waits)
    }

    /// Closes what the sampler has open of a thread.
    pub fn close(&self) {
        if let Ok(mut probe) = self.probe.try_lock() {
            *probe = Probe::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIL: Gil = Gil { address: 0x1000 };

    #[test]
    fn a_thread_has_one_seat_and_leaves_it() {
        let of_thread = || std::thread::spawn(|| std::ptr::from_ref(mine().expect("alive")).addr()).join().unwrap();
        let own = std::ptr::from_ref(mine().expect("alive")).addr();
        assert_eq!(std::ptr::from_ref(mine().expect("alive")).addr(), own);
        for _ in 0..100 {
            assert_ne!(of_thread(), own);
        }
        assert!(all().count() < 50, "seats are used again");
    }

    #[test]
    fn a_look_tells_holders_from_others() {
        let seat = Seat::new();
        seat.enter(7);
        let held_by = |last_holder| OwnMoment { held: true, last_holder, switches: 1 };
        seat.look(GIL, held_by(7), true);
        seat.look(GIL, held_by(8), false);
        seat.look(GIL, OwnMoment { held: false, ..held_by(7) }, false);
        assert_eq!(seat.seen(), Seen { looks: 3, held: 1, other: 1, asked: 0, waiting: 0 });
        seat.tid.store(clocks::own_tid(), Ordering::Relaxed);
        seat.look(GIL, held_by(8), true);
        let since = seat.seen().since(Seen { looks: 3, held: 1, other: 1, ..Seen::default() });
        assert_eq!(since, Seen { looks: 1, other: 1, asked: 1, ..Seen::default() }, "it runs, as this test does");
        assert!(seat.has_calls());
        seat.leave();
        assert!(!seat.has_calls());
    }
}
