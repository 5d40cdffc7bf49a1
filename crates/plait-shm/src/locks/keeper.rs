//! The keeper: the thread of a process that lives and dies for it, and sees to what others leave when they die.
//!
//! Its life is the process's: the word of the seat is in its will, so it is marked when the process ends ([`Deaths`]): by the kernel at
//! once, however large the process was, which wakes one of the keepers that sleep on it; or else by a keeper that looks. One sees to
//! what the dead one held and wakes all who sleep in this memory, who then look again. Promises: as long as one process lives, each death is seen
//! to; by one keeper at a time, and again from the beginning if that one dies meanwhile.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::memory::Inside;
use super::roster::{DIED, Holder, WATCHED};
use crate::sync::{Futex, Ordering, now, sleep_any};
use crate::system::{Deaths, Here, Will as _};

type Will = <Here as Deaths>::Will;

/// What a process and its keeper tell each other.
pub(crate) struct Orders {
    /// [`WORK`], [`LOOK`] or [`LEAVE`], and the keeper's [`GONE`].
    word: Futex,
    /// The seat, once there is one; [`NO_SEAT`], or minus the error of the system, if there is none.
    seat: Futex,
}

const WORK: u32 = 0;
const LOOK: u32 = 1;
const LEAVE: u32 = 2;
const GONE: u32 = 3;

/// The keeper's thread is marked while other threads of its process, to which the kernel has sent the signal too, may do a few more
/// steps: until the interrupt gets to their processors. So what they may have done is looked for again so much later,
/// in nanoseconds.
const LAST_MOMENTS: u64 = 10_000_000;

/// No holder has these bits.
const NO_SEAT: u32 = 3 << 8;

/// Why a process cannot take part.
#[derive(Debug)]
pub(crate) enum Refused {
    Full,
    System(std::io::Error),
}

impl Orders {
    /// Starts the keeper of this process.
    pub(crate) fn start(inside: &Arc<Inside>) -> Result<(Arc<Self>, Holder), Refused> {
        let orders = Arc::new(Self { word: Futex::new(WORK), seat: Futex::new(0) });
        let (theirs, memory) = (Arc::clone(&orders), Arc::clone(inside));
        let thread = std::thread::Builder::new().name("plait-keeper".to_owned()).stack_size(128 << 10);
        let started = without_signals(|| thread.spawn(move || theirs.keep(&memory)));
        started.map_err(Refused::System)?;
        loop {
            match orders.seat.load(Ordering::Acquire) {
                0 => drop(orders.seat.sleep(0, None)),
                NO_SEAT => return Err(Refused::Full),
                seat if seat & NO_SEAT == NO_SEAT => {
                    let error = (seat >> 10) as i32;
                    return Err(Refused::System(std::io::Error::from_raw_os_error(error)));
                }
                seat => return Ok((orders, Holder(seat))),
            }
        }
    }

    /// Has the keeper look for deaths now, whatever woke others.
    pub(crate) fn look(&self) {
        let _ = self.word.compare_exchange(WORK, LOOK, Ordering::Relaxed, Ordering::Relaxed);
        self.word.wake_all();
    }

    /// Gives the seat up, and waits until the keeper is gone: what the process still holds is as if it had died.
    pub(crate) fn leave(&self) {
        let mut seen = self.word.swap(LEAVE, Ordering::Relaxed);
        self.word.wake_all();
        while seen != GONE {
            seen = self.word.load(Ordering::Acquire);
            if seen != GONE {
                let _ = self.word.sleep(seen, None);
            }
        }
    }

    fn tell(&self, seat: u32) {
        self.seat.store(seat, Ordering::Release);
        self.seat.wake_all();
    }

    fn keep(&self, memory: &Inside) {
        Here::run_at_once();
        match Keeper::join(memory) {
            Ok(keeper) => {
                self.tell(keeper.me.0);
                keeper.work(self);
                keeper.go();
            }
            Err(Refused::Full) => self.tell(NO_SEAT),
            Err(Refused::System(error)) => self.tell((error.raw_os_error().unwrap_or(0) as u32) << 10 | NO_SEAT),
        }
        self.word.store(GONE, Ordering::Release);
        self.word.wake_all();
    }
}

struct Keeper<'a> {
    memory: &'a Inside,
    will: Will,
    me: Holder,
}

impl<'a> Keeper<'a> {
    fn join(memory: &'a Inside) -> Result<Self, Refused> {
        let roster = &memory.roster;
        let will = Will::make(None, Some(&roster.door)).map_err(Refused::System)?;
        open_door(&roster.door, will.life());
        let sat = roster.free_seat().ok_or(Refused::Full).and_then(|at| {
            let will = Will::make(Some(&roster.seats[at].life), Some(&roster.door)).map_err(Refused::System)?;
            let me = roster.sit(at, will.life());
            roster.seats[at].pid.store(std::process::id(), Ordering::Release);
            Ok(Self { memory, will, me })
        });
        close_door(&roster.door);
        match &sat {
            Ok(keeper) => {
                keeper.will.set_pending(None);
                // Those who died when nobody was there to see it; and the others hear that somebody has come.
                keeper.bury();
            }
            Err(_) => will.set_pending(None),
        }
        sat
    }

    fn work(&self, orders: &Orders) {
        let roster = &self.memory.roster;
        let mut again = None;
        while orders.word.load(Ordering::Relaxed) != LEAVE {
            // Before the look: whoever asks for one after this gets another.
            let _ = orders.word.compare_exchange(LOOK, WORK, Ordering::AcqRel, Ordering::Relaxed);
            let joins = roster.joins.load(Ordering::Acquire);
            let mut words = vec![(&orders.word, WORK), (&*roster.joins, joins)];
            let mut dead = false;
            for seat in roster.seats.iter() {
                Here::look(&seat.life);
                let life = watch(&seat.life);
                dead |= life & DIED != 0;
                if life != 0 && life & !WATCHED != self.will.life() {
                    words.push((&seat.life, life));
                }
            }
            if dead {
                self.bury();
                again = Some(now() + LAST_MOMENTS);
                continue;
            }
            let look = Here::LOOK_EVERY.map(|every| now() + every);
            let _ = sleep_any(&words, again.into_iter().chain(look).min());
            if again.is_some_and(|again| again <= now()) {
                self.memory.see_to(None, self.me);
                again = None;
            }
            // Whatever else ended the sleep: look at everything.
        }
    }

    /// Sees to what the dead held, and gives their seats free.
    fn bury(&self) {
        let roster = &self.memory.roster;
        self.will.set_pending(Some(&roster.door));
        open_door(&roster.door, self.will.life());
        let dead: Vec<Holder> = roster.dead().collect();
        for dead in dead {
            self.memory.see_to(Some(dead), self.me);
            roster.settle(dead);
        }
        close_door(&roster.door);
        self.will.set_pending(None);
        // They look at all seats again: the one that was woken by a death may have been the only one.
        roster.joins.fetch_add(1, Ordering::Release);
        roster.joins.wake_all();
    }

    fn go(self) {
        let life = &self.memory.roster.seats[self.me.seat().expect("a keeper has a seat")].life;
        // Whoever is left sees to it, or whoever comes next.
        life.store(DIED, Ordering::Release);
        life.wake_all();
    }
}

/// Has those woken who sleep on a life when it ends; gives the word as it is now.
fn watch(life: &Futex) -> u32 {
    let seen = life.load(Ordering::Acquire);
    if seen == 0 || seen & (DIED | WATCHED) != 0 {
        return seen;
    }
    match life.compare_exchange(seen, seen | WATCHED, Ordering::Relaxed, Ordering::Acquire) {
        Ok(_) => seen | WATCHED,
        // It was faster; the next look is at what it is then.
        Err(now) => now,
    }
}

/// How long a keeper waits before the door at most until it looks again, in nanoseconds.
const KNOCK: u64 = 200_000;

fn open_door(door: &Futex, thread: u32) {
    loop {
        Here::look(door);
        let seen = door.load(Ordering::Relaxed);
        let free = seen == 0 || seen & DIED != 0;
        if free && door.compare_exchange(seen, thread, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        let _ = door.sleep_until(seen, Some(now() + KNOCK));
    }
}

fn close_door(door: &Futex) {
    door.store(0, Ordering::Release);
    door.wake_all();
}

/// Runs `start`, whose new thread lets in no signal of the process: those are for the program's own threads.
pub(crate) fn without_signals<R>(start: impl FnOnce() -> R) -> R {
    if cfg!(miri) {
        // Where there are no signals.
        return start();
    }
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are ours; the first is filled before it is used, the second by the call that tells the mask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for own in [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP]
        {
            libc::sigdelset(all.as_mut_ptr(), own);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: the set was filled in above; a mask that was in force can be put back.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    started
}
