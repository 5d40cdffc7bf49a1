//! Draining results: whoever waits for one drains for everybody.
//!
//! One thread at a time holds the role of the driver, also while it sleeps on the bell. The others sleep on the
//! event of what they wait for. A driver that leaves wakes one of them, which takes the role. So a
//! lonely waiter, the common case, hears of its result straight from the worker, with one wake-up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use event_listener::{Event, Listener};
use plait_shm::Wake;

use crate::scheduler::Raised;
use crate::tally::{Counters, Tally};
use crate::wire::Verdict;

use super::Pool;
use super::link::Why;
use super::outcome::{Outcome, Ticket, TimedOut};
use super::readers::Readers;
use super::state::{Job, Shared, State, locked};

/// Something whose end can be waited for.
pub trait Awaited: Send + Sync {
    /// Whether it has ended.
    fn is_done(&self) -> bool;
    /// Notified when it ends.
    fn event(&self) -> &Event;
}

/// How long a waiter sleeps at most before it looks around (for signals that slipped by, for a role left free).
const SLICE: Duration = Duration::from_millis(50);

/// While results stream in, the driver naps instead of being woken for each.
const NAP: Duration = Duration::from_micros(30);

/// A napping driver looks around (for signals) this often: about every 10 ms.
const NAPS_PER_LOOK: u32 = 128;

/// Up to so many pending tasks, whoever waits does it for each.
const PROMPT: u64 = 2;

/// From so many results per look on, they stream.
const STREAMING: usize = 4;

/// The most results taken in one look, so that a waiter whose result came first does not wait for all others.
const PER_DRAIN: usize = 4096;

/// After so many drains somebody looks whether shared memory is sound, however busy the pool is.
const DRAINS_PER_LOOK: u64 = 1 << 12;

/// A task id no task has: the record tells of the worker itself.
pub(crate) const WORKER_READY: u64 = u64::MAX;

impl<T: Ticket> Pool<T> {
    /// Waits until `target` is done or `deadline` has passed; `true`: it is done. `interrupt` is called now and then,
    /// and after each signal; its error ends the waiting.
    pub fn wait<E>(
        &self,
        target: &Arc<dyn Awaited>,
        deadline: Option<Instant>,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<bool, E> {
        let ended = Shared::wait(&self.shared, target, deadline, &mut interrupt);
        // This thread may have been woken to take the role and found that it need not; then it is somebody else's.
        self.shared.hand_over();
        ended
    }

    /// Whether so few tasks are pending that the answer to one is worth looking for. Then whoever asks says that it is waited for,
    /// and [`Pool::glance`] is to follow.
    pub fn expect(&self) -> bool {
        let is_prompt = self.shared.pending() <= PROMPT;
        if is_prompt {
            self.shared.memory.set_awaited(true);
        }
        is_prompt
    }

    /// Looks for the end of `target` as [`Pool::wait`] does before it sleeps, and does not sleep; whether it has ended. For event
    /// loops, which must not be kept for longer than being woken would take.
    pub fn glance(&self, target: &dyn Awaited) -> bool {
        Shared::glance(&self.shared, target)
    }

    /// Takes results if there are any, without waiting and without insisting: for callers that come by anyway.
    pub fn pump(&self) {
        Shared::pump(&self.shared);
    }
}

fn slice(deadline: Option<Instant>) -> Option<Duration> {
    match deadline {
        None => Some(SLICE),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            (!left.is_zero()).then_some(left.min(SLICE))
        }
    }
}

impl<T: Ticket> Shared<T> {
    fn wait<E>(
        this: &Arc<Self>,
        target: &Arc<dyn Awaited>,
        deadline: Option<Instant>,
        interrupt: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<bool, E> {
        loop {
            if target.is_done() {
                return Ok(true);
            }
            let Some(slice) = slice(deadline) else { return Ok(false) };
            match this.role.try_lock() {
                Ok(mut role) => {
                    // A call at a time: its answer is worth looking for. The answers to many come in heaps.
                    let prompt = this.pending() <= PROMPT;
                    if prompt {
                        this.memory.set_awaited(true);
                        role.spin(this.memory.spin(), || !locked(&this.readers).is_empty());
                    }
                    let ended = Self::drive(this, target.as_ref(), deadline, interrupt);
                    if prompt {
                        this.memory.set_awaited(false);
                    }
                    return ended;
                }
                Err(TryLockError::Poisoned(poisoned)) => {
                    this.role.clear_poison();
                    drop(poisoned);
                }
                Err(TryLockError::WouldBlock) => {
                    this.stand_by(target, slice);
                    interrupt()?;
                }
            }
        }
    }

    fn glance(this: &Arc<Self>, target: &dyn Awaited) -> bool {
        if !target.is_done()
            && let Ok(mut role) = this.role.try_lock()
        {
            if this.pending() <= PROMPT {
                role.spin(this.memory.spin(), || !locked(&this.readers).is_empty());
            }
            Self::drain(this);
            drop(role);
            this.hand_over();
        }
        this.memory.set_awaited(false);
        target.is_done()
    }

    /// Drains and sleeps, in the driver's role, until `target` is done.
    pub(super) fn drive<E>(
        this: &Arc<Self>,
        target: &dyn Awaited,
        deadline: Option<Instant>,
        interrupt: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut naps: u32 = 0;
        loop {
            let taken = Self::drain(this);
            if target.is_done() {
                return Ok(true);
            }
            let Some(slice) = slice(deadline) else { return Ok(false) };
            if taken >= STREAMING {
                thread::sleep(NAP);
                naps += 1;
                if naps.is_multiple_of(NAPS_PER_LOOK) {
                    interrupt()?;
                }
                continue;
            }
            match this.memory.bell().wait(|| target.is_done() || !locked(&this.readers).is_empty(), Some(slice)) {
                Wake::Ready | Wake::Rung => {}
                Wake::TimedOut => {
                    // Only if the worker that looked for the others was stopped while it looked, or a wild write lost a wake-up.
                    if locked(&this.state).claims.waiting() > 0 {
                        this.memory.rouse();
                    }
                    Self::inspect(this);
                    interrupt()?;
                }
                Wake::Interrupted => interrupt()?,
            }
        }
    }

    /// Tasks that have not ended.
    fn pending(&self) -> u64 {
        self.tally.count().submitted.load(Ordering::Relaxed).saturating_sub(self.ended_tasks.load(Ordering::Relaxed))
    }

    /// Sleeps until the target is done, or the role may be free.
    fn stand_by(&self, target: &Arc<dyn Awaited>, slice: Duration) {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        locked(&self.standby).push(Arc::clone(target));
        let listener = target.event().listen();
        // The collector leaves the role when it sees `wanted`; a poke makes it look.
        self.memory.bell().poke();
        if !target.is_done() && self.role.try_lock().is_err() {
            listener.wait_timeout(slice);
        }
        let mut standby = locked(&self.standby);
        if let Some(at) = standby.iter().position(|other| Arc::ptr_eq(other, target)) {
            standby.swap_remove(at);
        }
        drop(standby);
        self.wanted.fetch_sub(1, Ordering::SeqCst);
    }

    /// After leaving the role: wakes somebody who wants it.
    pub(super) fn hand_over(&self) {
        if self.wanted.load(Ordering::SeqCst) > 0 {
            let next = locked(&self.standby).first().cloned();
            if let Some(next) = next {
                next.event().notify(usize::MAX);
            }
        }
    }

    /// A drain by somebody who comes by: only when nobody else is at it.
    pub(super) fn pump(this: &Arc<Self>) {
        if let Ok(role) = this.role.try_lock() {
            Self::drain(this);
            drop(role);
            this.hand_over();
        }
    }

    /// Takes the results that are there, refills the ring, completes the tickets. Returns how many results came.
    pub(super) fn drain(this: &Arc<Self>) -> usize {
        let mut readers = locked(&this.readers);
        let bad = readers.take(PER_DRAIN, &this.unheard);
        let taken = readers.batch.len();
        this.sort_notes(readers.take_notes());
        let mut done = Vec::with_capacity(taken);
        let (rest, telling) = {
            // Results are looked up while the readers are held: whoever buries a worker sees either its record or its effect.
            let mut state = locked(&this.state);
            state.apply(&mut readers, &this.tally, &mut done);
            drop(readers);
            // What that sends is published before free slots are counted, as the scheduler asks.
            let (mut sent, mut rest) = state.send();
            let State { scheduler, claims, actions, .. } = &mut *state;
            scheduler.on_window(claims.free(), actions);
            let (more, others) = state.send();
            sent += more;
            rest.extend(others);
            let backlog = state.scheduler.queued() > 0;
            if this.backlog.load(Ordering::Relaxed) != backlog {
                this.backlog.store(backlog, Ordering::Relaxed);
            }
            let telling = (!done.is_empty()).then(|| this.telling());
            drop(state);
            for _ in 0..sent.min(this.memory.parked()) {
                this.memory.wake_idle();
            }
            (rest, telling)
        };
        let drains = this.drains.fetch_add(1, Ordering::Relaxed);
        Self::run_errands(this);
        if drains % DRAINS_PER_LOOK == DRAINS_PER_LOOK - 1 {
            Self::inspect(this);
        }
        if let Some(telling) = telling {
            this.complete(done.into_iter());
            drop(telling);
            if this.closing.load(Ordering::Acquire) && this.is_ended() {
                // Its worker was buried meanwhile.
                this.on_ended();
            }
        }
        if !rest.is_empty() {
            Self::perform(this, rest);
        }
        for link in bad {
            this.kill(&link);
        }
        taken
    }

    /// Tells each ticket its outcome, with no lock held.
    pub(super) fn complete(&self, done: impl Iterator<Item = (Job<T>, Outcome)>) {
        let mut deferred = Vec::new();
        for (job, outcome) in done {
            self.count(&outcome);
            if let Some(ticket) = self.dismantle(job).complete(outcome) {
                deferred.push(ticket);
            }
        }
        if !deferred.is_empty() {
            locked(&self.deferred).append(&mut deferred);
            self.memory.pressure().poke();
        }
    }
}

impl<T> State<T> {
    /// Turns the batch of records into jobs that are done.
    pub(super) fn apply(&mut self, readers: &mut Readers, tally: &Tally, done: &mut Vec<(Job<T>, Outcome)>) {
        let Readers { list, batch, .. } = readers;
        for (at, head, payload) in batch.drain(..) {
            let link = &list[at].link;
            let worker = link.worker;
            if head.task.bits() == WORKER_READY {
                done.append(&mut self.on_greeting(link, &head, &payload));
                continue;
            }
            if let Some(place) = tally.place(worker.index()) {
                place.hear();
            }
            let fate = link.fate_of(head.task);
            let late = match fate {
                Some(Why::TimedOut(timeout)) => Some(timeout),
                // What was over its memory, or cancelled, may have ended all the same.
                Some(Why::Cancelled | Why::OverMemory { .. }) | None => None,
            };
            if late.is_none() && head.verdict == Verdict::Returned {
                if let Some(job) = self.scheduler.on_finished(worker, head.task, &mut self.actions) {
                    done.push((job, Outcome::Called { verdict: head.verdict, payload, nanos: head.nanos }));
                }
                continue;
            }
            let job = match self.scheduler.on_raised(worker, head.task, &mut self.actions) {
                Raised::Failed(job) => job,
                Raised::Again => {
                    Counters::add(&tally.count().retried);
                    continue;
                }
                Raised::Stale => continue,
            };
            let outcome = match late {
                // What it raised is most likely the order to end. Who cancels may not have noted it in the future yet.
                None if matches!(fate, Some(Why::Cancelled)) => Outcome::Cancelled,
                None => Outcome::Called { verdict: head.verdict, payload, nanos: head.nanos },
                Some(timeout) => Outcome::TimedOut(Box::new(TimedOut {
                    function: Arc::clone(&job.function.name),
                    tries: job.tries(),
                    timeout,
                    pid: link.process.named(),
                    raised: (head.verdict == Verdict::Raised).then_some(payload),
                    stack: None,
                })),
            };
            done.push((job, outcome));
        }
    }
}
