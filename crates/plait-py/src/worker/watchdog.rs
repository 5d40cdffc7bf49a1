//! A thread of each worker that needs no interpreter: it ends the process when the pool's owner ends.

use std::os::fd::OwnedFd;
use std::thread;

use plait_engine::native;
use pyo3::PyResult;
use pyo3::exceptions::PyOSError;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

/// Starts watching the process that `parent` is a descriptor of.
pub fn start(parent: OwnedFd) -> PyResult<()> {
    let thread = thread::Builder::new().name("plait-watchdog".into()).stack_size(64 << 10);
    native::spawn(thread, move || watch(&parent))
        .map_err(|error| PyOSError::new_err(format!("no thread to watch the parent: {error}")))?;
    Ok(())
}

/// Ends this process when its parent's ends, whatever the interpreter is doing.
fn watch(parent: &OwnedFd) {
    let mut fds = [PollFd::new(parent, PollFlags::IN)];
    while rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_ok() {
        if !fds[0].revents().is_empty() {
            // Not an exit: nothing of the interpreter may run any more, and nobody is left to ask how it ended.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
