//! The observer that looks at a process tree and writes down what it sees.
//!
//! Two threads, so that a slow disk keeps nobody from looking. One looks: about a thousand times a second at each GIL and at
//! the threads that were busy of late, fifty times at Python stacks and at the others (ten times at those idle for long), twenty times at the process tree, ten times
//! at what changes slowly. All processes are looked at on one clock. What it saw becomes records, which the other
//! thread hands to a [`Sink`] four times a second. Nothing is injected, and no process is stopped as a whole: where a thread
//! keeps the GIL for long, that one thread is stopped for some 50 µs to read its native calls, unless told not to.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plait_trace::{Ended, ProcessKey, Record, Sink};

use crate::observer::Observer;
use crate::{Pid, Reason};

mod disturbance;
mod hogs;
mod keys;
mod lateness;
mod outbox;
mod run;
mod target;
mod watched;

/// Why there is no GIL to be seen in a process, of those in which there is none.
pub(crate) type Refusals = Arc<Mutex<HashMap<ProcessKey, Reason>>>;

/// Takes records as they come together.
pub(crate) type Take = Box<dyn FnMut(&[Record]) + Send>;

/// How far the observer is.
#[derive(Debug, Default)]
struct Progress {
    /// The root has ended, or the sink takes no more.
    over: AtomicBool,
    /// Looks that count.
    looks: AtomicU64,
}

/// How closely to look, and at what.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOptions {
    /// The mean time between two looks: 1 ms unless told, at least 0.2 ms; longer when that would cost too much.
    pub period: Duration,
    /// The time between two Python stacks of a busy thread: 20 ms unless told.
    pub stack_period: Duration,
    /// The processor time that the observer may use, as a share of one processor: 0.1 unless told.
    pub max_cpu_share: f64,
    /// Whether a thread that keeps the GIL may be stopped for a moment, to name its C function: yes unless told.
    pub pause: bool,
    /// Whether the processes under the root are looked at, too: yes unless told.
    pub children: bool,
    /// What the recording says that it is of.
    pub what: String,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            period: Duration::from_millis(1),
            stack_period: Duration::from_millis(20),
            max_cpu_share: 0.1,
            pause: true,
            children: true,
            what: String::new(),
        }
    }
}

/// A recording that goes on; dropped, it ends.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use plait_observe::{RecordOptions, Recorder};
/// use plait_trace::Recording;
///
/// let recording = Arc::new(Mutex::new(Recording::default()));
/// let recorder = Recorder::start(std::process::id(), RecordOptions::default(), Box::new(recording.clone()))?;
/// // … the work …
/// let outcome = recorder.stop();
/// assert!(outcome.failure.is_none());
/// assert_eq!(recording.lock().unwrap().processes[0].process.pid, std::process::id());
/// # std::io::Result::Ok(())
/// ```
#[must_use = "the outcome comes from stop()"]
pub struct Recorder {
    observer: Option<Observer<Ended>>,
    writer: Option<outbox::Writer>,
    progress: Arc<Progress>,
}

/// How a recording ended.
#[derive(Debug)]
pub struct Outcome {
    /// The last record of it.
    pub ended: Ended,
    /// Why the sink takes no more, if it failed; what it took before that is kept.
    pub failure: Option<io::Error>,
}

impl Recorder {
    /// Looks at `root`, and at everything under it unless told otherwise, until [`Recorder::stop`].
    ///
    /// Returns after the first look at the tree. That nothing can be seen of a process is told by the recording, as
    /// [`plait_trace::Process::why`].
    ///
    /// # Errors
    /// When there is no process `root`, or no thread can be started.
    pub fn start(root: Pid, options: RecordOptions, sink: Box<dyn Sink>) -> io::Result<Self> {
        if crate::tree(root).is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, crate::Reason::Gone { pid: root }));
        }
        let progress = Arc::new(Progress::default());
        let (outbox, writer) = outbox::start(sink, Arc::clone(&progress))?;
        Self::run(run::Run::new(root, options, outbox, None), progress, Some(writer))
    }

    /// Looks at GILs and their threads alone, and hands the records to `take` on the thread that looks, about four times a
    /// second. There are neither stacks nor native calls nor tasks nor figures, nor threads of processes without a
    /// GIL; those stand in `refusals` from before their first record. A root that is not there is no error.
    pub(crate) fn start_on_gils(root: Pid, options: RecordOptions, refusals: Refusals, take: Take) -> io::Result<Self> {
        let outbox = outbox::Outbox::to(take);
        Self::run(run::Run::new(root, options, outbox, Some(refusals)), Arc::default(), None)
    }

    fn run(run: run::Run, progress: Arc<Progress>, writer: Option<outbox::Writer>) -> io::Result<Self> {
        let told = Arc::clone(&progress);
        let observer = Observer::start("plait-record", move |turns| run.run(turns, &told))?;
        Ok(Self { observer: Some(observer), writer, progress })
    }

    /// How many looks have counted so far.
    pub fn looks(&self) -> u64 {
        self.progress.looks.load(Ordering::Relaxed)
    }

    /// Whether there is no more to record: the root has ended, or the sink has failed.
    pub fn is_over(&self) -> bool {
        self.progress.over.load(Ordering::Acquire)
    }

    /// Ends the recording and waits until the sink has all of it.
    pub fn stop(mut self) -> Outcome {
        // In a fork of the process that started it, there are neither of the threads.
        let ended = self.observer.take().and_then(Observer::stop).unwrap_or_default();
        let failure = self.writer.take().and_then(outbox::Writer::finish);
        Outcome { ended, failure }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // First the one that looks: the other ends when nobody can send it anything.
        drop(self.observer.take());
        drop(self.writer.take());
    }
}
