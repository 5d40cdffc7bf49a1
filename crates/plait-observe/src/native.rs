//! Which C function a thread of a live CPython is in.
//!
//! A thread that keeps the GIL for long is in native code, and where is known to its registers and its stack only. For a
//! thread that is blocked in a system call the kernel tells where its stack is, and nothing has to be stopped. Any
//! other is stopped, that one thread alone, while its registers and the top of its stack are copied, some 50
//! microseconds; unwinding and naming happen afterwards, on the copy.
//!
//! What the target can notice: nothing of a blocked thread; of a running one, the pause. It gets no signal, its own signals
//! arrive as ever, a stopped process stays stopped, and if the observer dies at any moment the kernel lets go of the
//! thread. A system call that a stop would end early is not touched ([`NoShot::Delicate`]).
//!
//! * `asleep.rs` copies the stack of a thread that is blocked, `stop.rs` stops one that runs.
//! * `maps.rs` and `modules.rs` know what is mapped where, `image.rs` and `symbols.rs` what program files say of it.
//! * `methods.rs` has names for modules that were stripped of theirs.
//! * `unwind.rs` makes calls of a copied stack, `names.rs` readable names of symbols, `rule.rs` picks the one that matters.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::Pid;
use modules::Modules;
use unwind::Walk;

mod asleep;
mod image;
mod maps;
mod methods;
mod modules;
mod names;
mod rule;
mod split;
mod stop;
mod symbols;
#[cfg(test)]
mod tests;
mod unwind;

/// More names than this of one stack tell nobody more.
const MOST_NAMES: usize = 64;

/// Names the native calls of threads of one process.
///
/// May be used from any thread, and moved between them: what the kernel ties to a thread is done by one of its own.
#[derive(Debug)]
pub(crate) struct Natives {
    pid: Pid,
    modules: Modules,
    /// Kept, so that its pages are there when a thread stands still for it.
    buffer: Vec<u8>,
}

/// The native calls of a thread, between its leaf and the interpreter's evaluation loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeStack {
    /// The C function that Python code called. `None` when the thread runs Python code, and when no symbol tells.
    pub function: Option<String>,
    /// The innermost first, down to the evaluation loop, which is not among them. Without a symbol: what Python calls it, like
    /// `re.Pattern.findall`, or `module.so+0x1f40`, where the function begins in the addresses of its file.
    pub natives: Vec<String>,
    /// Whether the garbage collector was at work, on its own account or beneath `function`.
    pub collecting: bool,
    /// For how long at most the thread stood still; zero if it was blocked anyway.
    pub pause: Duration,
}

/// Why there are no native calls to tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoShot {
    /// The thread is one of the observer's own process, and runs.
    #[error(
        "a running thread of this very process cannot be stopped from within: record with `plait record` \
         from outside to have C functions named"
    )]
    OwnProcess,
    /// The thread is no more.
    #[error("thread {tid} has ended")]
    Ended { tid: Pid },
    /// A debugger, `strace` or another observer has it.
    #[error("process {pid} is traced by process {tracer} already: end that one to have C functions named")]
    Traced { pid: Pid, tracer: Pid },
    /// The kernel refuses.
    #[error(
        "threads of process {pid} may not be stopped: run as its owner, and as its parent where kernel.yama.ptrace_scope \
         is 1, or as root; in a container with the capability SYS_PTRACE"
    )]
    Denied { pid: Pid },
    /// It waits in the kernel and cannot be interrupted there, or gets no processor.
    #[error("thread {tid} did not come to a stop in time and was left alone")]
    Busy { tid: Pid },
    /// It is blocked in a system call that a stop would end with EINTR, and its stack could not be told without one.
    #[error("thread {tid} is in system call {call}, which a stop would cut short")]
    Delicate { tid: Pid, call: u64 },
    /// Registers of another kind of processor.
    #[error("C functions are named on x86-64 only")]
    Platform,
    /// Something else failed.
    #[error("{what} of thread {tid} failed: {kind}")]
    Failed { tid: Pid, what: &'static str, kind: io::ErrorKind },
}

impl NoShot {
    /// Whether other shots at this process will be refused as well, as far as can be told.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Traced { .. } | Self::Denied { .. } | Self::Platform)
    }

    fn of_io(pid: Pid, tid: Pid, what: &'static str, error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT | Errno::ESRCH) => Self::Ended { tid },
            Some(Errno::EPERM | Errno::EACCES) => Self::Denied { pid },
            _ => Self::Failed { tid, what, kind: error.kind() },
        }
    }
}

/// What was copied of a thread.
#[derive(Debug, Default)]
struct Copied {
    ip: u64,
    sp: u64,
    /// The frame pointer.
    bp: u64,
    /// What lies at `sp` and above it.
    stack: Vec<u8>,
    pause: Duration,
}

impl Natives {
    /// For threads of `pid`. Nothing is looked at yet.
    pub fn new(pid: Pid) -> Self {
        Self { pid, modules: Modules::of(pid), buffer: Vec::new() }
    }

    /// The native calls that thread `tid` is in now.
    ///
    /// Costs the observer half a millisecond of processor time, and some ten more when a module is first met. Like every
    /// tracer its process gets SIGCHLD for a stop, and a `waitpid(-1)` anywhere in it may be told of the stopped thread.
    pub fn shot(&mut self, tid: Pid) -> Result<NativeStack, NoShot> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err(NoShot::Platform);
        }
        let pid = self.pid;
        let blocked = asleep::copy(pid, tid, &mut self.buffer)?;
        if let Some((call, copied)) = blocked {
            let walk = self.modules.walk(&copied);
            self.buffer = copied.stack;
            if walk.is_whole() {
                return Ok(NativeStack::of(walk, Duration::ZERO));
            }
            // Without the frame pointer some stacks cannot be followed. A stop tells it, where a stop does no harm.
            if asleep::is_cut_short_by_a_stop(call) {
                return Err(NoShot::Delicate { tid, call });
            }
        }
        if pid == std::process::id() {
            return Err(NoShot::OwnProcess);
        }
        stop::check_free(pid, tid)?;
        let copied = stop::copy(pid, tid, std::mem::take(&mut self.buffer))?;
        let walk = self.modules.walk(&copied);
        let pause = copied.pause;
        self.buffer = copied.stack;
        Ok(NativeStack::of(walk, pause))
    }
}

impl NativeStack {
    fn of(walk: Walk, pause: Duration) -> Self {
        let function = rule::function(&walk.calls, walk.reached_python);
        let collecting = walk.calls.iter().any(unwind::Call::is_collector);
        let mut natives: Vec<String> = walk.calls.into_iter().map(|call| call.name.unwrap_or(call.place)).collect();
        if natives.len() > MOST_NAMES {
            let cut = MOST_NAMES / 2..natives.len() - MOST_NAMES / 2 + 1;
            natives.splice(cut, ["…".to_owned()]);
        }
        Self { function, natives, collecting, pause }
    }
}
