//! The place where senders wait for memory.
//!
//! It counts what is in flight and what the program keeps, and tells who asks whether to go, to wait or to give up; it has
//! no thread, and asks the system for its figures only when much is asked for or the budget is full. Whoever waits does so
//! in short slices, and drives results in between: nobody else may be there to do it, and results are what makes room.
//!
//! Who has to wait stands in line, so that a large message gets its turn while small ones come and go. It is a
//! line of the polite: after a while one goes ahead of those in front if there is room, since who stands in front may
//! itself depend on the one behind.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use event_listener::{Event, Listener};

use super::{Budget, Decision, Kept, Never};

/// From so many bytes on, the system's figures are read even if the budget has room: copying as much takes a hundred
/// times longer.
const LOOK_FROM: u64 = 16 << 20;

/// For less than that, figures of this age are good enough.
const FRESH: Duration = Duration::from_millis(20);

/// How long one stays behind others although there would be room.
const COURTESY: Duration = Duration::from_secs(2);

/// Reads how many bytes could be taken from the system.
type Look = Box<dyn Fn() -> u64 + Send + Sync>;

/// Counts the memory in use, and lets more of it be used.
pub struct Gate {
    budget: Budget,
    look: Look,
    courtesy: Duration,
    in_flight: AtomicU64,
    kept: AtomicU64,
    objects: AtomicU64,
    /// How often something changed that a waiter may have waited for. It is counted after the change.
    changes: AtomicU64,
    changed: Event,
    /// How many stand in line.
    waiting: AtomicU64,
    line: Mutex<Line>,
    available: Mutex<Option<(Instant, u64)>>,
}

#[derive(Default)]
struct Line {
    places: VecDeque<Place>,
    next: u64,
}

struct Place {
    number: u64,
    thread: ThreadId,
}

/// A moment of the gate, to wait for a change since then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen(u64);

/// Why memory cannot be had now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotNow {
    /// It may be had after a change: see [`Gate::wait_changed`].
    Wait(Seen),
    /// Waiting does not help.
    Never(Never),
}

impl Gate {
    /// An empty one. `look` reads how much could be taken now; free blocks that are kept for the next ones count as
    /// available.
    pub fn new(budget: Budget, look: impl Fn() -> u64 + Send + Sync + 'static) -> Arc<Self> {
        Self::with_courtesy(budget, look, COURTESY)
    }

    fn with_courtesy(budget: Budget, look: impl Fn() -> u64 + Send + Sync + 'static, courtesy: Duration) -> Arc<Self> {
        Arc::new(Self {
            budget,
            look: Box::new(look),
            courtesy,
            in_flight: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            objects: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            changed: Event::new(),
            waiting: AtomicU64::new(0),
            line: Mutex::default(),
            available: Mutex::default(),
        })
    }

    /// The budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The bytes that come back by themselves.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// What the program itself keeps.
    pub fn kept(&self) -> Kept {
        Kept { bytes: self.kept.load(Ordering::Acquire), objects: self.objects.load(Ordering::Acquire) }
    }

    /// The way to ask for memory, for one message. It costs nothing until it has to wait.
    pub fn turn(self: &Arc<Self>) -> Turn<'_> {
        Turn { gate: self, place: None, since: None }
    }

    /// Counts `bytes` as in flight, whatever the budget says: for what is there already, such as a result, and for what a
    /// running task sends, which holds memory itself until it has an answer.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Permit {
        self.in_flight.fetch_add(bytes, Ordering::AcqRel);
        Permit { gate: Arc::clone(self), bytes, is_kept: AtomicBool::new(false) }
    }

    /// Counts `bytes` as one object that the program keeps, such as a shared array, if the system has room for it.
    pub fn try_keep(self: &Arc<Self>, bytes: u64) -> Result<Permit, Never> {
        self.budget.decide_kept(bytes, self.kept(), self.available_for(bytes))?;
        self.add_kept(bytes);
        Ok(Permit { gate: Arc::clone(self), bytes, is_kept: AtomicBool::new(true) })
    }

    /// Waits until something has changed since `seen`, for `timeout` at most; whether it has.
    pub fn wait_changed(&self, seen: Seen, timeout: Duration) -> bool {
        if self.seen() != seen {
            return true;
        }
        let listener = self.changed.listen();
        // SYNC POINT with `change`: who counts after this look sees the listener.
        if self.seen() == seen {
            listener.wait_timeout(timeout);
        }
        self.seen() != seen
    }

    /// How many bytes of free blocks may stay as they are now.
    pub fn keep_warm(&self) -> u64 {
        let used = self.in_flight().saturating_add(self.kept().bytes);
        self.budget.keep_warm(used, self.available_for(0))
    }

    fn seen(&self) -> Seen {
        Seen(self.changes.load(Ordering::Acquire))
    }

    /// Something changed for the better, or became certain.
    fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        // Has a full fence before it looks for listeners.
        self.changed.notify(usize::MAX);
    }

    fn add_kept(&self, bytes: u64) {
        self.objects.fetch_add(1, Ordering::AcqRel);
        self.kept.fetch_add(bytes, Ordering::AcqRel);
    }

    fn available_for(&self, asked: u64) -> u64 {
        let known = *locked(&self.available);
        match known {
            Some((at, bytes)) if asked < LOOK_FROM && at.elapsed() < FRESH => bytes,
            _ => self.available_now(),
        }
    }

    fn available_now(&self) -> u64 {
        let bytes = (self.look)();
        *locked(&self.available) = Some((Instant::now(), bytes));
        bytes
    }

    /// Decides, and counts the bytes if they go. `is_behind`: they would have to wait for others.
    fn admit(&self, asked: u64, is_behind: bool) -> Decision {
        let mut available = None;
        loop {
            let in_flight = self.in_flight.load(Ordering::Acquire);
            let kept = self.kept();
            let used = in_flight.saturating_add(kept.bytes);
            let has_room = asked < LOOK_FROM && used.saturating_add(asked) <= self.budget.limit;
            let available =
                if has_room { u64::MAX } else { *available.get_or_insert_with(|| self.available_for(asked)) };
            let mut decision = self.budget.decide(asked, in_flight, kept, available);
            if matches!(decision, Decision::Never(_)) {
                // What came back since an older look is not in its figure, nor in flight any more.
                decision = self.budget.decide(asked, in_flight, kept, self.available_now());
            }
            match decision {
                Decision::Take if is_behind => return Decision::Wait,
                Decision::Take => {}
                other => return other,
            }
            let after = in_flight.saturating_add(asked);
            let taken = self.in_flight.compare_exchange_weak(in_flight, after, Ordering::AcqRel, Ordering::Relaxed);
            if taken.is_ok() {
                return Decision::Take;
            }
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget, .. } = self;
        f.debug_struct("Gate")
            .field("budget", budget)
            .field("in_flight", &self.in_flight())
            .field("kept", &self.kept())
            .finish_non_exhaustive()
    }
}

/// One sender's place in line, which it leaves when it has its memory or is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    gate: &'a Arc<Gate>,
    place: Option<u64>,
    /// When it first had to wait.
    since: Option<Instant>,
}

impl Turn<'_> {
    /// Takes `asked` bytes, if they can be had now. Some atomic operations while the budget has room and nobody waits.
    pub fn try_take(&mut self, asked: u64) -> Result<Permit, NotNow> {
        // Before any figure is read, so that a change of it is not missed.
        let seen = self.gate.seen();
        let is_behind = self.gate.waiting.load(Ordering::Acquire) > 0 && self.is_behind();
        match self.gate.admit(asked, is_behind) {
            Decision::Take => {
                self.leave();
                Ok(Permit { gate: Arc::clone(self.gate), bytes: asked, is_kept: AtomicBool::new(false) })
            }
            Decision::Wait => {
                self.stand();
                Err(NotNow::Wait(seen))
            }
            Decision::Never(never) => Err(NotNow::Never(never)),
        }
    }

    /// Whether another thread stands in front. One's own thread cannot go on before this call has.
    fn is_behind(&self) -> bool {
        if self.since.is_some_and(|since| since.elapsed() >= self.gate.courtesy) {
            return false;
        }
        let me = thread::current().id();
        let line = locked(&self.gate.line);
        let mut in_front = line.places.iter().take_while(|place| Some(place.number) != self.place);
        in_front.any(|place| place.thread != me)
    }

    fn stand(&mut self) {
        if self.place.is_some() {
            return;
        }
        let mut line = locked(&self.gate.line);
        let number = line.next;
        line.next += 1;
        line.places.push_back(Place { number, thread: thread::current().id() });
        self.gate.waiting.fetch_add(1, Ordering::AcqRel);
        self.place = Some(number);
        self.since = Some(Instant::now());
    }

    fn leave(&mut self) {
        let Some(number) = self.place.take() else {
            return;
        };
        let mut line = locked(&self.gate.line);
        line.places.retain(|place| place.number != number);
        self.gate.waiting.fetch_sub(1, Ordering::AcqRel);
        drop(line);
        self.gate.change();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// So much memory is in use; given back when dropped. Give the block itself back first, lest somebody finds the memory in
/// neither account nor available.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    bytes: u64,
    is_kept: AtomicBool,
}

impl Permit {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts it as an object that the program keeps, from now on.
    pub fn keep(&self) {
        if self.is_kept.swap(true, Ordering::AcqRel) {
            return;
        }
        // First there, then away here: in between it counts twice, and never not at all.
        self.gate.add_kept(self.bytes);
        self.gate.in_flight.fetch_sub(self.bytes, Ordering::AcqRel);
        self.gate.change();
    }

    /// Cuts `bytes` off (all of them, if there are fewer), to be given back or kept apart from the rest.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let is_kept = *self.is_kept.get_mut();
        if is_kept {
            self.gate.objects.fetch_add(1, Ordering::AcqRel);
        }
        Self { gate: Arc::clone(&self.gate), bytes, is_kept: AtomicBool::new(is_kept) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if *self.is_kept.get_mut() {
            self.gate.kept.fetch_sub(self.bytes, Ordering::AcqRel);
            self.gate.objects.fetch_sub(1, Ordering::AcqRel);
        } else {
            self.gate.in_flight.fetch_sub(self.bytes, Ordering::AcqRel);
        }
        self.gate.change();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can leave these data halfway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
