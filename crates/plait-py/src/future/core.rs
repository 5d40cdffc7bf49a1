//! The state of one future, shared by its Python face and whoever completes it.
//!
//! Promises: it ends exactly once; completing it needs no interpreter; what Python's own machinery wants to see
//! (a condition, waiters, callbacks) is made at the first touch, because most futures are never touched so.
//!
//! The `state` byte is written under the `slot` lock only, and read anywhere:
//!
//! | value | name | next |
//! |---|---|---|
//! | 0 | pending | running, cancelled, notified, finished |
//! | 1 | running | finished |
//! | 2 | cancelled (nobody was told) | notified |
//! | 3 | cancelled and notified | – |
//! | 4 | finished | – |

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event;
use plait_engine::pool::{Awaited, Note, Outcome, Pool, Relay, Ticket};
use plait_engine::wire::Verdict;
use plait_trace::TaskId;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::own::{OwnCall, own};
use crate::process::ProcessHome;
use crate::thread::{Attempt, Call, ThreadHome};
use crate::{codec, exit, logs};

/// What a future is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nobody has begun it.
    Pending = 0,
    /// Somebody runs it (thread and hand-made futures; a process task's start is looked up when asked).
    Running = 1,
    /// Cancelled; waiters have not been told.
    Cancelled = 2,
    /// Cancelled; waiters have been told.
    Notified = 3,
    /// There is a result or an exception.
    Finished = 4,
}

impl Phase {
    fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Pending,
            1 => Self::Running,
            2 => Self::Cancelled,
            3 => Self::Notified,
            _ => Self::Finished,
        }
    }

    /// Whether nothing more will happen.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Cancelled | Self::Notified | Self::Finished)
    }
}

/// What a finished future holds.
pub enum Held {
    /// Nothing yet.
    Nothing,
    /// What a task of a thread pool is to call; there until somebody begins it.
    Call(Box<Call>),
    /// The next try of such a call, whose last one was abandoned; there until a thread takes it.
    Again(Box<Attempt>),
    /// A task that this worker has submitted to its own pool; there until it has ended, or is run here.
    Own(Arc<OwnCall>),
    /// What the engine told, not decoded yet.
    Told(Outcome),
    /// Some thread is decoding what the engine told; the event is notified when it has.
    Decoding,
    /// The result.
    Value(Py<PyAny>),
    /// The exception.
    Error(Py<PyAny>),
}

/// What Python's own machinery has asked for.
#[derive(Default)]
pub struct Exposed {
    /// The `threading.Condition` of `concurrent.futures.wait` and `as_completed`.
    pub condition: Option<Py<PyAny>>,
    /// The list of their waiters.
    pub waiters: Option<Py<PyAny>>,
    /// Functions to call with the future when it is done.
    pub callbacks: Vec<Py<PyAny>>,
    /// The future has not ended yet, or has and nobody was told. Until it is told, `_state` says that it is not done: the
    /// stdlib counts what is not done while it holds the conditions, and relies on it.
    pub untold: bool,
    /// The future as Python knows it, kept alive until it has told everybody.
    pub future: Option<Py<PyAny>>,
}

/// What is guarded by a future's lock.
pub struct Slot {
    /// The result.
    pub held: Held,
    /// Present from the first touch on.
    pub exposed: Option<Box<Exposed>>,
}

impl Slot {
    /// Shows the cycle collector what it holds: the traceback of an exception leads to the frame that waited, and that frame
    /// to the future.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.held {
            Held::Value(value) | Held::Error(value) => visit.call(value)?,
            Held::Nothing | Held::Call(_) | Held::Own(_) | Held::Again(_) | Held::Told(_) | Held::Decoding => {}
        }
        let Some(exposed) = &self.exposed else { return Ok(()) };
        visit.call(&exposed.condition)?;
        visit.call(&exposed.waiters)?;
        for callback in &exposed.callbacks {
            visit.call(callback)?;
        }
        visit.call(&exposed.future)
    }
}

/// Who will complete a future.
#[derive(Clone)]
pub enum Home {
    /// Whoever holds it: made by hand, or a task of a thread pool.
    Nowhere,
    /// A worker of a thread pool.
    Threads(ThreadHome),
    /// A process pool.
    Processes(Arc<ProcessHome>),
    /// The pool that this process is a worker of.
    Own,
}

impl Home {
    /// Somebody wants to be told of the end of this future without waiting for it.
    pub fn watch(&self, core: &Arc<FutureCore>) {
        match self {
            Self::Processes(home) => home.watch(),
            Self::Own => drop(own().map(|own| own.watch(core))),
            Self::Nowhere | Self::Threads(_) => {}
        }
    }

    /// Whether a process runs the task of this pending future.
    pub fn is_running(&self, core: &FutureCore) -> bool {
        match self {
            Self::Processes(home) => home.is_running(core),
            Self::Own => own().is_ok_and(|own| own.is_running(core)),
            Self::Nowhere | Self::Threads(_) => false,
        }
    }
}

/// See the file's head.
pub struct FutureCore {
    state: AtomicU8,
    slot: Mutex<Slot>,
    done: Event,
    home: Home,
    /// The task's id; all ones until it is submitted. Of a thread pool's, a number for those who wait for it or for what it
    /// waits for; all ones until somebody does.
    task: AtomicU64,
}

const NO_TASK: u64 = u64::MAX;

impl FutureCore {
    /// A pending future.
    pub fn new(home: Home) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(Phase::Pending as u8),
            slot: Mutex::new(Slot { held: Held::Nothing, exposed: None }),
            done: Event::new(),
            home,
            task: AtomicU64::new(NO_TASK),
        })
    }

    /// What it is now.
    pub fn phase(&self) -> Phase {
        Phase::of(self.state.load(Ordering::Acquire))
    }

    /// Who completes it.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Which task of its process pool it is, once submitted.
    pub fn task(&self) -> Option<TaskId> {
        let bits = self.task.load(Ordering::Relaxed);
        (bits != NO_TASK).then_some(TaskId::from_bits(bits))
    }

    /// Notes which task of its process pool it is.
    pub fn set_task(&self, task: TaskId) {
        self.task.store(task.bits(), Ordering::Relaxed);
    }

    /// The number of a thread pool's future, if it has one.
    pub fn number(&self) -> Option<u64> {
        let number = self.task.load(Ordering::Relaxed);
        (number != NO_TASK).then_some(number)
    }

    /// The same; it gets the next one if it has none.
    pub fn number_or(&self, next: impl FnOnce() -> u64) -> u64 {
        self.number().unwrap_or_else(|| {
            let number = next();
            let set = self.task.compare_exchange(NO_TASK, number, Ordering::Relaxed, Ordering::Relaxed);
            set.map_or_else(|found| found, |_| number)
        })
    }

    /// The lock. Never call Python while holding it: Python may take the interpreter away, and whoever has it then
    /// may want this lock.
    pub fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, unless another thread has it.
    pub fn try_slot(&self) -> Option<MutexGuard<'_, Slot>> {
        self.slot.try_lock().ok()
    }

    /// Moves a pending task of a thread pool to running; the caller owns it then, and makes the call.
    pub fn begin(&self) -> Option<Box<Call>> {
        let mut slot = self.slot();
        if self.phase() != Phase::Pending || !matches!(slot.held, Held::Call(_)) {
            return None;
        }
        let Held::Call(call) = std::mem::replace(&mut slot.held, Held::Nothing) else { return None };
        self.state.store(Phase::Running as u8, Ordering::Release);
        Some(call)
    }

    /// Puts the next try of a call that runs into it, until [`FutureCore::again`] takes it out.
    pub fn put_again(&self, attempt: Box<Attempt>) {
        self.slot().held = Held::Again(attempt);
    }

    /// Takes the next try of a call; the caller makes it.
    pub fn again(&self) -> Option<Box<Attempt>> {
        let mut slot = self.slot();
        match std::mem::replace(&mut slot.held, Held::Nothing) {
            Held::Again(attempt) => Some(attempt),
            other => {
                slot.held = other;
                None
            }
        }
    }

    /// The same for a task that came back to this worker from its own pool.
    pub fn begin_own(&self) -> Option<Arc<OwnCall>> {
        let mut slot = self.slot();
        if self.phase() != Phase::Pending {
            return None;
        }
        let Held::Own(call) = &slot.held else { return None };
        let call = Arc::clone(call);
        slot.held = Held::Nothing;
        self.state.store(Phase::Running as u8, Ordering::Release);
        Some(call)
    }

    /// Moves to `next` if it is in one of `from`; the caller then owns the transition. `held` becomes the result.
    /// Returns whether somebody wants to be told by [`super::tell`].
    pub fn transition(&self, from: &[Phase], next: Phase, held: Held) -> Option<bool> {
        let mut slot = self.slot();
        if !from.contains(&self.phase()) {
            return None;
        }
        let old = std::mem::replace(&mut slot.held, held);
        self.state.store(next as u8, Ordering::Release);
        let exposed = slot.exposed.is_some();
        drop(slot);
        drop(old);
        if next.is_done() {
            self.done.notify(usize::MAX);
        }
        Some(exposed)
    }
}

impl Awaited for FutureCore {
    fn is_done(&self) -> bool {
        self.phase().is_done()
    }

    fn event(&self) -> &Event {
        &self.done
    }
}

/// Who is told the end of a process pool's task, as the engine holds it.
pub enum ProcessTicket {
    /// A future of this process.
    Future(Arc<FutureCore>),
    /// The worker that submitted it.
    Worker(Box<(Relay, Option<Outcome>)>),
}

/// Tells a worker the end of its task; what has to be made an exception first is handed back.
fn send_back(mut relay: Box<(Relay, Option<Outcome>)>, outcome: Outcome) -> Option<ProcessTicket> {
    if let Outcome::Called { verdict, payload, .. } = &outcome
        && let Ok(bytes) = payload.bytes()
    {
        relay.0.answer(*verdict, payload.kind, bytes, payload.pieces());
        return None;
    }
    if matches!(outcome, Outcome::Cancelled) {
        relay.0.cancelled();
        return None;
    }
    relay.1 = Some(outcome);
    exit::expect_callbacks();
    Some(ProcessTicket::Worker(relay))
}

impl Ticket for ProcessTicket {
    fn complete(self, outcome: Outcome) -> Option<Self> {
        let core = match self {
            Self::Future(core) => core,
            Self::Worker(relay) => return send_back(relay, outcome),
        };
        let (next, held) = match outcome {
            Outcome::Cancelled => (Phase::Notified, Held::Nothing),
            outcome => (Phase::Finished, Held::Told(outcome)),
        };
        let exposed = core.transition(&[Phase::Pending, Phase::Running], next, held);
        (exposed == Some(true)).then(|| {
            exit::expect_callbacks();
            Self::Future(core)
        })
    }

    fn run_deferred(batch: Vec<Self>) {
        exit::run_callbacks(batch.len(), |py| {
            for ticket in batch {
                match ticket {
                    Self::Future(core) => {
                        if let Home::Processes(home) = core.home() {
                            home.unwatch();
                        }
                        super::tell(py, &core);
                    }
                    Self::Worker(relay) => {
                        let (relay, outcome) = *relay;
                        let Some(Err(error)) = outcome.map(|outcome| super::decode_outcome(py, &outcome)) else {
                            continue;
                        };
                        let mut out = Vec::new();
                        codec::encode_exception(py, &error, &mut out);
                        relay.answer(Verdict::Raised, 0, &out, &[]);
                    }
                }
            }
        });
    }

    fn relayed(relay: Relay) -> Self {
        Self::Worker(Box::new((relay, None)))
    }

    fn on_notes(_pool: &Pool<Self>, batch: Vec<Note>) {
        let (records, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|note| note.kind == logs::LOG);
        logs::on_records(records);
        for note in others {
            eprintln!("plait: a worker process ({}) wrote a note that this process does not understand", note.pid());
        }
    }
}
