//! The workers of the simulation: they claim from the real ring and write into real rings of answers, without processes
//! and without calling anything. A pool has numbers for 240 workers; beyond that, several claim under one number.

use std::sync::Arc;

use plait_engine::wire::{Place, ResultHead, Verdict};
use plait_shm::{ClaimConsumer, INLINE, MAX_WORKERS, PoolMemory, Region, StreamReader, StreamWriter, WorkerMemory};
use plait_trace::{TaskId, WorkerId};

/// As the pool has them.
const CONTROL_BYTES: usize = 16 << 10;
const RESULT_BYTES: usize = 1 << 20;

/// A small number, pickled.
const ANSWER: [u8; 5] = [0x80, 0x05, 0x4b, 0x2a, 0x2e];

/// The parent's ends of one worker.
pub(crate) struct Reader {
    pub(crate) worker: WorkerId,
    pub(crate) memory: Arc<WorkerMemory>,
    pub(crate) results: StreamReader,
    pub(crate) notes: StreamReader,
    _control: StreamWriter,
    _replies: StreamWriter,
}

/// A worker's ends.
struct Worker {
    memory: Arc<WorkerMemory>,
    answers: StreamWriter,
    holds: Option<TaskId>,
}

pub(crate) struct World {
    consumers: Vec<ClaimConsumer>,
    workers: Vec<Option<Worker>>,
    body: [u8; INLINE],
}

impl World {
    pub(crate) fn new(pool: &PoolMemory, ids: usize) -> Self {
        let open = |number: usize| {
            let fd = pool.fd().try_clone_to_owned().expect("a descriptor is free");
            PoolMemory::open(fd, WorkerId(number as u16)).expect("it was just made").1
        };
        Self {
            consumers: (0..ids.min(MAX_WORKERS)).map(open).collect(),
            workers: (0..ids).map(|_| None).collect(),
            body: [0; INLINE],
        }
    }

    /// What the parent does for a start, but for the fork; second: what the child goes on with.
    pub(crate) fn reader(worker: WorkerId) -> (Reader, std::os::fd::OwnedFd) {
        let regions = [Region { offset: 0, len: 0 }; 2];
        let (memory, control, results, fd) =
            WorkerMemory::create(CONTROL_BYTES, RESULT_BYTES, regions).expect("there is memory for one more worker");
        let (notes, replies) = memory.side().expect("nobody took it");
        (Reader { worker, memory, results, notes, _control: control, _replies: replies }, fd)
    }

    /// The child's side of a start.
    pub(crate) fn begin(&mut self, worker: WorkerId, reader: &Reader, fd: std::os::fd::OwnedFd) {
        let (_, _, answers) = WorkerMemory::open(fd).expect("it was just made");
        let memory = Arc::clone(&reader.memory);
        self.workers[worker.index()] = Some(Worker { memory, answers, holds: None });
    }

    /// A worker's process is gone.
    pub(crate) fn end(&mut self, worker: WorkerId) {
        self.workers[worker.index()] = None;
    }

    /// Each worker claims one task, and is still at it.
    pub(crate) fn hold(&mut self) {
        for (number, place) in self.workers.iter_mut().enumerate() {
            let Some(worker) = place else { continue };
            let consumer = &mut self.consumers[number % MAX_WORKERS];
            let memory = &worker.memory;
            let claimed = consumer.claim(&mut self.body, |task| memory.status().begin(task, 1));
            worker.holds = claimed.map(|(task, _)| task);
        }
    }

    /// Each worker answers what it holds, and then up to `each` tasks more; how many they were together.
    pub(crate) fn work(&mut self, each: usize) -> usize {
        let mut answered = 0;
        for (number, place) in self.workers.iter_mut().enumerate() {
            let Some(worker) = place else { continue };
            let consumer = &mut self.consumers[number % MAX_WORKERS];
            if let Some(task) = worker.holds.take() {
                worker.answer(task);
                answered += 1;
            }
            for _ in 0..each {
                let memory = &worker.memory;
                let claimed = consumer.claim(&mut self.body, |task| memory.status().begin(task, 1));
                let Some((task, _)) = claimed else { return answered };
                worker.answer(task);
                answered += 1;
            }
        }
        answered
    }
}

impl Worker {
    fn answer(&mut self, task: TaskId) {
        let head = ResultHead { task, verdict: Verdict::Returned, kind: 0, place: Place::Inline, nanos: 1 };
        let (head, used) = head.encode();
        self.answers.write(&[&head[..used], &ANSWER]).expect("the parent reads often enough");
        assert!(self.memory.status().end(), "nobody dooms these");
    }
}
