//! What both implementations promise, with real files, processes and signals.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use rustix::time::Timespec;

use super::{Deaths, Files, ForkWord, ProcessWatch, WakeUps, Will, calls};
use crate::locks::{DIED, WATCHED};
use crate::segment::Segment;
use crate::sync::{AtomicU32, Futex, Ordering, Place, Slept, now};

/// Runs each promise as a test of both.
macro_rules! promises {
    ($($linux:ident and $portable:ident: $($promise:ident)*;)*) => {
        mod linux {
            $($(#[test] fn $promise() { super::$promise::<crate::system::linux::$linux>(); })*)*
        }
        mod portable {
            $($(#[test] fn $promise() { super::$promise::<crate::system::portable::$portable>(); })*)*
        }
    };
}

promises! {
    Linux and Portable:
        files_have_no_name_and_keep_what_is_written
        what_lies_outside_is_refused
        what_was_asked_for_has_memory
        a_sleeper_is_woken_by_another_process
        a_sleep_ends_in_time
        a_sleep_on_a_changed_word_ends_at_once
        one_of_several_words_is_enough
        a_signal_ends_a_sleep
        a_killed_process_is_marked_and_a_living_one_is_not
        a_killed_process_hangs_up
        a_process_that_left_a_child_hangs_up_nevertheless
        a_signal_reaches_its_process
        an_orphan_is_found_or_has_ended
    ;
    Wiped and OfFork:
        a_word_is_empty_in_a_child
    ;
}

/// A forked child, killed and waited for at the end.
struct Forked(Pid);

impl Forked {
    /// Runs `child` in a new process, and keeps that until it is killed.
    fn new(child: impl FnOnce()) -> Self {
        // SAFETY: each test has a process of its own, whose other threads hold no lock that the child takes: they wait for the test.
        match unsafe { libc::fork() } {
            0 => {
                child();
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            pid => Self(Pid::from_raw(pid).expect("the system forks")),
        }
    }

    /// Kills it; it is a zombie then.
    fn kill(&self) {
        kill_process(self.0, Signal::KILL).unwrap();
    }

    fn wait_for_its_end(self) {
        drop(self);
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

/// Words that forked children share, whatever is tested.
fn words() -> (Arc<Segment>, Place<Futex>, Place<AtomicU32>) {
    let segment = Arc::new(Segment::create("plait-test", 4096).unwrap().0);
    let (word, other) = (Place::new(&segment, 64), Place::new(&segment, 128));
    (segment, word, other)
}

/// Waits until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let end = now() + 20_000_000_000;
    while !is_so() {
        assert!(now() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn soon(nanoseconds: u64) -> Option<u64> {
    Some(now() + nanoseconds)
}

fn file<S: Files>(len: u64) -> OwnedFd {
    let file = S::create("plait-test").unwrap();
    calls::ftruncate(&file, len).unwrap();
    S::seal(file.as_fd()).unwrap();
    file
}

fn files_have_no_name_and_keep_what_is_written<S: Files>() {
    let file = file::<S>(1 << 30);
    assert!(S::is_sealed(file.as_fd()));
    assert!(!S::is_sealed(std::fs::File::open(std::env::current_exe().unwrap()).unwrap().as_fd()));
    assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(rustix::fs::fstat(&file).unwrap().st_nlink, 0);
    let bytes: Vec<u8> = (0..20_000_u32).map(|at| ((at * 7) >> 3) as u8).collect();
    for offset in [0, 4096, 70_001, (1 << 30) - 20_000] {
        S::write(file.as_fd(), &bytes, offset).unwrap();
        let mut read = vec![0; bytes.len()];
        S::read(file.as_fd(), &mut read, offset).unwrap();
        assert!(read == bytes, "at {offset}");
    }
    // What another mapping shows, and a hole.
    let segment = Arc::new(Segment::part(&file, 0, 8192).unwrap());
    assert_eq!(Place::<AtomicU32>::new(&segment, 4096).load(Ordering::Relaxed).to_ne_bytes(), bytes[..4]);
    let mut hole = [1; 64];
    S::read(file.as_fd(), &mut hole, 1 << 29).unwrap();
    assert_eq!(hole, [0; 64]);
}

fn what_lies_outside_is_refused<S: Files>() {
    let file = file::<S>(8192);
    assert!(S::read(file.as_fd(), &mut [0; 2], 8191).is_err());
    assert!(S::read(file.as_fd(), &mut [0; 1], u64::MAX).is_err());
    assert!(S::write(file.as_fd(), &[0; 2], u64::MAX).is_err());
    S::read(file.as_fd(), &mut [], 8192).unwrap();
}

fn what_was_asked_for_has_memory<S: Files>() {
    let file = file::<S>(1 << 40);
    S::fill(file.as_fd(), 65536, 65536).unwrap();
    let resident = || rustix::fs::fstat(&file).unwrap().st_blocks * 512;
    assert_eq!(resident(), 65536);
    S::write(file.as_fd(), &[7; 4096], 65536).unwrap();
    let gave = S::punch(file.as_fd(), 65536, 65536);
    let mut first = [0];
    S::read(file.as_fd(), &mut first, 65536).unwrap();
    assert_eq!((first[0], resident()), if gave { (0, 0) } else { (7, 65536) });
}

fn a_sleeper_is_woken_by_another_process<S: WakeUps>() {
    let (_segment, word, asleep) = words();
    let child = Forked::new(|| {
        while asleep.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20));
        word.store(1, Ordering::Release);
        S::wake(&word, 1);
    });
    asleep.store(1, Ordering::Release);
    while word.load(Ordering::Acquire) == 0 {
        assert_ne!(S::sleep(&word, 0, soon(20_000_000_000)), Slept::TimedOut);
    }
    child.wait_for_its_end();
}

fn a_sleep_ends_in_time<S: WakeUps>() {
    let (_segment, word, _) = words();
    for ahead in [0, 1, 3_000_000] {
        let end = now() + ahead;
        while S::sleep(&word, 0, Some(end)) != Slept::TimedOut {}
        assert!(now() >= end);
    }
}

fn a_sleep_on_a_changed_word_ends_at_once<S: WakeUps>() {
    let (_segment, word, _) = words();
    assert_eq!(S::sleep(&word, 1, None), Slept::Woken);
    assert_eq!(S::sleep_any(&[(&word, 1)], None), Slept::Woken);
}

fn one_of_several_words_is_enough<S: WakeUps>() {
    let (segment, word, _) = words();
    let many: Vec<Place<Futex>> = (3..53).map(|line| Place::new(&segment, line * 64)).collect();
    let child = Forked::new(|| {
        std::thread::sleep(Duration::from_millis(20));
        many[40].store(1, Ordering::Release);
        S::wake(&many[40], 1);
    });
    let list: Vec<(&Futex, u32)> =
        [&*word].into_iter().chain(many.iter().map(|word| &**word)).map(|word| (word, 0)).collect();
    while many[40].load(Ordering::Acquire) == 0 {
        assert_ne!(S::sleep_any(&list, soon(20_000_000_000)), Slept::TimedOut);
    }
    drop(child);
    assert_eq!(S::sleep_any(&[(&word, 0)], soon(1_000_000)), Slept::TimedOut);
}

extern "C" fn nothing(_: libc::c_int) {}

fn a_signal_ends_a_sleep<S: WakeUps>() {
    let (_segment, word, _) = words();
    // SAFETY: a handler that does nothing, without SA_RESTART, and a mask that lets everything in.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
    }
    // SAFETY: the calling thread's own id.
    let thread = unsafe { libc::pthread_self() };
    let sender = std::thread::spawn(move || {
        for _ in 0..2_000 {
            std::thread::sleep(Duration::from_millis(1));
            // SAFETY: the thread lives until it has joined this one.
            unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
        }
    });
    let end = soon(2_000_000_000);
    let mut interrupted = false;
    while !interrupted && now() < end.unwrap() {
        interrupted = S::sleep(&word, 0, end) == Slept::Interrupted;
    }
    assert!(interrupted);
    sender.join().unwrap();
}

fn a_killed_process_is_marked_and_a_living_one_is_not<S: Deaths>() {
    let (_segment, word, told) = words();
    let child = Forked::new(|| {
        let will = S::Will::make(Some(&word), None).unwrap();
        word.store(will.life() | WATCHED, Ordering::Release);
        told.store(1, Ordering::Release);
        std::mem::forget(will);
    });
    until(|| told.load(Ordering::Acquire) == 1);
    S::look(&word);
    let life = word.load(Ordering::Relaxed);
    assert_eq!(life & (DIED | WATCHED), WATCHED);
    child.kill();
    // While it is a zombie.
    until(|| {
        S::look(&word);
        word.load(Ordering::Acquire) != life
    });
    assert_eq!(word.load(Ordering::Relaxed), DIED | WATCHED);
    child.wait_for_its_end();
    // Of nobody.
    for nobody in [0, DIED, DIED | WATCHED] {
        word.store(nobody, Ordering::Relaxed);
        S::look(&word);
        assert_eq!(word.load(Ordering::Relaxed), nobody);
    }
}

fn a_word_is_empty_in_a_child<W: ForkWord>() {
    let own = W::new().unwrap();
    assert_eq!(own.load(), 0);
    assert!(own.claim(7));
    assert!(!own.claim(8));
    own.store(9);
    let (_segment, told, second) = words();
    let child = Forked::new(|| {
        let empty = own.load() == 0 && own.claim(3) && own.load() == 3 && !own.claim(4);
        told.store(if empty { 1 } else { 2 }, Ordering::Release);
        own.store(5);
        second.store(own.load(), Ordering::Release);
    });
    until(|| second.load(Ordering::Acquire) != 0);
    assert_eq!((told.load(Ordering::Relaxed), second.load(Ordering::Relaxed)), (1, 5));
    assert_eq!(own.load(), 9);
    child.wait_for_its_end();
}

fn has_hung_up(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
}

fn a_killed_process_hangs_up<S: ProcessWatch>() {
    let birth = S::prepare().unwrap();
    // A forked child has both, as the nursery's have.
    let mut birth = Some(birth);
    let child = Forked::new(|| std::mem::forget(S::live(birth.take().unwrap()).unwrap()));
    let process = S::watch(birth.take().unwrap(), child.0).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(!has_hung_up(&process));
    child.kill();
    until(|| has_hung_up(&process));
    S::signal(process.as_fd(), child.0, Signal::TERM).unwrap();
}

fn a_process_that_left_a_child_hangs_up_nevertheless<S: ProcessWatch>() {
    let (_segment, word, other) = words();
    let mut birth = Some(S::prepare().unwrap());
    let child = Forked::new(|| {
        std::mem::forget(S::live(birth.take().unwrap()).unwrap());
        let grandchild = Forked::new(|| {});
        word.store(grandchild.0.as_raw_nonzero().get().cast_unsigned(), Ordering::Release);
        std::mem::forget(grandchild);
    });
    let process = S::watch(birth.take().unwrap(), child.0).unwrap();
    until(|| word.load(Ordering::Acquire) != 0);
    assert!(!has_hung_up(&process));
    child.kill();
    until(|| has_hung_up(&process));
    let grandchild = Pid::from_raw(word.load(Ordering::Relaxed).cast_signed()).unwrap();
    kill_process(grandchild, Signal::KILL).unwrap();
    let _ = other;
    // A process's own end is seen by those that it has told.
    let own = S::own().unwrap();
    assert!(!has_hung_up(&own));
}

fn a_signal_reaches_its_process<S: ProcessWatch>() {
    let mut birth = Some(S::prepare().unwrap());
    let child = Forked::new(|| std::mem::forget(S::live(birth.take().unwrap()).unwrap()));
    let process = S::watch(birth.take().unwrap(), child.0).unwrap();
    S::signal(process.as_fd(), child.0, Signal::KILL).unwrap();
    until(|| has_hung_up(&process));
    let (_, status) = waitpid(Some(child.0), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.terminating_signal(), Some(9));
    // The id may be another's by now.
    S::signal(process.as_fd(), getpid(), Signal::KILL).unwrap();
    std::mem::forget(child);
}

fn an_orphan_is_found_or_has_ended<S: ProcessWatch>() {
    let child = Forked::new(|| {});
    match S::find(child.0) {
        Ok(found) => assert!(!has_hung_up(&found.unwrap())),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    }
    let pid = child.0;
    child.wait_for_its_end();
    assert!(S::find(pid).unwrap().is_none());
}
