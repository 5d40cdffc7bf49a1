//! Stops one thread, copies its registers and the top of its stack, and lets it go.
//!
//! Each shot is made by a thread of its own, which is what the kernel ties a trace to: when it ends, for whatever
//! reason, the kernel lets go of the traced thread, stopped or not. That is also how two cases are left that have no other
//! good way out: a thread that does not come to a stop, which cannot be let go of by asking, and one that was about to
//! take a signal, which goes on to take exactly that signal.
//!
//! The stop is noticed by asking for it, not by `waitpid`. So the end of a child is never taken from a program that
//! waits for it, and another wait in this process cannot take the stop from here.

use std::fs;
use std::io::IoSliceMut;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::ptrace::{self, Options};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid as Raw;

use super::{Copied, NoShot, asleep};
use crate::Pid;

/// How much of a stack is copied.
pub(super) const STACK_BYTES: usize = 128 << 10;
/// A thread that runs stops within microseconds; one that is not heard of for so long gets no processor, or waits for a device.
const PATIENCE: Duration = Duration::from_millis(20);
/// For so long a stop is looked for without sleeping in between: a thread that has a processor is stopped by then.
const EAGERNESS: Duration = Duration::from_micros(60);
/// Then it waits for a processor, perhaps for this one. Who sleeps is let in again sooner than who yields.
const NAP: Duration = Duration::from_micros(20);
/// After so long it is asked whether the thread is still there.
const DOUBT: Duration = Duration::from_millis(2);
/// `PTRACE_EVENT_STOP`, in the upper bits of what a stop says of itself: asked for, or of the whole process.
const EVENT_STOP: i32 = 128;

/// How many signals were met on their way.
#[cfg(test)]
pub(super) static SIGNALS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Why a thread stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It was asked to, or its whole process is stopped and stays so.
    Event,
    /// It is about to take a signal.
    Signal,
}

/// Refuses threads that somebody traces, before anything is tried.
pub(super) fn check_free(pid: Pid, tid: Pid) -> Result<(), NoShot> {
    let own = |tracer: Pid| Path::new(&format!("/proc/self/task/{tracer}")).exists();
    let began = Instant::now();
    for of in [tid, pid] {
        loop {
            let status = fs::read_to_string(format!("/proc/{pid}/task/{of}/status"));
            match status {
                Ok(status) if of == tid && is_over(&status) => return Err(NoShot::Ended { tid }),
                Ok(status) => match tracer(&status) {
                    None => break,
                    // Our last shot, whose thread is on its way out.
                    Some(tracer) if own(tracer) && began.elapsed() < PATIENCE => thread::yield_now(),
                    Some(tracer) => return Err(NoShot::Traced { pid, tracer }),
                },
                // A main thread may be gone, and others go on.
                Err(_) if of == pid && of != tid => break,
                Err(error) => return Err(NoShot::of_io(pid, tid, "reading the status", &error)),
            }
        }
    }
    Ok(())
}

/// Copies from a thread that runs. `buffer` is used for the stack.
pub(super) fn copy(pid: Pid, tid: Pid, buffer: Vec<u8>) -> Result<Copied, NoShot> {
    let failed = |kind| NoShot::Failed { tid, what: "starting a thread that copies the stack", kind };
    let shot = thread::Builder::new().name("plait-shot".to_owned()).stack_size(128 << 10);
    let shot = shot.spawn(move || shoot(pid, tid, buffer)).map_err(|error| failed(error.kind()))?;
    shot.join().unwrap_or_else(|_| Err(failed(std::io::ErrorKind::Other)))
}

/// To be called on a thread that ends when this returns.
fn shoot(pid: Pid, tid: Pid, mut stack: Vec<u8>) -> Result<Copied, NoShot> {
    let target = Raw::from_raw(tid.cast_signed());
    // Naps are as short as they say; if not, so be it.
    let _ = prctl::set_timerslack(1);
    // Written, so that no page of ours is missing while the thread stands still.
    stack.clear();
    stack.resize(STACK_BYTES, 0);
    ptrace::seize(target, Options::empty()).map_err(|error| match error {
        // Somebody came first, or it may not be.
        Errno::EPERM => check_free(pid, tid).err().unwrap_or(NoShot::Denied { pid }),
        error => NoShot::of_io(pid, tid, "tracing", &error.into()),
    })?;
    // It has begun another system call since it was last looked at, perhaps.
    if let Some(call) = asleep::call(pid, tid)?.filter(|call| asleep::is_cut_short_by_a_stop(*call)) {
        return Err(NoShot::Delicate { tid, call });
    }
    let mut ran_at = Instant::now();
    ptrace::interrupt(target).map_err(|error| NoShot::of_io(pid, tid, "interrupting", &error.into()))?;
    let stop = await_stop(pid, tid, &mut ran_at)?;
    let (ip, sp, bp) =
        registers(target).map_err(|error| NoShot::of_io(pid, tid, "reading registers", &error.into()))?;
    let copied = copy_stack(pid, sp, &mut stack);
    match stop {
        // It may have been killed meanwhile.
        Stop::Event => drop(ptrace::detach(target, None)),
        Stop::Signal => {
            #[cfg(test)]
            SIGNALS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let pause = ran_at.elapsed();
    copied.map_err(|error| NoShot::of_io(pid, tid, "copying the stack", &error.into()))?;
    Ok(Copied { ip, sp, bp, stack, pause })
}

/// Waits until the thread stands still; `ran_at` is then the last moment at which it was seen not to.
fn await_stop(pid: Pid, tid: Pid, ran_at: &mut Instant) -> Result<Stop, NoShot> {
    let began = *ran_at;
    loop {
        let now = Instant::now();
        match ptrace::getsiginfo(Raw::from_raw(tid.cast_signed())) {
            Ok(info) if info.si_code >> 8 == EVENT_STOP => return Ok(Stop::Event),
            Ok(_) => return Ok(Stop::Signal),
            // Not stopped, or no more.
            Err(Errno::ESRCH) => {}
            Err(error) => return Err(NoShot::of_io(pid, tid, "awaiting the stop", &error.into())),
        }
        *ran_at = now;
        let waited = now - began;
        if waited < EAGERNESS {
            std::hint::spin_loop();
            continue;
        }
        if waited > DOUBT {
            let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"));
            if status.map_or(true, |status| is_over(&status)) {
                return Err(NoShot::Ended { tid });
            }
        }
        if waited > PATIENCE {
            return Err(NoShot::Busy { tid });
        }
        thread::sleep(NAP);
    }
}

/// Copies what lies at `sp` and above, and cuts `stack` to what there is.
pub(super) fn copy_stack(pid: Pid, sp: u64, stack: &mut Vec<u8>) -> Result<(), Errno> {
    // A piece that is not all there is not copied at all, so no piece crosses from one page to the next.
    let page = rustix::param::page_size();
    let mut pieces = Vec::with_capacity(stack.len() / page + 2);
    let (mut base, mut left) = (usize::try_from(sp).map_err(|_| Errno::EFAULT)?, stack.len());
    while left > 0 {
        let len = left.min(page - base % page);
        pieces.push(RemoteIoVec { base, len });
        base = base.checked_add(len).ok_or(Errno::EFAULT)?;
        left -= len;
    }
    let count = process_vm_readv(Raw::from_raw(pid.cast_signed()), &mut [IoSliceMut::new(stack)], &pieces)?;
    stack.truncate(count);
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn registers(target: Raw) -> Result<(u64, u64, u64), Errno> {
    ptrace::getregs(target).map(|all| (all.rip, all.rsp, all.rbp))
}

#[cfg(not(target_arch = "x86_64"))]
fn registers(_target: Raw) -> Result<(u64, u64, u64), Errno> {
    Err(Errno::ENOSYS)
}

/// Who traces the thread whose `status` this is.
fn tracer(status: &str) -> Option<Pid> {
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    tracer.trim().parse().ok().filter(|tracer| *tracer != 0)
}

/// Whether the thread whose `status` this is has ended and only waits to be taken note of.
fn is_over(status: &str) -> bool {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracer_is_read_from_the_status() {
        assert_eq!(tracer("Name:\tpython3\nTracerPid:\t0\nUid:\t0\n"), None);
        assert_eq!(tracer("Name:\tpython3\nTracerPid:\t4711\nUid:\t0\n"), Some(4711));
        assert_eq!(tracer(""), None);
    }

    #[test]
    fn the_dead_are_told_from_the_living() {
        assert!(!is_over("Name:\tZ\nState:\tR (running)\n"));
        assert!(is_over("Name:\tpython3\nState:\tZ (zombie)\n"));
        assert!(!is_over(""));
    }

    #[test]
    fn a_stack_is_copied_as_far_as_it_goes() {
        let own = std::process::id();
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let mut copy = vec![0; STACK_BYTES];
        copy_stack(own, bytes.as_ptr().addr() as u64 + 3, &mut copy).expect("our own memory");
        assert_eq!(copy, bytes[3..3 + STACK_BYTES]);
        assert!(copy_stack(own, 8, &mut copy).is_err());
        assert!(copy_stack(own, u64::MAX - 64, &mut copy).is_err());

        // The main stack has an end.
        let maps = fs::read_to_string("/proc/self/maps").expect("our maps");
        let stack = maps.lines().find(|line| line.ends_with("[stack]")).expect("a main stack");
        let end = stack.split(['-', ' ']).nth(1).expect("an end");
        let end = u64::from_str_radix(end, 16).expect("hexadecimal");
        let mut copy = vec![0; STACK_BYTES];
        copy_stack(own, end - 5000, &mut copy).expect("the last bytes");
        assert_eq!(copy.len(), 5000);
    }
}
