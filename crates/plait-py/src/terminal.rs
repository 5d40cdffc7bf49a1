//! The terminal of a program, which the debuggers of its processes and threads share.
//!
//! Each debugger has a socket to the process that has the terminal, over which single letters go. It says when it wants a
//! prompt, and hears that it has to wait or has got it, together with the program's standard input; it says when the prompt is
//! over, and hears when Ctrl-C is the program's again. A socket that is closed gives the turn up, and so does a death. While a
//! worker has a prompt, Ctrl-C is its debugger's: the program does not hear it.
//!
//! In a worker the question goes to its nursery, and so from process to process to the one that no pool has made.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use plait_engine::native;
use plait_engine::nursery::Upward;
use plait_engine::turns::Turns;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustix::time::{ClockId, clock_gettime};

/// A debugger's: it wants a prompt, and is another process's; it wants one, and is this process's; the prompt is over.
const WANTED: u8 = b'p';
const WANTED_HERE: u8 = b'h';
const DONE: u8 = b'd';

/// What it hears, beside an echo of [`DONE`]: it has to wait; it has the terminal.
const WAIT: u8 = b'w';
const YOURS: u8 = b'y';

/// The descriptor of the standard input, in a program that has one.
const STDIN: RawFd = 0;

/// The program was started without a standard input: what has its number is something else.
static NO_STDIN: AtomicBool = AtomicBool::new(false);

/// In a worker: the way to its nursery.
static UPWARD: Mutex<Option<Upward>> = Mutex::new(None);

static DOOR: Mutex<Door> = Mutex::new(Door { new: Vec::new(), waker: None });

/// Where debuggers arrive at the thread that serves them.
pub struct Door {
    new: Vec<OwnedFd>,
    /// Wakes that thread, while there is one.
    waker: Option<OwnedFd>,
}

/// Where debuggers arrive, for a fork.
pub fn door() -> MutexGuard<'static, Door> {
    locked(&DOOR)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This program has no standard input.
#[pyfunction]
pub fn without_stdin() {
    NO_STDIN.store(true, Ordering::Relaxed);
}

/// In a new worker: this is how it asks.
pub fn set_upward(upward: Upward) {
    *locked(&UPWARD) = Some(upward);
}

/// In a child of the program's: its debuggers are its own, and nobody serves them yet.
pub fn forget() {
    *door() = Door { new: Vec::new(), waker: None };
}

/// Has a debugger served that talks over the other end of `socket`. If that is not possible, the socket is closed.
pub fn ask(socket: OwnedFd) {
    let _ = match &*locked(&UPWARD) {
        Some(upward) => upward.ask_terminal(socket.as_fd()),
        None => admit(socket),
    };
}

/// As [`ask`], with a copy of a socket of Python's.
#[pyfunction]
pub fn ask_terminal(socket: RawFd) -> PyResult<()> {
    // SAFETY: used for this one call, while the caller holds the socket that it belongs to.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    ask(socket.try_clone_to_owned()?);
    Ok(())
}

/// What `breakpoint()` does by itself, after `before()`. Without a frame of its own, since debuggers look for their caller's.
#[pyfunction]
#[pyo3(signature = (before, *args, **kwargs))]
pub fn breakpoint_after<'py>(
    before: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    before.call0()?;
    before.py().import("sys")?.getattr("__breakpointhook__")?.call(args, kwargs)
}

fn admit(socket: OwnedFd) -> io::Result<()> {
    let mut door = door();
    if let Some(waker) = &door.waker {
        rustix::io::write(waker, b".")?;
    } else {
        let (woken, waker) = pipe_with(PipeFlags::CLOEXEC)?;
        let thread = thread::Builder::new().name("plait-terminal".into()).stack_size(128 << 10);
        native::spawn(thread, move || serve(&woken))?;
        door.waker = Some(waker);
    }
    door.new.push(socket);
    Ok(())
}

/// A debugger.
struct Seat {
    socket: OwnedFd,
    /// It is one of this process, which handles Ctrl-C itself.
    is_here: bool,
}

/// Serves all debuggers, until there are none.
fn serve(woken: &OwnedFd) {
    let mut seats: HashMap<u64, Seat> = HashMap::new();
    let (mut turns, mut last, mut hush) = (Turns::default(), 0, None::<Hush>);
    loop {
        {
            let mut door = door();
            for socket in door.new.drain(..) {
                last += 1;
                seats.insert(last, Seat { socket, is_here: false });
            }
            if seats.is_empty() {
                door.waker = None;
                return;
            }
        }
        let mut answers = Vec::new();
        for who in look(woken, &seats, turns.due()) {
            let Some(seat) = seats.get_mut(&who) else { continue };
            match word(&seat.socket) {
                Some(word @ (WANTED | WANTED_HERE)) => {
                    seat.is_here = word == WANTED_HERE;
                    turns.on_ask(who);
                    answers.push((who, WAIT));
                }
                Some(DONE) => {
                    turns.on_done(who, now());
                    answers.push((who, DONE));
                }
                _ => {
                    if turns.at_prompt() == Some(who)
                        && let Some(hush) = &hush
                    {
                        hush.mend();
                    }
                    turns.on_gone(who);
                    seats.remove(&who);
                }
            }
        }
        let gets = turns.next(now());
        let heeded = turns.at_prompt().and_then(|who| seats.get(&who)).is_some_and(|seat| !seat.is_here);
        match (heeded, hush.is_some()) {
            (true, false) => hush = Some(Hush::begin()),
            (false, true) => hush = None,
            _ => {}
        }
        if let Some(seat) = gets.and_then(|who| seats.get(&who)) {
            // Where nobody hears it, the next look tells.
            let _ = give(&seat.socket);
        }
        for (who, answer) in answers {
            if let Some(seat) = seats.get(&who)
                && (gets != Some(who) || answer != WAIT)
            {
                let _ = rustix::net::send(&seat.socket, &[answer], SendFlags::NOSIGNAL);
            }
        }
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Waits until somebody has said something, somebody new has come, or it is `until`; who has.
fn look(woken: &OwnedFd, seats: &HashMap<u64, Seat>, until: Option<Duration>) -> Vec<u64> {
    let mut fds = vec![PollFd::new(woken, PollFlags::IN)];
    let who: Vec<u64> = seats.keys().copied().collect();
    fds.extend(who.iter().map(|who| PollFd::new(&seats[who].socket, PollFlags::IN)));
    let wait = until.map(|until| until.saturating_sub(now()));
    let wait = wait.map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() });
    if poll(&mut fds, wait.as_ref()).is_err() {
        return Vec::new();
    }
    if !fds[0].revents().is_empty() {
        let _ = rustix::io::read(woken, &mut [0; 64]);
    }
    let mut ready: Vec<u64> =
        who.into_iter().zip(&fds[1..]).filter(|(_, fd)| !fd.revents().is_empty()).map(|(who, _)| who).collect();
    ready.sort_unstable();
    ready
}

/// What a debugger has said; `None`: it has gone.
fn word(socket: &OwnedFd) -> Option<u8> {
    let mut word = [0];
    let (got, _) = rustix::io::retry_on_intr(|| rustix::net::recv(socket, &mut word[..], RecvFlags::empty())).ok()?;
    (got == 1).then_some(word[0])
}

/// Tells a debugger that it has the terminal, and gives it the standard input, where there is one.
fn give(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: used for this one call; where nothing is open by this number, the call says so.
    let stdin = unsafe { BorrowedFd::borrow_raw(STDIN) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let fds = [stdin];
    if !NO_STDIN.load(Ordering::Relaxed) {
        beside.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let mut nothing = SendAncillaryBuffer::default();
    for beside in [&mut beside, &mut nothing] {
        match rustix::net::sendmsg(socket, &[IoSlice::new(&[YOURS])], beside, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::BADF) => {}
            sent => return sent.map(drop).map_err(io::Error::from),
        }
    }
    Ok(())
}

/// While it lives, Ctrl-C does nothing to this process, and what the terminal was set to is known.
struct Hush {
    before: libc::sigaction,
    terminal: Option<(File, Termios)>,
}

extern "C" fn unheard(_: libc::c_int) {}

impl Hush {
    fn begin() -> Self {
        // No SIG_IGN, which programs that are started meanwhile would inherit.
        let handler: extern "C" fn(libc::c_int) = unheard;
        // SAFETY: all-zero bytes are a valid `sigaction`, which holds integers and a handler that may be none.
        let (mut before, mut action): (libc::sigaction, libc::sigaction) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: both point to locals of the type that the call expects, and the handler does nothing at all.
        unsafe { libc::sigaction(libc::SIGINT, &raw const action, &raw mut before) };
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok();
        let terminal = terminal.and_then(|tty| tcgetattr(&tty).ok().map(|settings| (tty, settings)));
        Self { before, terminal }
    }

    /// Sets the terminal to what it was: who had it was killed while it edited a line.
    fn mend(&self) {
        if let Some((terminal, settings)) = &self.terminal {
            let _ = tcsetattr(terminal, OptionalActions::Drain, settings);
        }
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        let handler: extern "C" fn(libc::c_int) = unheard;
        // SAFETY: as above.
        let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: reads into a local, then puts back what the process had before; who has set another handler meanwhile keeps it.
        unsafe {
            libc::sigaction(libc::SIGINT, std::ptr::null(), &raw mut now);
            if now.sa_sigaction == handler as libc::sighandler_t {
                // One that has arrived, and that no thread had the time to take, is forgotten by this.
                now.sa_sigaction = libc::SIG_IGN;
                libc::sigaction(libc::SIGINT, &raw const now, std::ptr::null_mut());
                libc::sigaction(libc::SIGINT, &raw const self.before, std::ptr::null_mut());
            }
        }
    }
}
