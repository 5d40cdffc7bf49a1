//! The world outside the scheduler as it really is: the ring, the workers, and the messages that are under way. It
//! behaves as the transport does: a worker claims from the ring by itself, publishes answers the parent reads later,
//! can die at any moment, and what it published before is still read.

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
    /// Still reads its task from this position of the ring.
    pub(super) reads: Option<usize>,
    pub(super) ran: u64,
    /// What it noted down for whoever buries it: the task it runs, and how many have ended.
    pub(super) noted: Option<usize>,
    pub(super) ended: u64,
    pub(super) outbox: VecDeque<Message>,
    pub(super) told_to_stop: bool,
    /// Ends with the task it holds, and claims no other.
    pub(super) doomed: bool,
    /// Was found to have grown.
    pub(super) grown: bool,
    /// Is ready and has not told.
    pub(super) owes_ready: bool,
    /// Where in the list of the living, or of the dead, it is.
    at: usize,
}

impl SimWorker {
    /// Would it claim a task if there were one?
    pub(super) fn is_idle(&self, max_tasks: u64) -> bool {
        self.life == Life::Alive && self.holds.is_none() && !self.told_to_stop && !self.doomed && self.ran < max_tasks
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    Ready(usize),
    /// Claimed, and its worker still reads the task.
    Taken,
    Free,
}

/// The ring. A slot is of use to the parent again when no older one is in use; so a worker that is slow to read its task,
/// and an old task that waits, hold up slots that were freed or retracted behind theirs.
pub(super) struct Ring {
    /// From the oldest position that is in use to the youngest.
    slots: VecDeque<Slot>,
    /// The position of the first of them.
    base: usize,
    /// All positions below are claimed or retracted.
    cursor: usize,
    window: usize,
}

impl Ring {
    pub(super) fn new(window: usize) -> Self {
        Self { slots: VecDeque::new(), base: 0, cursor: 0, window }
    }

    /// False: the ring is full.
    pub(super) fn push(&mut self, task: usize) -> bool {
        let fits = self.slots.len() < self.window;
        if fits {
            self.slots.push_back(Slot::Ready(task));
        }
        fits
    }

    /// The oldest task that waits, and its position, which stays taken until the worker lets go of it.
    pub(super) fn claim(&mut self) -> Option<(usize, usize)> {
        self.cursor = self.cursor.max(self.base);
        loop {
            let slot = self.slots.get_mut(self.cursor - self.base)?;
            self.cursor += 1;
            if let Slot::Ready(task) = *slot {
                *slot = Slot::Taken;
                return Some((task, self.cursor - 1));
            }
        }
    }

    /// A worker has read its task, or has died doing so.
    pub(super) fn let_go(&mut self, position: usize) {
        assert_eq!(self.slots[position - self.base], Slot::Taken);
        self.free_slot(position - self.base);
    }

    pub(super) fn retract(&mut self, task: usize) {
        let at = self.slots.iter().position(|slot| *slot == Slot::Ready(task));
        self.free_slot(at.expect("the task is in the ring"));
    }

    fn free_slot(&mut self, at: usize) {
        self.slots[at] = Slot::Free;
        while let Some(Slot::Free) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    pub(super) fn free(&self) -> usize {
        self.window - self.slots.len()
    }

    pub(super) fn has_task(&self) -> bool {
        self.slots.iter().any(|slot| matches!(slot, Slot::Ready(_)))
    }
}

pub(super) struct World {
    pub(super) ring: Ring,
    workers: Vec<Option<SimWorker>>,
    pub(super) living: Vec<WorkerId>,
    pub(super) dead: Vec<WorkerId>,
    /// Workers that have published something, perhaps more than once, perhaps gone.
    pub(super) bells: Vec<WorkerId>,
    /// Doomed workers that the scheduler has not been told of.
    pub(super) dooms: Vec<WorkerId>,
    /// How many of those that are present are doomed or have grown: they may hold tasks beside those that serve.
    pub(super) surplus: usize,
}

impl World {
    pub(super) fn new(window: usize, ids: usize) -> Self {
        Self {
            ring: Ring::new(window),
            workers: (0..ids).map(|_| None).collect(),
            living: Vec::new(),
            dead: Vec::new(),
            bells: Vec::new(),
            dooms: Vec::new(),
            surplus: 0,
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
            reads: None,
            ran: 0,
            noted: None,
            ended: 0,
            outbox: VecDeque::new(),
            told_to_stop: false,
            doomed: false,
            grown: false,
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

    pub(super) fn on_doomed(&mut self, id: WorkerId) {
        let worker = self.worker_mut(id);
        worker.doomed = true;
        let new = !worker.grown;
        self.surplus += usize::from(new);
    }

    pub(super) fn on_grown(&mut self, id: WorkerId) {
        let worker = self.worker_mut(id);
        worker.grown = true;
        let new = !worker.doomed;
        self.surplus += usize::from(new);
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
        self.dooms.retain(|doomed| *doomed != id);
        self.surplus -= usize::from(worker.doomed || worker.grown);
        worker
    }
}
