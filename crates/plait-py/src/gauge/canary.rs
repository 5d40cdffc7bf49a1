//! How often the GIL is held where its words cannot be read: a thread asks for it now and then, and sees whether it
//! had to wait.
//!
//! That disturbs what it measures, for a thread that holds the GIL gives it up to be asked back, and tells not who held it. So it is for
//! Pythons of another layout alone. As the sampler, it runs in windows, at most one in a process, and ends by itself.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use plait_observe::own;
use pyo3::prelude::*;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(1);
/// To be given a GIL that nobody holds takes less.
const AT_ONCE: Duration = Duration::from_micros(30);

/// The end of the last window, in nanoseconds since [`base`].
static UNTIL: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicBool = AtomicBool::new(false);

fn now() -> u64 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    BASE.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Asks for so long from now on.
pub fn ask_for(window: Duration) -> io::Result<()> {
    UNTIL.fetch_max(now().saturating_add(window.as_nanos() as u64), Ordering::AcqRel);
    if RUNS.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let started = plait_engine::native::spawn(Builder::new().name("plait-canary".to_owned()), run);
    started.map(drop).inspect_err(|_| RUNS.store(false, Ordering::Release))
}

/// In the child of a fork there is none.
pub fn forget() {
    UNTIL.store(0, Ordering::Relaxed);
    RUNS.store(false, Ordering::Relaxed);
}

fn run() {
    loop {
        while now() < UNTIL.load(Ordering::Acquire) {
            thread::sleep(PAUSE);
            let asked = Instant::now();
            // Where the interpreter ends meanwhile, this thread is not heard of again, or told so.
            let Some(waited) = Python::try_attach(|_| asked.elapsed()) else { return };
            own::guess(waited > AT_ONCE);
        }
        RUNS.store(false, Ordering::Release);
        // A window that was asked for before the store found this thread; one after it starts another.
        if UNTIL.load(Ordering::Acquire) <= now() || RUNS.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}
