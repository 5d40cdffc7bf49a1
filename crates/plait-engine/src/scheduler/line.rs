//! Workers in the order in which they joined a line, any of which may leave it at any time.
//!
//! Joining, leaving and taking the first take constant time, however long the line is, and never allocate: half of ten
//! thousand workers may die while they stand in it. A worker stands in one line at most, so all lines share the links.

use plait_trace::WorkerId;

/// No worker: ids are below it.
const NOBODY: u16 = u16::MAX;

/// Who stands before and behind a worker. Of no meaning for one that stands nowhere.
#[derive(Clone, Copy)]
pub(super) struct Links {
    before: u16,
    behind: u16,
}

impl Links {
    pub(super) const NONE: Self = Self { before: NOBODY, behind: NOBODY };
}

/// See the head of this file. `links` are those of all workers, by their ids.
pub(super) struct Line {
    first: u16,
    last: u16,
}

impl Line {
    pub(super) const fn new() -> Self {
        Self { first: NOBODY, last: NOBODY }
    }

    /// For a worker that stands in no line.
    pub(super) fn push_back(&mut self, id: WorkerId, links: &mut [Links]) {
        links[id.index()] = Links { before: self.last, behind: NOBODY };
        match self.last {
            NOBODY => self.first = id.0,
            last => links[usize::from(last)].behind = id.0,
        }
        self.last = id.0;
    }

    /// For a worker that stands in this line.
    pub(super) fn remove(&mut self, id: WorkerId, links: &mut [Links]) {
        let Links { before, behind } = links[id.index()];
        match before {
            NOBODY => self.first = behind,
            before => links[usize::from(before)].behind = behind,
        }
        match behind {
            NOBODY => self.last = before,
            behind => links[usize::from(behind)].before = before,
        }
    }

    pub(super) fn pop_front(&mut self, links: &mut [Links]) -> Option<WorkerId> {
        let first = (self.first != NOBODY).then_some(WorkerId(self.first))?;
        self.remove(first, links);
        Some(first)
    }

    /// Nobody stands in it any more.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Two lines over the same workers, against two queues; 2 is whoever stands in none.
        #[test]
        fn a_line_is_a_queue_that_can_be_left(steps in prop::collection::vec((0..4_usize, 0..12_u16, 0..2_usize), 0..300)) {
            let mut links = [Links::NONE; 12];
            let mut lines = [Line::new(), Line::new()];
            let mut queues = [VecDeque::new(), VecDeque::new()];
            let mut stands = [2; 12];
            for (step, id, which) in steps {
                let at = usize::from(id);
                match (step, stands[at]) {
                    (0 | 1, 2) => {
                        lines[which].push_back(WorkerId(id), &mut links);
                        queues[which].push_back(WorkerId(id));
                        stands[at] = which;
                    }
                    (1, which @ 0..2) => {
                        lines[which].remove(WorkerId(id), &mut links);
                        queues[which].retain(|other| other.0 != id);
                        stands[at] = 2;
                    }
                    (2, _) => {
                        let first = lines[which].pop_front(&mut links);
                        prop_assert_eq!(first, queues[which].pop_front());
                        if let Some(first) = first {
                            stands[first.index()] = 2;
                        }
                    }
                    (3, _) if id == 0 => {
                        lines[which].clear();
                        for left in queues[which].drain(..) {
                            stands[left.index()] = 2;
                        }
                    }
                    _ => {}
                }
            }
            for (line, queue) in lines.iter_mut().zip(&mut queues) {
                while let Some(first) = line.pop_front(&mut links) {
                    prop_assert_eq!(Some(first), queue.pop_front());
                }
                prop_assert!(queue.is_empty());
            }
        }
    }
}
