//! Real processes at both ends of a queue, killed at random instants.
//!
//! Promises under test: an item is there whole or not at all, and once; whoever was killed, items go on passing, and nobody waits for
//! ever; what a dead one had taken is counted. Items lie in the ring and in parcels, and the queue is bounded, so that both ends wait.
//! And where items come back: none is lost.
//! One of the processes looks at the words by itself, as on kernels that cannot watch several.

// Neither the models nor Miri have processes.
#![cfg(not(any(loom, miri)))]

mod fate;

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fate::Dice;
use plait_shm::{Bounds, Deadline, Item, LockMemory, Message, Name, Queue, wait};

const CHILDREN: usize = 4;
const ENV: &str = "PLAIT_QUEUE_TORTURE_CHILD";
/// Far beyond what any step takes; it only turns a lost wake-up into a failure instead of a hang.
const HANG: Duration = Duration::from_secs(60);

fn late() -> Option<Deadline> {
    Some(Deadline::after(HANG))
}

// ---- items that tell whose they are, and whether they are whole

/// Some are empty but for their name, some as long as what lies in a ring at most, some are parcels.
fn item(who: u32, number: u32) -> Vec<u8> {
    let len = match number % 11 {
        10 => 70_000 + number as usize % 70_000,
        5 => 16_000,
        short => short as usize * 9,
    };
    let name = [who, number].map(u32::to_le_bytes).concat();
    name.into_iter().chain((0..len).map(|at| (at as u32 * 7 + number) as u8)).collect()
}

/// Whose it is, and its number.
fn name(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    (word(0), word(4))
}

fn put(queue: &Queue, bytes: Vec<u8>) -> bool {
    wait(&mut queue.putting(Message::Bytes { kind: 3, bytes }), late()).expect("no room comes").unwrap()
}

/// The next item's name; nothing when the queue is shut.
fn take(queue: &Queue) -> Option<(u32, u32)> {
    let Item { kind, bytes, parcel, .. } = wait(&mut queue.getting(), late()).expect("no item comes").unwrap()?;
    assert_eq!(kind, 3);
    let (who, number) = match parcel {
        None => check(&bytes),
        Some(parcel) => {
            let mapped = parcel.map().unwrap();
            // SAFETY: so many bytes are mapped, and nobody writes to the snapshot.
            check(unsafe { std::slice::from_raw_parts(mapped.as_ptr(), mapped.len()) })
        }
    };
    Some((who, number))
}

fn check(bytes: &[u8]) -> (u32, u32) {
    let (who, number) = name(bytes);
    assert!(bytes == item(who, number), "an item of {} bytes is torn", bytes.len());
    (who, number)
}

// ---- the children

fn open(pid: &str, fd: &str) -> OwnedFd {
    File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).unwrap().into()
}

#[test]
#[ignore = "the other side of the tests below, which start it"]
fn child() {
    let Ok(orders) = std::env::var(ENV) else { return };
    fate::end_with_parent();
    let [pid, memory, look, role, jobs, seen] = &orders.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    if *look == "look" {
        LockMemory::look_instead();
    }
    let memory = LockMemory::open(open(pid, memory)).unwrap();
    let [jobs, seen] = [jobs, seen].map(|name| Queue::at(&memory, Name(name.parse().unwrap())).unwrap().unwrap());
    if *role == "producer" {
        for number in 0.. {
            if !put(&jobs, item(std::process::id(), number)) {
                return;
            }
        }
    }
    while let Some((who, number)) = take(&jobs) {
        assert!(put(&seen, [who, number].map(u32::to_le_bytes).concat()));
        assert!(jobs.done().unwrap());
    }
}

// ---- the parent

struct Parent {
    memory: Arc<LockMemory>,
    jobs: Queue,
    seen: Queue,
    children: Vec<Child>,
    named: HashSet<(u32, u32)>,
}

impl Parent {
    fn new(redeliver: bool) -> Self {
        let memory = LockMemory::create(2048).unwrap();
        let jobs = Queue::create(&memory, Bounds { items: 20, bytes: 300_000, redeliver }).unwrap().unwrap();
        let seen = Queue::create(&memory, Bounds::default()).unwrap().unwrap();
        Self { memory, jobs, seen, children: Vec::new(), named: HashSet::new() }
    }

    fn start(&self, at: usize) -> Child {
        let look = if at == 0 { "look" } else { "told" };
        let role = if at.is_multiple_of(2) && !self.jobs.bounds().redeliver { "producer" } else { "consumer" };
        let [pid, fd] = [std::process::id() as u64, self.memory.fd().as_raw_fd() as u64];
        let [jobs, seen] = [self.jobs.name().0, self.seen.name().0];
        Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(ENV, format!("{pid} {fd} {look} {role} {jobs} {seen}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn kill(&mut self, at: usize) {
        self.children[at].kill().unwrap();
        self.children[at].wait().unwrap();
    }

    /// Reads what was seen; how many items these were.
    fn read(&mut self) -> usize {
        let mut bytes = Vec::new();
        let mut count = 0;
        while let plait_shm::Taken::Message { .. } = self.seen.take(&mut bytes).unwrap() {
            assert!(self.seen.done().unwrap());
            let is_new = self.named.insert(name(&bytes));
            assert!(is_new || self.jobs.bounds().redeliver, "an item came twice");
            bytes.clear();
            count += 1;
        }
        count
    }

    /// Goes on until so many more items have passed.
    fn watch(&mut self, count: usize) {
        let began = Instant::now();
        let mut passed = 0;
        while passed < count {
            passed += self.read();
            assert!(began.elapsed() < HANG, "nothing passes any more");
            for child in &mut self.children {
                assert_eq!(child.try_wait().unwrap(), None, "a child has given up");
            }
            std::thread::yield_now();
        }
    }

    /// Shuts the queue, and sees that all hear of it.
    fn end(&mut self) {
        self.jobs.close(false).unwrap();
        let began = Instant::now();
        while self.children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
            assert!(began.elapsed() < HANG, "some do not hear that it is over");
            std::thread::yield_now();
        }
        assert!(self.children.iter_mut().all(|child| child.wait().unwrap().success()));
        self.read();
    }
}

#[test]
fn what_killed_consumers_had_taken_comes_back() {
    let kills = fate::kills(900).div_ceil(9);
    let mut parent = Parent::new(true);
    parent.children = (0..CHILDREN).map(|at| parent.start(at)).collect();
    let jobs = parent.jobs.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let producer = std::thread::spawn(move || {
        let mut numbers = 0..;
        while stopped.try_recv().is_err() {
            assert!(put(&jobs, item(0, numbers.next().unwrap())));
        }
        numbers.next().unwrap()
    });
    let mut dice = Dice::of_test(0x706c_6169_7400_0004);
    for _ in 0..kills {
        parent.watch(1 + dice.roll(20) as usize);
        let at = dice.roll(CHILDREN as u64) as usize;
        dice.linger(50_000);
        parent.kill(at);
        parent.children[at] = parent.start(at);
    }
    stop.send(()).unwrap();
    let count: u32 = producer.join().unwrap();
    wait(&mut parent.jobs.joining(), late()).expect("some are never done").unwrap();
    parent.end();
    let missing: Vec<u32> = (0..count).filter(|number| !parent.named.contains(&(0, *number))).collect();
    assert_eq!(missing, [0; 0], "of {count} items");
    assert_eq!((parent.jobs.lost().unwrap(), parent.jobs.len(), parent.jobs.weight().unwrap()), (0, 0, 0));
    println!("queue: {kills} deaths of consumers whose items come back, {count} items, none is missing");
}

#[test]
fn killed_processes_stop_nobody_and_tear_nothing() {
    let kills = fate::kills(900);
    let mut parent = Parent::new(false);
    parent.children = (0..CHILDREN).map(|at| parent.start(at)).collect();
    let mut dice = Dice::of_test(0x706c_6169_7400_0003);
    parent.watch(100);
    let mut consumers = 0;
    for _ in 0..kills {
        let at = dice.roll(CHILDREN as u64) as usize;
        dice.linger(50_000);
        parent.kill(at);
        consumers += (at % 2) as u32;
        parent.children[at] = parent.start(at);
        parent.watch(1 + dice.roll(20) as usize);
    }
    parent.end();
    let lost = parent.jobs.lost().unwrap();
    assert_eq!((parent.jobs.len(), parent.jobs.weight().unwrap(), parent.jobs.open().unwrap()), (0, 0, 0));
    assert!(lost > 0 && lost <= consumers, "{lost} items are lost by {consumers} consumers with one each at most");
    println!("queue: {kills} deaths, {} items came whole, {lost} are lost with their consumers", parent.named.len());
}
