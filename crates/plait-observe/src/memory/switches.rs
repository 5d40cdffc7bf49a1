//! When a thread got a processor and when it left it, as the kernel's `perf` events tell: exactly, and without a system call
//! for each look.
//!
//! Linux writes a record at each of these moments into memory that the observer shares with it, the newest first
//! (`write_backward`), so the newest is all that is ever read and none is missed. A thread that switches pays some
//! 0.3 µs for it. Who may not look this way (`/proc/sys/kernel/perf_event_paranoid` above 2, most containers) has
//! `/proc/PID/task/TID/schedstat`, which is a tick of the kernel's clock behind.

use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use perf_event_open_sys as perf;
use perf_event_open_sys::bindings::{self, perf_event_attr, perf_event_mmap_page};
use plait_trace::Nanos;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::Pid;

/// Bytes of a record: what it is, and when.
const RECORD: usize = 16;
/// The newest record is read again if others came meanwhile, so often at most.
const TRIES: usize = 4;
/// Records that are read of a stretch of time at most, the newest: of a thread that switches more often, the rest is not looked at.
const MOST: usize = 32;

/// Whether a thread has a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub has_processor: bool,
    /// Since when, on `CLOCK_MONOTONIC`.
    pub since: Nanos,
}

/// A thread gave up its processor of its own accord, and had one again after that, if it had. Where it lost its processor to
/// somebody else, this is no nap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nap {
    pub slept: Nanos,
    pub woke: Option<Nanos>,
}

/// The latest naps of a thread in a stretch of time, the newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Naps(pub [Option<Nap>; 4]);

impl Naps {
    /// When it last woke up.
    pub fn woke(&self) -> Option<Nanos> {
        self.0.into_iter().flatten().find_map(|nap| nap.woke)
    }

    /// When it fell asleep, if it was asleep at this moment.
    pub fn slept_at(&self, at: Nanos) -> Option<Nanos> {
        let nap = self.0.into_iter().flatten().find(|nap| nap.slept <= at)?;
        nap.woke.is_none_or(|woke| at <= woke).then_some(nap.slept)
    }
}

/// The switches of one thread.
#[derive(Debug)]
pub(crate) struct Switches {
    /// A page about the ring, and the ring, which is as long.
    shared: NonNull<u8>,
    page: usize,
}

// SAFETY: the mapping belongs to the process, not to the thread that made it, and is only read, by atomic loads.
unsafe impl Send for Switches {}

impl Switches {
    /// Has the switches of thread `tid` written from now on.
    ///
    /// # Errors
    /// `EACCES` or `EPERM` where this is not allowed, `ENOSYS` where the kernel has no such events, `ESRCH` when there is
    /// no such thread, and whatever else the kernel refuses it for.
    pub fn of(tid: Pid) -> Result<Self, Errno> {
        let mut wanted = perf_event_attr {
            type_: bindings::PERF_TYPE_SOFTWARE,
            size: size_of::<perf_event_attr>() as u32,
            config: bindings::PERF_COUNT_SW_DUMMY.into(),
            sample_type: bindings::PERF_SAMPLE_TIME.into(),
            clockid: libc::CLOCK_MONOTONIC,
            ..perf_event_attr::default()
        };
        wanted.set_use_clockid(1);
        wanted.set_sample_id_all(1);
        wanted.set_context_switch(1);
        wanted.set_write_backward(1);
        wanted.set_exclude_kernel(1);
        wanted.set_exclude_hv(1);
        let tid = libc::pid_t::try_from(tid).map_err(|_| Errno::SRCH)?;
        let flags = bindings::PERF_FLAG_FD_CLOEXEC.into();
        // SAFETY: the attributes live until the call returns, and the kernel checks all they say.
        let descriptor = unsafe { perf::perf_event_open(&raw mut wanted, tid, -1, -1, flags) };
        if descriptor < 0 {
            return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
        }
        // SAFETY: the call has just made it, and nobody else knows of it.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let page = rustix::param::page_size();
        // Whoever maps it for reading alone has the oldest records overwritten.
        // SAFETY: a new mapping where the kernel finds room. The event lives as long as it, so the descriptor need not.
        let shared =
            unsafe { mmap(std::ptr::null_mut(), 2 * page, ProtFlags::READ, MapFlags::SHARED, &event, 0) }?.cast();
        Ok(Self { shared: NonNull::new(shared).ok_or(Errno::NOMEM)?, page })
    }

    /// Whether the thread has a processor; `None` until it has got or left one for the first time. Of one that has ended
    /// it is what was so before.
    pub fn last(&self) -> Option<Turn> {
        for _ in 0..TRIES {
            let newest = self.head().load(Ordering::Acquire);
            if newest == 0 {
                return None;
            }
            let words = self.record(newest);
            if self.is_whole(newest, RECORD) {
                return switch(words).map(|switch| Turn { has_processor: switch.came, since: switch.at });
            }
        }
        None
    }

    /// How it slept between two moments, on `CLOCK_MONOTONIC`.
    pub fn naps(&self, from: Nanos, to: Nanos) -> Naps {
        let newest = self.head().load(Ordering::Acquire);
        let written = (newest.wrapping_neg() as usize).min(self.page / 2);
        let mut naps = Naps::default();
        let mut places = naps.0.iter_mut();
        let mut came = None;
        for number in 0..(written / RECORD).min(MOST) {
            let Some(switch) = switch(self.record(newest.wrapping_add((number * RECORD) as u64))) else { break };
            let slept = switch.slept && switch.at <= to && (switch.at >= from || came.is_some());
            if slept && let Some(place) = places.next() {
                *place = Some(Nap { slept: switch.at, woke: came });
            }
            if switch.at < from {
                break;
            }
            came = Some(switch.at).filter(|&at| switch.came && at <= to);
        }
        if self.is_whole(newest, (MOST + 1) * RECORD) { naps } else { Naps::default() }
    }

    fn head(&self) -> &AtomicU64 {
        self.word(std::mem::offset_of!(perf_event_mmap_page, data_head))
    }

    /// What stands at a place of the ring, which is a power of two as its records are: none goes around its end.
    fn record(&self, place: u64) -> [u64; 2] {
        let at = self.page + (place as usize & (self.page - 1));
        [0, 8].map(|offset| self.word(at + offset).load(Ordering::Relaxed))
    }

    /// Whether so many bytes from the newest record on have not been written again since they were read.
    fn is_whole(&self, newest: u64, bytes: usize) -> bool {
        fence(Ordering::Acquire);
        newest.wrapping_sub(self.head().load(Ordering::Relaxed)) < (self.page - bytes) as u64
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= 2 * self.page);
        // SAFETY: within the mapping, which lives as long as `self`, at a multiple of eight from the start of a page; it is
        // read by atomic loads alone, as it must be where the kernel writes.
        unsafe { AtomicU64::from_ptr(self.shared.as_ptr().add(offset).cast()) }
    }
}

impl Drop for Switches {
    fn drop(&mut self) {
        // SAFETY: the mapping is as it was made, and nothing that came of it outlives `self`.
        // It cannot fail for a range that is mapped; if it did, memory would be lost, and nothing else.
        let _ = unsafe { munmap(self.shared.as_ptr().cast(), 2 * self.page) };
    }
}

/// A thread got a processor or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Switch {
    came: bool,
    /// It left of its own accord.
    slept: bool,
    at: Nanos,
}

/// What a record says, if it is one of a switch: kind, flags and length in the first word, the time in the second.
fn switch([head, time]: [u64; 2]) -> Option<Switch> {
    let kind = head as u32;
    let flags = u32::from((head >> 32) as u16);
    let length = (head >> 48) as usize;
    let is_switch = kind == bindings::PERF_RECORD_SWITCH && length == RECORD;
    let came = flags & bindings::PERF_RECORD_MISC_SWITCH_OUT == 0;
    let slept = !came && flags & bindings::PERF_RECORD_MISC_SWITCH_OUT_PREEMPT == 0;
    is_switch.then_some(Switch { came, slept, at: time })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Arc, mpsc};
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, clock_gettime};

    use super::*;

    fn now() -> Nanos {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}");
            // Who sleeps and wakes up takes the processor of just the thread that is looked at, often.
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_sleeps_has_no_processor_and_one_that_computes_has() {
        let (tell, whose) = mpsc::channel();
        let (wake, is_woken) = mpsc::channel::<(Switches, Arc<AtomicBool>)>();
        let (show, shown) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get() as Pid).expect("test listens");
            while let Ok((switches, enough)) = is_woken.recv() {
                // Whoever looks at itself has a processor; seen from another thread it may have lost it again.
                let turn = switches.last();
                show.send((switches, turn)).expect("test listens");
                while !enough.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        });
        let mut switches = match Switches::of(whose.recv().expect("told")) {
            Ok(switches) => switches,
            // Here nothing can be seen this way, which is what the observer makes of it, too.
            Err(Errno::ACCESS | Errno::PERM | Errno::NOSYS) => return,
            Err(error) => panic!("{error}"),
        };
        let mut told = 0;
        let patience = Instant::now() + Duration::from_secs(60);
        while told < 3 {
            assert!(Instant::now() < patience, "of all the times that it woke up {told} were told");
            let before = now();
            let enough = Arc::new(AtomicBool::new(false));
            wake.send((switches, enough.clone())).expect("thread listens");
            let (back, on) = shown.recv().expect("it computes");
            switches = back;
            let on = on.expect("a switch");
            assert!(on.has_processor && on.since >= before && on.since <= now(), "{before} {on:?}");
            let asked = now();
            enough.store(true, Ordering::Relaxed);
            let slept = until("it sleeps", || {
                let at = now();
                switches.naps(before, at).slept_at(at).filter(|&slept| slept > asked)
            });
            assert!(slept <= now(), "{slept}");
            assert_eq!(switches.last(), Some(Turn { has_processor: false, since: slept }));
            // It was woken to compute, and sleeps now; whatever took its processor meanwhile.
            let naps = switches.naps(before, now());
            assert_eq!(naps.slept_at(asked), None, "it slept later");
            // Not told is what it slept before the first time, and what has more than `MOST` switches after it, as on a machine
            // that had other work for as long.
            if let Some(woke) = naps.woke() {
                assert!(woke >= before && woke <= on.since, "{before} {on:?} {naps:?}");
                told += 1;
            }
            assert_eq!(switches.naps(slept + 1, now()), Naps::default());
        }
        drop(wake);
        thread.join().expect("thread ends");
        // Its end is no switch.
        assert!(switches.last().is_some());
    }

    #[test]
    fn nobody_has_no_switches() {
        assert!(Switches::of(Pid::MAX).is_err());
        assert!(Switches::of(i32::MAX as Pid).is_err());
    }

    #[test]
    fn records_of_switches_are_read() {
        let head = |kind: u32, flags: u32, length: u64| u64::from(kind) | u64::from(flags) << 32 | length << 48;
        let switch = bindings::PERF_RECORD_SWITCH;
        let out = bindings::PERF_RECORD_MISC_SWITCH_OUT;
        let preempted = out | bindings::PERF_RECORD_MISC_SWITCH_OUT_PREEMPT;
        let told = |kind, flags, length| super::switch([head(kind, flags, length), 7]);
        assert_eq!(told(switch, 0, 16), Some(Switch { came: true, slept: false, at: 7 }));
        assert_eq!(told(switch, out, 16), Some(Switch { came: false, slept: true, at: 7 }));
        assert_eq!(told(switch, preempted, 16), Some(Switch { came: false, slept: false, at: 7 }));
        assert_eq!(told(switch + 1, 0, 16), None);
        assert_eq!(told(switch, 0, 24), None);
        assert_eq!(super::switch([0, 0]), None);
    }
}
