//! A thread of each worker that needs no interpreter: it ends the process when the pool's owner ends.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use plait_engine::native;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

/// Starts watching the process that `parent` is a descriptor of.
///
/// # Errors
/// The system's, if there is no thread to be had.
pub fn start(parent: OwnedFd) -> io::Result<()> {
    let thread = thread::Builder::new().name("plait-watchdog".into()).stack_size(64 << 10);
    native::spawn(thread, move || watch(&parent)).map(drop)
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
