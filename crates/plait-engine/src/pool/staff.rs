//! Hiring and burying workers.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use event_listener::Event;
use plait_shm::{Region, StreamReader, WorkerMemory};
use plait_trace::{TaskId, WorkerId};

use crate::heap::Regions;
use crate::nursery::{Exit, Nursery, Sink, explained, new_key};
use crate::scheduler::Action;
use crate::spin::SPIN;
use crate::wire::{ResultHead, Verdict};

use super::drive::Awaited;
use super::epitaph::End;
use super::link::Link;
use super::outcome::{Outcome, Payload, Ticket};
use super::state::{Job, Shared, State, locked};

/// Bytes of a worker's control ring.
const CONTROL_BYTES: usize = 16 << 10;

/// Bytes of a worker's result ring: results of a few milliseconds of tiny tasks.
const RESULT_BYTES: usize = 1 << 20;

/// The worker's side of the news from the nursery.
struct Post<T: Ticket> {
    pool: Weak<Shared<T>>,
    link: Arc<Link>,
    /// The number of the nursery that was asked for the worker.
    nursery: u64,
}

/// What became of a worker that is no more.
enum Loss {
    /// Its process has ended; the most memory it ever had resident, in bytes.
    Ended(Exit, Option<u64>),
    /// It could not be made.
    Failed(io::Error),
    /// The nursery of this number died before it had made it.
    Unborn(u64, io::Error),
}

impl<T: Ticket> Sink for Post<T> {
    fn started(&self, pid: i32) {
        self.link.process.tell(pid);
        if let Some(pool) = self.pool.upgrade() {
            pool.welcome(&self.link);
        }
    }

    fn ended(&self, exit: Exit, peak: Option<u64>) {
        if let Some(pool) = self.pool.upgrade() {
            Shared::bury(&pool, &self.link, Loss::Ended(exit, peak));
        }
    }

    fn failed(&self, error: io::Error) {
        if let Some(pool) = self.pool.upgrade() {
            Shared::bury(&pool, &self.link, Loss::Failed(error));
        }
    }

    fn unborn(&self, error: io::Error) {
        if let Some(pool) = self.pool.upgrade() {
            Shared::bury(&pool, &self.link, Loss::Unborn(self.nursery, error));
        }
    }
}

impl<T: Ticket> Shared<T> {
    /// Carries out what the scheduler decided and the ring cannot do: starting and stopping workers.
    pub(super) fn perform(this: &Arc<Self>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartWorker(worker) => Self::hire(this, worker),
                Action::StopWorker(worker) => {
                    let mut state = locked(&this.state);
                    let link = state.links.iter().find(|link| link.worker == worker).cloned();
                    match link {
                        Some(link) => {
                            drop(state);
                            link.stop();
                        }
                        // Another thread is hiring it just now.
                        None => state.stops.push(worker),
                    }
                }
                Action::Send(_) => unreachable!("tasks are sent under the state's lock"),
            }
        }
    }

    fn hire(this: &Arc<Self>, worker: WorkerId) {
        if !this.collecting.load(Ordering::Relaxed) {
            // A worker may write a note at any time.
            Self::alert(this);
        }
        match Self::equip(this, worker).map_err(explained) {
            Ok((link, [stream, notes], segment)) => {
                locked(&this.readers).add(Arc::clone(&link), stream, notes);
                let stopped = {
                    let mut state = locked(&this.state);
                    state.links.push(Arc::clone(&link));
                    this.allow_spinning(state.links.len());
                    let stop = state.stops.iter().position(|&stopped| stopped == worker);
                    stop.map(|at| state.stops.swap_remove(at)).is_some()
                };
                if stopped {
                    link.stop();
                }
                if let Err(error) = Self::order(this, &link, &segment) {
                    Self::bury(this, &link, Loss::Failed(error));
                }
            }
            Err(error) => Self::on_no_worker(this, worker, &error),
        }
    }

    /// Who spins takes no processor that a worker or the parent lacks: all workers but one less than there are processors must sit.
    fn allow_spinning(&self, workers: usize) {
        let others = self.processors.saturating_sub(1);
        self.memory.set_spin(if others > 0 { SPIN } else { Duration::ZERO }, workers.saturating_sub(others));
    }

    /// Makes a worker's memory: its rings and the arena of its results.
    fn equip(this: &Arc<Self>, worker: WorkerId) -> io::Result<(Arc<Link>, [StreamReader; 2], OwnedFd)> {
        let regions = Regions::take(&this.heap, this.reserves.worker)?;
        let (memory, control, stream, segment) = WorkerMemory::create(CONTROL_BYTES, RESULT_BYTES, regions.both())?;
        let results = regions.view()?;
        let (notes, replies) = memory.side().ok_or(io::ErrorKind::AlreadyExists)?;
        let (heap, pool) = (Arc::clone(&this.heap), Arc::clone(&this.memory));
        let link = Arc::new(Link::new(worker, memory, results, heap, regions, pool, control, replies));
        Ok((link, [stream, notes], segment))
    }

    /// The worker's own segment is closed here when it has been handed over.
    fn order(this: &Arc<Self>, link: &Arc<Link>, segment: &OwnedFd) -> io::Result<()> {
        let fds = [this.memory.fd(), segment.as_fd(), this.heap.commons().fd(), this.setup.as_fd()];
        let nursery = Self::living_nursery(this)?;
        let ordered = Self::order_from(this, &nursery, link, &fds);
        if ordered.is_err() && nursery.is_gone() {
            // It was found out just now.
            let nursery = Self::living_nursery(this)?;
            return Self::order_from(this, &nursery, link, &fds);
        }
        ordered
    }

    fn order_from(this: &Arc<Self>, nursery: &Nursery, link: &Arc<Link>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let sink = Arc::new(Post { pool: Arc::downgrade(this), link: Arc::clone(link), nursery: nursery.number() });
        let key = new_key(link.worker);
        link.set_key(key);
        nursery.fork(key, fds, sink)
    }

    fn living_nursery(this: &Arc<Self>) -> io::Result<Arc<Nursery>> {
        let mut nursery = locked(&this.nursery);
        if nursery.is_gone() {
            let successor = (this.relaunch)().map_err(explained)?;
            successor.succeed(Arc::clone(&nursery));
            *nursery = successor;
        }
        Ok(Arc::clone(&nursery))
    }

    /// Kills a worker that cannot be trusted any more; its end is dealt with when it is reported.
    pub(super) fn kill(&self, link: &Link) {
        locked(&self.nursery).kill(link.key());
    }

    /// A worker has ended, or could not be made: whatever it told before counts, the task it held is lost, the rest
    /// goes on.
    fn bury(this: &Arc<Self>, link: &Arc<Link>, loss: Loss) {
        while Self::drain(this) > 0 {}
        let (mut done, mut bad) = (Vec::new(), Vec::new());
        let (failed, rest, unwanted, telling) = {
            let mut readers = locked(&this.readers);
            let mut state = locked(&this.state);
            // Between the drains above and here somebody else may have read records, but then also applied them.
            bad.extend(readers.take(usize::MAX, &this.unheard));
            readers.read_last_notes(link);
            this.sort_notes(readers.take_notes());
            state.apply(&mut readers, &this.tally, &mut done);
            let distrusted = readers.distrusts_another(link);
            readers.remove(link);
            let Some(at) = state.links.iter().position(|other| Arc::ptr_eq(other, link)) else { return };
            state.links.swap_remove(at);
            this.allow_spinning(state.links.len());
            let status = link.memory.status();
            let fate = *link.fate();
            let mut held = state.claims.recover(link.worker);
            // It may have told the answer and not got to noting that the task has ended.
            if let Some((task, _)) = status.current()
                && !state.scheduler.has_answered(link.worker, task, status.tasks_ended())
                && !held.contains(&task)
            {
                held.push(task);
            }
            let strays = if distrusted || state.has_told_all(link, &held) {
                Vec::new()
            } else {
                state.strays(&held, &mut |state| {
                    bad.extend(readers.take(usize::MAX, &this.unheard));
                    this.sort_notes(readers.take_notes());
                    state.apply(&mut readers, &this.tally, &mut done);
                })
            };
            // Of a worker that noted well there are none.
            let overwritten = link.is_overwritten() || !link.memory.is_sound() || !strays.is_empty();
            held.extend(strays);
            this.memory.leave_seat(link.worker);
            let expected = (link.is_stopping() || fate.is_some()) && held.is_empty();
            let unwanted = fate.is_some() || !held.is_empty();
            if matches!(loss, Loss::Ended(..)) {
                if !expected {
                    state.deaths += 1;
                }
                this.part(link.worker, fate.is_some(), expected, &state);
            }
            let again = held.iter().filter(|task| state.scheduler.tries_left(**task).is_some_and(|tries| tries > 0));
            this.tally.count().retried.fetch_add(again.count() as u64, Ordering::Release);
            let State { scheduler, actions, mourned, .. } = &mut *state;
            let lost = match loss {
                // Its end was counted with the first worker it left unmade: one cause, one failed start.
                Loss::Unborn(nursery, _) if nursery <= *mourned => scheduler.on_worker_unborn(link.worker, actions),
                Loss::Unborn(nursery, _) => {
                    *mourned = nursery;
                    scheduler.on_worker_lost(link.worker, &held, actions)
                }
                Loss::Ended(..) | Loss::Failed(_) => scheduler.on_worker_lost(link.worker, &held, actions),
            };
            // What this sends is published before free slots are counted, as the scheduler asks.
            let (_, mut rest) = state.send();
            let State { scheduler, actions, claims, .. } = &mut *state;
            scheduler.on_window(claims.free(), actions);
            let (exit, peak, cause) = match loss {
                Loss::Failed(error) | Loss::Unborn(_, error) => (Exit::Unknown, None, error.to_string()),
                Loss::Ended(exit, peak) => {
                    let how = describe(exit);
                    let cause =
                        format!("they end before they are ready ({how}); what they printed on stderr may say why");
                    (exit, peak, cause)
                }
            };
            let end = End { link, exit, peak, fate, overwritten };
            let mut failed: Vec<_> = Vec::with_capacity(lost.failed.len());
            for (task, job) in lost.failed {
                let outcome = this.epitaph(&end, task, &job);
                failed.push((job, outcome));
            }
            failed.extend(state.abandon(lost.abandoned, &cause));
            rest.extend(state.send().1);
            this.backlog.store(state.scheduler.queued() > 0, Ordering::Relaxed);
            (failed, rest, unwanted, this.telling())
        };
        bad.iter().for_each(|link| this.kill(link));
        Self::end_correspondence(this, link, unwanted);
        link.end_leases();
        Self::run_errands(this);
        this.complete(done.into_iter().chain(failed));
        drop(telling);
        for _ in 0..this.memory.parked() {
            this.memory.wake_idle();
        }
        Self::perform(this, rest);
        if this.closing.load(Ordering::Acquire) && this.is_ended() {
            this.on_ended();
        }
        Self::inspect(this);
        this.memory.bell().poke();
        this.memory.pressure().poke();
    }

    fn on_no_worker(this: &Arc<Self>, worker: WorkerId, error: &io::Error) {
        let (failed, rest, telling) = {
            let mut state = locked(&this.state);
            state.stops.retain(|&stopped| stopped != worker);
            let State { scheduler, actions, .. } = &mut *state;
            let lost = scheduler.on_worker_lost(worker, &[], actions);
            // A worker that never was held nothing.
            let failed = state.abandon(lost.abandoned, &error.to_string());
            let (_, rest) = state.send();
            (failed, rest, this.telling())
        };
        this.complete(failed.into_iter());
        drop(telling);
        Self::perform(this, rest);
        if this.closing.load(Ordering::Acquire) && this.is_ended() {
            this.on_ended();
        }
    }
}

impl<T> State<T> {
    /// The first record of a worker: it is ready, or its initializer raised, which breaks the pool.
    pub(super) fn on_greeting(&mut self, link: &Link, head: &ResultHead, payload: &Payload) -> Vec<(Job<T>, Outcome)> {
        match head.verdict {
            Verdict::Returned => {
                link.process.greet(payload.bytes().unwrap_or_default());
                self.scheduler.on_worker_ready(link.worker, &mut self.actions);
                Vec::new()
            }
            Verdict::Raised => {
                let told = payload.bytes().map(String::from_utf8_lossy).unwrap_or_default();
                let reason = format!("a process in the process pool failed in its initializer: {told}");
                self.broken.get_or_insert_with(|| reason.into());
                let abandoned = self.scheduler.break_pool(&mut self.actions);
                self.abandon(abandoned, "")
            }
        }
    }

    /// The outcomes of tasks that no worker will ever run.
    pub(super) fn abandon(&mut self, tasks: Vec<(TaskId, Job<T>)>, cause: &str) -> Vec<(Job<T>, Outcome)> {
        if self.scheduler.is_broken() && self.broken.is_none() {
            self.broken = Some(format!("worker processes cannot be started: {cause}").into());
        }
        let Some(reason) = &self.broken else { return Vec::new() };
        tasks.into_iter().map(|(_, job)| (job, Outcome::Broken(Arc::clone(reason)))).collect()
    }
}

/// What each worker reads at its start: after how many tasks it ends (all ones: never), the region of the program, then the
/// binding's bytes.
pub(super) fn write_setup(max_tasks: Option<u64>, program: Region, setup: &[u8]) -> io::Result<OwnedFd> {
    let mut file = plait_shm::private_file("plait-setup")?;
    file.write_all(&max_tasks.unwrap_or(u64::MAX).to_le_bytes())?;
    file.write_all(&program.offset.to_le_bytes())?;
    file.write_all(&program.len.to_le_bytes())?;
    file.write_all(setup)?;
    Ok(file.into())
}

/// The end of a process, in words.
pub fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}"),
        Exit::Unknown => "ended, nobody knows how".into(),
    }
}

impl<T: Ticket> Awaited for Shared<T> {
    fn is_done(&self) -> bool {
        self.is_ended()
    }

    fn event(&self) -> &Event {
        &self.ended
    }
}
