//! The two ends of a queue in every interleaving. A death is a thread that ends with what it holds, and the kernel's mark after it.

use std::io;
use std::sync::Arc;

use loom::thread;

use super::ends::{Ends, Put, Took};
use super::kept::{BACK, Docket, Fresh, Store, TAKEN};
use super::notice::look_twice;
use super::position::Position;
use super::ring::{Label, Ring};
use super::words::QueueWords;
use crate::locks::{Holder, Roster};
use crate::model_of;
use crate::sync::{Area, Ordering, SlotCell};

mod returns;

fn me(seat: usize) -> Holder {
    Holder::new(seat, 0)
}

struct Scene {
    roster: Roster,
    words: QueueWords,
    ring: Ring,
    /// Where items are kept: a docket and the bytes for each, or none.
    dockets: Vec<Docket>,
    bodies: Vec<SlotCell<[u8; LEN]>>,
}

const LABEL: Label = Label { kind: 7, is_block: false };

/// All items are as long as the ring has units for.
const LEN: usize = 12;

/// The pages of a scene, as a process has them. A page is free when its docket says that nothing is in it.
struct Pages<'a>(&'a Scene, Holder);

impl Store for Pages<'_> {
    fn take_over(&self, fresh: Fresh<'_>) -> io::Result<Option<u32>> {
        let Self(scene, me) = self;
        let is_free = |docket: &Docket| docket.state.load(Ordering::Relaxed) & (TAKEN | BACK) == 0;
        let Some(page) = scene.dockets.iter().position(is_free) else {
            assert!(scene.dockets.is_empty(), "there are as many pages as items");
            return Ok(None);
        };
        scene.dockets[page].state.store(0, Ordering::Relaxed);
        // SAFETY: loom panics when another thread is at it.
        scene.bodies[page].with_mut(|body| unsafe { (*body).copy_from_slice(fresh.body) });
        scene.dockets[page].fill(fresh, *me, THREAD);
        Ok(Some(page as u32))
    }

    fn bring_back(&self, page: u32, docket: &Docket, body: &mut Vec<u8>) -> io::Result<()> {
        let Self(scene, me) = self;
        // SAFETY: as above.
        scene.bodies[page as usize].with(|kept| body.extend(unsafe { *kept }));
        docket.given_to(*me, THREAD);
        Ok(())
    }
}

/// Each process has one.
const THREAD: u32 = 1;

impl Scene {
    /// With a bound of items, or none, and a ring of two units.
    fn new(items: u32) -> Arc<Self> {
        Self::with(items, 0)
    }

    /// The same, with pages for items that come back.
    fn with(items: u32, pages: usize) -> Arc<Self> {
        let roster = Roster::new();
        for seat in 0..3 {
            assert_eq!(roster.sit(seat, 100), me(seat));
        }
        let words = QueueWords::new(items);
        words.heap.end.store(pages as u32, Ordering::Relaxed);
        let dockets = (0..pages).map(|_| Docket::new()).collect();
        let bodies = (0..pages).map(|_| SlotCell::new([0; LEN])).collect();
        Arc::new(Self { roster, words, ring: Ring(Area::new(32)), dockets, bodies })
    }

    fn ends(&self, seat: usize) -> Ends<'_> {
        Ends {
            words: &self.words,
            ring: &self.ring,
            roster: &self.roster,
            me: me(seat),
            spared: 0,
            kept: &self.dockets,
        }
    }

    fn offer(&self, seat: usize, item: u8) -> Put {
        self.ends(seat).put(LABEL, &[item; LEN], LEN as u64)
    }

    /// The next item, which is whole, if there is one.
    fn take(&self, seat: usize) -> Took {
        let mut body = Vec::new();
        let took = self.ends(seat).take(&mut body, &Pages(self, me(seat))).unwrap();
        if let Took::Item { label, times, .. } = took {
            assert_eq!(body, [body[0]; LEN]);
            return Took::Item { at: Some(Position(body[0].into())), label, times };
        }
        took
    }

    /// Waits for the next item; nothing if the queue was shut.
    fn get(&self, seat: usize) -> Option<u8> {
        let mut slept = false;
        loop {
            let took = look_twice(&self.words.items, &mut slept, || match self.take(seat) {
                Took::Item { at, .. } => Some(at.map(|at| at.0 as u8)),
                Took::Closed => Some(None),
                Took::Empty => None,
            });
            match took {
                Ok(item) => {
                    if slept {
                        self.words.items.pass_on(|| !self.ends(seat).is_empty());
                    }
                    return item;
                }
                Err(seen) => drop(self.words.items.0.0.sleep(seen, None)),
            }
        }
    }

    /// Waits for room; false if the queue was shut.
    fn put(&self, seat: usize, item: u8) -> bool {
        let mut slept = false;
        loop {
            let put = look_twice(&self.words.room, &mut slept, || match self.offer(seat, item) {
                Put::Done => Some(true),
                Put::Closed => Some(false),
                Put::Full | Put::TooLong => None,
            });
            match put {
                Ok(done) => {
                    if slept {
                        self.words.room.pass_on(|| !self.ends(seat).is_full());
                    }
                    return done;
                }
                Err(seen) => drop(self.words.room.0.0.sleep(seen, None)),
            }
        }
    }
}

fn spawn<R: 'static>(scene: &Arc<Scene>, run: impl FnOnce(&Scene) -> R + 'static) -> thread::JoinHandle<R> {
    let scene = Arc::clone(scene);
    thread::spawn(move || run(&scene))
}

#[test]
fn items_of_two_come_whole_and_once() {
    model_of(2, || {
        let scene = Scene::new(0);
        let producers = [1_u8, 2].map(|item| spawn(&scene, move |scene| assert!(scene.put(item.into(), item))));
        let mut got = [scene.get(0), scene.get(0)].map(Option::unwrap);
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        assert_eq!(scene.words.ends().0, scene.words.ends().1);
    });
}

/// Three items through a ring of two: a unit is written again after it was read.
#[test]
fn a_unit_is_written_again_after_it_was_read() {
    model_of(2, || {
        let scene = Scene::new(0);
        let producer = spawn(&scene, |scene| (1..=3).for_each(|item| assert!(scene.put(1, item))));
        assert_eq!([(); 3].map(|()| scene.get(0).unwrap()), [1, 2, 3]);
        producer.join().unwrap();
    });
}

#[test]
fn two_takers_take_each_item_once() {
    model_of(2, || {
        let scene = Scene::new(0);
        assert!(scene.put(0, 1) && scene.put(0, 2));
        let takers = [1, 2].map(|seat| spawn(&scene, move |scene| scene.get(seat).unwrap()));
        let mut got = takers.map(|taker| taker.join().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        assert_eq!(scene.words.ledger.iter().map(|ledger| ledger.load(Ordering::Relaxed) as u32).sum::<u32>(), 2);
    });
}

/// Both fell asleep, and one was woken for both items, or each for one.
#[test]
fn two_sleepers_are_woken_for_two_items() {
    model_of(2, || {
        let scene = Scene::new(0);
        let takers = [1, 2].map(|seat| spawn(&scene, move |scene| scene.get(seat).unwrap()));
        assert!(scene.put(0, 1) && scene.put(0, 2));
        takers.into_iter().for_each(|taker| assert!(taker.join().unwrap() > 0));
    });
}

#[test]
fn who_waits_for_room_is_woken() {
    model_of(2, || {
        let scene = Scene::new(1);
        assert!(scene.put(0, 1));
        let producers = [1, 2].map(|seat| spawn(&scene, move |scene| assert!(scene.put(seat, 2))));
        for _ in 0..3 {
            assert!(scene.get(0).is_some());
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

/// Whatever was put before the queue was shut is taken before its end is told.
#[test]
fn nothing_is_lost_when_it_is_shut() {
    model_of(3, || {
        let scene = Scene::new(0);
        let producer = spawn(&scene, |scene| u8::from(scene.put(1, 1)));
        let closer = spawn(&scene, |scene| drop(scene.ends(2).close(false, |_| {})));
        let mut got = 0;
        while scene.get(0).is_some() {
            got += 1;
        }
        assert_eq!(producer.join().unwrap(), got);
        closer.join().unwrap();
    });
}

/// Whatever is dropped is done; and what was taken before is not.
#[test]
fn what_is_dropped_counts_once() {
    model_of(2, || {
        let scene = Scene::new(0);
        assert!(scene.put(0, 1) && scene.put(0, 2));
        let closer = spawn(&scene, |scene| drop(scene.ends(2).close(true, |_| {})));
        let got = u32::from(matches!(scene.take(0), Took::Item { .. }));
        closer.join().unwrap();
        let ends = scene.ends(0);
        assert_eq!(ends.open(), got);
        assert_eq!((ends.done(0).0, ends.done(0).0), (got == 1, false));
        assert_eq!(scene.take(0), Took::Closed);
    });
}

/// It dies with the entry's guard, after any number of its stores.
#[test]
fn the_item_of_a_dead_one_is_there_whole_or_not_at_all() {
    for stores in 0..=5 {
        model_of(2, move || {
            let scene = Scene::new(0);
            let dying = spawn(&scene, move |scene| {
                let ends = scene.ends(1);
                scene.words.enter_entry(&scene.roster, me(1));
                let tail = scene.words.tail();
                // SAFETY: loom checks that nobody else accesses the unit.
                unsafe { ends.ring.write(tail, LABEL, &[1; LEN]) };
                scene.words.die_publishing(tail.behind(1), 1, stores);
                scene.roster.die(me(1));
            });
            let reader = spawn(&scene, |scene| matches!(scene.take(0), Took::Item { .. }));
            dying.join().unwrap();
            assert_eq!(scene.offer(2, 2), Put::Done);
            let seen = reader.join().unwrap();
            let rest = [0; 2].map(|seat| match scene.take(seat) {
                Took::Item { at, .. } => at.unwrap().0,
                _ => 0,
            });
            let expected = match (seen, stores >= 3) {
                (false, true) => vec![[1, 2]],
                (true, true) => vec![[2, 0]],
                (false, false) => vec![[2, 0]],
                // It came when the other had put its own.
                (true, false) => vec![[0, 0]],
            };
            assert!(expected.contains(&rest), "{seen} {rest:?} after {stores}");
        });
    }
}
