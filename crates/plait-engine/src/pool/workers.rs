//! The workers of a pool as others see them: who they are, what they run, and what is counted of their coming and going.

use std::sync::Arc;

use plait_trace::WorkerId;

use crate::clock;
use crate::tally::{Counters, Tally};

use super::Pool;
use super::link::Link;
use super::outcome::Ticket;
use super::state::{Shared, State, locked};

/// A worker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerNow {
    /// Its number in the pool.
    pub worker: WorkerId,
    /// Its process id; 0 until that is known.
    pub pid: i32,
    /// Tasks that it has ended.
    pub done: u64,
    /// What its task calls, empty where the pool was not told, and for how long it has been at that, in nanoseconds.
    pub task: Option<(Arc<str>, u64)>,
}

impl<T: Ticket> Pool<T> {
    /// What is counted, which observers may read, too.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.shared.tally
    }

    /// The workers that live or are about to, and how many tasks have not ended.
    pub fn workers(&self) -> (Vec<WorkerNow>, usize) {
        // What has ended counts.
        Shared::pump(&self.shared);
        let now = clock::now();
        let state = locked(&self.shared.state);
        let task_of = |link: &Link| {
            let (task, since) = link.memory.status().current()?;
            // It may have been answered already.
            let job = state.scheduler.job(task)?;
            Some((Arc::clone(&job.function.name), now.saturating_sub(since)))
        };
        let workers = state.links.iter().map(|link| WorkerNow {
            worker: link.worker,
            pid: link.pid(),
            done: link.memory.status().tasks_ended(),
            task: task_of(link),
        });
        let mut workers: Vec<_> = workers.collect();
        workers.sort_by_key(|worker| worker.worker.0);
        (workers, state.scheduler.pending())
    }
}

impl<T: Ticket> Shared<T> {
    /// A worker has begun.
    pub(super) fn welcome(&self, link: &Link) {
        Counters::add(&self.tally.count().started);
        if let Some(place) = self.tally.place(link.worker.index()) {
            place.begin(link.pid().cast_unsigned(), link.memory.status().address());
        }
    }

    /// A worker has ended: `doomed`, because of its task; or `expected`, since it was told to.
    pub(super) fn part(&self, worker: WorkerId, doomed: bool, expected: bool, state: &State<impl Sized>) {
        if let Some(place) = self.tally.place(worker.index()) {
            place.leave();
        }
        if state.given_up {
            return;
        }
        if doomed || expected && !state.closed {
            Counters::add(&self.tally.count().recycled);
        } else if !expected {
            Counters::add(&self.tally.count().died);
        }
    }
}
