//! The overflow queue: tasks that did not fit the claim ring, oldest first.
//!
//! A cancelled task is not searched for: its entry stays, and is recognised as stale by the task table when it comes
//! up. Stale entries never outnumber the rest for long, so cancelling costs constant time on average and the queue
//! cannot leak.

use std::collections::VecDeque;

use plait_trace::TaskId;

use super::tasks::{TaskState, Tasks};

/// Below so many stale entries, sweeping costs more than it gains.
const SWEEP_FROM: usize = 64;

/// Every task in state `Queued` has exactly one entry here.
pub(super) struct Queue {
    entries: VecDeque<TaskId>,
    stale: usize,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { entries: VecDeque::new(), stale: 0 }
    }

    pub(super) fn push_back(&mut self, id: TaskId) {
        self.entries.push_back(id);
    }

    /// For a task whose worker died: it is older than everything that waits.
    pub(super) fn push_front(&mut self, id: TaskId) {
        self.entries.push_front(id);
    }

    pub(super) fn pop_front<J>(&mut self, tasks: &Tasks<J>) -> Option<TaskId> {
        while let Some(id) = self.entries.pop_front() {
            if tasks.state(id) == TaskState::Queued {
                return Some(id);
            }
            self.stale -= 1;
        }
        None
    }

    /// A queued task was removed from the table: its entry is stale from now on.
    pub(super) fn on_removed<J>(&mut self, tasks: &Tasks<J>) {
        self.stale += 1;
        if self.stale >= SWEEP_FROM && self.stale * 2 > self.entries.len() {
            self.entries.retain(|id| tasks.state(*id) == TaskState::Queued);
            self.stale = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "time")]
    fn cancelled_entries_are_skipped_and_do_not_pile_up() {
        let mut tasks = Tasks::new();
        let mut queue = Queue::new();
        let first = tasks.insert(0, 0, TaskState::Queued);
        queue.push_back(first);
        for n in 1..100_000 {
            let id = tasks.insert(n, 0, TaskState::Queued);
            queue.push_back(id);
            assert_eq!(tasks.remove(id, TaskState::Queued), Some(n));
            queue.on_removed(&tasks);
            assert!(queue.entries.len() <= 2 * SWEEP_FROM);
        }
        assert_eq!(queue.pop_front(&tasks), Some(first));
        tasks.transition_to_sent(first);
        assert_eq!(queue.pop_front(&tasks), None);
        assert_eq!(queue.stale, 0);
    }
}
