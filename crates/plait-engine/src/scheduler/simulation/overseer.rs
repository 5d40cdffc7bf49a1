//! What the parent's watch does in a simulated run: it dooms workers whose task takes too long or is unwanted, and
//! retires those that have grown.

use plait_trace::WorkerId;

use super::run::{Event, Run};
use crate::scheduler::Counts;

impl Run {
    /// Whether something other than an answer happens to a worker that runs `task`: its deadline passes, or it is
    /// killed some time after that.
    pub(super) fn overruns(&mut self, id: WorkerId, task: usize) -> bool {
        if self.world.worker_mut(id).doomed {
            let killed = self.random.below(2) == 0;
            if killed {
                self.die(id);
            }
            return killed;
        }
        let overruns = self.scenario.is_endless(task) || self.random.one_in(self.scenario.faults.overrun);
        if overruns {
            self.doom(id);
        }
        overruns
    }

    /// From now on the worker claims nothing; the scheduler may hear of it later, as of all that happens.
    pub(super) fn doom(&mut self, id: WorkerId) {
        let worker = self.world.worker_mut(id);
        assert!(worker.holds.is_some(), "only a worker that runs a task is doomed");
        if worker.doomed {
            return;
        }
        self.world.on_doomed(id);
        self.unsteady |= self.is_narrow();
        self.note(Event::Doomed(id));
        if self.random.one_in(self.scenario.faults.late_doom) {
            self.world.dooms.push(id);
        } else {
            self.tell_doom(id);
        }
    }

    pub(super) fn tell_doom(&mut self, id: WorkerId) {
        self.note(Event::ToldDoom(id));
        self.scheduler.on_worker_doomed(id, &mut self.actions);
        self.check_places();
        self.carry_out();
    }

    /// The parent finds that a worker has grown.
    pub(super) fn retire(&mut self, id: WorkerId) {
        let before = self.scheduler.counts();
        let retired = self.scheduler.retire(id, &mut self.actions);
        let after = self.scheduler.counts();
        self.note(Event::Retired(id, retired));
        if retired {
            let worker = self.world.worker_mut(id);
            assert!(!worker.told_to_stop && !worker.grown, "{id:?} was on its way out already");
            self.world.on_grown(id);
            self.unsteady |= self.is_narrow();
            assert_handed_over(before, after);
        } else {
            assert_eq!(before, after);
            assert!(self.actions.is_empty());
        }
        self.carry_out();
    }

    /// Whether workers that leave can hold so many tasks that the scheduler takes the ring for full.
    fn is_narrow(&self) -> bool {
        self.scenario.config.window < self.scenario.config.worker_ids()
    }

    /// For every task there is a worker, or one on its way, unless starting pauses or all ids are in use: nobody waits
    /// for the end of a worker that was replaced.
    pub(super) fn check_places(&self) {
        let counts = self.scheduler.counts();
        let config = self.scenario.config;
        assert!(
            counts.starting + counts.ready >= counts.pending().min(config.max_workers)
                || counts.starting + counts.ready + counts.outgrown + counts.leaving == config.worker_ids()
                || self.scheduler.health.paused(),
            "a worker's place was not filled: {counts:?}"
        );
    }
}

/// No worker that claims tasks is taken away before another has its place, while there are tasks for it.
pub(super) fn assert_handed_over(before: Counts, after: Counts) {
    let claiming = |counts: Counts| counts.ready + counts.outgrown;
    assert!(claiming(after) >= claiming(before).min(after.pending()), "{before:?} became {after:?}");
}
