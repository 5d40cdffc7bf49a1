//! Waiting for a task of the own pool: by running it, if nobody has begun it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plait_engine::pool::Awaited;
use plait_engine::wire::inner::note;
use pyo3::prelude::*;

use super::{Own, Stand, number};
use crate::future::{FutureCore, Held, Phase, tell};

/// How long a waiter sleeps at most before it looks for signals.
const SLICE: Duration = Duration::from_millis(50);

impl Own {
    /// Waits until the task has ended; false when the deadline came first. A task that is run here runs to its end.
    pub fn wait(&self, py: Python<'_>, core: &Arc<FutureCore>, deadline: Option<Instant>) -> PyResult<bool> {
        self.read_mail(py);
        loop {
            if core.is_done() {
                return Ok(true);
            }
            match self.stand(core) {
                Some(Stand::Ours) => {
                    self.run(py, core)?;
                    continue;
                }
                Some(Stand::Sent) if !is_over(deadline) => self.ask(py, core)?,
                _ => {}
            }
            if is_over(deadline) {
                return Ok(false);
            }
            self.sleep(py, core, deadline)?;
        }
    }

    /// Asks the parent for the task, unless that was done.
    pub(super) fn ask(&self, py: Python<'_>, core: &FutureCore) -> PyResult<()> {
        if self.advance(core, Stand::Sent, Stand::Asked) {
            self.note(py, note::TAKE_BACK, &[&number(core).to_le_bytes()])?;
        }
        Ok(())
    }

    /// Runs a task that nobody else will. The error is that of the call around it, which is to end.
    pub(super) fn run(&self, py: Python<'_>, core: &Arc<FutureCore>) -> PyResult<()> {
        let Some(call) = self.claim(core) else { return Ok(()) };
        let (next, held, stopped) = match call.run(py, self) {
            Ok(outcome) => (Phase::Finished, Held::Told(outcome), Ok(())),
            Err(stop) => (Phase::Finished, Held::Error(stop.value(py).clone().into_any().unbind()), Err(stop)),
        };
        drop(call);
        let exposed = core.transition(&[Phase::Running], next, held);
        self.desk.nudge();
        if exposed == Some(true) {
            tell(py, core);
        }
        stopped
    }

    /// Sleeps until there is mail, or something about the task has changed.
    fn sleep(&self, py: Python<'_>, core: &FutureCore, deadline: Option<Instant>) -> PyResult<()> {
        let left = deadline.map_or(SLICE, |deadline| deadline.saturating_duration_since(Instant::now()));
        let ready = || core.is_done() || self.stand(core) == Some(Stand::Ours);
        py.detach(|| self.desk.wait_reply(ready, Some(left.min(SLICE))));
        self.read_mail(py);
        py.check_signals()
    }

    /// Takes a task back, or has it stopped where it runs; false if it has ended or runs in this process.
    pub fn cancel(&self, py: Python<'_>, core: &FutureCore) -> PyResult<bool> {
        self.read_mail(py);
        loop {
            if core.phase() != Phase::Pending {
                return Ok(false);
            }
            match self.stand(core) {
                Some(Stand::Sent) => self.ask(py, core)?,
                Some(Stand::Asked) => {}
                Some(Stand::Begun) => {
                    super::locked(&self.sent).remove(&number(core));
                    self.note(py, note::STOP, &[&number(core).to_le_bytes()])?;
                    return Ok(true);
                }
                // What another thread is about to run is not pending for long; the future's own lock decides.
                Some(Stand::Ours) | None => {
                    super::locked(&self.sent).remove(&number(core));
                    return Ok(true);
                }
            }
            self.sleep(py, core, None)?;
        }
    }

    /// Whether another worker runs the task, as far as is known here.
    pub fn is_running(&self, core: &FutureCore) -> bool {
        self.stand(core) == Some(Stand::Begun)
    }

    /// Takes replies that are there. A task that came back while nobody waited is run by a helper.
    pub fn look(&self, py: Python<'_>, core: &Arc<FutureCore>) {
        self.read_mail(py);
        if self.stand(core) == Some(Stand::Ours) {
            self.watch(core);
        }
    }

    /// Waits until the parent has acted on all notes so far.
    #[cold]
    pub(super) fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.unsynced.store(0, Ordering::Relaxed);
        if super::locked(&self.sent).is_empty() {
            // All were answered, and so taken.
            return Ok(());
        }
        let echo = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.note(py, note::SYNC, &[&echo.to_le_bytes()])?;
        let heard = || self.synced.load(Ordering::Acquire) >= echo;
        while !heard() {
            py.detach(|| self.desk.wait_reply(heard, Some(SLICE)));
            self.read_mail(py);
            py.check_signals()?;
        }
        Ok(())
    }
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
