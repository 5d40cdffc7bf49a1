//! The thread of an observer: starts, takes turns on a clock, stops when its handle says so or is dropped, and
//! knows what it costs.
//!
//! An observer often lives in the very process it observes. So each one publishes the CPU time it has used, to be taken off
//! the figures of that process, and its thread number, to be left out of the threads that are sampled.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Pid;

/// CPU time of all observer threads that this process ever had, as far as they have told.
static OWN_CPU_NANOS: AtomicU64 = AtomicU64::new(0);
static OWN_THREADS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// CPU time that all observers of this process have used since it began.
pub(crate) fn own_cpu() -> Duration {
    Duration::from_nanos(OWN_CPU_NANOS.load(Ordering::Relaxed))
}

/// Whether `tid` is an observer of this process.
pub(crate) fn is_observer(tid: Pid) -> bool {
    own_threads().contains(&tid)
}

fn own_threads() -> MutexGuard<'static, Vec<Pid>> {
    // A list of numbers is whole whatever its last user died of.
    OWN_THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns a running observer; dropping it stops the thread and waits for its end.
pub(crate) struct Observer<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
    /// A fork of this process has the handle, but not the thread.
    owner: u32,
}

impl<T: Send + 'static> Observer<T> {
    /// Starts `body` on a thread called `name` and returns once it has called [`Turns::ready`] or ended.
    pub fn start(name: &str, body: impl FnOnce(&mut Turns) -> T + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let seen_by_thread = Arc::clone(&stop);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _listed = Listed::new();
            let mut turns = Turns { stop: seen_by_thread, ready: Some(ready), told: Duration::ZERO };
            let result = body(&mut turns);
            turns.tell_cost();
            result
        })?;
        // An error means that the thread ended without a word: stop() will tell.
        let _ = is_ready.recv();
        Ok(Self { stop, thread: Some(thread), owner: std::process::id() })
    }

    /// Stops the thread and hands over what it found. A panic of the observer goes on here.
    pub fn stop(mut self) -> Option<T> {
        self.join().map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl<T> Observer<T> {
    fn join(&mut self) -> Option<thread::Result<T>> {
        let thread = self.thread.take()?;
        if self.owner != std::process::id() {
            std::mem::forget(thread);
            return None;
        }
        self.stop.store(true, Ordering::Release);
        thread.thread().unpark();
        Some(thread.join())
    }
}

impl<T> Drop for Observer<T> {
    fn drop(&mut self) {
        // Dropped without stop(): nobody asks for the result any more, nor for the observer's panic.
        let _ = self.join();
    }
}

/// The observer thread's side: its clock and its account.
pub(crate) struct Turns {
    stop: Arc<AtomicBool>,
    ready: Option<mpsc::Sender<()>>,
    told: Duration,
}

impl Turns {
    /// Lets [`Observer::start`] return: what was to be noted before the first moment is noted.
    pub fn ready(&mut self) {
        if let Some(ready) = self.ready.take() {
            // Who started us may be gone; then stop is set, too.
            let _ = ready.send(());
        }
    }

    /// For a thread that ends by itself and that nobody stops.
    pub fn unbidden() -> Self {
        Self { stop: Arc::default(), ready: None, told: Duration::ZERO }
    }

    /// Sleeps until `deadline`; false as soon as the observer is to stop.
    pub fn wait_until(&mut self, deadline: Instant) -> bool {
        loop {
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::park_timeout(left);
        }
    }

    /// Publishes and returns the CPU time of this thread since it began.
    pub fn tell_cost(&mut self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let used = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        OWN_CPU_NANOS.fetch_add(used.saturating_sub(self.told).as_nanos() as u64, Ordering::Relaxed);
        self.told = used;
        used
    }
}

/// Keeps the calling thread in the list of observers.
pub(crate) struct Listed(Pid);

impl Listed {
    pub fn new() -> Self {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as Pid;
        own_threads().push(tid);
        Self(tid)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        own_threads().retain(|&tid| tid != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn stop_ends_a_long_sleep_and_brings_the_result() {
        let observer = Observer::start("test", |turns| {
            turns.ready();
            assert!(!turns.wait_until(far()));
            "found"
        });
        assert_eq!(observer.expect("starts").stop(), Some("found"));
    }

    #[test]
    fn drop_ends_the_thread() {
        let (alive, dead) = mpsc::channel::<()>();
        let observer = Observer::start("test", move |turns| {
            let _alive = alive;
            turns.ready();
            turns.wait_until(far())
        });
        drop(observer.expect("starts"));
        assert_eq!(dead.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[test]
    fn an_observer_is_known_while_it_runs_and_its_cost_stays() {
        let before = own_cpu();
        let (tell, told) = mpsc::channel();
        let observer = Observer::start("test", move |turns| {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get() as Pid).expect("test listens");
            turns.ready();
            while turns.tell_cost() < Duration::from_millis(2) {}
            turns.wait_until(far())
        })
        .expect("starts");
        let tid = told.recv().expect("told");
        assert!(is_observer(tid));
        observer.stop();
        assert!(!is_observer(tid));
        assert!(own_cpu() - before >= Duration::from_millis(2));
    }

    #[test]
    fn a_panic_of_the_observer_reaches_who_stops_it() {
        let observer = Observer::<()>::start("test", |_| panic!("broken observer")).expect("starts");
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| observer.stop()));
        assert_eq!(caught.expect_err("panics").downcast_ref::<&str>(), Some(&"broken observer"));
    }
}
