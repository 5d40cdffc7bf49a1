//! The nursery's own side: a single-threaded process that does nothing but fork workers and reap them.
//!
//! The loop belongs to the binding, because only it can fork an interpreter; what it needs for that is here. The
//! nursery ends when its parent does, and never starts a thread: what it forks must be clean.
//!
//! It keeps one descriptor per worker. What it cannot do for want of descriptors or memory it says, and goes on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, kill_process};

use plait_shm::{Platform, ProcessWatch};
use plait_trace::WorkerId;

use super::protocol::{self, Exit, Received, Report, Request};

/// The nursery's state between two forks.
#[derive(Debug)]
pub struct Server {
    socket: OwnedFd,
    parent: OwnedFd,
    children: Vec<Child>,
    /// Where workers ask for something, and their end of it.
    asked: OwnedFd,
    pub(super) upward: Upward,
}

/// A worker's way to its nursery, which passes on what it asks.
#[derive(Debug)]
pub struct Upward(OwnedFd);

impl Upward {
    /// Asks the pool's owner for the terminal, and for talking about it over `socket`, of which this is the other end.
    ///
    /// # Errors
    /// The system's; `BrokenPipe` where the nursery has ended.
    pub fn ask_terminal(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        protocol::send_report(&self.0, Report::Terminal, &[socket])
    }
}

#[derive(Debug)]
struct Child {
    key: u64,
    pid: Pid,
    process: OwnedFd,
}

/// A worker that shall be forked now.
#[derive(Debug)]
pub struct Order {
    /// The parent's name for it; its low 16 bits are the worker's number in its pool.
    pub key: u64,
    /// The descriptors it gets, in the order the parent sent them.
    pub fds: Vec<OwnedFd>,
    /// What it will be watched by.
    pub(super) birth: Birth,
}

pub(super) type Birth = <Platform as ProcessWatch>::Birth;

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

/// What is known of a process that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// How it ended.
    pub exit: Exit,
    /// The most memory it ever had resident, in bytes.
    pub peak: Option<u64>,
}

/// Waits for the child with this process id and takes it out of the process table: `wait4`, the one call that tells
/// how much memory a single child used, and which only the binding may make.
pub type Reap<'a> = &'a dyn Fn(i32) -> io::Result<Reaped>;

/// Whether the parent asked, whether it has gone, whether a worker asked, which children have ended.
type Seen = (bool, bool, bool, Vec<usize>);

impl Order {
    /// Which worker of its pool it will be.
    pub fn worker(&self) -> WorkerId {
        WorkerId(self.key as u16)
    }
}

impl Server {
    /// Takes the socket to the parent and waits for its first message; `None` when the parent has gone before it.
    pub fn start(socket: OwnedFd) -> io::Result<Option<Self>> {
        match protocol::recv_request(&socket)? {
            Some(Received { message: Request::Hello, mut fds, .. }) if fds.len() == 1 => {
                let (asked, upward) = protocol::pair()?;
                let (parent, children, upward) = (fds.remove(0), Vec::new(), Upward(upward));
                Ok(Some(Self { socket, parent, children, asked, upward }))
            }
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the first message was no greeting")),
            None => Ok(None),
        }
    }

    /// Waits for the next order, up to `idle` if given; reaps workers and passes signals on meanwhile.
    pub fn next_order(&mut self, idle: Option<Duration>, reap: Reap<'_>) -> io::Result<Next> {
        loop {
            let Some((asked, parent_gone, wanted, ended)) = self.wait(idle)? else { return Ok(Next::Idle) };
            for at in ended.into_iter().rev() {
                let child = self.children.swap_remove(at);
                self.tell_end(child.key, child.pid, reap)?;
            }
            if parent_gone {
                return Ok(Next::Over);
            }
            if wanted {
                self.pass_on()?;
            }
            if !asked {
                continue;
            }
            match protocol::recv_request(&self.socket)? {
                None => return Ok(Next::Over),
                Some(Received { message: Request::Hello, .. }) => return Err(io::ErrorKind::InvalidData.into()),
                Some(Received { message: Request::Signal { key, signal }, .. }) => self.signal(key, signal),
                Some(Received { message: Request::Fork { key }, truncated: true, fds }) => {
                    drop(fds);
                    self.failed(key, Errno::MFILE.raw_os_error())?;
                }
                Some(Received { message: Request::Fork { key }, fds, .. }) => match Platform::prepare() {
                    Ok(birth) => return Ok(Next::Order(Order { key, fds, birth })),
                    Err(error) => self.failed(key, error.raw_os_error().unwrap_or(Errno::NOMEM.raw_os_error()))?,
                },
            }
        }
    }

    /// In the nursery, which has carried the order out: watches over the new worker, which reports itself. The order's
    /// descriptors are the worker's alone from now on.
    pub fn forked(&mut self, order: Order, pid: i32, reap: Reap<'_>) -> io::Result<()> {
        let Order { key, fds, birth } = order;
        drop(fds);
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        // Not reaped yet, so the id cannot have been given to another process.
        match Platform::watch(birth, pid) {
            Ok(process) => {
                self.children.push(Child { key, pid, process });
                Ok(())
            }
            // A worker that nobody watches over must not live.
            Err(_) => {
                let _ = kill_process(pid, Signal::KILL);
                self.tell_end(key, pid, reap)
            }
        }
    }

    /// Tells the parent that the system would not fork.
    pub fn failed(&mut self, key: u64, errno: i32) -> io::Result<()> {
        self.tell(Report::Failed { key, errno })
    }

    /// In a new worker: lets go of everything of the nursery's, has it get ready, and tells the parent that it lives, or
    /// which error of the system keeps it from that. `ready` is given the process descriptor of the pool's owner and the order's
    /// descriptors. `None`: end, without a word, since the parent was told, or has gone.
    ///
    /// # Errors
    /// What `ready` says that is no error of the system.
    pub fn into_worker(
        self,
        order: Order,
        ready: impl FnOnce(OwnedFd, Vec<OwnedFd>) -> io::Result<()>,
    ) -> io::Result<Option<Upward>> {
        let Self { socket, parent, children, asked, upward } = self;
        let Order { key, fds, birth } = order;
        drop((children, asked));
        // Without a descriptor the parent signals through the nursery.
        let process = Platform::live(birth).ok();
        if let Err(error) = ready(parent, fds) {
            let errno = error.raw_os_error().ok_or(error)?;
            still_there(protocol::send_report(&socket, Report::Failed { key, errno }, &[]))?;
            return Ok(None);
        }
        let me = getpid();
        let fds: Vec<_> = process.iter().map(AsFd::as_fd).collect();
        let report = Report::Forked { key, pid: me.as_raw_nonzero().get() };
        Ok(still_there(protocol::send_report(&socket, report, &fds))?.then_some(upward))
    }

    fn wait(&self, idle: Option<Duration>) -> io::Result<Option<Seen>> {
        let timeout = idle.map(|idle| Timespec { tv_sec: idle.as_secs() as i64, tv_nsec: idle.subsec_nanos().into() });
        let mut fds: Vec<_> = [&self.socket, &self.parent, &self.asked].map(|fd| PollFd::new(fd, PollFlags::IN)).into();
        fds.extend(self.children.iter().map(|child| PollFd::new(&child.process, PollFlags::IN)));
        if rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))? == 0 {
            return Ok(None);
        }
        let ended = (0..self.children.len()).filter(|at| !fds[at + 3].revents().is_empty()).collect();
        let [asked, parent_gone, wanted] = [0, 1, 2].map(|at| !fds[at].revents().is_empty());
        Ok(Some((asked, parent_gone, wanted, ended)))
    }

    /// Passes on what a worker asks. One that has been killed meanwhile may have left nonsense, or nothing.
    fn pass_on(&self) -> io::Result<()> {
        let Ok(Some(Received { message: Report::Terminal, fds, .. })) = protocol::recv_report(&self.asked) else {
            return Ok(());
        };
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        still_there(protocol::send_report(&self.socket, Report::Terminal, &fds)).map(drop)
    }

    fn signal(&self, key: u64, signal: i32) {
        if let Some(child) = self.children.iter().find(|child| child.key == key)
            && let Some(signal) = protocol::signal(signal)
        {
            // Fails only when it has ended already.
            let _ = Platform::signal(child.process.as_fd(), child.pid, signal);
        }
    }

    fn tell_end(&self, key: u64, pid: Pid, reap: Reap<'_>) -> io::Result<()> {
        // Something else may have reaped it, such as a preloaded module that ignores SIGCHLD.
        let reaped = reap(pid.as_raw_nonzero().get()).unwrap_or(Reaped { exit: Exit::Unknown, peak: None });
        self.tell(Report::Ended { key, exit: reaped.exit, peak: reaped.peak.unwrap_or(0) })
    }

    fn tell(&self, report: Report) -> io::Result<()> {
        // If the parent went meanwhile, the next look at its descriptor says so.
        still_there(protocol::send_report(&self.socket, report, &[])).map(drop)
    }
}

/// Whether the parent was there to hear what was sent.
fn still_there(sent: io::Result<()>) -> io::Result<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Ok(false),
        Err(error) => Err(error),
    }
}
