//! Process descriptors.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use super::Linux;
use crate::system::ProcessWatch;

impl ProcessWatch for Linux {
    type Birth = ();

    fn own() -> io::Result<OwnedFd> {
        Self::watch((), getpid())
    }

    fn prepare() -> io::Result<()> {
        Ok(())
    }

    fn watch((): (), child: Pid) -> io::Result<OwnedFd> {
        Ok(pidfd_open(child, PidfdFlags::empty())?)
    }

    fn live((): ()) -> io::Result<OwnedFd> {
        Self::own()
    }

    fn find(pid: Pid) -> io::Result<Option<OwnedFd>> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    fn signal(process: BorrowedFd<'_>, _pid: Pid, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(process, signal) {
            Err(Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}
