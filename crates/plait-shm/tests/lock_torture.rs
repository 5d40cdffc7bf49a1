//! Real processes that share a lock, a semaphore, a condition and a barrier, killed at random instants.
//!
//! Promises under test: one has the lock at a time; whoever gets it from a dead one is told, and so is nobody else; nobody waits for
//! ever; the permits of the dead come back, all of them; a notification is used by one, or was its last act.
//! One of the processes looks at the words by itself, as on kernels that cannot watch several.

// Neither the models nor Miri have processes.
#![cfg(not(any(loom, miri)))]

mod fate;

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fate::Dice;
use plait_shm::{
    Access, Barrier, Block, Commons, Condition, Deadline, Event, Lock, LockMemory, Mapped, Name, Semaphore, WaitError,
    wait,
};

const CHILDREN: usize = 3;
const PERMITS: u32 = 2;
const ENV: &str = "PLAIT_LOCK_TORTURE_CHILD";
/// Far beyond what any step takes; it only turns a lost wake-up into a failure instead of a hang.
const HANG: Duration = Duration::from_secs(60);

fn late() -> Option<Deadline> {
    Some(Deadline::after(HANG))
}

/// What all of them see.
struct Words(Mapped);

impl std::ops::Deref for Words {
    type Target = [AtomicU64; 8];
    fn deref(&self) -> &Self::Target {
        // SAFETY: the block is a page, mapped as long as this lives, and everybody has atomics there.
        unsafe { &*self.0.as_ptr().cast() }
    }
}

/// The words: who is inside of the lock, how often somebody was, how often a death was told, how many notifications were used,
/// how often the semaphore and the barrier let somebody through.
const INSIDE: usize = 0;
const LOCKED: usize = 1;
const TOLD: usize = 2;
const USED: usize = 3;
const PERMITTED: usize = 4;
const PASSED: usize = 5;

struct Scene {
    memory: Arc<LockMemory>,
    words: Words,
    lock: Lock,
    semaphore: Semaphore,
    condition: Condition,
    barrier: Barrier,
    stop: Event,
}

impl Scene {
    fn at(memory: Arc<LockMemory>, commons: &Arc<Commons>, names: &[Name]) -> Self {
        Self {
            words: Words(commons.map(Block { offset: 0, len: 4096 }, Access::Shared).unwrap()),
            lock: Lock::at(&memory, names[0]).unwrap().unwrap(),
            semaphore: Semaphore::at(&memory, names[1]).unwrap().unwrap(),
            condition: Condition::at(&memory, names[2]).unwrap().unwrap(),
            barrier: Barrier::at(&memory, names[3]).unwrap().unwrap(),
            stop: Event::at(&memory, names[4]).unwrap().unwrap(),
            memory,
        }
    }

    /// Acquires the lock, and tells who was inside when its last holder died.
    fn enter(&self) {
        let acquired = self.lock.acquire(late()).expect("nobody lets go of the lock");
        let me = u64::from(std::process::id());
        let inside = self.words[INSIDE].swap(me, Ordering::Relaxed);
        match acquired.died {
            None => assert_eq!(inside, 0, "two are inside"),
            // Whoever died may not have come to say that it was inside, after another that had.
            Some(_) => drop(self.words[TOLD].fetch_add(1, Ordering::Relaxed)),
        }
        self.words[LOCKED].fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.words[INSIDE].store(0, Ordering::Relaxed);
        self.lock.release().unwrap();
    }
}

// ---- the children

fn open(pid: &str, fd: &str) -> OwnedFd {
    File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).unwrap().into()
}

#[test]
#[ignore = "the other side of the test below, which starts it"]
fn child() {
    let Ok(orders) = std::env::var(ENV) else { return };
    fate::end_with_parent();
    let [pid, memory, commons, look, rest @ ..] = &orders.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    if *look == "look" {
        LockMemory::look_instead();
    }
    let names: Vec<Name> = rest.iter().map(|name| Name(name.parse().unwrap())).collect();
    let commons = Commons::open(open(pid, commons)).unwrap();
    let scene = Scene::at(LockMemory::open(open(pid, memory)).unwrap(), &commons, &names);
    let mut dice = Dice::new(u64::from(std::process::id()));
    while !scene.stop.is_set() {
        match dice.roll(8) {
            0..=3 => {
                scene.enter();
                dice.linger(10_000);
                scene.leave();
            }
            4 => match scene.lock.acquire(Some(Deadline::after(Duration::from_micros(dice.roll(200))))) {
                // Told or not: whoever was inside is as this one leaves it.
                Ok(acquired) => {
                    if acquired.died.is_some() {
                        scene.words[TOLD].fetch_add(1, Ordering::Relaxed);
                    }
                    scene.leave();
                }
                Err(WaitError::TimedOut) => {}
                Err(error) => panic!("{error}"),
            },
            5 => {
                scene.semaphore.acquire(late()).expect("no permit came back");
                dice.linger(10_000);
                scene.words[PERMITTED].fetch_add(1, Ordering::Relaxed);
                scene.semaphore.release(1).unwrap().unwrap();
            }
            6 => {
                scene.enter();
                let mut waiting = scene.condition.begin().unwrap();
                scene.leave();
                wait(&mut waiting, late()).expect("nobody notifies");
                scene.enter();
                assert!(waiting.end());
                scene.words[USED].fetch_add(1, Ordering::Relaxed);
                scene.leave();
            }
            _ => {
                let mut passing = scene.barrier.passing().unwrap();
                match passing.wait(late()).unwrap() {
                    Ok(passed) => {
                        if passed.last {
                            dice.linger(10_000);
                            let _ = passing.open();
                        }
                        scene.words[PASSED].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {
                        scene.enter();
                        if scene.barrier.is_broken().unwrap() {
                            scene.barrier.reset().unwrap();
                        }
                        scene.leave();
                    }
                }
            }
        }
    }
}

// ---- the parent

struct Parent {
    scene: Scene,
    commons: Arc<Commons>,
    names: [Name; 5],
    children: Vec<Child>,
    notified: u64,
}

impl Parent {
    fn start(&self, at: usize) -> Child {
        let look = if at == 0 { "look" } else { "told" };
        let fds = [self.scene.memory.fd().as_raw_fd(), self.commons.fd().as_raw_fd()];
        let names = self.names.map(|name| name.0.to_string()).join(" ");
        Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(ENV, format!("{} {} {} {look} {names}", std::process::id(), fds[0], fds[1]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Notifies one of those that wait, if any does.
    fn notify(&mut self) {
        if self.scene.condition.waiting() > 0 {
            self.scene.enter();
            self.notified += self.scene.condition.notify(1) as u64;
            self.scene.leave();
        }
    }

    fn seen(&self, what: usize) -> u64 {
        self.scene.words[what].load(Ordering::Relaxed)
    }

    /// Goes on until a child is inside of the lock, which it may have left in the next moment.
    fn aim(&mut self, at: usize) {
        let pid = u64::from(self.children[at].id());
        let began = Instant::now();
        while self.seen(INSIDE) != pid {
            self.notify();
            assert!(began.elapsed() < HANG, "it never gets the lock");
        }
    }

    /// Goes on until each of the counts has grown.
    fn watch(&mut self, what: &[usize]) {
        let before: Vec<u64> = what.iter().map(|at| self.seen(*at)).collect();
        let began = Instant::now();
        while what.iter().zip(&before).any(|(at, before)| self.seen(*at) == *before) {
            self.notify();
            assert!(began.elapsed() < HANG, "it stands still");
            for child in &mut self.children {
                assert_eq!(child.try_wait().unwrap(), None, "a child has given up");
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn killed_processes_stop_nobody() {
    let kills = fate::kills(1000);
    let memory = LockMemory::create(1024).unwrap();
    let commons = Commons::create(1 << 20).unwrap();
    let names = [
        Lock::create(&memory).unwrap().unwrap().name(),
        Semaphore::create(&memory, PERMITS, true).unwrap().unwrap().name(),
        Condition::create(&memory).unwrap().unwrap().name(),
        Barrier::create(&memory, CHILDREN as u32).unwrap().unwrap().name(),
        Event::create(&memory).unwrap().unwrap().name(),
    ];
    let scene = Scene::at(memory, &commons, &names);
    let mut parent = Parent { scene, commons, names, children: Vec::new(), notified: 0 };
    parent.children = (0..CHILDREN).map(|at| parent.start(at)).collect();
    let mut dice = Dice::of_test(0x706c_6169_7400_0002);
    parent.watch(&[LOCKED, PERMITTED, USED, PASSED]);
    for death in 0..kills {
        let at = dice.roll(CHILDREN as u64) as usize;
        if death % 3 == 0 {
            parent.aim(at);
        }
        dice.linger(if death % 3 == 0 { 2_000 } else { 100_000 });
        parent.children[at].kill().unwrap();
        parent.children[at].wait().unwrap();
        if death % 2 == 0 {
            // Whoever is left goes on without it; the lock goes to this process, too.
            parent.scene.enter();
            parent.scene.leave();
        }
        parent.children[at] = parent.start(at);
        parent.watch(if death % 10 == 0 { &[LOCKED, PERMITTED, USED, PASSED] } else { &[LOCKED] });
    }
    parent.scene.stop.set();
    let began = Instant::now();
    while parent.children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        parent.notify();
        parent.scene.barrier.abort().unwrap();
        assert!(began.elapsed() < HANG, "some do not hear that it is over");
        std::thread::yield_now();
    }
    assert!(parent.children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(parent.scene.semaphore.value().unwrap(), PERMITS);
    assert_eq!((parent.scene.condition.waiting(), parent.scene.lock.is_held()), (0, false));
    let (told, used) = (parent.seen(TOLD), parent.seen(USED));
    assert!(told <= kills as u64 && told > 0, "{told} deaths were told");
    assert!(used <= parent.notified && used + kills as u64 >= parent.notified);
    println!("locks: {kills} deaths, {told} of them with the lock; {used} of {} notifications used", parent.notified);
}
