//! A forked child and the locks of its parent: it takes part by itself, and its end is not its parent's.

// Neither the models nor Miri have processes.
#![cfg(not(any(loom, miri)))]

use plait_shm::{Lock, LockMemory, Semaphore};

#[test]
fn a_forked_child_holds_and_dies_by_itself() {
    let memory = LockMemory::create(64).unwrap();
    let [theirs, mine] = [0; 2].map(|_| Lock::create(&memory).unwrap().unwrap());
    let semaphore = Semaphore::create(&memory, 2, true).unwrap().unwrap();
    assert!(mine.try_acquire().unwrap().is_some() && semaphore.try_acquire().unwrap());
    // SAFETY: the child does what a program that forks while it has threads may do here at all: the C library sees to its own
    // locks, nothing else of this process holds any, and it ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let took = theirs.try_acquire().is_ok_and(|acquired| acquired.is_some());
        let refused = mine.try_acquire().is_ok_and(|acquired| acquired.is_none());
        let permit = semaphore.try_acquire().unwrap_or(false);
        // What it makes is another than what its parent makes.
        let own = Lock::create(&memory).is_ok_and(|own| own.is_some_and(|own| own.name() != theirs.name()));
        let right = took && refused && permit && own;
        // SAFETY: nothing is left to be done.
        unsafe { libc::_exit(if right { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the child is this process's, and the status its own variable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child saw something else");
    let died = theirs.acquire(None).unwrap().died.expect("the child died with the lock");
    assert!(died.pid.is_none_or(|pid| pid == child as u32));
    assert!(mine.is_held(), "the parent lives");
    assert_eq!(semaphore.value().unwrap(), 1);
}
