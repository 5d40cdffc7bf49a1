//! The records of a recorder, added up: of each thread, how long it waited for the GIL, ran, and was blocked.

use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use plait_trace::{GilKey, Nanos, ProcessKey, Record, Span, State, Thread, ThreadKey};

use super::queue::Queue;
use super::waits::{ProcessWaits, ThreadWaits, Waits};
use crate::recorder::Refusals;
use crate::{Pid, Reason};

/// Processes that get an entry of their own in a report; its totals count all.
pub(super) const MOST_LISTED: usize = 4096;
/// Threads of one process that get a line of their own; its totals count all.
const MOST_THREADS: usize = 1024;
/// By then all is known of what threads did: lanes hold back what they are not sure of for a fifth of this.
const SETTLED_AFTER: Nanos = 1_000_000_000;

/// A process that lives.
#[derive(Debug)]
struct Account {
    pid: Pid,
    waits: Waits,
    /// Its threads that ended.
    ended: Vec<ThreadWaits>,
    gils: Vec<Shared>,
}

/// A GIL, and the interpreters that share it.
#[derive(Debug)]
struct Shared {
    key: GilKey,
    interpreters: Vec<i64>,
    queue: Queue,
}

/// A thread that lives, or ended a moment ago.
#[derive(Debug)]
struct Lane {
    process: ProcessKey,
    tid: Pid,
    interpreter: Option<i64>,
    waits: Waits,
    ended: Option<Nanos>,
}

/// All that was seen so far.
#[derive(Debug)]
pub(super) struct Sums {
    refusals: Refusals,
    accounts: BTreeMap<ProcessKey, Account>,
    lanes: HashMap<ThreadKey, Lane>,
    total: Total,
    /// The latest moment that anything is known of.
    now: Nanos,
}

/// Of the whole tree.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub waits: Waits,
    pub processes: Vec<ProcessWaits>,
    /// Of all reasons for which processes could not be read, the one to show.
    pub refusal: Option<Reason>,
    /// Time in which nobody looked.
    pub unseen: Duration,
}

impl Sums {
    pub fn new(refusals: Refusals) -> Self {
        Self { refusals, accounts: BTreeMap::new(), lanes: HashMap::new(), total: Total::default(), now: 0 }
    }

    /// Adds what has come together.
    pub fn add(&mut self, records: &[Record]) {
        for record in records {
            self.take(record);
        }
        self.settle(self.now.saturating_sub(SETTLED_AFTER));
    }

    /// There is no more.
    pub fn finish(mut self) -> Total {
        while let Some(&process) = self.accounts.keys().next() {
            self.let_go(process);
        }
        self.total
    }

    fn take(&mut self, record: &Record) {
        match record {
            Record::Process(process) => {
                self.accounts.entry(process.key).or_insert_with(|| Account {
                    pid: process.pid,
                    waits: Waits::default(),
                    ended: Vec::new(),
                    gils: Vec::new(),
                });
            }
            Record::Gil(gil) => {
                let Some(account) = self.accounts.get_mut(&gil.process) else { return };
                match account.gils.iter_mut().find(|known| known.key == gil.key) {
                    Some(known) => known.interpreters.clone_from(&gil.interpreters),
                    None => account.gils.push(Shared {
                        key: gil.key,
                        interpreters: gil.interpreters.clone(),
                        queue: Queue::default(),
                    }),
                }
            }
            &Record::Thread(Thread { key, process, tid, interpreter, .. }) => {
                let new = Lane { process, tid, interpreter, waits: Waits::default(), ended: None };
                self.lanes.entry(key).or_insert(new).interpreter = interpreter;
            }
            Record::Span(span) => self.take_span(span),
            Record::Gap(gap) => self.total.unseen += Duration::from_nanos(gap.to.saturating_sub(gap.from)),
            &Record::ThreadEnded { thread, at } => {
                if let Some(lane) = self.lanes.get_mut(&thread) {
                    lane.ended = Some(at);
                }
            }
            &Record::ProcessEnded { process, .. } => self.let_go(process),
            _ => {}
        }
    }

    fn take_span(&mut self, &Span { thread, from, to, state, .. }: &Span) {
        let Some(lane) = self.lanes.get_mut(&thread) else { return };
        let Some(account) = self.accounts.get_mut(&lane.process) else { return };
        self.now = self.now.max(to);
        let time = Duration::from_nanos(to.saturating_sub(from));
        let mut waits = Waits::default();
        // A thread that no Python knows yet is on its way into the main interpreter, most often.
        let interpreter = lane.interpreter.unwrap_or(0);
        let gil = account.gils.iter_mut().find(|gil| gil.interpreters.contains(&interpreter));
        match (state, gil) {
            (State::HoldsBlocked, Some(gil)) => gil.queue.slept(thread, from, to),
            (State::HoldsBlocked, None) => waits.blocked = time,
            (state, gil) if state.wants_gil() => {
                waits.waiting = time;
                if let Some(gil) = gil {
                    gil.queue.waited(from, to);
                }
            }
            (state, _) if state.wants_processor() => waits.running = time,
            (state, _) if state.is_blocked() => waits.blocked = time,
            // Nobody looked, or what was seen makes no sense.
            _ => {}
        }
        lane.waits += waits;
        account.waits += waits;
    }

    /// Nothing more will come of the time before `before`.
    fn settle(&mut self, before: Nanos) {
        for account in self.accounts.values_mut() {
            account.settle(before, &mut self.lanes);
        }
        for lane in self.take_lanes(|lane| lane.ended.is_some_and(|ended| ended <= before)) {
            if let Some(account) = self.accounts.get_mut(&lane.process) {
                account.list(&lane);
            }
        }
    }

    /// Takes out the lanes that are wanted, in the order in which the threads were found.
    fn take_lanes(&mut self, is_wanted: impl Fn(&Lane) -> bool) -> Vec<Lane> {
        let mut taken: Vec<_> = self.lanes.extract_if(|_, lane| is_wanted(lane)).collect();
        taken.sort_unstable_by_key(|(key, _)| *key);
        taken.into_iter().map(|(_, lane)| lane).collect()
    }

    /// A process has ended.
    fn let_go(&mut self, process: ProcessKey) {
        let Some(mut account) = self.accounts.remove(&process) else { return };
        account.settle(Nanos::MAX, &mut self.lanes);
        for lane in self.take_lanes(|lane| lane.process == process) {
            account.list(&lane);
        }
        let refusal = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).remove(&process);
        let waits = match refusal {
            Some(reason) => Err(reason),
            None => Ok(account.waits),
        };
        match &waits {
            Ok(waits) => self.total.waits += *waits,
            Err(reason) if self.total.refusal.as_ref().is_none_or(|known| known.weight() < reason.weight()) => {
                self.total.refusal = Some(reason.clone());
            }
            Err(_) => {}
        }
        if self.total.processes.len() < MOST_LISTED {
            self.total.processes.push(ProcessWaits { pid: account.pid, waits, threads: account.ended });
        }
    }
}

impl Account {
    fn settle(&mut self, before: Nanos, lanes: &mut HashMap<ThreadKey, Lane>) {
        for gil in &mut self.gils {
            gil.queue.settle(before, |settled| {
                // A holder that sleeps keeps the GIL from those that wait; where nobody does, it just sleeps.
                let running = Duration::from_nanos(settled.kept);
                let waits = Waits { running, blocked: Duration::from_nanos(settled.idle), ..Waits::default() };
                self.waits += waits;
                if let Some(lane) = lanes.get_mut(&settled.thread) {
                    lane.waits += waits;
                }
            });
        }
    }

    fn list(&mut self, lane: &Lane) {
        if !lane.waits.seen().is_zero() && self.ended.len() < MOST_THREADS {
            self.ended.push(ThreadWaits { tid: lane.tid, waits: lane.waits });
        }
    }
}

#[cfg(test)]
mod tests;
