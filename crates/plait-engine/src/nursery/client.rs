//! The parent's handle on its nursery, and the thread that hears what became of the workers.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};

use plait_trace::WorkerId;

use super::protocol::{self, Exit, Report, Request};

/// How to start the nursery's process: an interpreter that ends up in [`super::Server`] with its standard input as socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The interpreter.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables to set on top of the parent's own.
    pub env: Vec<(OsString, OsString)>,
}

/// Who wants to know what becomes of a worker. Called on the supervisor thread; must not block for long.
pub trait Sink: Send + Sync {
    /// The worker's process exists.
    fn started(&self, pid: i32);
    /// The worker's process has ended. Called once, after `started`.
    fn ended(&self, exit: Exit);
    /// The worker's process could not be made. Called once, instead of `started`.
    fn failed(&self, error: io::Error);
}

/// A running nursery, shared by all pools of the program.
pub struct Nursery {
    socket: OwnedFd,
    process: Mutex<Child>,
    workers: Mutex<HashMap<u64, Worker>>,
    next_key: AtomicU64,
    gone: AtomicBool,
}

struct Worker {
    sink: Arc<dyn Sink>,
    process: Option<OwnedFd>,
}

impl std::fmt::Debug for Nursery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nursery").field("gone", &self.gone).finish_non_exhaustive()
    }
}

impl Nursery {
    /// Starts the process and returns at once; orders given before it is ready wait in the socket.
    pub fn launch(launch: &Launch) -> io::Result<Arc<Self>> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // A group of its own while it starts, so that a Ctrl-C at the terminal finds it only once it ignores those;
        // it joins the parent's group again by itself.
        let process = Command::new(&launch.program)
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(theirs)
            .process_group(0)
            .spawn()?;
        let me = pidfd_open(getpid(), PidfdFlags::empty())?;
        protocol::send_request(&ours, Request::Hello, &[me.as_fd()])?;
        let nursery = Arc::new(Self {
            socket: ours,
            process: Mutex::new(process),
            workers: Mutex::new(HashMap::new()),
            next_key: AtomicU64::new(1),
            gone: AtomicBool::new(false),
        });
        let watched = Arc::clone(&nursery);
        thread::Builder::new().name("plait-supervisor".into()).spawn(move || watched.supervise())?;
        Ok(nursery)
    }

    /// Asks for a worker that gets these descriptors; what becomes of it is told to `sink`. Returns the key by which
    /// it can be killed.
    pub fn fork(&self, worker: WorkerId, fds: &[BorrowedFd<'_>], sink: Arc<dyn Sink>) -> io::Result<u64> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed) << 16 | u64::from(worker.0);
        // Registered before the order goes out: the report may be back before this thread runs again.
        self.workers().insert(key, Worker { sink, process: None });
        let sent = protocol::send_request(&self.socket, Request::Fork { key }, fds);
        if sent.is_err() || self.is_gone() {
            // The supervisor may have told the sink already; whoever removes the entry is the one who tells.
            if self.workers().remove(&key).is_some() {
                return Err(sent.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()));
            }
        }
        Ok(key)
    }

    /// Kills a worker, if it still lives. Its end is reported as any other.
    pub fn kill(&self, key: u64) {
        if let Some(process) = self.workers().get(&key).and_then(|worker| worker.process.as_ref()) {
            // Fails only when it has ended already.
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Whether the nursery's process has ended; a new one must be launched then.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<u64, Worker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn supervise(&self) {
        loop {
            match protocol::recv_report(&self.socket) {
                Ok(Some((report, fds))) => self.on_report(report, fds),
                // Out of descriptors for a moment. Of a birth, whose report alone brings one, only the means to kill is lost: the
                // worker runs, and its end will be told.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::MFILE) => continue,
                Ok(None) | Err(_) => break,
            }
        }
        self.gone.store(true, Ordering::Release);
        let _ = self.process.lock().unwrap_or_else(PoisonError::into_inner).wait();
        self.mourn();
    }

    fn on_report(&self, report: Report, mut fds: Vec<OwnedFd>) {
        match report {
            Report::Forked { key, pid } => {
                let sink = self.workers().get_mut(&key).map(|worker| {
                    worker.process = fds.pop();
                    Arc::clone(&worker.sink)
                });
                if let Some(sink) = sink {
                    sink.started(pid);
                }
            }
            Report::Failed { key, errno } => {
                let worker = self.workers().remove(&key);
                if let Some(worker) = worker {
                    worker.sink.failed(io::Error::from_raw_os_error(errno));
                }
            }
            Report::Ended { key, exit } => {
                let worker = self.workers().remove(&key);
                if let Some(worker) = worker {
                    worker.sink.ended(exit);
                }
            }
        }
    }

    /// After the nursery's end: workers that were never born fail, the others are watched until they end.
    fn mourn(&self) {
        loop {
            let mut unborn = Vec::new();
            let mut alive = Vec::new();
            {
                let mut workers = self.workers();
                workers.retain(|_, worker| match worker.process.as_ref().map(rustix::io::dup) {
                    Some(Ok(process)) => {
                        alive.push(process);
                        true
                    }
                    Some(Err(_)) => true,
                    None => {
                        unborn.push(Arc::clone(&worker.sink));
                        false
                    }
                });
            }
            for sink in unborn {
                sink.failed(io::ErrorKind::BrokenPipe.into());
            }
            if alive.is_empty() {
                return;
            }
            let mut fds: Vec<_> = alive.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
            if rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_err() {
                return;
            }
            self.bury();
        }
    }

    fn bury(&self) {
        let mut ended = Vec::new();
        self.workers().retain(|_, worker| {
            let Some(process) = &worker.process else { return true };
            let mut fds = [PollFd::new(process, PollFlags::IN)];
            let over = matches!(poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..));
            if over {
                ended.push(Arc::clone(&worker.sink));
            }
            !over
        });
        for sink in ended {
            sink.ended(Exit::Unknown);
        }
    }
}
