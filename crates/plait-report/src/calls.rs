//! Names of the system calls that threads sleep in.
//!
//! Recordings hold numbers, and these are of one processor architecture: that of the machine that recorded, which is taken
//! to be of this machine's kind.

use std::borrow::Cow;

/// Name, number on x86-64, number on aarch64; -1 where there is no such call.
const CALLS: &[(&str, i32, i32)] = &[
    ("accept", 43, 202),
    ("accept4", 288, 242),
    ("clock_nanosleep", 230, 115),
    ("clone", 56, 220),
    ("clone3", 435, 435),
    ("close", 3, 57),
    ("connect", 42, 203),
    ("copy_file_range", 326, 285),
    ("epoll_pwait", 281, 22),
    ("epoll_pwait2", 441, 441),
    ("epoll_wait", 232, -1),
    ("execve", 59, 221),
    ("fallocate", 285, 47),
    ("fcntl", 72, 25),
    ("fdatasync", 75, 83),
    ("flock", 73, 32),
    ("fork", 57, -1),
    ("fstat", 5, 80),
    ("fsync", 74, 82),
    ("ftruncate", 77, 46),
    ("futex", 202, 98),
    ("futex_wait", 455, 455),
    ("futex_waitv", 449, 449),
    ("getdents64", 217, 61),
    ("getrandom", 318, 278),
    ("io_getevents", 208, 4),
    ("io_pgetevents", 333, 292),
    ("io_uring_enter", 426, 426),
    ("ioctl", 16, 29),
    ("lseek", 8, 62),
    ("madvise", 28, 233),
    ("mmap", 9, 222),
    ("mq_timedreceive", 243, 183),
    ("mq_timedsend", 242, 182),
    ("msgrcv", 70, 188),
    ("msgsnd", 69, 189),
    ("msync", 26, 227),
    ("munmap", 11, 215),
    ("nanosleep", 35, 101),
    ("newfstatat", 262, 79),
    ("open", 2, -1),
    ("openat", 257, 56),
    ("pause", 34, -1),
    ("poll", 7, -1),
    ("ppoll", 271, 73),
    ("pread64", 17, 67),
    ("preadv", 295, 69),
    ("pselect6", 270, 72),
    ("pwrite64", 18, 68),
    ("pwritev", 296, 70),
    ("read", 0, 63),
    ("readv", 19, 65),
    ("recvfrom", 45, 207),
    ("recvmmsg", 299, 243),
    ("recvmsg", 47, 212),
    ("restart_syscall", 219, 128),
    ("rt_sigsuspend", 130, 133),
    ("rt_sigtimedwait", 128, 137),
    ("sched_yield", 24, 124),
    ("select", 23, -1),
    ("semop", 65, 193),
    ("semtimedop", 220, 192),
    ("sendfile", 40, 71),
    ("sendmmsg", 307, 269),
    ("sendmsg", 46, 211),
    ("sendto", 44, 206),
    ("splice", 275, 76),
    ("stat", 4, -1),
    ("statx", 332, 291),
    ("sync_file_range", 277, 84),
    ("unlink", 87, -1),
    ("vfork", 58, -1),
    ("wait4", 61, 260),
    ("waitid", 247, 95),
    ("write", 1, 64),
    ("writev", 20, 66),
];

/// What a system call is called: `futex`, or `call 999` where it is none that threads are known to sleep in.
pub(crate) fn name(number: u16) -> Cow<'static, str> {
    let number = i32::from(number);
    let here = |&(_, x86, arm): &(&str, i32, i32)| if cfg!(target_arch = "aarch64") { arm } else { x86 };
    match CALLS.iter().find(|call| here(call) == number) {
        Some(&(name, ..)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("call {number}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_and_each_name_is_there_once() {
        for (place, one) in CALLS.iter().enumerate() {
            for other in &CALLS[place + 1..] {
                assert!(one.0 < other.0, "{} is out of order", other.0);
                assert!(one.1 != other.1 || one.1 < 0, "{} {}", one.0, other.0);
                assert!(one.2 != other.2 || one.2 < 0, "{} {}", one.0, other.0);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_have_names() {
        assert_eq!(name(202), "futex");
        assert_eq!(name(232), "epoll_wait");
        assert_eq!(name(65_535), "call 65535");
    }
}
