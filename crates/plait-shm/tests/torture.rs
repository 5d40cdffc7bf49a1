//! Real worker processes, killed at random instants while they claim, write and sleep.
//!
//! Promises under test: no record is torn; each task's result is seen once, or the task is reported by the dead worker's
//! memory and runs again; no wake-up is lost by a death; a worker that was doomed before it was killed has begun no other task;
//! what it noted of its progress and of its text is whole. The workers are this very program, started anew in `child`'s mode.

// Neither the models nor Miri have processes.
#![cfg(not(any(loom, miri)))]

mod fate;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fate::Dice;
use plait_shm::{
    Block, ClaimConsumer, ClaimProducer, INLINE, PoolMemory, Position, Region, StreamReader, StreamWriter, Wake,
    WorkerMemory, WriteError,
};
use plait_trace::{TaskId, WorkerId};

const WORKERS: u16 = 3;
/// On the average a death comes after 450 of them, so all deaths come long before the tasks end.
const TASKS_OF_A_DEATH: u32 = 750;
const ENV: &str = "PLAIT_TORTURE_CHILD";
/// Far beyond what any step takes; it only turns a lost wake-up into a failure instead of a hang.
const HANG: Duration = Duration::from_secs(60);

const RESULT: u8 = 0;
const ECHO: u8 = 1;

/// A body that tells its task and whether it is whole: its length and each byte follow from the number.
fn payload(seed: u64, max: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let len = dice.roll(max as u64 + 1) as usize;
    (0..len).map(|_| dice.roll(256) as u8).collect()
}

// ---- the worker's side

fn open(pid: &str, fd: &str) -> OwnedFd {
    File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).unwrap().into()
}

/// Notes the task down after a while, so that kills also strike while the slot alone tells whose it is.
fn begin(memory: &WorkerMemory, task: TaskId) {
    for _ in 0..task.bits() % 8 * 500 {
        std::hint::spin_loop();
    }
    memory.status().begin(task, 0);
}

struct Worker {
    me: WorkerId,
    pool: Arc<PoolMemory>,
    claims: ClaimConsumer,
    memory: Arc<WorkerMemory>,
    control: StreamReader,
    results: StreamWriter,
    printed: u8,
}

impl Worker {
    fn publish(&mut self, parts: &[&[u8]]) {
        loop {
            match self.results.write(parts) {
                Ok(()) => return self.pool.bell().ring(),
                Err(WriteError::Full) => self.results.wait_space(Some(HANG)),
                Err(error) => panic!("{error}"),
            };
        }
    }

    /// Tells of progress in numbers that follow from each other, and prints bytes that count up.
    fn note(&mut self, task: TaskId) {
        self.memory.status().set_draft(Block { offset: task.bits(), len: 0 });
        for items in 1..5 {
            self.memory.status().set_progress(items, u64::from(items) * 3);
            let text = [0, 1, 2].map(|i| self.printed.wrapping_add(i));
            self.memory.tail().write(&text);
            self.printed = self.printed.wrapping_add(3);
        }
    }

    fn run(mut self) {
        let mut body = [0; INLINE];
        while !self.memory.status().stop() {
            if let Some(message) = self.control.read(<[u8]>::to_vec).unwrap() {
                self.publish(&[&[ECHO], &message]);
            } else if let Some((task, len)) = self.claims.claim(&mut body, |task| begin(&self.memory, task)) {
                assert_eq!(body[..len], payload(task.bits(), INLINE), "a task was torn");
                self.note(task);
                self.publish(&[&[RESULT], &task.bits().to_le_bytes(), &payload(!task.bits(), 3000)]);
                if !self.memory.status().end() {
                    return;
                }
            } else {
                let ready = || !self.claims.is_empty() || !self.control.is_empty() || self.memory.status().stop();
                self.pool.park(self.me, ready, Some(HANG));
            }
        }
    }
}

#[test]
#[ignore = "the worker's side of the test below, which starts it"]
fn child() {
    let Ok(orders) = std::env::var(ENV) else { return };
    fate::end_with_parent();
    let [pid, pool, memory, me] = orders.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let me = WorkerId(me.parse().unwrap());
    let (pool, claims) = PoolMemory::open(open(pid, pool), me).unwrap();
    let (memory, control, results) = WorkerMemory::open(open(pid, memory)).unwrap();
    Worker { me, pool, claims, memory, control, results, printed: 0 }.run();
}

// ---- the parent's side

struct Seat {
    process: Child,
    /// Open as long as the process lives, which opens it by this one's number.
    _fd: OwnedFd,
    memory: Arc<WorkerMemory>,
    control: StreamWriter,
    results: StreamReader,
    echoes: Vec<u64>,
}

fn start(pool: BorrowedFd<'_>, me: u16) -> Seat {
    let (memory, control, results, fd) = WorkerMemory::create(4096, 16_384, [Region::default(); 2]).unwrap();
    let orders = format!("{} {} {} {me}", std::process::id(), pool.as_raw_fd(), fd.as_raw_fd());
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(ENV, orders)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Seat { process, _fd: fd, memory, control, results, echoes: Vec::new() }
}

struct Parent {
    pool: Arc<PoolMemory>,
    producer: ClaimProducer,
    seats: Vec<Seat>,
    dice: Dice,
    /// Tasks that are pushed and of which no result was seen.
    running: HashMap<TaskId, Position>,
    again: Vec<TaskId>,
    done: HashSet<u32>,
    retracted: usize,
    lost: usize,
    doomed: usize,
    tasks: u32,
}

impl Parent {
    fn push(&mut self, task: TaskId) {
        let data = payload(task.bits(), INLINE);
        let (a, b) = data.split_at(data.len() / 2);
        let at = self.producer.push(task, &[a, b]).unwrap();
        self.pool.wake_idle();
        assert_eq!(self.running.insert(task, at), None);
        if self.dice.roll(200) == 0 && self.producer.retract(at) {
            // Nobody will ever run it under this id.
            self.running.remove(&task);
            self.retracted += 1;
            self.again.push(TaskId::new(task.slot(), task.generation() + 1));
        }
    }

    /// Reads what worker `me` has published; gives how many results there were.
    fn drain(&mut self, me: usize) -> usize {
        let mut results = 0;
        while let Some(record) = self.seats[me].results.read(<[u8]>::to_vec).expect("a torn record") {
            let number = u64::from_le_bytes(record[1..9].try_into().unwrap());
            if record[0] == ECHO {
                assert_eq!(self.seats[me].echoes.remove(0), number, "messages come back in order");
                continue;
            }
            let task = TaskId::from_bits(number);
            assert_eq!(record[9..], payload(!number, 3000), "{task:?} is torn");
            assert!(
                self.running.remove(&task).is_some(),
                "{task:?} was seen twice, or after it was retracted or given up"
            );
            assert!(self.done.insert(task.slot()));
            results += 1;
        }
        results
    }

    /// Kills a worker, accounts for its tasks, starts another under its number. Where it can, it dooms the worker first, and so
    /// may hit no other task than the one it saw.
    fn bury(&mut self, me: usize) {
        let memory = Arc::clone(&self.seats[me].memory);
        let status = memory.status();
        let doomed = status.current().map(|(task, _)| task).filter(|task| status.doom(*task));
        self.dice.linger(3_000);
        self.seats[me].process.kill().unwrap();
        self.seats[me].process.wait().unwrap();
        self.drain(me);
        let current = status.current().map(|(task, _)| task);
        if let Some(progress) = status.progress() {
            let whole = Block { offset: current.unwrap().bits(), len: u64::from(progress.items) * 3 };
            assert_eq!(progress.block, whole);
        }
        let printed = memory.tail().read();
        assert!(printed.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "its text has a gap");
        let dead = WorkerId(me as u16);
        let mut held: HashSet<TaskId> = self.producer.recover(dead).into_iter().collect();
        held.extend(current);
        held.retain(|task| self.running.contains_key(task));
        assert!(held.len() <= 1, "a worker has one task at a time, not {held:?}");
        if doomed.is_some() {
            assert_eq!(current, doomed);
            assert!(held.iter().all(|task| Some(*task) == doomed), "{held:?} was hit instead of {doomed:?}");
            self.doomed += 1;
        }
        for task in held {
            self.running.remove(&task);
            self.lost += 1;
            self.again.push(TaskId::new(task.slot(), task.generation() + 1));
        }
        self.pool.leave_seat(dead);
        self.seats[me] = start(self.pool.fd(), me as u16);
    }

    fn send(&mut self, me: usize, number: u64) {
        if self.seats[me].control.write(&[&number.to_le_bytes()]).is_ok() {
            self.pool.wake(WorkerId(me as u16));
            self.seats[me].echoes.push(number);
        }
    }

    fn is_over(&self) -> bool {
        self.done.len() == self.tasks as usize && self.seats.iter().all(|seat| seat.echoes.is_empty())
    }
}

#[test]
fn killed_workers_tear_nothing_and_lose_nothing() {
    let kills = fate::kills(80);
    let tasks = kills as u32 * TASKS_OF_A_DEATH;
    let (pool, producer) = PoolMemory::create(64).unwrap();
    let seats = (0..WORKERS).map(|me| start(pool.fd(), me)).collect();
    let mut parent = Parent {
        pool,
        producer,
        seats,
        dice: Dice::of_test(0x706c_6169_7400_0001),
        running: HashMap::new(),
        again: Vec::new(),
        done: HashSet::new(),
        retracted: 0,
        lost: 0,
        doomed: 0,
        tasks,
    };
    let mut fresh = 0..tasks;
    let mut deaths = 0;
    let mut until_death = 0;
    while !parent.is_over() {
        // Keep few tasks waiting for part of the time, so that workers also park.
        let ample = if parent.dice.roll(3) == 0 { 2 } else { 64 };
        while parent.producer.free() > 0 && parent.running.len() < ample {
            let next = parent.again.pop().or_else(|| fresh.next().map(|slot| TaskId::new(slot, 0)));
            let Some(task) = next else { break };
            parent.push(task);
        }
        if parent.dice.roll(50) == 0 {
            let (me, number) = (parent.dice.roll(WORKERS.into()) as usize, parent.dice.roll(u64::MAX));
            parent.send(me, number);
        }
        let seen: usize = (0..WORKERS.into()).map(|me| parent.drain(me)).sum();
        until_death -= seen as i64;
        if until_death <= 0 && deaths < kills && !parent.done.is_empty() {
            parent.dice.linger(30_000);
            let me = parent.dice.roll(WORKERS.into()) as usize;
            parent.bury(me);
            deaths += 1;
            until_death = parent.dice.roll(900) as i64;
        } else if seen == 0 && parent.again.is_empty() && !parent.is_over() {
            let seats = &parent.seats;
            let woken = parent.pool.bell().wait(|| seats.iter().any(|seat| !seat.results.is_empty()), Some(HANG));
            assert_ne!(
                woken,
                Wake::TimedOut,
                "{} tasks run, {} wait, {} workers sleep",
                parent.running.len(),
                parent.producer.waiting(),
                parent.pool.parked()
            );
        }
    }
    assert_eq!(deaths, kills, "every kill came while there was work");
    assert_eq!((parent.running.len(), parent.producer.free()), (0, 64));
    for (me, seat) in parent.seats.iter_mut().enumerate() {
        seat.memory.status().set_stop();
        parent.pool.wake(WorkerId(me as u16));
        assert!(seat.process.wait().unwrap().success());
    }
    assert_eq!(parent.pool.parked(), 0);
    println!(
        "rings: {deaths} deaths, {} of them announced; {tasks} tasks done, {} lost with a worker and run again, {} retracted",
        parent.doomed, parent.lost, parent.retracted
    );
}
