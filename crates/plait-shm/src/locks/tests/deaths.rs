//! Deaths of real processes at moments that a test chooses.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::super::permits::SemaphoreWords;
use super::*;
use crate::sync::Place;

const ENV: &str = "PLAIT_TEST_IN_THE_GUARD";

/// Takes the guard of a semaphore, and keeps it.
#[test]
#[ignore = "the other side of the test below, which starts it"]
fn child() {
    let Ok(orders) = std::env::var(ENV) else { return };
    let [pid, memory, name] = orders.split(' ').map(|word| word.parse().unwrap()).collect::<Vec<u64>>()[..] else {
        panic!("{orders}")
    };
    let fd = File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{memory}")).unwrap();
    let memory = LockMemory::open(fd.into()).unwrap();
    let words: Place<SemaphoreWords> = memory.inside().at(Name(name).line());
    words.die_taking(memory.roster(), memory.me().unwrap(), 0);
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The only keeper sees to one death, and needs what another process has, which dies only then.
#[test]
#[cfg_attr(any(miri, acted), ignore = "processes")]
fn a_keeper_that_waits_for_a_guard_hears_of_its_holders_death() {
    let memory = memory();
    let semaphore = Semaphore::create(&memory, 2, true).unwrap().unwrap();
    let words: Place<SemaphoreWords> = memory.inside().at(semaphore.name().line());
    let other = theirs(&memory);
    let same = Semaphore::at(&other, semaphore.name()).unwrap().unwrap();
    assert!(same.try_acquire().unwrap());
    let orders = format!("{} {} {}", std::process::id(), memory.fd().as_raw_fd(), semaphore.name().0);
    let holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "locks::tests::deaths::child", "--ignored"])
        .env(ENV, orders)
        .stdout(Stdio::null())
        .spawn()
        .map(Killed)
        .unwrap();
    until(|| words.guard.holder().is_some());
    // Its keeper sees to nothing.
    kill_process(Pid::from_child(&holder.0), Signal::STOP).unwrap();
    let left = std::thread::spawn(|| drop((same, other)));
    // Only with the books open does it look at the semaphore, for whose guard it waits.
    let me = memory.me().unwrap();
    until(|| memory.inside().books.guarded_by() == Some(me));
    std::thread::sleep(Duration::from_millis(5));
    drop(holder);
    for _ in 0..2 {
        semaphore.acquire(late()).unwrap();
    }
    left.join().unwrap();
}
