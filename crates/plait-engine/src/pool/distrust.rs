//! What a parent does about workers that write over the memory they share with it: a wild pointer of a C extension is enough.
//!
//! Promises: whatever stands there, no task waits for ever. A worker that wrote over its own rings is killed, and what it ran
//! fails with the cause, though nothing in its memory may tell what that was. Where the words that all workers share make no sense, tasks
//! may be lost there: the pool breaks, with the cause, and its workers are killed.

use std::sync::Arc;

use plait_shm::Position;
use plait_trace::TaskId;

use super::link::Link;
use super::outcome::{Outcome, Ticket};
use super::state::{Job, Shared, State, locked};

const WRITTEN_OVER: &str = "a worker wrote over the memory that the processes of this pool share (a call, or a C extension \
     that it used, wrote through a wild pointer): make a new pool, and look for that call";

impl<T: Ticket> Shared<T> {
    /// Looks at the words in shared memory of which few values make sense.
    pub(super) fn inspect(this: &Arc<Self>) {
        let (suspects, condemned) = {
            let mut state = locked(&this.state);
            let mut suspects = Vec::new();
            for link in &state.links {
                if !link.is_overwritten() && !link.memory.is_sound() {
                    link.set_overwritten();
                    suspects.push(Arc::clone(link));
                }
            }
            let sound = state.scheduler.is_broken() || (this.memory.is_sound() && state.claims.is_sound());
            if !sound {
                suspects.clone_from(&state.links);
            }
            let condemned = (!sound).then(|| (state.condemn(), state.send().1, this.telling()));
            (suspects, condemned)
        };
        for link in suspects {
            this.kill(&link);
        }
        if let Some((failed, rest, telling)) = condemned {
            this.complete(failed.into_iter());
            drop(telling);
            Self::perform(this, rest);
            Self::alert(this);
        }
    }
}

impl<T> State<T> {
    /// Nothing in the shared memory of this pool can be relied on.
    fn condemn(&mut self) -> Vec<(Job<T>, Outcome)> {
        self.broken.get_or_insert_with(|| WRITTEN_OVER.into());
        let abandoned = self.scheduler.break_pool(&mut self.actions);
        self.abandon(abandoned, "")
    }

    /// Whether what a dead worker noted may be all that it had: it ran a task that is out, or ended as many as it answered.
    pub(super) fn has_told_all(&self, link: &Link, held: &[TaskId]) -> bool {
        let status = link.memory.status();
        let rested = || status.current().is_none() && status.tasks_ended() == self.scheduler.answers(link.worker);
        let sound = !link.is_overwritten() && link.memory.is_sound();
        held.iter().any(|task| self.scheduler.is_sent(*task)) || (sound && rested())
    }

    /// The tasks that a worker has and no living one, and that are not `held` by the dead one: so it was the dead one, which wrote over
    /// its notes. `read` takes all results that are there. None where the ring makes no sense either: the pool is about to break.
    pub(super) fn strays(&mut self, held: &[TaskId], read: &mut dyn FnMut(&mut Self)) -> Vec<TaskId> {
        if !self.claims.is_sound() {
            return Vec::new();
        }
        let copied = |task: TaskId| {
            let at = self.scheduler.job(task)?.position.filter(|at| self.claims.is_copied(*at))?;
            (!held.contains(&task)).then_some((task, at))
        };
        let mut strays: Vec<(TaskId, Position)> = self.scheduler.sent().filter_map(copied).collect();
        // After that look: who had one of them notes it still, or has published its result.
        let noted: Vec<TaskId> = self.links.iter().filter_map(|link| Some(link.memory.status().current()?.0)).collect();
        strays.retain(|(task, _)| !noted.contains(task));
        if !strays.is_empty() {
            read(self);
        }
        // One that was tried again meanwhile has another place, or none.
        let is_out = |&(task, at): &(TaskId, Position)| {
            self.scheduler.is_sent(task) && self.scheduler.job(task).is_some_and(|job| job.position == Some(at))
        };
        strays.into_iter().filter(is_out).map(|(task, _)| task).collect()
    }
}
