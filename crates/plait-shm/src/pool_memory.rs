//! The memory that a pool's parent and all its workers share: the claim ring, the seats, and the parent's two bells.
//!
//! Made once per pool. Promise: whatever a worker that dies leaves here is repaired by `ClaimProducer::recover` and
//! [`PoolMemory::leave_seat`], in this order, once its process is known to have ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use plait_trace::WorkerId;

use crate::MAX_WORKERS;
use crate::bell::{Bell, Wake};
use crate::claim::{ClaimConsumer, ClaimProducer, ClaimedUpTo, Slots};
use crate::error::OpenError;
use crate::ident::Ident;
use crate::seats::Seats;
use crate::segment::{Segment, Shown, file_len};
use crate::sync::{AtomicU32, Line, Ordering, Place, Shareable};
use crate::system::{Files, Here};

const MAGIC: &[u8; 8] = b"plaitpoo";

#[repr(C)]
struct PoolWords {
    ident: Ident,
    bell: Bell,
    pressure: Bell,
    /// 1 while the parent waits for the answer to what it sent last, and will send the next thing soon after. The parent writes it.
    awaited: Line<AtomicU32>,
    /// Nanoseconds that who waits may look before it sleeps, and how many workers must sit then. The parent writes them.
    spin: Line<[AtomicU32; 2]>,
    claimed_up_to: ClaimedUpTo,
    seats: Seats,
}

// SAFETY: made of types that are.
unsafe impl Shareable for PoolWords {}

/// The words of the slots begin on a page of their own, and so do their tasks, which workers map for reading only.
const STATES_AT: usize = size_of::<PoolWords>().next_multiple_of(PAGE);
/// Of the largest pages of any machine.
const PAGE: usize = 64 << 10;
const MAX_SLOTS: usize = 1 << 20;

/// The pool's shared memory, in the parent or in a worker.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use plait_shm::{INLINE, PoolMemory};
/// use plait_trace::{TaskId, WorkerId};
///
/// let (parent, mut producer) = PoolMemory::create(64)?;
/// let (worker, mut consumer) = PoolMemory::open(parent.fd().try_clone_to_owned()?, WorkerId(0))?;
///
/// producer.push(TaskId::new(0, 1), &[b"2 ", b"+ 2"])?;
/// parent.wake_idle();
/// let mut body = [0; INLINE];
/// let claimed = consumer.claim(&mut body, |_task| ());
/// assert_eq!(claimed, Some((TaskId::new(0, 1), 5)));
/// assert_eq!(&body[..5], b"2 + 2");
/// # drop(worker);
/// # Ok(())
/// # }
/// ```
pub struct PoolMemory {
    words: Place<PoolWords>,
    slots: usize,
    fd: OwnedFd,
}

impl PoolMemory {
    /// Makes the memory of a new pool, with at least `slots` slots for waiting tasks (rounded up to a power of two).
    ///
    /// # Errors
    /// Those of [`Segment::create`]; `InvalidInput` for over 2²⁰ slots.
    pub fn create(slots: u32) -> io::Result<(Arc<Self>, ClaimProducer)> {
        let slots = slots.max(2) as usize;
        if slots > MAX_SLOTS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pool has at most 1048576 slots"));
        }
        let slots = slots.next_power_of_two();
        let (segment, fd) = Segment::create("plait-pool", Self::len(slots))?;
        let segment = Arc::new(segment);
        let words: Place<PoolWords> = Place::new(&segment, 0);
        let states = Place::slice(&segment, STATES_AT, slots);
        let ring = Slots::new(states, Place::slice(&segment, Self::tasks_at(slots), slots));
        let producer = ClaimProducer::new(ring, words.map(|words| &words.claimed_up_to));
        words.ident.write(MAGIC, [slots as u64, 0]);
        Ok((Arc::new(Self { words, slots, fd }), producer))
    }

    /// Opens the pool's memory in the worker `me`.
    ///
    /// # Errors
    /// [`OpenError`] when `fd` is not the memory of a pool made by this version of plait, or cannot be mapped.
    pub fn open(fd: OwnedFd, me: WorkerId) -> Result<(Arc<Self>, ClaimConsumer), OpenError> {
        if me.index() >= MAX_WORKERS {
            return Err(OpenError::Worker(me));
        }
        let found = file_len(&fd)?;
        if !Here::is_sealed(fd.as_fd()) || found < STATES_AT {
            return Err(OpenError::Alien);
        }
        // How much of it there is to map stands in its words.
        let segment = Arc::new(Segment::front(&fd, STATES_AT)?);
        let [slots, _] = Place::<PoolWords>::new(&segment, 0).ident.check(MAGIC)?;
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        if !slots.is_power_of_two() || slots > MAX_SLOTS || Self::len(slots) != found {
            return Err(OpenError::Length {
                found,
                expected: STATES_AT.saturating_add(slots.saturating_mul(Slots::STATE_BYTES + Slots::TASK_BYTES)),
            });
        }
        let tasks_at = Self::tasks_at(slots);
        let segment = Arc::new(Segment::front(&fd, tasks_at)?);
        let shown = Arc::new(Shown::part(&fd, tasks_at as u64, found - tasks_at)?);
        let words: Place<PoolWords> = Place::new(&segment, 0);
        let ring = Slots::new(Place::slice(&segment, STATES_AT, slots), Place::slice(&shown, 0, slots));
        let consumer = ClaimConsumer::new(ring, words.map(|words| &words.claimed_up_to), me);
        Ok((Arc::new(Self { words, slots, fd }), consumer))
    }

    fn tasks_at(slots: usize) -> usize {
        (STATES_AT + slots * Slots::STATE_BYTES).next_multiple_of(PAGE)
    }

    fn len(slots: usize) -> usize {
        Self::tasks_at(slots) + slots * Slots::TASK_BYTES
    }

    /// Do the words that nobody changes, and those of which few values have a meaning, say what they must? False means that
    /// somebody wrote over them. [`ClaimProducer::is_sound`] looks at the others.
    pub fn is_sound(&self) -> bool {
        self.words.ident.check(MAGIC).is_ok_and(|sizes| sizes == [self.slots as u64, 0]) && self.words.seats.is_sound()
    }

    /// The file descriptor, to be handed to workers.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Workers ring it when they have published a result; the parent's driving thread waits on it.
    pub fn bell(&self) -> &Bell {
        &self.words.bell
    }

    /// Workers ring it when a result ring is over half full; the parent's collector thread waits on it.
    pub fn pressure(&self) -> &Bell {
        &self.words.pressure
    }

    /// Says whether the parent waits for an answer, so that a worker that has given it may expect the next task at once.
    pub fn set_awaited(&self, awaited: bool) {
        self.words.awaited.store(awaited.into(), Ordering::Relaxed);
    }

    /// Whether the parent waits for an answer now.
    pub fn is_awaited(&self) -> bool {
        self.words.awaited.load(Ordering::Relaxed) != 0
    }

    /// Says how long who waits, on either side, may look for news before it sleeps, and that at least `parked` workers must sit
    /// then: it is worth it while nobody lacks the processor for it. Cut to 4 seconds.
    pub fn set_spin(&self, spin: Duration, parked: usize) {
        let [time, least] = &*self.words.spin;
        time.store(u32::try_from(spin.as_nanos()).unwrap_or(u32::MAX), Ordering::Relaxed);
        least.store(parked as u32, Ordering::Relaxed);
    }

    /// How long the caller may look now; zero in a new pool.
    pub fn spin(&self) -> Duration {
        let [time, least] = &*self.words.spin;
        if self.parked() < least.load(Ordering::Relaxed) as usize {
            return Duration::ZERO;
        }
        Duration::from_nanos(time.load(Ordering::Relaxed).into())
    }

    /// Sits the worker `me` down until `ready`, until the parent wakes it, or for `timeout`.
    ///
    /// `ready` is called up to two times and must look at the shared memory anew: whether there is a task to claim
    /// (`!ClaimConsumer::is_empty`) or a control message. Whatever comes back, the worker tries to claim before it
    /// does anything long: what woke it may have been meant for a task.
    ///
    /// # Panics
    /// When `me` is not below [`MAX_WORKERS`], here and in all that take a worker.
    pub fn park(&self, me: WorkerId, ready: impl FnMut() -> bool, timeout: Option<Duration>) -> Wake {
        self.words.seats.park(me, ready, timeout)
    }

    /// Lets the worker `me` look for up to [`PoolMemory::spin`] whether it is `ready`, before it parks; true when it is. One worker at a
    /// time does so; meanwhile pushes wake nobody. Whatever comes back, the worker tries to claim at once, and when it has
    /// claimed a task and sees another, it calls [`PoolMemory::wake_idle`].
    pub fn look(&self, me: WorkerId, look: impl FnOnce(Duration) -> bool) -> bool {
        let spin = self.spin();
        !spin.is_zero() && self.words.seats.look(me, || look(spin)).unwrap_or(false)
    }

    /// Wakes the worker that sat down last, if any sits, although another may look: for tasks that have waited a while.
    pub fn wake_sleeper(&self) -> Option<WorkerId> {
        self.words.seats.wake_sleeper()
    }

    /// Wakes the worker that sat down last, if any sits and none looks; to be called after each push. Costs a fence and a look at one cache line
    /// when all are busy.
    pub fn wake_idle(&self) -> Option<WorkerId> {
        self.words.seats.wake_last()
    }

    /// Wakes every worker that sleeps, whatever the words say: for tasks that have waited long, since a wild write can take a
    /// worker's bit away.
    pub fn rouse(&self) {
        self.words.seats.rouse();
    }

    /// Wakes `worker` if it sits; to be called after a control message to it.
    pub fn wake(&self, worker: WorkerId) {
        self.words.seats.wake(worker);
    }

    /// Repairs what the dead worker may have left: its seat, a wake-up that it was to use, and a bell that it silenced without
    /// waking.
    ///
    /// Only for a process that is known to have ended (by itself or not), before its id is given to another.
    pub fn leave_seat(&self, dead: WorkerId) {
        self.words.seats.leave(dead);
        self.words.bell.poke();
        self.words.pressure.poke();
        self.words.seats.wake_last();
    }

    /// How many workers sit idle.
    pub fn parked(&self) -> usize {
        self.words.seats.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::INLINE;
    use plait_trace::TaskId;

    fn open(parent: &PoolMemory, me: u16) -> Result<(Arc<PoolMemory>, ClaimConsumer), OpenError> {
        PoolMemory::open(parent.fd().try_clone_to_owned().unwrap(), WorkerId(me))
    }

    #[test]
    fn tasks_pushed_here_are_claimed_there() {
        let (parent, mut producer) = PoolMemory::create(5).unwrap();
        assert_eq!(producer.free(), 8);
        let (_one, mut one) = open(&parent, 0).unwrap();
        let (_two, mut two) = open(&parent, 239).unwrap();
        producer.push(TaskId::new(1, 1), &[b"a"]).unwrap();
        producer.push(TaskId::new(2, 1), &[b"b", b"c"]).unwrap();
        let mut body = [0; INLINE];
        assert_eq!(two.claim(&mut body, |_| ()), Some((TaskId::new(1, 1), 1)));
        assert_eq!(one.claim(&mut body, |_| ()), Some((TaskId::new(2, 1), 2)));
        assert_eq!(&body[..2], b"bc");
        assert!(one.is_empty() && two.is_empty());
    }

    #[test]
    fn what_is_not_a_pool_is_refused() {
        let (parent, _producer) = PoolMemory::create(2).unwrap();
        assert!(matches!(open(&parent, 240), Err(OpenError::Worker(WorkerId(240)))));
        let (_blank, fd) = Segment::create("plait-test", 1 << 20).unwrap();
        let opened = PoolMemory::open(fd, WorkerId(0));
        assert!(matches!(opened, Err(OpenError::Alien)));
        let (_small, fd) = Segment::create("plait-test", 64).unwrap();
        let opened = PoolMemory::open(fd, WorkerId(0));
        assert!(matches!(opened, Err(OpenError::Alien)));
        parent.words.ident.write(MAGIC, [u64::MAX, 0]);
        assert!(matches!(open(&parent, 0), Err(OpenError::Length { .. })));
        parent.words.ident.write(MAGIC, [4, 0]);
        assert!(matches!(open(&parent, 0), Err(OpenError::Length { .. })));
        assert!(PoolMemory::create(MAX_SLOTS as u32 + 1).is_err());
    }

    #[test]
    fn a_death_wakes_whom_the_dead_should_have_woken() {
        let (parent, _producer) = PoolMemory::create(2).unwrap();
        let (worker, _consumer) = open(&parent, 4).unwrap();
        let sleeper = std::thread::spawn(move || worker.park(WorkerId(4), || false, None));
        while parent.parked() == 0 {
            std::thread::yield_now();
        }
        parent.leave_seat(WorkerId(9));
        assert_eq!(sleeper.join().unwrap(), Wake::Rung);
        assert_eq!(parent.parked(), 0);
    }

    #[test]
    fn the_time_to_spin_is_seen_by_workers() {
        let (parent, _producer) = PoolMemory::create(2).unwrap();
        let (worker, _consumer) = open(&parent, 4).unwrap();
        assert!(!worker.is_awaited());
        parent.set_awaited(true);
        assert!(worker.is_awaited());
        assert_eq!(worker.spin(), Duration::ZERO);
        parent.set_spin(Duration::from_micros(20), 0);
        assert_eq!(worker.spin(), Duration::from_micros(20));
        parent.set_spin(Duration::from_micros(20), 1);
        assert_eq!(worker.spin(), Duration::ZERO, "a worker must sit, and none does");
    }
}
