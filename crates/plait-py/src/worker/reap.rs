//! Taking a worker that has ended out of the process table, with the figures of what it used.

use std::io;

use plait_engine::nursery::{Exit, Reaped};

/// Waits for the child `pid` of this process.
///
/// # Errors
/// `ECHILD` if it is no child of this process, or something else has waited for it.
pub fn reap(pid: i32) -> io::Result<Reaped> {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`, which holds nothing but integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both point to locals of the types that the call fills in.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let exit = if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Unknown
    };
    // In KiB.
    let peak = u64::try_from(usage.ru_maxrss).ok().filter(|&peak| peak > 0).map(|peak| peak << 10);
    Ok(Reaped { exit, peak })
}
