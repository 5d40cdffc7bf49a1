//! Which system call means what: the numbers of x86-64, and the state of a thread that sleeps in one.

use plait_trace::State;

use super::seen::Target;

/// The call that all locks of user space sleep in, the GIL among them.
pub(super) const FUTEX: u16 = 202;
/// A call that goes on after a signal; its arguments are those of the call that was interrupted.
pub(super) const RESTART: u16 = 219;

/// What a thread waits for in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// This, whatever the arguments are.
    Always(State),
    /// What the descriptor in its first argument is.
    Descriptor,
    /// Nothing that is known.
    Unlisted,
}

/// Whether the first argument is a descriptor, and what it is matters.
pub(super) fn takes_descriptor(number: u16) -> bool {
    meaning(number) == Meaning::Descriptor
}

/// What a thread does that sleeps in this call.
///
/// A call that is not listed makes the state unknown: to call it a lock would be a guess, and calls in which threads sleep
/// for long are listed.
pub(super) fn resting(number: u16, target: Target) -> State {
    match (meaning(number), target) {
        (Meaning::Always(state), _) => state,
        (Meaning::Descriptor, Target::Socket) => State::Network,
        (Meaning::Descriptor, Target::File | Target::Pipe) => State::Disk,
        // An eventfd, a signalfd, an inotify: one of several things is waited for.
        (Meaning::Descriptor, Target::Other) => State::Poll,
        (Meaning::Descriptor, Target::None) | (Meaning::Unlisted, _) => State::Unknown,
    }
}

fn meaning(number: u16) -> Meaning {
    use Meaning::{Always, Descriptor, Unlisted};
    if !cfg!(target_arch = "x86_64") {
        return Unlisted;
    }
    match number {
        // poll, select, pselect6, ppoll, epoll_wait, epoll_wait_old, epoll_pwait, epoll_pwait2, io_uring_enter
        7 | 23 | 270 | 271 | 232 | 215 | 281 | 441 | 426
        // pause, rt_sigtimedwait, rt_sigsuspend: one of several signals
        | 34 | 128 | 130 => Always(State::Poll),
        // connect, accept, accept4, sendto, recvfrom, sendmsg, recvmsg, sendmmsg, recvmmsg, shutdown
        42 | 43 | 288 | 44 | 45 | 46 | 47 | 307 | 299 | 48
        // socket, bind, listen, setsockopt
        | 41 | 49 | 50 | 54 => Always(State::Network),
        // read, write, pread64, pwrite64, readv, writev, preadv, pwritev, preadv2, pwritev2
        0 | 1 | 17 | 18 | 19 | 20 | 295 | 296 | 327 | 328
        // close, ioctl, sendfile, splice, tee, vmsplice
        | 3 | 16 | 40 | 275 | 276 | 278 => Descriptor,
        // fsync, fdatasync, sync, syncfs, sync_file_range, msync, readahead, fadvise64, copy_file_range
        74 | 75 | 162 | 306 | 277 | 26 | 187 | 221 | 326
        // open, creat, openat, openat2, open_by_handle_at, name_to_handle_at
        | 2 | 85 | 257 | 437 | 304 | 303
        // stat, fstat, lstat, newfstatat, statx, access, faccessat, faccessat2, statfs, fstatfs
        | 4..=6 | 262 | 332 | 21 | 269 | 439 | 137 | 138
        // lseek, truncate, ftruncate, fallocate, getdents, getcwd … lchown, getdents64
        | 8 | 76..=94 | 285 | 217
        // mkdirat … faccessat, utimensat, utime, utimes, renameat2
        | 258..=268 | 280 | 132 | 235 | 316
        // mknod, chroot, mount, umount2, setxattr … fremovexattr
        | 133 | 161 | 165 | 166 | 188..=199
        // io_getevents, io_submit, io_pgetevents; execve, execveat
        | 208 | 209 | 333 | 59 | 322
        // msgsnd, msgrcv, mq_timedsend, mq_timedreceive: queues, which are much like pipes
        | 69 | 70 | 242 | 243 => Always(State::Disk),
        // nanosleep, clock_nanosleep, and whatever of the kind goes on after a signal
        35 | 230 | RESTART => Always(State::Sleep),
        // futex, futex_waitv, futex_wake, futex_wait, futex_requeue
        FUTEX | 449 | 454..=456
        // semop, semtimedop, flock, fcntl (which sleeps for record locks only), membarrier
        | 65 | 220 | 73 | 72 | 324
        // mmap, mprotect, munmap, brk, mremap, madvise, mlock … munlockall: the lock of the address space
        | 9..=12 | 25 | 28 | 149..=152 | 325 => Always(State::Lock),
        // wait4, waitid; clone, fork, vfork, clone3: until the child runs its program
        61 | 247 | 56 | 57 | 58 | 435 => Always(State::Child),
        _ => Unlisted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_python_sleeps_in_are_told_apart() {
        let state = |number| resting(number, Target::None);
        for (number, expected) in [
            (232, State::Poll),
            (281, State::Poll),
            (7, State::Poll),
            (23, State::Poll),
            (45, State::Network),
            (47, State::Network),
            (42, State::Network),
            (288, State::Network),
            (74, State::Disk),
            (257, State::Disk),
            (262, State::Disk),
            (82, State::Disk),
            (264, State::Disk),
            (35, State::Sleep),
            (230, State::Sleep),
            (202, State::Lock),
            (61, State::Child),
            (247, State::Child),
            (58, State::Child),
            (317, State::Unknown),
            (u16::MAX, State::Unknown),
        ] {
            assert_eq!(state(number), expected, "{number}");
        }
    }

    #[test]
    fn reading_depends_on_what_is_read() {
        for (target, expected) in [
            (Target::Socket, State::Network),
            (Target::File, State::Disk),
            (Target::Pipe, State::Disk),
            (Target::Other, State::Poll),
            (Target::None, State::Unknown),
        ] {
            assert!(takes_descriptor(0) && takes_descriptor(20));
            assert_eq!(resting(0, target), expected);
            assert_eq!(resting(20, target), expected);
        }
        assert!(!takes_descriptor(FUTEX) && !takes_descriptor(45));
    }

    #[test]
    fn no_call_makes_a_thread_run_or_have_a_gil() {
        for number in 0..=u16::MAX {
            for target in [Target::Socket, Target::File, Target::Pipe, Target::Other, Target::None] {
                let state = resting(number, target);
                assert!(state.is_blocked() || state == State::Unknown, "{number}");
            }
        }
    }
}
