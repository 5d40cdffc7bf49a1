//! Real owners of arenas and real readers of their blocks, killed at random instants.
//!
//! Promises under test: a block that was told of is whole, and is read to its end although its owner is dead; one that a dead reader
//! had is read by another; an owner gets each of its blocks back and has no memory in use then; the regions of the dead come back, and
//! when all have ended the commons have no memory left. Blocks are small and large, put at once and written in pieces.

// Neither the models nor Miri have processes.
#![cfg(not(any(loom, miri)))]

#[path = "../fate/mod.rs"]
mod fate;
mod told;

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fate::Dice;
use plait_shm::{
    Access, Arena, ArenaError, ArenaView, Block, Commons, PoolMemory, Region, StreamReader, StreamWriter, Wake,
    WorkerMemory, WriteError,
};
use plait_trace::WorkerId;
use told::Told;

/// Numbers below this are those of owners, the others those of readers.
const OWNERS: usize = 2;
const ALL: usize = 4;
const ENV: &str = "PLAIT_ARENA_TORTURE_CHILD";
/// Far beyond what any step takes; it only turns a lost wake-up into a failure instead of a hang.
const HANG: Duration = Duration::from_secs(60);
const REGION: u64 = 8 << 20;
/// How many blocks an owner has out at most.
const OUT: usize = 40;

// ---- the children

fn open(pid: &str, fd: &str) -> OwnedFd {
    File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).unwrap().into()
}

struct Worker {
    me: WorkerId,
    pool: Arc<PoolMemory>,
    memory: Arc<WorkerMemory>,
    control: StreamReader,
    results: StreamWriter,
}

impl Worker {
    fn publish(&mut self, told: Told) {
        loop {
            match self.results.write(&[&told.to_bytes()]) {
                Ok(()) => return self.pool.bell().ring(),
                Err(WriteError::Full) => self.results.wait_space(Some(HANG)),
                Err(error) => panic!("{error}"),
            };
        }
    }

    /// Sleeps until there is something to read, or, unless it is known already, the order to stop.
    fn park(&self, stop: bool) {
        let ready = || !self.control.is_empty() || (!stop && self.memory.status().stop());
        // Nor does it outlive a parent that has failed.
        assert_ne!(self.pool.park(self.me, ready, Some(HANG)), Wake::TimedOut, "nobody says anything any more");
    }

    fn own(mut self, commons: &Arc<Commons>, run: u64) {
        let mut arena = Arena::in_region(commons, self.memory.regions()[0]).unwrap();
        let mut out = 0;
        let mut number = 0;
        loop {
            while let Some(told) = self.control.read(Told::from_bytes).unwrap() {
                assert!(arena.release(told.block), "{told:?} is not live");
                out -= 1;
            }
            let stop = self.memory.status().stop();
            if stop && out == 0 {
                assert_eq!(arena.used(), 0);
                return;
            }
            let put = if stop || out == OUT { None } else { put(&mut arena, run, number) };
            let Some(block) = put else {
                // Also when it is told to stop: what is out comes back first.
                self.park(stop);
                continue;
            };
            self.publish(Told { run, number, block });
            (number, out) = (number + 1, out + 1);
            if number % 64 == 0 {
                arena.trim(1 << 20);
            }
        }
    }

    fn look(mut self, commons: &Arc<Commons>) {
        while !self.memory.status().stop() {
            let Some(told) = self.control.read(Told::from_bytes).unwrap() else {
                self.park(false);
                continue;
            };
            let expected = Told::content(told.run, told.number);
            assert_eq!(told.block.len, expected.len() as u64);
            if told.block.len > 0 && told.number % 2 == 0 {
                let mapped = commons.map(told.block, Access::Snapshot).unwrap();
                // SAFETY: so many bytes are mapped, and the block is not released before this one says that it was read.
                let seen = unsafe { std::slice::from_raw_parts(mapped.as_ptr(), mapped.len()) };
                assert!(seen == expected, "{told:?} is torn");
            } else {
                let region = Region { offset: told.block.offset / REGION * REGION, len: REGION };
                let view = ArenaView::of(commons, region).unwrap();
                assert!(view.get(told.block).unwrap() == expected, "{told:?} is torn");
            }
            self.publish(told);
        }
    }
}

/// A block with the content of this number; nothing where there is no room.
fn put(arena: &mut Arena, run: u64, number: u64) -> Option<Block> {
    let content = Told::content(run, number);
    let put = if number.is_multiple_of(3) {
        arena.reserve(content.len()).inspect(|block| {
            for (piece, bytes) in content.chunks(1_000).enumerate() {
                arena.write_at(*block, piece as u64 * 1_000, bytes).unwrap();
            }
        })
    } else {
        let (a, b) = content.split_at(content.len() / 3);
        arena.put(&[a, b])
    };
    match put {
        Ok(block) => Some(block),
        Err(ArenaError::Full { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
#[ignore = "the other side of the test below, which starts it"]
fn child() {
    let Ok(orders) = std::env::var(ENV) else { return };
    fate::end_with_parent();
    let [pid, pool, commons, memory, me, run] = orders.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let number: u16 = me.parse().unwrap();
    let me = WorkerId(number);
    let (pool, _) = PoolMemory::open(open(pid, pool), me).unwrap();
    let (memory, control, results) = WorkerMemory::open(open(pid, memory)).unwrap();
    let commons = Commons::open(open(pid, commons)).unwrap();
    let worker = Worker { me, pool, memory, control, results };
    if usize::from(number) < OWNERS { worker.own(&commons, run.parse().unwrap()) } else { worker.look(&commons) }
}

// ---- the parent

/// One child, and what is to be said to it and is not yet.
struct Side {
    process: Child,
    /// Open as long as the process lives, which opens it by this one's number.
    _fd: OwnedFd,
    memory: Arc<WorkerMemory>,
    control: StreamWriter,
    results: StreamReader,
    run: u64,
    outbox: VecDeque<Told>,
}

/// The region of one owner, dead or alive.
struct Home {
    region: Region,
    told: u64,
    /// Blocks that were told of and not yet read.
    unread: usize,
    is_dead: bool,
}

struct Parent {
    pool: Arc<PoolMemory>,
    commons: Arc<Commons>,
    sides: Vec<Side>,
    homes: HashMap<u64, Home>,
    /// What is to be read, by (run, number): by which reader.
    unread: HashMap<(u64, u64), (Told, usize)>,
    runs: u64,
    read: u64,
    read_again: u64,
}

impl Parent {
    fn start(&mut self, me: usize) -> Side {
        self.runs += 1;
        let mut region = Region::default();
        if me < OWNERS {
            region = self.commons.take_region(REGION).expect("a region was lost");
            self.homes.insert(self.runs, Home { region, told: 0, unread: 0, is_dead: false });
        }
        let (memory, control, results, fd) = WorkerMemory::create(4096, 4096, [region, Region::default()]).unwrap();
        let fds = [self.pool.fd().as_raw_fd(), self.commons.fd().as_raw_fd(), fd.as_raw_fd()];
        let orders = format!("{} {} {} {} {me} {}", std::process::id(), fds[0], fds[1], fds[2], self.runs);
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(ENV, orders)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Side { process, _fd: fd, memory, control, results, run: self.runs, outbox: VecDeque::new() }
    }

    /// Reads what a child has published, and sends what can be sent to it; true when there was anything.
    fn turn(&mut self, me: usize) -> bool {
        let mut any = false;
        while let Some(told) = self.sides[me].results.read(Told::from_bytes).expect("a torn record") {
            any = true;
            if me < OWNERS {
                let home = self.homes.get_mut(&told.run).unwrap();
                assert_eq!(
                    (told.run, told.number),
                    (self.sides[me].run, home.told),
                    "a record was lost, or came twice"
                );
                (home.told, home.unread) = (home.told + 1, home.unread + 1);
                self.hand(told);
            } else {
                self.has_read(told);
            }
        }
        any | self.flush(me)
    }

    /// Gives a block to a reader.
    fn hand(&mut self, told: Told) {
        let reader = OWNERS + told.number as usize % (ALL - OWNERS);
        self.unread.insert((told.run, told.number), (told, reader));
        self.sides[reader].outbox.push_back(told);
    }

    fn has_read(&mut self, told: Told) {
        let (known, _) = self.unread.remove(&(told.run, told.number)).expect("read twice");
        assert_eq!(told, known);
        self.read += 1;
        self.homes.get_mut(&told.run).unwrap().unread -= 1;
        match self.sides[..OWNERS].iter().position(|side| side.run == told.run) {
            Some(owner) => self.sides[owner].outbox.push_back(told),
            None => self.bury(told.run),
        }
    }

    /// Takes the region of a dead owner back when nobody reads it any more.
    fn bury(&mut self, run: u64) {
        let home = &self.homes[&run];
        if home.is_dead && home.unread == 0 {
            self.commons.give_region(home.region);
            self.homes.remove(&run);
        }
    }

    fn flush(&mut self, me: usize) -> bool {
        let side = &mut self.sides[me];
        let mut any = false;
        while let Some(told) = side.outbox.front() {
            match side.control.write(&[&told.to_bytes()]) {
                Ok(()) => drop(side.outbox.pop_front()),
                // It reads on by itself.
                Err(WriteError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            any = true;
        }
        if any {
            self.pool.wake(WorkerId(me as u16));
        }
        any
    }

    fn kill(&mut self, me: usize) {
        self.sides[me].process.kill().unwrap();
        self.sides[me].process.wait().unwrap();
        self.turn(me);
        self.pool.leave_seat(WorkerId(me as u16));
        let next = self.start(me);
        let dead = std::mem::replace(&mut self.sides[me], next);
        if me < OWNERS {
            self.homes.get_mut(&dead.run).unwrap().is_dead = true;
            self.bury(dead.run);
            return;
        }
        let left: Vec<Told> = self.unread.values().filter(|(_, reader)| *reader == me).map(|(told, _)| *told).collect();
        self.read_again += left.len() as u64;
        left.into_iter().for_each(|told| self.hand(told));
    }

    /// Goes on until so many more blocks were read, or, of none, until nothing is left to be read.
    fn go_on(&mut self, count: u64) {
        let goal = self.read + count;
        while self.read < goal || (count == 0 && self.sides.iter().any(|side| !side.outbox.is_empty())) {
            let mut any = false;
            for me in 0..ALL {
                any |= self.turn(me);
            }
            for side in &mut self.sides {
                assert_eq!(side.process.try_wait().unwrap(), None, "a child has given up");
            }
            if !any {
                let sides = &self.sides;
                let ready = || sides.iter().any(|side| !side.results.is_empty());
                // Naps, too: a child that has made room in its ring rings no bell.
                let nap = sides.iter().any(|side| !side.outbox.is_empty()).then_some(Duration::from_millis(1));
                let woken = self.pool.bell().wait(ready, nap.or(Some(HANG)));
                assert!(nap.is_some() || woken != Wake::TimedOut, "{} blocks are unread", self.unread.len());
            }
        }
    }

    /// Tells those to stop, and goes on until they have.
    fn stop(&mut self, which: std::ops::Range<usize>) {
        for me in which.clone() {
            self.sides[me].memory.status().set_stop();
            self.pool.wake(WorkerId(me as u16));
        }
        let began = std::time::Instant::now();
        while which.clone().any(|me| self.sides[me].process.try_wait().unwrap().is_none()) {
            for me in 0..ALL {
                self.turn(me);
            }
            assert!(began.elapsed() < HANG, "they do not stop");
            std::thread::yield_now();
        }
        assert!(which.clone().all(|me| self.sides[me].process.wait().unwrap().success()));
    }
}

#[test]
fn killed_owners_and_readers_tear_no_block_and_lose_none() {
    let kills = fate::kills(60);
    let (pool, _producer) = PoolMemory::create(4).unwrap();
    let commons = Commons::create(64 * REGION).unwrap();
    let mut parent = Parent {
        pool,
        commons,
        sides: Vec::new(),
        homes: HashMap::new(),
        unread: HashMap::new(),
        runs: 0,
        read: 0,
        read_again: 0,
    };
    for me in 0..ALL {
        let side = parent.start(me);
        parent.sides.push(side);
    }
    let mut dice = Dice::of_test(0x706c_6169_7400_0005);
    let mut owners = 0;
    parent.go_on(100);
    for _ in 0..kills {
        let me = dice.roll(ALL as u64) as usize;
        dice.linger(50_000);
        parent.kill(me);
        owners += usize::from(me < OWNERS);
        parent.go_on(1 + dice.roll(60));
    }
    parent.stop(0..OWNERS);
    assert_eq!(parent.unread.len(), 0);
    parent.stop(OWNERS..ALL);
    assert!(parent.homes.values().all(|home| !home.is_dead && home.unread == 0), "a region was not given back");
    let left: Vec<Region> = parent.homes.values().map(|home| home.region).collect();
    assert_eq!(left.len(), OWNERS);
    left.into_iter().for_each(|region| parent.commons.give_region(region));
    let left = rustix::fs::fstat(parent.commons.fd()).unwrap().st_blocks;
    assert!(left == 0 || plait_shm::PLATFORM == "portable", "memory was lost: {left}");
    println!(
        "arena: {kills} deaths, {owners} of owners; {} blocks read whole, {} of them by another after a reader's death",
        parent.read, parent.read_again
    );
}
