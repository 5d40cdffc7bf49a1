//! What the parent does in a simulated run: it reads messages, deals with deaths, cancels, and is told things that are
//! not true.

use plait_trace::{TaskId, WorkerId};

use super::ledger::Place;
use super::overseer::assert_handed_over;
use super::run::{Event, Run};
use super::world::{Life, Message};
use crate::scheduler::{Cancel, Lost, Raised};

impl Run {
    /// The parent reads what some workers published, and deals with a death.
    pub(super) fn parent_turn(&mut self) {
        if self.random.below(2) == 0
            && let Some(id) = self.world.dooms.pop()
        {
            self.tell_doom(id);
        }
        for _ in 0..=self.random.below(8) {
            if self.world.bells.is_empty() {
                break;
            }
            let bell = self.random.below(self.world.bells.len());
            let id = self.world.bells.swap_remove(bell);
            if self.world.worker(id).is_some() {
                self.drain(id);
            }
        }
        if !self.world.dead.is_empty() {
            let dead = self.random.below(self.world.dead.len());
            let id = self.world.dead.swap_remove(dead);
            self.bury(id);
        }
        self.look();
    }

    /// After each batch of events, and not at other moments: what the contract demands must be enough.
    pub(super) fn look(&mut self) {
        if self.scheduler.queued() > 0 {
            let free = self.world.ring.free();
            self.note(Event::Window(free));
            self.scheduler.on_window(free, &mut self.actions);
            self.carry_out();
        }
    }

    fn drain(&mut self, id: WorkerId) {
        while let Some(message) = self.world.worker_mut(id).outbox.pop_front() {
            self.note(Event::Heard(id, message));
            match message {
                Message::Ready => {
                    let before = self.scheduler.counts();
                    self.scheduler.on_worker_ready(id, &mut self.actions);
                    assert_handed_over(before, self.scheduler.counts());
                }
                Message::Finished(task) => {
                    let job = self.scheduler.on_finished(id, self.ledger.entry(task).id, &mut self.actions);
                    if self.ledger.entry(task).place == Place::Ended {
                        assert_eq!(job, None);
                    } else {
                        assert_eq!(job, Some(task));
                        self.ledger.relocate(task, |place| place == Place::Answered, Place::Ended);
                        self.ledger.finished += 1;
                    }
                }
                Message::Raised(task) => {
                    let raised = self.scheduler.on_raised(id, self.ledger.entry(task).id, &mut self.actions);
                    if self.ledger.entry(task).place == Place::Ended {
                        assert_eq!(raised, Raised::Stale);
                    } else if self.ledger.on_try_failed(task) {
                        assert_eq!(raised, Raised::Again);
                    } else {
                        assert_eq!(raised, Raised::Failed(task));
                        self.ledger.raised += 1;
                    }
                    self.check_tries(task);
                }
            }
            self.carry_out();
        }
    }

    fn bury(&mut self, id: WorkerId) {
        self.drain(id);
        let worker = self.world.bury(id);
        worker.reads.into_iter().for_each(|position| self.world.ring.let_go(position));
        // As it looks from outside.
        let held =
            worker.noted.filter(|task| !self.scheduler.has_answered(id, self.ledger.entry(*task).id, worker.ended));
        let pending = |task: &usize| self.ledger.entry(*task).place != Place::Ended;
        assert_eq!(held.filter(pending), worker.holds.filter(pending), "what a worker held is known after its death");
        self.note(Event::Buried(id, held));
        let ids: Vec<_> = held.iter().map(|task| self.ledger.entry(*task).id).collect();
        let was_pending = self.ledger.pending;
        let (was_broken, before) = (self.scheduler.is_broken(), self.scheduler.counts());
        let lost = self.scheduler.on_worker_lost(id, &ids, &mut self.actions);
        if self.scheduler.is_broken() && !was_broken {
            assert_eq!(before.starting + before.ready + before.outgrown, 1, "a pool broke while others served");
        }
        let mut failed = Vec::new();
        if let Some(task) = held.filter(|task| self.ledger.entry(*task).place != Place::Ended)
            && !self.ledger.on_try_failed(task)
        {
            failed.push((self.ledger.entry(task).id, task));
            self.ledger.lost += 1;
        }
        held.into_iter().for_each(|task| self.check_tries(task));
        assert_eq!(lost.failed, failed, "lost are the held tasks without a try left, and no others");
        if !lost.abandoned.is_empty() {
            assert!(self.scheduler.is_broken());
            assert_eq!(lost.abandoned.len() + lost.failed.len(), was_pending);
        }
        self.abandon(lost.abandoned);
        self.carry_out();
    }

    fn check_tries(&self, task: usize) {
        let entry = self.ledger.entry(task);
        // A pool that broke has ended it, which the ledger is about to learn.
        if !self.scheduler.is_broken() {
            let left = (entry.place != Place::Ended).then_some(entry.retries);
            assert_eq!(self.scheduler.tries_left(entry.id), left);
        }
    }

    fn abandon(&mut self, jobs: Vec<(TaskId, usize)>) {
        for (id, task) in jobs {
            assert_eq!(self.ledger.entry(task).id, id);
            if self.ledger.entry(task).place == Place::Ring {
                self.world.ring.retract(task);
            }
            self.ledger.relocate(task, |place| place != Place::Ended, Place::Ended);
            self.ledger.abandoned += 1;
        }
    }

    pub(super) fn mishap(&mut self) {
        let faults = self.scenario.faults;
        if self.ledger.len() == 0 {
            return;
        }
        // Mostly young tasks, for old ones have ended.
        let back = self.random.below(self.ledger.len().min(2 * self.scenario.config.window + 64));
        let task = self.ledger.len() - 1 - back;
        if self.random.one_in(faults.cancel) {
            self.cancel(task);
        }
        if self.random.one_in(faults.grow) && !self.world.living.is_empty() {
            let id = self.world.living[self.random.below(self.world.living.len())];
            self.retire(id);
        }
        if self.random.one_in(faults.stale_message) {
            self.stale_message(task);
        }
        // A tick. In a steady world the looks between batches are enough.
        if self.unsteady {
            self.look();
        }
    }

    fn cancel(&mut self, task: usize) {
        let entry = self.ledger.entry(task);
        self.note(Event::Cancel(task));
        let answer = self.scheduler.cancel(entry.id, &mut self.actions);
        match entry.place {
            Place::Ended => assert_eq!(answer, Cancel::Unknown),
            Place::Waiting => {
                assert_eq!(answer, Cancel::Removed(task));
                self.ledger.relocate(task, |_| true, Place::Ended);
                self.ledger.cancelled += 1;
            }
            Place::Ring => {
                assert_eq!(answer, Cancel::AskRing);
                self.world.ring.retract(task);
                self.unsteady = true;
                assert_eq!(self.scheduler.on_retracted(entry.id, &mut self.actions), Some(task));
                self.ledger.relocate(task, |_| true, Place::Ended);
                self.ledger.cancelled += 1;
            }
            Place::Held(worker) => {
                assert_eq!(answer, Cancel::AskRing);
                let alive = self.world.worker(worker).is_some_and(|worker| worker.life != Life::Dead);
                if alive && self.random.one_in(self.scenario.faults.stop_running) {
                    self.forbid_retries(task);
                    self.doom(worker);
                }
            }
            Place::Answered => {
                assert_eq!(answer, Cancel::AskRing);
                self.forbid_retries(task);
            }
        }
        self.carry_out();
    }

    fn forbid_retries(&mut self, task: usize) {
        assert!(self.scheduler.forbid_retries(self.ledger.entry(task).id));
        self.ledger.forbid_retries(task);
    }

    /// News that is not true any more, or never was: none of it may change a task.
    fn stale_message(&mut self, task: usize) {
        let worker = WorkerId(self.random.below(self.scenario.config.worker_ids()) as u16);
        let Place::Ended = self.ledger.entry(task).place else {
            // A live task, reported by a worker that has gone.
            if self.world.worker(worker).is_none() {
                let id = self.ledger.entry(task).id;
                self.note(Event::Stale(worker, id));
                assert_eq!(self.scheduler.on_finished(worker, id, &mut self.actions), None);
                assert_eq!(self.scheduler.on_raised(worker, id, &mut self.actions), Raised::Stale);
                self.scheduler.on_worker_ready(worker, &mut self.actions);
                self.scheduler.on_worker_doomed(worker, &mut self.actions);
                assert!(!self.scheduler.retire(worker, &mut self.actions));
                let lost = self.scheduler.on_worker_lost(worker, &[id], &mut self.actions);
                assert_eq!(lost, Lost { failed: Vec::new(), abandoned: Vec::new() });
                assert!(self.actions.is_empty());
            }
            return;
        };
        // An ended task, reported again, perhaps by a worker that is there.
        let id = self.ledger.entry(task).id;
        self.note(Event::Stale(worker, id));
        assert_eq!(self.scheduler.on_finished(worker, id, &mut self.actions), None);
        assert_eq!(self.scheduler.on_raised(worker, id, &mut self.actions), Raised::Stale);
        assert_eq!(self.scheduler.on_retracted(id, &mut self.actions), None);
        assert!(!self.scheduler.forbid_retries(id));
        if self.world.worker(worker).is_some_and(|worker| worker.life == Life::Alive) {
            self.scheduler.on_worker_ready(worker, &mut self.actions);
        }
        self.carry_out();
    }

    pub(super) fn shutdown(&mut self, cancel_pending: bool) {
        self.shut_down = true;
        self.note(Event::Shutdown(cancel_pending));
        let back = self.scheduler.shutdown(cancel_pending, &mut self.actions);
        assert!(cancel_pending || back.is_empty());
        let fresh = back.iter().map(|(_, task)| *task).filter(|task| !self.ledger.entry(*task).sent_before);
        assert!(fresh.is_sorted(), "what waits comes back in its order");
        for (id, task) in back {
            assert_eq!(self.ledger.entry(task).id, id);
            self.ledger.relocate(task, |place| place == Place::Waiting, Place::Ended);
            self.ledger.cancelled += 1;
        }
        assert!(self.scheduler.submit(usize::MAX, 0, &mut self.actions).is_err());
        self.carry_out();
    }
}
