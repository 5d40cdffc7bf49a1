//! A thread for futures that nobody waits for by asking them: they have callbacks, or `concurrent.futures.wait` and its kin
//! sleep until they are told. It reads the mail, tells those who wait, and runs what nobody has begun, as a thread does
//! that waits for a single future.
//!
//! One thread listens at a time. Before it runs a task it leaves that to the next, since the task may itself wait so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use plait_engine::native;
use plait_engine::pool::Awaited;
use pyo3::prelude::*;

use super::{OWN, Own, Stand, locked};
use crate::future::FutureCore;

/// What is watched so long without anybody having begun it is taken back: other workers come first.
const GRACE: Duration = Duration::from_millis(1);

/// The longest a listener sleeps: a safety net, not a mechanism.
const NAP: Duration = Duration::from_secs(1);

/// A stack as large as that of the main thread, whose place it takes.
const STACK: usize = 8 << 20;

#[derive(Default)]
pub struct Helpers {
    state: Mutex<State>,
    /// Counts what was added, so that a listener that is about to sleep sees it.
    added: AtomicU64,
}

#[derive(Default)]
struct State {
    listening: bool,
    watched: VecDeque<(Arc<FutureCore>, Instant)>,
}

/// What a listener does next.
enum Next {
    Sleep(Duration),
    Ask(Arc<FutureCore>),
    Run(Arc<FutureCore>),
    Leave,
}

impl Own {
    /// Somebody wants to be told of the future's end.
    pub fn watch(&self, core: &Arc<FutureCore>) {
        let start = {
            let mut state = locked(&self.helpers.state);
            state.watched.push_back((Arc::clone(core), Instant::now()));
            !std::mem::replace(&mut state.listening, true)
        };
        self.helpers.added.fetch_add(1, Ordering::Release);
        if start {
            self.start_helper();
        } else {
            self.desk.nudge();
        }
    }

    fn start_helper(&self) {
        let thread = thread::Builder::new().name("plait-helper".into()).stack_size(STACK);
        let started = native::spawn(thread, || {
            if let Some(own) = OWN.get() {
                own.listen();
            }
        });
        if started.is_err() {
            // No thread to be had now: the next future that is watched tries again.
            locked(&self.helpers.state).listening = false;
        }
    }

    fn listen(&self) {
        loop {
            let added = self.helpers.added.load(Ordering::Acquire);
            if Python::try_attach(|py| self.read_mail(py)).is_none() {
                return;
            }
            match self.next() {
                Next::Leave => return,
                Next::Ask(core) => {
                    // What cannot be written now is asked later.
                    Python::try_attach(|py| self.ask(py, &core));
                }
                Next::Run(core) => {
                    Python::try_attach(|py| self.run(py, &core));
                    if std::mem::replace(&mut locked(&self.helpers.state).listening, true) {
                        return;
                    }
                }
                Next::Sleep(time) => {
                    let news = || self.helpers.added.load(Ordering::Acquire) != added || self.has_ours();
                    self.desk.wait_reply(news, Some(time));
                }
            }
        }
    }

    /// Whether a task came back that a helper is to run.
    fn has_ours(&self) -> bool {
        let watched: Vec<_> = locked(&self.helpers.state).watched.iter().map(|(core, _)| Arc::clone(core)).collect();
        watched.iter().any(|core| self.stand(core) == Some(Stand::Ours))
    }

    fn next(&self) -> Next {
        let now = Instant::now();
        let mut state = locked(&self.helpers.state);
        state.watched.retain(|(core, _)| !core.is_done());
        let mut sleep = NAP;
        let mut asked = false;
        for (at, (core, since)) in state.watched.iter().enumerate() {
            match self.stand(core) {
                Some(Stand::Ours) => {
                    let core = Arc::clone(core);
                    state.watched.remove(at);
                    state.listening = !state.watched.is_empty();
                    let successor = state.listening;
                    drop(state);
                    if successor {
                        self.start_helper();
                    }
                    return Next::Run(core);
                }
                // One at a time: while this thread runs it, others may begin the next.
                Some(Stand::Asked) => asked = true,
                Some(Stand::Sent) if !asked => {
                    let due = *since + GRACE;
                    if now >= due {
                        return Next::Ask(Arc::clone(core));
                    }
                    sleep = sleep.min(due - now);
                    asked = true;
                }
                _ => {}
            }
        }
        if state.watched.is_empty() {
            state.listening = false;
            return Next::Leave;
        }
        Next::Sleep(sleep)
    }
}
