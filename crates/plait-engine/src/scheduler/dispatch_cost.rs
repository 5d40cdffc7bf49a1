//! What it costs to send a task through the scheduler, by how many wait and how many workers there are. It prints and
//! judges nothing: `cargo nextest run --release -p plait-engine dispatch_cost --run-ignored only --no-capture`.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use plait_trace::{TaskId, WorkerId};

use super::{Action, Config, Scheduler};

const WINDOW: usize = 256;
const BATCH: usize = 32;
const ROUNDS: usize = 32_000;
const VISIT: usize = 100;

struct Bench<const WORDS: usize> {
    scheduler: Scheduler<[u64; WORDS]>,
    actions: Vec<Action>,
    sent: VecDeque<TaskId>,
    workers: u16,
}

impl<const WORDS: usize> Bench<WORDS> {
    fn new(queued: usize, workers: u16) -> Self {
        let config =
            Config { max_workers: usize::from(workers), window: WINDOW, max_tasks_per_child: None, start_attempts: 3 };
        let scheduler = Scheduler::new(config).unwrap();
        let mut bench = Self { scheduler, actions: Vec::new(), sent: VecDeque::new(), workers };
        (0..queued + WINDOW).for_each(|_| bench.submit());
        (0..workers).for_each(|id| bench.scheduler.on_worker_ready(WorkerId(id), &mut bench.actions));
        bench
    }

    fn submit(&mut self) {
        let id = self.scheduler.submit(black_box([1; WORDS]), 0, &mut self.actions);
        black_box(id.is_ok());
        self.carry_out();
    }

    fn carry_out(&mut self) {
        for action in self.actions.drain(..) {
            if let Action::Send(id) = action {
                self.sent.push_back(id);
            }
        }
    }

    /// As the shell does it: a batch of answers, a look at the ring, new submissions. Nanoseconds for each task.
    fn round(&mut self) -> f64 {
        let started = Instant::now();
        for n in 0..BATCH {
            let worker = WorkerId((n % usize::from(self.workers)) as u16);
            let task = self.sent.pop_front().expect("the ring is full");
            black_box(self.scheduler.on_finished(worker, task, &mut self.actions));
        }
        self.scheduler.on_window(BATCH, &mut self.actions);
        self.carry_out();
        (0..BATCH).for_each(|_| self.submit());
        started.elapsed().as_secs_f64() * 1e9 / BATCH as f64
    }
}

/// The scheduler's own work shows with a job of one word; larger ones add the moving of their bytes.
#[test]
#[ignore = "a measurement: see the head of the file"]
fn dispatch_cost_by_queue_and_workers() {
    measure::<1>();
    measure::<8>();
}

fn measure<const WORDS: usize>() {
    println!(
        "ns to submit, send and finish a task with a job of {} bytes, median of {ROUNDS} batches of {BATCH}",
        8 * WORDS
    );
    let queues = [1_000, 10_000, 100_000, 1_000_000];
    println!("{:>10} {:>10} {:>10} {:>10} {:>10}", "queued", "1 worker", "4", "16", "64");
    let mut cases: Vec<Vec<_>> = queues
        .iter()
        .map(|queued| [1, 4, 16, 64].map(|workers| (Bench::<WORDS>::new(*queued, workers), Vec::new())).into())
        .collect();
    // Taken in turns, so that a busy moment of the machine falls on all of them.
    for _ in 0..ROUNDS / VISIT {
        for (bench, times) in cases.iter_mut().flatten() {
            times.extend((0..VISIT).map(|_| bench.round()));
        }
    }
    for (queued, row) in queues.iter().zip(&mut cases) {
        print!("{queued:>10}");
        for (_, times) in row {
            times.sort_by(f64::total_cmp);
            print!(" {:>10.1}", times[ROUNDS / 2]);
        }
        println!();
    }
}
