//! The parent's handle on its nursery, and the thread that hears what became of the workers.
//!
//! The parent keeps one descriptor per worker, to signal it and to see its end should the nursery die; where it could
//! not get one, the nursery signals for it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use plait_shm::{Platform, ProcessWatch};
use plait_trace::WorkerId;

use crate::native;

use super::protocol::{self, Exit, Received, Report, Request};

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
    /// The worker's process has ended. Called once, after `started` unless it ended at once. `peak` is the most memory
    /// that it, or a process that it waited for, ever had resident, in bytes.
    fn ended(&self, exit: Exit, peak: Option<u64>);
    /// The worker's process could not be made. Called once, instead of `started`; the error says what to do about it.
    fn failed(&self, error: io::Error);
    /// The nursery died before it had made the worker's process. Called once, instead of `started`, for each worker it left
    /// unmade; the error says what happened.
    fn unborn(&self, error: io::Error);
}

/// Who gives workers' debuggers the terminal: it is handed the descriptor that each of them talks over. Called on the
/// supervisor thread; must not block.
pub type AskTerminal = fn(OwnedFd);

/// A running nursery, shared by all pools of the program.
pub struct Nursery {
    number: u64,
    socket: OwnedFd,
    ask_terminal: AskTerminal,
    /// Whom to wait for at its end; nobody if it was not started here.
    process: Mutex<Option<Child>>,
    workers: Mutex<HashMap<u64, Worker>>,
    /// All nurseries that died before this one and have workers that live on.
    elders: Mutex<Vec<Arc<Nursery>>>,
    gone: AtomicBool,
}

struct Worker {
    sink: Arc<dyn Sink>,
    state: State,
}

enum State {
    /// Not heard of yet.
    Ordered,
    /// Lives, and there was no descriptor left for it.
    Unseen(Pid),
    /// Lives.
    Seen(Arc<OwnedFd>, Pid),
}

impl std::fmt::Debug for Nursery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nursery").field("gone", &self.gone).finish_non_exhaustive()
    }
}

/// A name for a worker that is about to be ordered, by which it can be signalled: no two workers of a program, of whichever
/// nursery, have the same.
pub fn new_key(worker: WorkerId) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) << 16 | u64::from(worker.0)
}

impl Nursery {
    /// Starts the process and returns at once; orders given before it is ready wait in the socket.
    pub fn launch(launch: &Launch, ask_terminal: AskTerminal) -> io::Result<Arc<Self>> {
        let (ours, theirs) = protocol::pair()?;
        greet(&ours)?;
        // A group of its own while it starts, so that a Ctrl-C at the terminal finds it only once it ignores those;
        // it joins the parent's group again by itself.
        let process = Command::new(&launch.program)
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(theirs)
            .process_group(0)
            .spawn()?;
        Self::over(ours, Some(process), ask_terminal)
    }

    /// The nursery at the other end of `socket`, whose process somebody else has made, and will wait for.
    pub fn adopt(socket: OwnedFd, ask_terminal: AskTerminal) -> io::Result<Arc<Self>> {
        greet(&socket)?;
        Self::over(socket, None, ask_terminal)
    }

    /// A nursery at the other end of `socket`.
    pub(super) fn over(socket: OwnedFd, process: Option<Child>, ask_terminal: AskTerminal) -> io::Result<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let nursery = Arc::new(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            socket,
            ask_terminal,
            process: Mutex::new(process),
            workers: Mutex::default(),
            elders: Mutex::default(),
            gone: AtomicBool::new(false),
        });
        let watched = Arc::clone(&nursery);
        let thread = thread::Builder::new().name("plait-supervisor".into());
        let started = native::spawn(thread, move || watched.supervise());
        if let Err(error) = started {
            // Not to leave a zombie: it has nothing to lose yet.
            if let Some(process) = &mut *locked(&nursery.process) {
                let _ = process.kill();
                let _ = process.wait();
            }
            return Err(error);
        }
        Ok(nursery)
    }

    /// Tells it from the others of this program: each has a higher one than those before it. At least 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes over from a nursery that has died: the workers it left can be signalled through this one.
    pub fn succeed(&self, elder: Arc<Self>) {
        // Those before it, too, so that it can go when its own workers have ended, and theirs live.
        let before = locked(&elder.elders).clone();
        {
            let mut elders = locked(&self.elders);
            for elder in before.into_iter().chain([elder]) {
                if !elders.iter().any(|other| Arc::ptr_eq(other, &elder)) && !std::ptr::eq(self, &*elder) {
                    elders.push(elder);
                }
            }
        }
        self.forget_elders();
    }

    /// Lets go of those it took over from whose workers have ended.
    fn forget_elders(&self) {
        locked(&self.elders).retain(|elder| {
            elder.forget_elders();
            !locked(&elder.workers).is_empty()
        });
    }

    /// Asks for a worker that gets these descriptors; what becomes of it is told to `sink`. `key` is from [`new_key`].
    pub fn fork(&self, key: u64, fds: &[BorrowedFd<'_>], sink: Arc<dyn Sink>) -> io::Result<()> {
        self.forget_elders();
        // Registered before the order goes out: the report may be back before this thread runs again.
        locked(&self.workers).insert(key, Worker { sink, state: State::Ordered });
        let sent = protocol::send_request(&self.socket, Request::Fork { key }, fds);
        if sent.as_ref().is_err_and(is_gone_error) {
            // The supervisor may not have seen it yet; whoever asks next must not ask here again.
            self.gone.store(true, Ordering::Release);
        }
        if sent.is_err() || self.is_gone() {
            // The supervisor may have told the sink already; whoever removes the entry is the one who tells.
            let mut workers = locked(&self.workers);
            if matches!(workers.get(&key), Some(Worker { state: State::Ordered, .. })) {
                workers.remove(&key);
                return Err(explained(sent.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())));
            }
        }
        Ok(())
    }

    /// Kills a worker, if it lives or is about to. Its end is reported as any other.
    pub fn kill(&self, key: u64) {
        self.signal(key, Signal::KILL.as_raw());
    }

    /// Sends a worker the signal of this number, if it lives or is about to; also a real-time one, but none that the C
    /// library keeps for itself.
    pub fn signal(&self, key: u64, signal: i32) {
        self.try_signal(key, signal);
    }

    /// The same; true: it is a worker of this nursery, or of one before it.
    fn try_signal(&self, key: u64, signal: i32) -> bool {
        let Some(known) = protocol::signal(signal) else { return false };
        let worker = locked(&self.workers).get(&key).map(|worker| match &worker.state {
            State::Seen(process, pid) => Some((Arc::clone(process), *pid)),
            State::Ordered | State::Unseen(_) => None,
        });
        let Some(seen) = worker else {
            return locked(&self.elders).iter().any(|elder| elder.try_signal(key, signal));
        };
        // Both fail only when there is nobody left to be signalled.
        let _ = match seen {
            Some((process, pid)) => Platform::signal(process.as_fd(), pid, known),
            // Behind the order to fork it, so it comes when the worker is there.
            None => protocol::send_request(&self.socket, Request::Signal { key, signal }, &[]),
        };
        true
    }

    /// Whether the nursery's process has ended; a new one must be launched then.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn supervise(&self) {
        while let Ok(Some(received)) = protocol::recv_report(&self.socket) {
            self.on_report(received);
        }
        self.gone.store(true, Ordering::Release);
        if let Some(process) = &mut *locked(&self.process) {
            let _ = process.wait();
        }
        while self.mourn() {}
    }

    fn on_report(&self, received: Received<Report>) {
        match received.message {
            Report::Forked { key, pid } => {
                let Some(id) = Pid::from_raw(pid) else { return };
                let state = match received.fds.into_iter().next() {
                    Some(process) => State::Seen(Arc::new(process), id),
                    None => State::Unseen(id),
                };
                let sink = locked(&self.workers).get_mut(&key).map(|worker| {
                    worker.state = state;
                    Arc::clone(&worker.sink)
                });
                if let Some(sink) = sink {
                    sink.started(pid);
                }
            }
            Report::Failed { key, errno } => {
                let worker = locked(&self.workers).remove(&key);
                if let Some(worker) = worker {
                    worker.sink.failed(explained(io::Error::from_raw_os_error(errno)));
                }
            }
            Report::Ended { key, exit, peak } => {
                let worker = locked(&self.workers).remove(&key);
                if let Some(worker) = worker {
                    worker.sink.ended(exit, (peak > 0).then_some(peak));
                }
            }
            Report::Terminal => received.fds.into_iter().for_each(self.ask_terminal),
        }
    }

    /// After the nursery's end: workers that were never born never will be, the others are watched until they end. False when
    /// none is left.
    fn mourn(&self) -> bool {
        let mut news: Vec<(Arc<dyn Sink>, Option<Exit>)> = Vec::new();
        let mut alive = Vec::new();
        let mut unseen = false;
        locked(&self.workers).retain(|_, worker| {
            let sink = Arc::clone(&worker.sink);
            if let State::Unseen(pid) = worker.state {
                // The nursery cannot have reaped it without a word, and the moment since is too short for its id to come round.
                match Platform::find(pid) {
                    Ok(Some(process)) => worker.state = State::Seen(Arc::new(process), pid),
                    Ok(None) => {
                        news.push((sink, Some(Exit::Unknown)));
                        return false;
                    }
                    Err(_) => {
                        unseen = true;
                        return true;
                    }
                }
            }
            match &worker.state {
                State::Seen(process, _) if has_ended(process) => news.push((sink, Some(Exit::Unknown))),
                State::Seen(process, _) => {
                    alive.push(Arc::clone(process));
                    return true;
                }
                State::Ordered | State::Unseen(_) => news.push((sink, None)),
            }
            false
        });
        for (sink, exit) in news {
            match exit {
                Some(exit) => sink.ended(exit, None),
                None => sink.unborn(explained(io::ErrorKind::BrokenPipe.into())),
            }
        }
        if alive.is_empty() && !unseen {
            return false;
        }
        let mut fds: Vec<_> = alive.iter().map(|process| PollFd::new(&**process, PollFlags::IN)).collect();
        let soon = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        rustix::io::retry_on_intr(|| poll(&mut fds, unseen.then_some(&soon))).is_ok()
    }
}

/// Gives the nursery the means to see the end of this process.
pub(super) fn greet(socket: &OwnedFd) -> io::Result<()> {
    let me = Platform::own()?;
    protocol::send_request(socket, Request::Hello, &[me.as_fd()])
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}

/// Whether an order failed because the nursery has gone, with or without orders unread.
fn is_gone_error(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why there is no new worker, with what to do about it where that is known.
pub fn explained(error: io::Error) -> io::Error {
    match remedy(&error) {
        Some(remedy) => io::Error::new(error.kind(), remedy),
        None => error,
    }
}

/// What is lacking, and what to do about it, where a process or what it needs could not be had.
pub fn remedy(error: &io::Error) -> Option<&'static str> {
    Some(match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN) => {
            "the system allows no more processes or threads: raise `ulimit -u` or the control group's pids.max, or use fewer workers"
        }
        Some(Errno::MFILE | Errno::TOOMANYREFS) => "too many open files: raise `ulimit -n`, or use fewer workers",
        Some(Errno::NFILE) => "the system has too many open files: raise the sysctl fs.file-max",
        Some(Errno::NOMEM) => "not enough memory or addresses: raise `ulimit -v` if it is set, or use fewer workers",
        Some(Errno::FBIG) => "files may not be as large as shared memory must be: raise `ulimit -f`",
        _ if is_gone_error(error) => "the process that starts workers was killed",
        _ => return None,
    })
}
