//! The stack of a thread that is blocked in a system call: it lies still, and the kernel tells where.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::stop::{STACK_BYTES, copy_stack};
use super::{Copied, NoShot};
use crate::Pid;

/// A frame pointer that leads nowhere. Zero would say that there is no outer call.
const UNKNOWN: u64 = 1;

/// What the kernel says of a blocked thread, as it says it: the same words twice mean that it was blocked in between.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blocked {
    text: String,
    call: u64,
    sp: u64,
    ip: u64,
}

/// Copies the stack of a thread that is blocked in a system call, and tells which; `None` if it is not blocked.
pub(super) fn copy(pid: Pid, tid: Pid, buffer: &mut Vec<u8>) -> Result<Option<(u64, Copied)>, NoShot> {
    let Some(blocked) = look(pid, tid)? else { return Ok(None) };
    let mut stack = std::mem::take(buffer);
    stack.clear();
    stack.resize(STACK_BYTES, 0);
    copy_stack(pid, blocked.sp, &mut stack)
        .map_err(|error| NoShot::of_io(pid, tid, "copying the stack", &error.into()))?;
    let copied = Copied { ip: blocked.ip, sp: blocked.sp, bp: UNKNOWN, stack, ..Copied::default() };
    Ok((look(pid, tid)?.as_ref() == Some(&blocked)).then_some((blocked.call, copied)))
}

/// The system call that a thread is blocked in.
pub(super) fn call(pid: Pid, tid: Pid) -> Result<Option<u64>, NoShot> {
    Ok(look(pid, tid)?.map(|blocked| blocked.call))
}

fn look(pid: Pid, tid: Pid) -> Result<Option<Blocked>, NoShot> {
    let thread = format!("/proc/{pid}/task/{tid}");
    match fs::read_to_string(format!("{thread}/syscall")) {
        Ok(text) => Ok(Blocked::parse(text)),
        // Some kernels do not tell.
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new(&thread).exists() => Ok(None),
        Err(error) => Err(NoShot::of_io(pid, tid, "reading the system call", &error)),
    }
}

/// Whether the kernel ends such a call with EINTR when its thread is stopped and goes on, though no handler ran: waits that
/// are not begun anew, and those of sockets, which are not if the socket has a timeout. See signal(7).
pub(super) fn is_cut_short_by_a_stop(call: u64) -> bool {
    const EPOLL: [u64; 3] = [232, 281, 441];
    const SYSTEM_V: [u64; 4] = [65, 69, 70, 220];
    const SOCKET: [u64; 9] = [42, 43, 44, 45, 46, 47, 288, 299, 307];
    const SIGTIMEDWAIT: u64 = 128;
    const AIO: [u64; 3] = [208, 333, 426];
    EPOLL.contains(&call)
        || SYSTEM_V.contains(&call)
        || SOCKET.contains(&call)
        || AIO.contains(&call)
        || call == SIGTIMEDWAIT
}

impl Blocked {
    /// `202 0x7f… 0x80 … SP PC`: a call with its six arguments. `running` and `-1 SP PC` are none.
    fn parse(text: String) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [call, .., sp, ip] = words[..] else { return None };
        if words.len() != 9 {
            return None;
        }
        let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
        let (call, sp, ip) = (call.parse().ok()?, hex(sp)?, hex(ip)?);
        Some(Self { text, call, sp, ip })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_thread_is_told_from_others() {
        let text = "202 0x7f0011 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd10 0x7f2233\n".to_owned();
        let blocked = Blocked::parse(text).expect("a call");
        assert_eq!((blocked.call, blocked.sp, blocked.ip), (202, 0x7ffd10, 0x7f2233));
        for other in
            ["running\n", "-1 0x7ffd10 0x7f2233\n", "", "202 1 2 3 4 5 6 7 8", "-3 0x1 0x1 0x1 0x1 0x1 0x1 0x1 0x1"]
        {
            assert_eq!(Blocked::parse(other.to_owned()), None, "{other}");
        }
    }

    #[test]
    fn calls_that_begin_anew_may_be_stopped() {
        let [read, futex, clock_nanosleep, epoll_wait, semop] = [0, 202, 230, 232, 65];
        assert!(![read, futex, clock_nanosleep].into_iter().any(is_cut_short_by_a_stop));
        assert!([epoll_wait, semop].into_iter().all(is_cut_short_by_a_stop));
    }
}
