//! Pipes whose writing end one process has alone: when it has ended, however, the reading ends hang up.
//!
//! A child that is forked would have it, too, and so closes it (see `forks`); over an exec it is closed in any case.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::Timespec;

use super::Portable;
use super::deaths::has_ended;
use super::forks::{keep_pipe, own_pipe};
use crate::system::ProcessWatch;

/// The pipe that a child will have for its own: reading, writing.
#[derive(Debug)]
pub struct Birth(OwnedFd, OwnedFd);

impl ProcessWatch for Portable {
    type Birth = Birth;

    fn own() -> io::Result<OwnedFd> {
        if own_pipe().is_none() {
            keep_pipe(pipe()?)?;
        }
        let read = own_pipe().ok_or(io::ErrorKind::NotFound)?;
        // SAFETY: this process keeps the descriptor until it ends.
        let read = unsafe { BorrowedFd::borrow_raw(read) };
        Ok(fcntl_dupfd_cloexec(read, 0)?)
    }

    fn prepare() -> io::Result<Birth> {
        let (read, write) = pipe()?;
        Ok(Birth(read, write))
    }

    fn watch(Birth(read, write): Birth, _child: Pid) -> io::Result<OwnedFd> {
        drop(write);
        Ok(read)
    }

    fn live(Birth(read, write): Birth) -> io::Result<OwnedFd> {
        keep_pipe((read, write))?;
        Self::own()
    }

    fn find(pid: Pid) -> io::Result<Option<OwnedFd>> {
        if has_ended(pid) { Ok(None) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Another process could have the id only if this one ends, is waited for, and the system comes round to it between the two steps.
    fn signal(process: BorrowedFd<'_>, pid: Pid, signal: Signal) -> io::Result<()> {
        let mut fds = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0 {
            return Ok(());
        }
        match kill_process(pid, signal) {
            Err(Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}

/// A pipe that does not outlive an exec.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = std::io::pipe()?;
    Ok((read.into(), write.into()))
}
