//! Submitting tasks, and taking them back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plait_shm::{ArenaError, Full};
use plait_trace::TaskId;

use crate::budget::Permit;
use crate::heap::{Piece, table_of};
use crate::scheduler::{Action, Cancel, Refusal};
use crate::tally::Counters;
use crate::wire::table::HAS_TABLE;
use crate::wire::{Form, Kind, Place, TaskHead};

use super::Pool;
use super::function::Function;
use super::outcome::Ticket;
use super::state::{Job, Shared, State, TaskLimits, locked};

/// How often a submitter looks for results while tasks wait for room: often enough to keep the ring filled,
/// seldom enough to cost nothing.
const PUMP_EVERY: u64 = 64;

/// Longer arguments are copied in steps.
const LONG: usize = 1 << 20;

/// A task to be submitted.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// The function.
    pub function: &'a Arc<Function>,
    /// What to do with the arguments; the binding's business.
    pub form: Form,
    /// How the arguments are encoded.
    pub kind: Kind,
    /// The arguments, in as many parts as they lie in; one, if they are short.
    pub payload: &'a [&'a [u8]],
    /// What of shared memory belongs to them.
    pub pieces: &'a [Piece],
    /// For what the arguments take of shared memory beside them, if that is much.
    pub permit: Option<&'a Arc<Permit>>,
    /// How often it may be tried again when it raised, took too long, or its worker died.
    pub retries: u32,
    /// How long the call may take.
    pub timeout: Option<Duration>,
}

/// Why a task was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The pool was shut down.
    #[error("cannot schedule new futures after shutdown")]
    Closed,
    /// The pool cannot start workers any more.
    #[error("{0}")]
    Broken(Arc<str>),
    /// The shared memory for arguments is used up.
    #[error("no shared memory for the arguments: {0}")]
    Memory(#[from] ArenaError),
}

impl<T: Ticket> Pool<T> {
    /// Puts a function's definition into the pool's memory: its bytes, and the table of the pieces that belong to it
    /// ([`table_of`]). `number` must be new to the pool; `name` is for errors.
    pub fn place(
        &self,
        number: u64,
        name: &str,
        definition: &[u8],
        pieces: &[Piece],
    ) -> Result<Arc<Function>, ArenaError> {
        let heap = &self.shared.heap;
        let block = heap.arena().put(&[definition])?;
        Ok(Arc::new(Function::new(number, block, name, Arc::clone(heap), pieces)))
    }

    /// Submits a task. It is sent at once if the ring has room, and later otherwise; this never waits.
    pub fn submit(&self, task: &NewTask<'_>, ticket: T) -> Result<TaskId, (T, Refused)> {
        self.submit_as::<false>(task, ticket)
    }

    /// As [`Pool::submit`], for a running task of this pool, which makes it wait for the new one before it ends.
    pub(super) fn submit_inner(&self, task: &NewTask<'_>, ticket: T) -> Result<TaskId, (T, Refused)> {
        self.submit_as::<true>(task, ticket)
    }

    #[inline]
    fn submit_as<const INNER: bool>(&self, task: &NewTask<'_>, ticket: T) -> Result<TaskId, (T, Refused)> {
        let shared = &*self.shared;
        let table = if task.pieces.is_empty() { Vec::new() } else { table_of(task.pieces) };
        let kind = if task.pieces.is_empty() { task.kind } else { task.kind | HAS_TABLE };
        let len = task.payload.iter().map(|part| part.len()).sum::<usize>() + table.len();
        let mut pieces: Box<[Piece]> = task.pieces.into();
        let (mut args, mut place) = (None, Place::Inline);
        let first = task.payload.first().copied().unwrap_or_default();
        if len > TaskHead::MAX_INLINE || task.payload.len() > 1 {
            let mut parts = task.payload.to_vec();
            parts.push(&table);
            let placed = if len <= LONG {
                shared.heap.arena().put(&parts).inspect(|&block| args = Some(block))
            } else {
                // So that other threads go on meanwhile.
                shared.heap.put(&parts, None).map(|hold| {
                    let block = hold.block();
                    pieces = pieces.iter().cloned().chain([Piece::snapshot(hold)]).collect();
                    block
                })
            };
            match placed {
                Ok(block) => place = Place::Arena(block),
                Err(error) => return Err((ticket, error.into())),
            }
        }
        let head = TaskHead {
            function: task.function.number,
            definition: task.function.block,
            kind,
            form: task.form,
            timed: task.timeout.is_some(),
            place,
        };
        let (head, used) = head.encode();
        let (inline, table) = if place == Place::Inline { (first, &table[..]) } else { (&[][..], &[][..]) };
        let parts: [&[u8]; 3] = [&head[..used], inline, table];

        let keep = task.retries > 0;
        let job = Job {
            ticket,
            function: Arc::clone(task.function),
            args,
            pieces,
            _permit: task.permit.cloned(),
            message: keep.then(|| parts.concat().into_boxed_slice()),
            position: None,
            limits: (keep || task.timeout.is_some())
                .then(|| Box::new(TaskLimits { retries: task.retries, timeout: task.timeout })),
        };
        let mut state = locked(&shared.state);
        let State { scheduler, actions, claims, broken, .. } = &mut *state;
        let submitted = if INNER {
            scheduler.submit_inner(job, task.retries, actions)
        } else {
            scheduler.submit(job, task.retries, actions)
        };
        let id = match submitted {
            Ok(id) => id,
            Err(refused) => {
                let reason = match (refused.reason, broken) {
                    (Refusal::Broken, Some(reason)) => Refused::Broken(Arc::clone(reason)),
                    _ => Refused::Closed,
                };
                drop(state);
                return Err((shared.dismantle(refused.job), reason));
            }
        };
        // Before anybody can end it: what has ended was submitted.
        let number = shared.tally.count().submitted.fetch_add(1, Ordering::Relaxed);
        let mut starts = Vec::new();
        let mut sent = false;
        for action in actions.drain(..) {
            match action {
                Action::Send(task) if task == id => match claims.push(task, &parts) {
                    Ok(position) => {
                        if let Some(job) = scheduler.job_mut(id) {
                            job.position = Some(position);
                        }
                        sent = true;
                    }
                    Err(Full) => scheduler.on_full(task),
                },
                other => starts.push(other),
            }
        }
        if !sent
            && !keep
            && let Some(job) = scheduler.job_mut(id)
        {
            job.message = Some(parts.concat().into_boxed_slice());
        }
        drop(state);
        if sent {
            shared.memory.wake_idle();
        }
        if !sent {
            if !shared.backlog.swap(true, Ordering::Relaxed) {
                Shared::alert(&self.shared);
            }
            if number.is_multiple_of(PUMP_EVERY) {
                Shared::pump(&self.shared);
            }
        }
        if !starts.is_empty() {
            Shared::perform(&self.shared, starts);
        }
        Shared::oversee(&self.shared, task.timeout);
        Ok(id)
    }

    /// Takes a task back if no worker has begun it. Then its ticket is handed out, uncompleted.
    pub fn cancel(&self, task: TaskId) -> Option<T> {
        let (job, rest) = {
            let mut state = locked(&self.shared.state);
            let State { scheduler, claims, actions, .. } = &mut *state;
            let job = match scheduler.cancel(task, actions) {
                Cancel::Removed(job) => Some(job),
                Cancel::AskRing => {
                    let position = scheduler.job(task).and_then(|job| job.position)?;
                    if claims.retract(position) { scheduler.on_retracted(task, actions) } else { None }
                }
                Cancel::Unknown => None,
            };
            (job, state.send().1)
        };
        Shared::perform(&self.shared, rest);
        let ticket = self.shared.dismantle(job?);
        Counters::add(&self.shared.tally.count().cancelled);
        Some(ticket)
    }

    /// Has a task stopped that a worker has begun, or is about to: it is not tried again, and its worker is made to end.
    /// False: it has ended.
    pub fn stop(&self, task: TaskId) -> bool {
        let known = locked(&self.shared.state).scheduler.forbid_retries(task);
        if known {
            Shared::stop_task(&self.shared, task);
        }
        known
    }

    /// Whether a worker has begun the task (and, as far as this process knows, not ended it).
    pub fn is_running(&self, task: TaskId) -> bool {
        let state = locked(&self.shared.state);
        let position = state.scheduler.job(task).and_then(|job| job.position);
        position.is_some_and(|position| state.claims.is_taken(position))
    }
}
