//! The worker table: which worker ids are in use, what each worker is doing as far as the parent was told, and how many
//! are in each state.
//!
//! An id is given out again only after the end of its former holder was reported.

use plait_trace::{TaskId, WorkerId};

use super::line::{Line, Links};

/// Where a worker is in its life. Only `Starting` and `Ready` workers serve: they will claim tasks. An `Outgrown` one
/// claims as well, but for as long only as its replacement lets it wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WorkerState {
    /// The id is free.
    Absent,
    /// Asked for, and not yet heard of.
    Starting,
    /// Claims tasks.
    Ready,
    /// Has grown too large: claims tasks until its replacement is there.
    Outgrown,
    /// Has run as many tasks as it may, claims no more, and stays until its replacement is there.
    Retiring,
    /// Was told to stop, or is doomed to end with its task, and has not ended yet.
    Stopping,
}

#[derive(Clone, Copy)]
struct Worker {
    answers: u64,
    state: WorkerState,
}

const _: () = assert!(size_of::<Worker>() == 16);

/// What is rare among a worker's answers.
#[derive(Clone, Copy, Default)]
struct Oddities {
    /// The last task it answered that is to be tried again.
    again: Option<TaskId>,
    /// Answers to no task.
    stale: u64,
}

pub(super) struct Workers {
    workers: Vec<Worker>,
    oddities: Vec<Oddities>,
    /// Ids never used or used again, lowest on top at first.
    free: Vec<u16>,
    /// The `Outgrown` ones, oldest first.
    outgrown: Line,
    /// The `Retiring` ones, oldest first.
    retiring: Line,
    links: Vec<Links>,
    counts: [usize; 6],
    max_serving: usize,
    max_answers: u64,
}

impl Workers {
    /// `ids` is how many workers may exist at one time, `max_serving` how many of them may serve.
    pub(super) fn new(ids: u16, max_serving: usize, max_answers: Option<u64>) -> Self {
        let mut counts = [0; 6];
        counts[WorkerState::Absent as usize] = usize::from(ids);
        Self {
            workers: vec![Worker { answers: 0, state: WorkerState::Absent }; usize::from(ids)],
            oddities: vec![Oddities::default(); usize::from(ids)],
            free: (0..ids).rev().collect(),
            outgrown: Line::new(),
            retiring: Line::new(),
            links: vec![Links::NONE; usize::from(ids)],
            counts,
            max_serving,
            max_answers: max_answers.unwrap_or(u64::MAX),
        }
    }

    pub(super) fn state(&self, id: WorkerId) -> WorkerState {
        self.workers.get(id.index()).map_or(WorkerState::Absent, |worker| worker.state)
    }

    pub(super) fn count(&self, state: WorkerState) -> usize {
        self.counts[state as usize]
    }

    pub(super) fn serving(&self) -> usize {
        self.count(WorkerState::Starting) + self.count(WorkerState::Ready)
    }

    /// How many run tasks or will: those that serve, and those that only wait for their replacement.
    pub(super) fn useful(&self) -> usize {
        self.serving() + self.count(WorkerState::Outgrown)
    }

    /// How many exist, whatever they do.
    pub(super) fn present(&self) -> usize {
        self.workers.len() - self.count(WorkerState::Absent)
    }

    /// How many tasks a worker has answered in its present life.
    pub(super) fn answers(&self, id: WorkerId) -> u64 {
        self.workers.get(id.index()).map_or(0, |worker| worker.answers)
    }

    /// A worker that is not absent told something that is about no task.
    pub(super) fn on_stale_answer(&mut self, id: WorkerId) {
        self.oddities[id.index()].stale += 1;
    }

    /// A worker that is not absent answered `task`, which is to be tried again.
    pub(super) fn on_failed_try(&mut self, id: WorkerId, task: TaskId) {
        self.oddities[id.index()].again = Some(task);
    }

    /// See [`Scheduler::has_answered`](super::Scheduler::has_answered).
    pub(super) fn has_answered(&self, id: WorkerId, task: TaskId, ended: u64) -> bool {
        self.oddities.get(id.index()).is_some_and(|odd| odd.again == Some(task) && self.answers(id) - odd.stale > ended)
    }

    /// Whether one more may serve; not whether there is an id for it.
    pub(super) fn below_max(&self) -> bool {
        self.serving() < self.max_serving
    }

    pub(super) fn max_serving(&self) -> usize {
        self.max_serving
    }

    fn set(&mut self, id: WorkerId, state: WorkerState) {
        let worker = &mut self.workers[id.index()];
        self.counts[worker.state as usize] -= 1;
        self.counts[state as usize] += 1;
        worker.state = state;
    }

    /// Gives out an id for a new worker; `None` if as many serve as may, or every id is held by a worker that is about
    /// to leave.
    pub(super) fn transition_to_starting(&mut self) -> Option<WorkerId> {
        if !self.below_max() {
            return None;
        }
        let id = WorkerId(self.free.pop()?);
        self.workers[id.index()].answers = 0;
        self.oddities[id.index()] = Oddities::default();
        self.set(id, WorkerState::Starting);
        Some(id)
    }

    /// False if the worker was not starting.
    pub(super) fn transition_to_ready(&mut self, id: WorkerId) -> bool {
        let starting = self.state(id) == WorkerState::Starting;
        if starting {
            self.set(id, WorkerState::Ready);
        }
        starting
    }

    /// Counts an answer of a worker that is not absent; true if this made it reach the number of tasks it may run, and
    /// it is now retiring.
    pub(super) fn on_answer(&mut self, id: WorkerId) -> bool {
        let worker = &mut self.workers[id.index()];
        worker.answers += 1;
        if worker.answers < self.max_answers {
            return false;
        }
        match worker.state {
            WorkerState::Ready => {}
            WorkerState::Outgrown => self.outgrown.remove(id, &mut self.links),
            _ => return false,
        }
        self.set(id, WorkerState::Retiring);
        self.retiring.push_back(id, &mut self.links);
        true
    }

    /// False if the worker was not ready.
    pub(super) fn transition_to_outgrown(&mut self, id: WorkerId) -> bool {
        let ready = self.state(id) == WorkerState::Ready;
        if ready {
            self.set(id, WorkerState::Outgrown);
            self.outgrown.push_back(id, &mut self.links);
        }
        ready
    }

    /// The worker that has been outgrown longest, now stopping.
    pub(super) fn transition_to_stopping_outgrown(&mut self) -> Option<WorkerId> {
        let id = self.outgrown.pop_front(&mut self.links)?;
        self.set(id, WorkerState::Stopping);
        Some(id)
    }

    /// A worker that has started is stopping from now on; false if it was, or is not there.
    pub(super) fn transition_to_stopping(&mut self, id: WorkerId) -> bool {
        match self.state(id) {
            WorkerState::Absent | WorkerState::Starting | WorkerState::Stopping => return false,
            WorkerState::Ready => {}
            WorkerState::Outgrown => self.outgrown.remove(id, &mut self.links),
            WorkerState::Retiring => self.retiring.remove(id, &mut self.links),
        }
        self.set(id, WorkerState::Stopping);
        true
    }

    /// The next retiring worker that no start under way will replace, now stopping.
    pub(super) fn transition_to_stopping_unreplaced(&mut self) -> Option<WorkerId> {
        if self.count(WorkerState::Retiring) <= self.count(WorkerState::Starting) {
            return None;
        }
        let id = self.retiring.pop_front(&mut self.links)?;
        self.set(id, WorkerState::Stopping);
        Some(id)
    }

    /// Makes every worker stop; `told` hears of each that was not stopping yet.
    pub(super) fn transition_all_to_stopping(&mut self, mut told: impl FnMut(WorkerId)) {
        if self.useful() + self.count(WorkerState::Retiring) == 0 {
            return;
        }
        self.outgrown.clear();
        self.retiring.clear();
        for index in 0..self.workers.len() {
            let id = WorkerId(index as u16);
            if !matches!(self.state(id), WorkerState::Absent | WorkerState::Stopping) {
                self.set(id, WorkerState::Stopping);
                told(id);
            }
        }
    }

    /// The worker has ended, its id is free; returns what it was.
    pub(super) fn transition_to_absent(&mut self, id: WorkerId) -> WorkerState {
        let state = self.state(id);
        if state != WorkerState::Absent {
            self.set(id, WorkerState::Absent);
            self.free.push(id.0);
            match state {
                WorkerState::Outgrown => self.outgrown.remove(id, &mut self.links),
                WorkerState::Retiring => self.retiring.remove(id, &mut self.links),
                _ => {}
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_only_after_its_worker_ended() {
        let mut workers = Workers::new(3, 2, Some(1));
        let first = workers.transition_to_starting().unwrap();
        let second = workers.transition_to_starting().unwrap();
        assert_eq!((first, second), (WorkerId(0), WorkerId(1)));
        assert_eq!(workers.transition_to_starting(), None);
        assert!(workers.transition_to_ready(first));
        assert!(!workers.transition_to_ready(first));
        assert!(workers.on_answer(first));
        let third = workers.transition_to_starting().unwrap();
        assert_eq!(third, WorkerId(2));
        assert_eq!(workers.transition_to_absent(first), WorkerState::Retiring);
        assert_eq!(workers.transition_to_absent(first), WorkerState::Absent);
        workers.transition_to_absent(second);
        assert_eq!(workers.transition_to_starting(), Some(second));
        assert_eq!(workers.answers(second), 0);
    }

    #[test]
    fn a_retiring_worker_stays_while_a_start_is_under_way() {
        let mut workers = Workers::new(3, 2, Some(1));
        let old = workers.transition_to_starting().unwrap();
        workers.transition_to_ready(old);
        assert!(workers.on_answer(old));
        let new = workers.transition_to_starting().unwrap();
        assert_eq!(workers.transition_to_stopping_unreplaced(), None);
        workers.transition_to_ready(new);
        assert_eq!(workers.transition_to_stopping_unreplaced(), Some(old));
        assert_eq!(workers.transition_to_stopping_unreplaced(), None);
        assert_eq!(workers.present(), 2);
    }
}
