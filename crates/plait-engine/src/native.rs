//! Threads of plait's own, to which the kernel delivers no signal.
//!
//! A signal for the process goes to any thread that lets it in. The interpreter wakes its main thread for one only if
//! that was the thread it came to: a Ctrl-C that lands on a thread of plait's is heard when the main thread happens to
//! wake up, which a `time.sleep` does at its end. So these threads let none in.

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What a thread does to itself; blocked, they would end the process before a handler could say where it crashed.
const OWN: [Signal; 7] =
    [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP];

/// Starts a thread that handles no signals meant for the process. A process that it starts in turn begins so, too.
///
/// # Errors
/// The system's, if there is no thread to be had.
pub fn spawn<T: Send + 'static>(
    thread: Builder,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let mut blocked = SigSet::all();
    for signal in OWN {
        blocked.remove(signal);
    }
    // A thread begins with the mask of the one that starts it: so there is no moment without.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = thread.spawn(body);
    before.thread_set_mask()?;
    started
}

// Not under Miri: signals.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_ours_lets_no_signal_in_and_the_one_that_starts_it_as_many_as_before() {
        let before = SigSet::thread_get_mask().unwrap();
        let mask = spawn(Builder::new(), || SigSet::thread_get_mask().unwrap()).unwrap().join().unwrap();
        for signal in Signal::iterator() {
            let kept = OWN.contains(&signal) || matches!(signal, Signal::SIGKILL | Signal::SIGSTOP);
            assert_eq!(mask.contains(signal), !kept, "{signal}");
        }
        assert!(SigSet::thread_get_mask().unwrap() == before);
    }
}
