//! What is true of every task of a simulated run, kept apart from the scheduler so that the two can be compared.

use plait_trace::{TaskId, WorkerId};

/// Where a task really is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Waiting,
    Ring,
    Held(WorkerId),
    Answered,
    Ended,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) id: TaskId,
    pub(super) place: Place,
    /// Tries left, by the ledger's own count.
    pub(super) retries: u32,
    /// Tries given at first, and none taken away since.
    granted: Option<u32>,
    /// How often a worker claimed it.
    pub(super) tries: u32,
    pub(super) sent_before: bool,
}

/// Tasks by number, which is the order of submission.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    last_first_sent: Option<usize>,
    /// Tasks that were sent before and wait to be sent again.
    waiting_again: usize,
    pub(super) pending: usize,
    pub(super) in_ring: usize,
    pub(super) held: usize,
    pub(super) answered: usize,
    pub(super) finished: usize,
    /// Ended with an exception.
    pub(super) raised: usize,
    pub(super) cancelled: usize,
    pub(super) lost: usize,
    pub(super) abandoned: usize,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entry(&self, task: usize) -> Entry {
        self.entries[task]
    }

    pub(super) fn on_submitted(&mut self, task: usize, id: TaskId, retries: u32) {
        assert_eq!(task, self.entries.len());
        let granted = Some(retries + 1);
        self.entries.push(Entry { id, place: Place::Waiting, retries, granted, tries: 0, sent_before: false });
        self.pending += 1;
    }

    fn count(&mut self, place: Place) -> Option<&mut usize> {
        match place {
            Place::Ring => Some(&mut self.in_ring),
            Place::Held(_) => Some(&mut self.held),
            Place::Answered => Some(&mut self.answered),
            Place::Waiting | Place::Ended => None,
        }
    }

    /// Moves a task, which must be where the caller thinks it is.
    pub(super) fn relocate(&mut self, task: usize, from: impl FnOnce(Place) -> bool, to: Place) {
        let place = self.entries[task].place;
        assert!(from(place), "task {task} is {place:?} and should become {to:?}");
        let before = self.entries[task].sent_before;
        self.entries[task].tries += u32::from(matches!(to, Place::Held(_)));
        self.waiting_again += usize::from(before && to == Place::Waiting);
        self.waiting_again -= usize::from(before && place == Place::Waiting);
        if let Some(count) = self.count(place) {
            *count -= 1;
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
        if to == Place::Ended {
            self.pending -= 1;
        }
        self.entries[task].place = to;
    }

    /// A task goes to the ring: each for the first time in the order of submission, and not before one that waits
    /// again.
    pub(super) fn on_sent(&mut self, task: usize, id: TaskId) {
        assert_eq!(self.entries[task].id, id, "task {task} was sent under another id");
        self.relocate(task, |place| place == Place::Waiting, Place::Ring);
        if !self.entries[task].sent_before {
            assert!(self.last_first_sent.is_none_or(|last| last < task), "task {task} was overtaken");
            assert_eq!(self.waiting_again, 0, "task {task} overtook one whose worker died");
            self.last_first_sent = Some(task);
            self.entries[task].sent_before = true;
        }
    }

    /// A try ended without a result: the task waits again if it has one left, and has ended otherwise.
    pub(super) fn on_try_failed(&mut self, task: usize) -> bool {
        let Entry { granted, tries, .. } = self.entries[task];
        let again = self.entries[task].retries > 0;
        if again {
            self.entries[task].retries -= 1;
        } else {
            assert!(granted.is_none_or(|granted| granted == tries), "task {task} failed after {tries} of {granted:?}");
        }
        let to = if again { Place::Waiting } else { Place::Ended };
        self.relocate(task, |place| matches!(place, Place::Held(_) | Place::Answered), to);
        again
    }

    pub(super) fn forbid_retries(&mut self, task: usize) {
        self.entries[task].retries = 0;
        self.entries[task].granted = None;
    }
}
