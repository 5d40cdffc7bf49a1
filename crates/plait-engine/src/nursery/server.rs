//! The nursery's own side: a single-threaded process that does nothing but fork workers and reap them.
//!
//! The loop belongs to the binding, because only it can fork an interpreter; what it needs for that is here. The
//! nursery ends when its parent does, and never starts a thread: what it forks must be clean.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use plait_trace::WorkerId;

use super::protocol::{self, Exit, Report, Request};

/// The nursery's state between two forks.
#[derive(Debug)]
pub struct Server {
    socket: OwnedFd,
    parent: OwnedFd,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    key: u64,
    process: OwnedFd,
}

/// A worker that shall be forked now.
#[derive(Debug)]
pub struct Order {
    /// The parent's name for it; its low 16 bits are the worker's number in its pool.
    pub key: u64,
    /// The descriptors it gets, in the order the parent sent them.
    pub fds: Vec<OwnedFd>,
}

/// What the nursery is to do next.
#[derive(Debug)]
pub enum Next {
    /// Fork this worker.
    Order(Order),
    /// Nothing for now.
    Idle,
    /// End: the parent has gone, or wants no more workers.
    Over,
}

/// Whether the parent asked, whether it has gone, which children have ended.
type Seen = (bool, bool, Vec<usize>);

impl Order {
    /// Which worker of its pool it will be.
    pub fn worker(&self) -> WorkerId {
        WorkerId(self.key as u16)
    }
}

impl Server {
    /// Takes the socket to the parent and waits for its first message.
    pub fn start(socket: OwnedFd) -> io::Result<Self> {
        match protocol::recv_request(&socket)? {
            Some((Request::Hello, mut fds)) if fds.len() == 1 => {
                Ok(Self { socket, parent: fds.remove(0), children: Vec::new() })
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the first message was no greeting")),
        }
    }

    /// Waits for the next order, reaping workers meanwhile, up to `idle` if given.
    pub fn next_order(&mut self, idle: Option<Duration>) -> io::Result<Next> {
        loop {
            let Some((asked, parent_gone, ended)) = self.wait(idle)? else { return Ok(Next::Idle) };
            for at in ended.into_iter().rev() {
                self.reap(at)?;
            }
            if parent_gone {
                return Ok(Next::Over);
            }
            if asked {
                return Ok(match protocol::recv_request(&self.socket)? {
                    Some((Request::Fork { key }, fds)) => Next::Order(Order { key, fds }),
                    Some((Request::Hello, _)) => return Err(io::ErrorKind::InvalidData.into()),
                    None => Next::Over,
                });
            }
        }
    }

    /// Tells the parent of a new worker and watches over it.
    pub fn forked(&mut self, key: u64, pid: i32) -> io::Result<()> {
        let id = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        // Not reaped yet, so the id cannot have been given to another process.
        let process = pidfd_open(id, PidfdFlags::empty())?;
        protocol::send_report(&self.socket, Report::Forked { key, pid }, &[process.as_fd()])?;
        self.children.push(Child { key, process });
        Ok(())
    }

    /// Tells the parent that the system would not fork.
    pub fn failed(&mut self, key: u64, errno: i32) -> io::Result<()> {
        protocol::send_report(&self.socket, Report::Failed { key, errno }, &[])
    }

    /// In a new worker: closes everything of the nursery's but the process descriptor of the pool's owner.
    pub fn into_parent(self) -> OwnedFd {
        self.parent
    }

    fn wait(&self, idle: Option<Duration>) -> io::Result<Option<Seen>> {
        let timeout = idle.map(|idle| Timespec { tv_sec: idle.as_secs() as i64, tv_nsec: idle.subsec_nanos().into() });
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.parent, PollFlags::IN)];
        fds.extend(self.children.iter().map(|child| PollFd::new(&child.process, PollFlags::IN)));
        if rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))? == 0 {
            return Ok(None);
        }
        let ended = (0..self.children.len()).filter(|at| !fds[at + 2].revents().is_empty()).collect();
        Ok(Some((!fds[0].revents().is_empty(), !fds[1].revents().is_empty(), ended)))
    }

    fn reap(&mut self, at: usize) -> io::Result<()> {
        let child = self.children.swap_remove(at);
        let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(child.process.as_fd()), WaitIdOptions::EXITED))?;
        let exit = match status {
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            },
            None => Exit::Unknown,
        };
        match protocol::send_report(&self.socket, Report::Ended { key: child.key, exit }, &[]) {
            // The parent went meanwhile: the next look at its descriptor says so.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}
