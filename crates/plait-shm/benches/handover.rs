//! What it takes to hand something over between two processes, and to hear that one has died: `cargo bench -p plait-shm
//! --bench handover`.
//!
//! Prints medians and ranges in microseconds. The other process is this program, started anew.

use std::fs::File;
use std::hint::black_box;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plait_shm::{Lock, LockMemory, Name, Semaphore};

const ENV: &str = "PLAIT_HANDOVER_CHILD";
const ROUNDS: usize = 21;
const HANDOVERS: u32 = 4_000;

/// What both processes have.
struct Scene {
    memory: Arc<LockMemory>,
    ping: Semaphore,
    pong: Semaphore,
    lock: Lock,
}

impl Scene {
    fn create() -> Self {
        let memory = LockMemory::create(256).unwrap();
        let semaphore = || Semaphore::create(&memory, 0, false).unwrap().unwrap();
        Self { ping: semaphore(), pong: semaphore(), lock: Lock::create(&memory).unwrap().unwrap(), memory }
    }

    fn start(&self, role: &str) -> Child {
        let names = [self.ping.name(), self.pong.name(), self.lock.name()].map(|name| name.0.to_string()).join(" ");
        let fd = self.memory.fd().as_raw_fd();
        Command::new(std::env::current_exe().unwrap())
            .env(ENV, format!("{role} {} {fd} {names}", std::process::id()))
            .spawn()
            .unwrap()
    }
}

fn child(orders: &str) {
    let [role, pid, fd, names @ ..] = &orders.split(' ').collect::<Vec<_>>()[..] else { panic!() };
    let fd: OwnedFd = File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).unwrap().into();
    let memory = LockMemory::open(fd).unwrap();
    let names: Vec<Name> = names.iter().map(|name| Name(name.parse().unwrap())).collect();
    let [ping, pong] = [0, 1].map(|at| Semaphore::at(&memory, names[at]).unwrap().unwrap());
    let lock = Lock::at(&memory, names[2]).unwrap().unwrap();
    let ballast = vec![1_u8; if *role == "large" { 512 << 20 } else { 1 }];
    match *role {
        "echo" => loop {
            ping.acquire(None).unwrap();
            pong.release(1).unwrap().unwrap();
        },
        "rival" => {
            pong.release(1).unwrap().unwrap();
            loop {
                let _ = lock.acquire(None).unwrap();
                lock.release().unwrap();
            }
        }
        _ => {
            let _ = lock.acquire(None).unwrap();
            pong.release(1).unwrap().unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
    }
    black_box(ballast);
}

fn print(name: &str, mut rounds: Vec<f64>) {
    rounds.sort_by(f64::total_cmp);
    println!("{name:<60} {:>9.2}   {:.2}–{:.2}", rounds[rounds.len() / 2], rounds[0], rounds[rounds.len() - 1]);
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// From the kill of a holder to the lock being this process's.
fn death(role: &str) -> f64 {
    let scene = Scene::create();
    let mut holder = scene.start(role);
    scene.pong.acquire(None).unwrap();
    let lock = scene.lock.clone();
    let waiter = std::thread::spawn(move || {
        assert!(lock.acquire(None).unwrap().died.is_some());
        Instant::now()
    });
    std::thread::sleep(Duration::from_millis(20));
    let began = Instant::now();
    holder.kill().unwrap();
    let heard = waiter.join().unwrap();
    holder.wait().unwrap();
    (heard - began).as_nanos() as f64 / 1e3
}

fn main() {
    if let Ok(orders) = std::env::var(ENV) {
        return child(&orders);
    }
    println!("{:<60} {:>9}   range", "", "µs");
    let scene = Scene::create();
    let echo = scene.start("echo");
    let round = || {
        let began = Instant::now();
        for _ in 0..HANDOVERS / 2 {
            scene.ping.release(1).unwrap().unwrap();
            scene.pong.acquire(None).unwrap();
        }
        began.elapsed().as_nanos() as f64 / 1e3 / f64::from(HANDOVERS)
    };
    print("a permit to another process that waits for it", (0..ROUNDS).map(|_| round()).collect());
    end(echo);
    let rival = scene.start("rival");
    scene.pong.acquire(None).unwrap();
    let round = || {
        let began = Instant::now();
        for _ in 0..HANDOVERS {
            let _ = scene.lock.acquire(None).unwrap();
            scene.lock.release().unwrap();
        }
        began.elapsed().as_nanos() as f64 / 1e3 / f64::from(HANDOVERS)
    };
    print("a lock that another process takes again and again", (0..ROUNDS).map(|_| round()).collect());
    end(rival);
    print("the lock of a process that was killed", (0..ROUNDS).map(|_| death("small")).collect());
    print("the same, of one with 512 MiB", (0..5).map(|_| death("large")).collect());
}
