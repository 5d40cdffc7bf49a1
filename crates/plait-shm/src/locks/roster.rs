//! Who takes part: a seat for each process, and the word in which the kernel says that it has died.
//!
//! A process is named by its seat and by the turn in which it has it: a [`Holder`], which fits into the word of whatever it
//! holds. Promises: a holder is told dead only when its process has ended or has left; once told, it is dead for ever, also
//! when its seat has another process: pids, which the system uses again, are for messages only.
//!
//! | word | meaning | who writes, when |
//! |---|---|---|
//! | `joins` | counts up when a keeper should look at all seats again | who joins, and who has buried somebody |
//! | `door` | the thread that may change seats, 0 for none, [`DIED`] | a keeper, by compare-and-swap; the kernel, when it dies |
//! | `life` | 0: nobody's; the keeper's thread id, with [`WATCHED`]; [`DIED`] | a keeper behind the door; the kernel, at its death |
//! | `turn` | how often the seat was left | who buries, before `life` becomes 0 |
//! | `pid` | the process, for messages | who joins, after its `life` |

#[cfg(not(loom))]
use crate::sync::Shareable;
use crate::sync::{AtomicU32, Futex, Line, Ordering, Place};
#[cfg(not(loom))]
use crate::system::{Deaths, Here};

/// How many processes can take part at a time.
#[cfg(not(loom))]
pub(crate) const SEATS: usize = 248;
#[cfg(loom)]
pub(crate) const SEATS: usize = 3;

/// The kernel's mark (FUTEX_OWNER_DIED): the thread whose id stood here has ended.
pub(crate) const DIED: u32 = 1 << 30;
/// The kernel's other mark (FUTEX_WAITERS): somebody sleeps on the word, and is to be woken at that death.
pub(crate) const WATCHED: u32 = 1 << 31;

/// A process that takes part: the seat in bits 0–7, counted from 1, and its turn in bits 10–31. 0 is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Holder(pub(crate) u32);

impl Holder {
    /// The bits of a word that name a holder; the two others are each protocol's own.
    pub(crate) const BITS: u32 = !(3 << 8);

    pub(crate) fn new(seat: usize, turn: u32) -> Self {
        debug_assert!(seat < SEATS);
        Self((seat as u32 + 1) | turn << 10)
    }

    /// The holder that a word names, whatever else it says.
    pub(crate) fn of(word: u32) -> Self {
        Self(word & Self::BITS)
    }

    /// The seat, if it is one.
    pub(crate) fn seat(self) -> Option<usize> {
        (self.0 as u8 as usize).checked_sub(1).filter(|seat| *seat < SEATS)
    }

    pub(crate) fn is_nobody(self) -> bool {
        self.0 & 0xff == 0
    }
}

#[repr(C, align(64))]
pub(crate) struct Seat {
    pub(crate) life: Futex,
    pub(crate) turn: AtomicU32,
    pub(crate) pid: AtomicU32,
}

#[repr(C)]
pub(crate) struct RosterWords {
    pub(crate) joins: Line<Futex>,
    pub(crate) door: Line<Futex>,
    pub(crate) seats: [Seat; SEATS],
}

// SAFETY: atomics.
#[cfg(not(loom))]
unsafe impl Shareable for RosterWords {}

/// The seats of one memory, as each of its processes sees them.
#[derive(Clone)]
pub(crate) struct Roster(pub(crate) Place<RosterWords>);

impl std::ops::Deref for Roster {
    type Target = RosterWords;
    fn deref(&self) -> &RosterWords {
        &self.0
    }
}

impl Roster {
    /// Has the process ended, or left? What it wrote is seen then.
    pub(crate) fn is_dead(&self, holder: Holder) -> bool {
        let Some(seat) = holder.seat().map(|seat| &self.seats[seat]) else {
            // No holder that this crate wrote: nobody would ever let go.
            return true;
        };
        // SYNC POINT with `settle`: who sees the life of the next process sees the next turn.
        let life = seat.life.load(Ordering::Acquire);
        life & DIED != 0 || Holder::new(0, seat.turn.load(Ordering::Relaxed)).0 >> 10 != holder.0 >> 10
    }

    /// The same, asked of the system where it does not tell: for those that no keeper may look for.
    #[cfg(not(loom))]
    pub(crate) fn has_died(&self, holder: Holder) -> bool {
        if let Some(seat) = holder.seat() {
            Here::look(&self.seats[seat].life);
        }
        self.is_dead(holder)
    }

    /// The pid of a holder's process, if its seat was not given to another one since.
    pub(crate) fn pid(&self, holder: Holder) -> Option<u32> {
        let seat = &self.seats[holder.seat()?];
        let pid = seat.pid.load(Ordering::Acquire);
        (Holder::new(0, seat.turn.load(Ordering::Relaxed)).0 >> 10 == holder.0 >> 10 && pid != 0).then_some(pid)
    }

    /// Those that have died and whose holdings were not seen to. Behind the door they stay so.
    pub(crate) fn dead(&self) -> impl Iterator<Item = Holder> + '_ {
        self.seats.iter().enumerate().filter_map(|(at, seat)| {
            let died = seat.life.load(Ordering::Acquire) & DIED != 0;
            died.then(|| Holder::new(at, seat.turn.load(Ordering::Relaxed) & (u32::MAX >> 10)))
        })
    }

    /// Ends the turn of a dead one, whose holdings have been seen to. Behind the door.
    pub(crate) fn settle(&self, dead: Holder) {
        let seat = &self.seats[dead.seat().expect("the dead have a seat")];
        seat.pid.store(0, Ordering::Relaxed);
        seat.turn.fetch_add(1, Ordering::Relaxed);
        // SYNC POINT with `is_dead`: Release, and `sit` goes on from this store.
        seat.life.store(0, Ordering::Release);
    }

    /// The first seat that is nobody's. Behind the door it stays so.
    pub(crate) fn free_seat(&self) -> Option<usize> {
        (0..SEATS).find(|at| self.seats[*at].life.load(Ordering::Relaxed) == 0)
    }

    /// Gives a free seat to the process whose keeper is thread `life`. Behind the door.
    pub(crate) fn sit(&self, at: usize, life: u32) -> Holder {
        let seat = &self.seats[at];
        // An exchange, so that the order of `settle` carries on to who reads this value.
        seat.life.swap(life, Ordering::AcqRel);
        Holder::new(at, seat.turn.load(Ordering::Relaxed) & (u32::MAX >> 10))
    }
}

#[cfg(all(test, loom))]
impl Roster {
    pub(crate) fn new() -> Self {
        let line = || Line(Futex::new(0));
        let seats = [(); SEATS].map(|()| Seat { life: Futex::new(0), turn: AtomicU32::new(0), pid: AtomicU32::new(0) });
        Self(std::sync::Arc::new(RosterWords { joins: line(), door: line(), seats }).into())
    }

    /// What the kernel does when the process has ended.
    pub(crate) fn die(&self, holder: Holder) {
        self.seats[holder.seat().unwrap()].life.store(DIED, Ordering::Release);
    }
}
