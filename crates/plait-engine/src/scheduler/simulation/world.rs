//! The world outside the scheduler as it really is: the ring, the workers, and the messages that are under way. It
//! behaves as the transport does: a worker claims from the ring by itself, publishes answers the parent reads later, can die at
//! any moment, and what it published before is still read.

use std::collections::VecDeque;

use plait_trace::WorkerId;

/// What a worker publishes; tasks by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Message {
    Ready,
    Finished(usize),
    Raised(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Booting,
    Alive,
    /// Has ended, and the parent has not dealt with that yet.
    Dead,
}

#[derive(Debug)]
pub(super) struct SimWorker {
    pub(super) life: Life,
    pub(super) holds: Option<usize>,
    pub(super) ran: u64,
    pub(super) outbox: VecDeque<Message>,
    pub(super) told_to_stop: bool,
    /// Is ready and has not told.
    pub(super) owes_ready: bool,
    /// Where in the list of the living, or of the dead, it is.
    at: usize,
}

impl SimWorker {
    /// Would it claim a task if there were one?
    pub(super) fn is_idle(&self, max_tasks: u64) -> bool {
        self.life == Life::Alive && self.holds.is_none() && !self.told_to_stop && self.ran < max_tasks
    }
}

/// The ring; a retracted task leaves a hole, which is free when nothing older waits.
pub(super) struct Ring {
    slots: VecDeque<Option<usize>>,
    window: usize,
}

impl Ring {
    pub(super) fn new(window: usize) -> Self {
        Self { slots: VecDeque::new(), window }
    }

    pub(super) fn push(&mut self, task: usize) {
        assert!(self.slots.len() < self.window, "the ring has no slot for task {task}");
        self.slots.push_back(Some(task));
    }

    pub(super) fn claim(&mut self) -> Option<usize> {
        let task = self.slots.pop_front().flatten();
        self.skip_holes();
        task
    }

    pub(super) fn retract(&mut self, task: usize) {
        let slot = self.slots.iter_mut().find(|slot| **slot == Some(task)).expect("the task is in the ring");
        *slot = None;
        self.skip_holes();
    }

    fn skip_holes(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
        }
    }

    pub(super) fn free(&self) -> usize {
        self.window - self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

pub(super) struct World {
    pub(super) ring: Ring,
    workers: Vec<Option<SimWorker>>,
    pub(super) living: Vec<WorkerId>,
    pub(super) dead: Vec<WorkerId>,
    /// Workers that have published something, perhaps more than once, perhaps gone.
    pub(super) bells: Vec<WorkerId>,
}

impl World {
    pub(super) fn new(window: usize, ids: usize) -> Self {
        Self {
            ring: Ring::new(window),
            workers: (0..ids).map(|_| None).collect(),
            living: Vec::new(),
            dead: Vec::new(),
            bells: Vec::new(),
        }
    }

    pub(super) fn present(&self) -> usize {
        self.living.len() + self.dead.len()
    }

    pub(super) fn worker(&self, id: WorkerId) -> Option<&SimWorker> {
        self.workers[id.index()].as_ref()
    }

    pub(super) fn worker_mut(&mut self, id: WorkerId) -> &mut SimWorker {
        self.workers[id.index()].as_mut().expect("the worker exists")
    }

    pub(super) fn on_start(&mut self, id: WorkerId) {
        let place = &mut self.workers[id.index()];
        assert!(place.is_none(), "{id:?} was given out twice");
        *place = Some(SimWorker {
            life: Life::Booting,
            holds: None,
            ran: 0,
            outbox: VecDeque::new(),
            told_to_stop: false,
            owes_ready: false,
            at: self.living.len(),
        });
        self.living.push(id);
    }

    pub(super) fn on_stop(&mut self, id: WorkerId) {
        let worker = self.worker_mut(id);
        assert!(!worker.told_to_stop, "{id:?} was stopped twice");
        worker.told_to_stop = true;
    }

    pub(super) fn publish(&mut self, id: WorkerId, message: Message) {
        self.worker_mut(id).outbox.push_back(message);
        self.bells.push(id);
    }

    pub(super) fn die(&mut self, id: WorkerId) {
        let at = self.worker_mut(id).at;
        self.living.swap_remove(at);
        if let Some(&moved) = self.living.get(at) {
            self.worker_mut(moved).at = at;
        }
        self.dead.push(id);
        let worker = self.worker_mut(id);
        assert_ne!(worker.life, Life::Dead);
        worker.life = Life::Dead;
    }

    /// Takes a dead worker off the books; nothing of it may be left unread.
    pub(super) fn bury(&mut self, id: WorkerId) -> SimWorker {
        let worker = self.workers[id.index()].take().expect("the worker exists");
        assert!(worker.outbox.is_empty());
        worker
    }
}
