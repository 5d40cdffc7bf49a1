//! Telling when a thread of this process kept a GIL in native code while others waited for it.
//!
//! A thread that is no Python thread looks at the GILs some hundred times a second, without taking them. So it sees what goes
//! on while everybody else stands still. A look is one system call as a rule; who waits, where in Python the holder is, and in
//! which C function, is asked only when it has been in one place for long.
//!
//! | file | what |
//! |---|---|
//! | `patience.rs` | what is too long |
//! | `crowd.rs` | who waits |
//! | `shots.rs` | the C function, named by a child process |

mod crowd;
mod patience;
mod shots;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

pub use shots::{Namer, name_functions};

use self::crowd::Crowd;
use self::patience::{Next, Over, Patience, Place, allowed};
use super::clocks;
use crate::observer::{Observer, Turns};
use crate::stacks::Stacks;
use crate::subject::Subject;
use crate::{Finder, Gil, Pid, Reason, stacks};

/// The longest time between two looks, and the shortest, which it takes a small limit to make it.
const PERIODS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(1));
/// Looks in the time of a limit, at least.
const LOOKS: u32 = 10;
/// The time between two walks over interpreters.
const WALK: Duration = Duration::from_millis(500);
/// C functions are not asked for more often than this.
const SHOT_EVERY: Duration = Duration::from_millis(200);
/// For so long an answer is waited for after the hold.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// The thread that names functions looks this much later than it says, at most.
const SHOT_TAKES: u64 = 2_000_000;
/// Holds that nobody has fetched; of more the oldest are dropped.
const MOST_KEPT: usize = 256;

/// A thread kept a GIL in one native call while others waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The thread.
    pub tid: Pid,
    /// For how long, to some milliseconds.
    pub took: Duration,
    /// The most threads that waited at a time.
    pub waiters: usize,
    /// The Python calls it was in, the innermost first: function, file and line.
    pub calls: Vec<(Arc<str>, Arc<str>, u32)>,
    /// The C function that Python called.
    pub function: Option<String>,
    /// Why that is not known, where there is something to say.
    pub unnamed: Option<String>,
}

/// Why holds cannot be watched for.
#[derive(Debug, thiserror::Error)]
pub enum NoWatch {
    /// The GIL of this process cannot be read.
    #[error(transparent)]
    Reason(#[from] Reason),
    /// There is no thread to be had.
    #[error("no thread to watch with: {0}")]
    Thread(#[from] io::Error),
}

/// What the watching thread shares with those who listen.
#[derive(Debug)]
struct Shared {
    limit: AtomicU64,
    left_out: AtomicU32,
    /// Who is to name functions from now on.
    offered: Mutex<Option<Namer>>,
    news: Mutex<News>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct News {
    holds: VecDeque<Hold>,
    dropped: u64,
    is_over: bool,
}

/// Watches until it is stopped or dropped.
pub struct Holds {
    shared: Arc<Shared>,
    observer: Mutex<Option<Observer<()>>>,
}

impl Holds {
    /// Begins. Nobody names C functions yet.
    ///
    /// # Errors
    /// [`NoWatch`].
    pub fn start(limit: Duration) -> Result<Self, NoWatch> {
        let subject = Subject::attach(std::process::id(), &mut Finder::default())?;
        if subject.is_free_threaded() {
            let python = subject.python();
            return Err(Reason::NoGil { pid: python.pid, version: python.version }.into());
        }
        let stacks = Stacks::of(subject.python())?;
        let shared = Arc::new(Shared {
            limit: AtomicU64::new(0),
            left_out: AtomicU32::new(0),
            offered: Mutex::default(),
            news: Mutex::default(),
            changed: Condvar::new(),
        });
        let inside = Arc::clone(&shared);
        let observer = super::undisturbed(|| {
            Observer::start("plait-watch-gil", move |turns| {
                turns.ready();
                let mut watcher = Watcher::new(Arc::clone(&inside), subject, stacks);
                watcher.watch(turns);
                inside.end();
            })
        })?;
        let holds = Self { shared, observer: Mutex::new(Some(observer)) };
        holds.set_limit(limit);
        Ok(holds)
    }

    /// What takes less is not told from now on.
    pub fn set_limit(&self, limit: Duration) {
        self.shared.limit.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// From now on this one is asked for the names of C functions.
    pub fn name_by(&self, namer: Namer) {
        *self.shared.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some(namer);
    }

    /// This thread is not counted among those that wait.
    pub fn leave_out_this_thread(&self) {
        self.shared.left_out.store(clocks::own_tid(), Ordering::Relaxed);
    }

    /// Waits for the next hold; `None` when there will be no more. With it: how many before it were given up, since nobody
    /// fetched them. To be called without the GIL.
    pub fn next(&self) -> Option<(Hold, u64)> {
        let mut news = self.shared.news();
        loop {
            if let Some(hold) = news.holds.pop_front() {
                return Some((hold, std::mem::take(&mut news.dropped)));
            }
            if news.is_over {
                return None;
            }
            news = self.shared.changed.wait(news).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it; what was found is still told. In a process that was forked since, nothing happens.
    pub fn stop(&self) {
        let observer = self.observer.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(observer);
        // One that was offered too late to be met has to end, too.
        drop(self.shared.offered.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.end();
    }
}

impl Shared {
    fn news(&self) -> MutexGuard<'_, News> {
        // Whole at any moment.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, hold: Hold) {
        let mut news = self.news();
        if news.holds.len() == MOST_KEPT {
            news.holds.pop_front();
            news.dropped += 1;
        }
        news.holds.push_back(hold);
        drop(news);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.news().is_over = true;
        self.changed.notify_all();
    }
}

/// A GIL under watch.
#[derive(Debug)]
struct Watched {
    gil: Gil,
    interval: u64,
    patience: Patience,
    crowd: Crowd,
    evidence: Option<Evidence>,
}

/// What was found out of a hold while it went on.
#[derive(Clone, Debug, Default)]
struct Evidence {
    calls: Vec<(Arc<str>, Arc<str>, u32)>,
    /// The question that was asked.
    question: Option<u32>,
}

/// A hold that is over, but the answer has not come.
#[derive(Debug)]
struct Unanswered {
    hold: Hold,
    question: u32,
    last: u64,
    until: Instant,
}

#[derive(Debug)]
struct Watcher {
    shared: Arc<Shared>,
    subject: Subject,
    stacks: Stacks,
    namer: Option<Namer>,
    watched: Vec<Watched>,
    walked: Instant,
    shot: Option<Instant>,
    unanswered: Vec<Unanswered>,
}

impl Watcher {
    fn new(shared: Arc<Shared>, subject: Subject, stacks: Stacks) -> Self {
        let (namer, watched, unanswered) = (None, Vec::new(), Vec::new());
        let mut new = Self { shared, subject, stacks, namer, watched, walked: Instant::now(), shot: None, unanswered };
        new.meet();
        new
    }

    fn watch(&mut self, turns: &mut Turns) {
        let mut due = Instant::now();
        loop {
            let limit = self.shared.limit.load(Ordering::Relaxed);
            due = (due + period(limit)).max(Instant::now());
            if !turns.wait_until(due) {
                return;
            }
            if self.walked.elapsed() >= WALK {
                self.walked = Instant::now();
                // Where that fails, what is known is looked at further on.
                let _ = self.subject.refresh();
                self.meet();
                turns.tell_cost();
            }
            if let Ok(mut offered) = self.shared.offered.try_lock()
                && offered.is_some()
            {
                self.namer = offered.take();
            }
            for number in 0..self.watched.len() {
                self.look(number, limit);
            }
            if !self.unanswered.is_empty() {
                self.listen();
            }
        }
    }

    /// Takes note of GILs that came or went.
    fn meet(&mut self) {
        let gils = self.subject.gils();
        self.watched.retain(|watched| gils.iter().any(|info| info.gil == watched.gil));
        for info in gils {
            let interval = info.interval.as_nanos() as u64;
            match self.watched.iter_mut().find(|watched| watched.gil == info.gil) {
                Some(watched) => watched.interval = interval,
                None => self.watched.push(Watched {
                    gil: info.gil,
                    interval,
                    patience: Patience::default(),
                    crowd: Crowd::default(),
                    evidence: None,
                }),
            }
        }
    }

    fn look(&mut self, number: usize, limit: u64) {
        let Self { shared, subject, watched, .. } = self;
        let watched = &mut watched[number];
        let Ok(look) = subject.look(watched.gil) else { return };
        let spot = look.spot.map(|spot| (spot.frame, spot.instruction));
        let place = look.holder.filter(|_| look.held);
        let place = place.map(|tid| Place { tid, state: look.state, switches: look.switches, spot });
        let (at, allowed) = (monotonic(), allowed(limit, watched.interval));
        let (over, next) = watched.patience.look(at, place, allowed);
        if next == Next::AskWhoWaits
            && let Some(place) = place
        {
            let left_out = shared.left_out.load(Ordering::Relaxed);
            let waiters = watched.crowd.ask(watched.gil, place.tid, left_out, false);
            let delay = clocks::thread_delay(place.tid).unwrap_or(0);
            if watched.patience.waiters(waiters, delay, allowed) {
                let waiters = watched.crowd.ask(watched.gil, place.tid, left_out, true);
                watched.patience.waiters(waiters, delay, allowed);
                let evidence = self.find_evidence(place);
                self.watched[number].evidence = Some(evidence);
            }
            return;
        }
        watched.crowd.disperse();
        let evidence = watched.evidence.take();
        let over = over.and_then(|hold| {
            let delay = clocks::thread_delay(hold.place.tid).unwrap_or(0);
            hold.end(at, delay, allowed)
        });
        if let Some(over) = over {
            self.report(over, evidence.unwrap_or_default());
        }
    }

    /// Finds out where the holder is, which stays there.
    fn find_evidence(&mut self, place: Place) -> Evidence {
        let mut question = None;
        if self.shot.is_none_or(|shot| shot.elapsed() >= SHOT_EVERY) {
            question = self.namer.as_mut().and_then(|namer| namer.ask(place.tid));
            self.shot = question.map(|_| Instant::now());
        }
        let calls = self.stacks.stack(place.state).unwrap_or_default();
        let calls = calls.into_iter().map(|stacks::Place { function, file, line }| (function, file, line));
        Evidence { calls: calls.collect(), question }
    }

    fn report(&mut self, over: Over, evidence: Evidence) {
        let Over { place, last, took, waiters, .. } = over;
        let (took, calls) = (Duration::from_nanos(took), evidence.calls);
        let mut hold = Hold { tid: place.tid, took, waiters, calls, function: None, unnamed: None };
        let Some(question) = evidence.question else {
            hold.unnamed = Some(match &self.namer {
                Some(namer) if !namer.is_broken() => "it was not asked for: another hold was, just before".to_owned(),
                _ => "there is no process that could name it".to_owned(),
            });
            return self.shared.tell(hold);
        };
        self.unanswered.push(Unanswered { hold, question, last, until: Instant::now() + ANSWER_WITHIN });
    }

    /// Takes answers, and tells the holds that they are about.
    fn listen(&mut self) {
        let Self { shared, namer, unanswered, .. } = self;
        let Some(namer) = namer else { return };
        namer.listen();
        unanswered.retain_mut(|waiting| {
            let hold = &mut waiting.hold;
            match namer.take(waiting.question) {
                // The thread was looked at when it was there, and not after.
                Some(answer) if answer.at + SHOT_TAKES <= waiting.last => match answer.function {
                    Ok(function) => {
                        hold.unnamed = function.is_none().then(|| "no symbol names it".to_owned());
                        hold.function = function;
                    }
                    Err(why) => hold.unnamed = Some(why),
                },
                Some(_) => hold.unnamed = Some("it was over before the function could be named".to_owned()),
                None if namer.is_broken() || Instant::now() >= waiting.until => {
                    hold.unnamed = Some("the process that names functions did not answer".to_owned());
                }
                None => return true,
            }
            shared.tell(hold.clone());
            false
        });
    }
}

fn period(limit: u64) -> Duration {
    (Duration::from_nanos(limit) / LOOKS).clamp(PERIODS.1, PERIODS.0)
}

/// Nanoseconds on the clock that all processes share.
fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}
