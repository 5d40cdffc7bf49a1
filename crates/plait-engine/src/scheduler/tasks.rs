//! The task table: every task that was submitted and has not ended, with the caller's job and the tries it has left.
//!
//! Promises: adding and removing take constant time and, once the table has grown to the largest number of tasks alive
//! at one time, no allocation; an id that was removed is never taken for the slot's next user.

use std::collections::VecDeque;

use plait_trace::TaskId;

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TaskState {
    /// The slot has no task.
    Vacant,
    /// In the overflow queue, not in the ring.
    Queued,
    /// In the ring, or claimed by a worker.
    Sent,
}

struct Slot<J> {
    generation: u32,
    retries: u32,
    state: TaskState,
    job: Option<J>,
}

// A million tasks may wait: what a slot holds beside the job is counted.
const _: () = assert!(size_of::<Slot<Box<u8>>>() == 24);

/// More free slots than this, and memory matters more than order; the slots of so many small jobs fit a second-level
/// cache.
const CROWD: usize = 1024;

/// The table. `J` is the caller's and is not looked into.
pub(super) struct Tasks<J> {
    slots: Vec<Slot<J>>,
    free: VecDeque<u32>,
    queued: usize,
    sent: usize,
}

impl<J> Tasks<J> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: VecDeque::new(), queued: 0, sent: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.queued + self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// Adds a task as `state`, which is not `Vacant`.
    pub(super) fn insert(&mut self, job: J, retries: u32, state: TaskState) -> TaskId {
        match state {
            TaskState::Queued => self.queued += 1,
            TaskState::Sent => self.sent += 1,
            TaskState::Vacant => unreachable!("plait bug: a task cannot be vacant"),
        }
        if let Some(index) = self.take_free() {
            let slot = &mut self.slots[index as usize];
            slot.retries = retries;
            slot.state = state;
            slot.job = Some(job);
            return TaskId::new(index, slot.generation);
        }
        let index = u32::try_from(self.slots.len()).expect("more than 2^32 tasks are pending");
        // Generations begin at 1, so that no id is ever 0, which shared memory uses for "none".
        self.slots.push(Slot { generation: 1, retries, state, job: Some(job) });
        TaskId::new(index, 1)
    }

    /// A free slot. While few are free, the one that is free longest: a long queue that is refilled as it drains then
    /// lies in memory in its order, which the processor reads ahead. After a crowd has left many free, the one freed
    /// last, which is in the cache.
    fn take_free(&mut self) -> Option<u32> {
        if self.free.len() > CROWD { self.free.pop_back() } else { self.free.pop_front() }
    }

    fn slot(&self, id: TaskId) -> Option<&Slot<J>> {
        self.slots.get(id.slot() as usize).filter(|slot| slot.generation == id.generation())
    }

    fn slot_mut(&mut self, id: TaskId) -> Option<&mut Slot<J>> {
        self.slots.get_mut(id.slot() as usize).filter(|slot| slot.generation == id.generation())
    }

    pub(super) fn state(&self, id: TaskId) -> TaskState {
        self.slot(id).map_or(TaskState::Vacant, |slot| slot.state)
    }

    pub(super) fn job(&self, id: TaskId) -> Option<&J> {
        self.slot(id)?.job.as_ref()
    }

    pub(super) fn job_mut(&mut self, id: TaskId) -> Option<&mut J> {
        self.slot_mut(id)?.job.as_mut()
    }

    /// Moves a queued task to the ring.
    pub(super) fn transition_to_sent(&mut self, id: TaskId) {
        if let Some(slot) = self.slot_mut(id).filter(|slot| slot.state == TaskState::Queued) {
            slot.state = TaskState::Sent;
            self.queued -= 1;
            self.sent += 1;
        }
    }

    /// Takes one try from a sent task and moves it back to the queue; false, and no change, if it has no try left.
    pub(super) fn transition_to_queued_again(&mut self, id: TaskId) -> bool {
        match self.slot_mut(id) {
            Some(slot) if slot.state == TaskState::Sent && slot.retries > 0 => {
                slot.retries -= 1;
                slot.state = TaskState::Queued;
                self.sent -= 1;
                self.queued += 1;
                true
            }
            _ => false,
        }
    }

    /// Moves a sent task back to the queue without taking a try; false, and no change, if it is not sent.
    pub(super) fn transition_to_unsent(&mut self, id: TaskId) -> bool {
        match self.slot_mut(id) {
            Some(slot) if slot.state == TaskState::Sent => {
                slot.state = TaskState::Queued;
                self.sent -= 1;
                self.queued += 1;
                true
            }
            _ => false,
        }
    }

    /// The tries a task has left; `None` if there is no such task.
    pub(super) fn retries(&self, id: TaskId) -> Option<u32> {
        self.slot(id).filter(|slot| slot.state != TaskState::Vacant).map(|slot| slot.retries)
    }

    /// Forgets the tries a task has left; false if there is no such task.
    pub(super) fn clear_retries(&mut self, id: TaskId) -> bool {
        match self.slot_mut(id) {
            Some(slot) => {
                slot.retries = 0;
                slot.state != TaskState::Vacant
            }
            None => false,
        }
    }

    /// Ends a task that is in `state`; nothing happens if it is not.
    pub(super) fn remove(&mut self, id: TaskId, state: TaskState) -> Option<J> {
        let index = id.slot() as usize;
        let slot = self.slots.get_mut(index)?;
        if slot.generation != id.generation() || slot.state != state {
            return None;
        }
        let job = slot.job.take()?;
        slot.state = TaskState::Vacant;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push_back(id.slot());
        match state {
            TaskState::Queued => self.queued -= 1,
            TaskState::Sent => self.sent -= 1,
            TaskState::Vacant => unreachable!("plait bug: a vacant slot held a job"),
        }
        Some(job)
    }

    /// The ids of all tasks in `state`, by slot.
    pub(super) fn ids(&self, state: TaskState) -> impl Iterator<Item = TaskId> + '_ {
        (0u32..)
            .zip(&self.slots)
            .filter(move |(_, slot)| slot.state == state)
            .map(|(index, slot)| TaskId::new(index, slot.generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_task_is_not_mistaken_for_the_next_user_of_its_slot() {
        let mut tasks = Tasks::new();
        let first = tasks.insert("first", 0, TaskState::Sent);
        assert_eq!(tasks.remove(first, TaskState::Sent), Some("first"));
        let second = tasks.insert("second", 0, TaskState::Sent);
        assert_eq!(second.slot(), first.slot());
        assert_eq!(tasks.remove(first, TaskState::Sent), None);
        assert_eq!(tasks.job(first), None);
        assert_eq!(tasks.job(second), Some(&"second"));
    }

    #[test]
    fn a_wrapped_generation_never_makes_an_id_of_zero() {
        let mut tasks = Tasks::new();
        let first = tasks.insert((), 0, TaskState::Sent);
        tasks.slots[0].generation = u32::MAX;
        assert_eq!(tasks.remove(first, TaskState::Sent), None);
        let last = TaskId::new(0, u32::MAX);
        assert_eq!(tasks.remove(last, TaskState::Sent), Some(()));
        assert_eq!(tasks.insert((), 0, TaskState::Sent).generation(), 1);
    }

    #[test]
    fn slots_are_used_again_before_the_table_grows() {
        let mut tasks = Tasks::new();
        for round in 0..1000 {
            let ids: Vec<_> = (0..8).map(|n| tasks.insert(n + round, 0, TaskState::Queued)).collect();
            for id in ids {
                tasks.transition_to_sent(id);
                assert!(tasks.remove(id, TaskState::Queued).is_none());
                assert!(tasks.remove(id, TaskState::Sent).is_some());
            }
        }
        assert_eq!(tasks.slots.len(), 8);
        assert!(tasks.is_empty());
    }
}
