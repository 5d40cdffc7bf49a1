//! What the dead had taken comes back, whenever they die: before any step of what they do.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::queue::kept::HELD;
use crate::sync::dies_at;

/// An item, and how often it came back.
type Got = (u8, u32);

impl Scene {
    /// With some items in it, of which the dead's come back.
    fn returning(items: impl IntoIterator<Item = u8>) -> Arc<Self> {
        let scene = Self::with(0, 3);
        items.into_iter().for_each(|item| assert!(scene.put(0, item)));
        scene
    }

    fn take_now(&self, seat: usize) -> Option<Got> {
        match self.take(seat) {
            Took::Item { at, times, .. } => Some((at.unwrap().0 as u8, times)),
            Took::Empty | Took::Closed => None,
        }
    }

    /// Waits for an item.
    fn take_soon(&self, seat: usize) -> Got {
        let mut slept = false;
        loop {
            match look_twice(&self.words.items, &mut slept, || self.take_now(seat)) {
                Ok(got) => return got,
                Err(seen) => drop(self.words.items.0.0.sleep(seen, None)),
            }
        }
    }

    fn done(&self, seat: usize) -> bool {
        self.ends(seat).settle();
        self.ends(seat).done(THREAD).0
    }

    /// The kernel tells of a death.
    fn die(&self, seat: usize) {
        self.roster.die(me(seat));
    }

    /// A keeper sees to it.
    fn keep(&self, seat: usize) {
        self.words.see_to(&self.roster);
        self.roster.settle(me(seat));
        self.roster.joins.fetch_add(1, Ordering::Release);
    }

    /// What is left in it, in order; and then it is as empty as can be, but for what was taken and is not done: so many, by whom.
    fn rest(&self, held: impl IntoIterator<Item = (usize, usize)>) -> Vec<Got> {
        let rest: Vec<Got> = std::iter::from_fn(|| self.take_now(0)).collect();
        let ends = self.ends(0);
        ends.settle();
        assert_eq!((ends.len(), ends.weight(), self.words.exit.lost.load(Ordering::Relaxed)), (0, 0, 0));
        let held: Vec<_> = held.into_iter().chain([(0, rest.len())]).collect();
        assert_eq!(ends.open() as usize, held.iter().map(|(_, count)| count).sum::<usize>(), "{rest:?}");
        for (seat, count) in held {
            (0..count).for_each(|_| assert!(self.done(seat)));
        }
        assert!(!self.done(0));
        assert!(self.dockets.iter().all(|docket| docket.state.load(Ordering::Relaxed) & (TAKEN | BACK) == 0));
        assert!(self.words.ledger.iter().all(|ledger| ledger.load(Ordering::Relaxed) as u32 == 0));
        rest
    }
}

/// Runs a model in which somebody dies before its first step, then before its second, and so on, until it lives through all of them. The
/// model says whether it lived.
fn before_each_step(preemptions: usize, body: impl Fn(u32) -> bool + Clone + Send + Sync + 'static) {
    for steps in 0.. {
        let (body, died) = (body.clone(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&died);
        model_of(preemptions, move || {
            if !body(steps) {
                told.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        if !died.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(steps > 5, "it has done something");
            return;
        }
    }
}

/// Each of the items, once.
fn assert_once(got: impl IntoIterator<Item = Got>, expected: &[u8]) {
    let mut got: Vec<u8> = got.into_iter().map(|(item, _)| item).collect();
    got.sort_unstable();
    assert_eq!(got, expected);
}

/// While it has an item: two others wait, and each gets one of the two that there are.
#[test]
fn what_a_dead_one_had_is_given_once_to_those_who_wait() {
    model_of(2, || {
        let scene = Scene::returning([1]);
        assert_eq!(scene.take_now(1), Some((1, 0)));
        let dying = spawn(&scene, |scene| {
            scene.die(1);
            scene.keep(1);
        });
        let other = spawn(&scene, |scene| scene.take_soon(2));
        assert_eq!(other.join().unwrap(), (1, 1));
        dying.join().unwrap();
        assert!(scene.rest([(2, 1)]).is_empty());
    });
}

/// Once a keeper has seen to it, it is the first, whatever was looked for meanwhile.
#[test]
fn what_a_dead_one_had_is_given_before_all_others() {
    model_of(3, || {
        let scene = Scene::returning([1, 2]);
        assert_eq!(scene.take_now(1), Some((1, 0)));
        assert!(scene.put(0, 3));
        let dying = spawn(&scene, |scene| {
            scene.die(1);
            scene.keep(1);
        });
        let first = spawn(&scene, |scene| scene.take_now(2).unwrap()).join().unwrap();
        dying.join().unwrap();
        let rest = scene.rest([(2, 1)]);
        match first {
            (1, 1) => assert_eq!(rest, [(2, 0), (3, 0)]),
            (2, 0) => assert_eq!(rest, [(1, 1), (3, 0)]),
            other => panic!("{other:?} came first"),
        }
    });
}

/// Two live on, and one dies while it takes the first item.
#[test]
fn who_dies_while_it_takes_has_taken_nothing_or_gives_it_back() {
    before_each_step(1, |steps| {
        let scene = Scene::returning([1, 2]);
        let dying = spawn(&scene, move |scene| {
            let took = dies_at(steps, || scene.take_now(1));
            scene.die(1);
            scene.keep(1);
            took
        });
        let other = spawn(&scene, |scene| scene.take_soon(2)).join().unwrap();
        let took = dying.join().unwrap();
        let rest = scene.rest([(2, 1)]);
        assert!(rest.is_sorted(), "{rest:?}");
        let got = || rest.iter().copied().chain([other]);
        assert_once(got(), &[1, 2]);
        let returned: Vec<u8> = got().filter(|(_, times)| *times == 1).map(|(item, _)| item).collect();
        match took {
            Some(took) => assert_eq!(returned, took.map(|(item, _)| item).into_iter().collect::<Vec<_>>()),
            None => assert!(returned.len() <= 1),
        }
        took.is_some()
    });
}

/// Whoever finds a dead one behind the guard gives what that one had taken first, before any keeper has heard of the death.
#[test]
fn who_takes_the_guard_from_a_dead_one_is_given_what_that_one_had() {
    before_each_step(1, |steps| {
        let scene = Scene::returning([1, 2]);
        let took = dies_at(steps, || scene.take_now(1));
        scene.die(1);
        if scene.words.exit.guard.holder() == Some(me(1)) {
            assert_eq!(scene.take_now(2).map(|(item, _)| item), Some(1));
            assert_eq!(scene.rest([(2, 1)]), [(2, 0)]);
        }
        took.is_some()
    });
}

/// One dies while it says that the first item is done; the other takes.
#[test]
fn who_dies_while_it_says_done_has_said_it_or_not() {
    before_each_step(1, |steps| {
        let scene = Scene::returning([1, 2]);
        assert_eq!(scene.take_now(1), Some((1, 0)));
        let dying = spawn(&scene, move |scene| {
            let said = dies_at(steps, || scene.done(1));
            scene.die(1);
            scene.keep(1);
            said
        });
        let other = spawn(&scene, |scene| scene.take_soon(2)).join().unwrap();
        let said = dying.join().unwrap();
        let rest = scene.rest([(2, 1)]);
        let got = || rest.iter().copied().chain([other]);
        assert!(got().all(|(item, times)| times == u32::from(item == 1)));
        match (steps, said) {
            (0, None) => assert_once(got(), &[1, 2]),
            (_, None) => assert_once(got(), if rest.len() == 1 { &[1, 2] } else { &[2] }),
            (_, said) => assert_eq!((said, other, rest.len()), (Some(true), (2, 0), 0)),
        }
        said.is_some()
    });
}

/// Two have an item each. One dies, and the other says that its own is done: it is not the dead one's that was meant.
#[test]
fn what_a_living_one_says_done_of_is_its_own() {
    model_of(3, || {
        let scene = Scene::returning([1, 2]);
        assert_eq!((scene.take_now(1), scene.take_now(2)), (Some((1, 0)), Some((2, 0))));
        let dying = spawn(&scene, |scene| {
            scene.die(1);
            scene.keep(1);
        });
        assert!(scene.done(2));
        dying.join().unwrap();
        assert_eq!(scene.rest([]), [(1, 1)]);
    });
}

/// Two say at once that theirs are done.
#[test]
fn two_that_say_done_are_counted_both() {
    model_of(3, || {
        let scene = Scene::returning([1, 2]);
        assert_eq!((scene.take_now(1), scene.take_now(2)), (Some((1, 0)), Some((2, 0))));
        let other = spawn(&scene, |scene| assert!(scene.done(1)));
        assert!(scene.done(2));
        other.join().unwrap();
        assert!(scene.rest([]).is_empty());
    });
}

/// One is dead, with the only item; who gives it back dies at that. Another looks.
#[test]
fn who_dies_while_it_gives_back_leaves_that_to_the_next() {
    before_each_step(1, |steps| {
        let scene = Scene::returning([1]);
        assert_eq!(scene.take_now(1), Some((1, 0)));
        scene.die(1);
        let dying = spawn(&scene, move |scene| {
            let gave = dies_at(steps, || scene.ends(2).settle());
            scene.die(2);
            scene.keep(2);
            gave
        });
        let first = spawn(&scene, |scene| scene.take_now(0)).join().unwrap();
        let gave = dying.join().unwrap();
        let rest = scene.rest([(0, usize::from(first.is_some()))]);
        assert_eq!(first.into_iter().chain(rest).collect::<Vec<_>>(), [(1, 1)]);
        gave.is_some()
    });
}

/// The last item is taken again by one that dies at that.
#[test]
fn who_dies_while_it_takes_what_came_back_gives_it_back_again() {
    before_each_step(1, |steps| {
        let scene = Scene::returning([1]);
        assert_eq!(scene.take_now(1), Some((1, 0)));
        scene.die(1);
        scene.keep(1);
        let took = dies_at(steps, || scene.take_now(2));
        scene.die(2);
        scene.keep(2);
        let rest = scene.rest([]);
        match took {
            Some(took) => assert_eq!((took, &rest[..]), (Some((1, 1)), &[(1, 2)][..])),
            None => assert!(rest == [(1, 1)] || rest == [(1, 2)], "{rest:?}"),
        }
        took.is_some()
    });
}

/// One is dead, with two items; who gives them back, and takes one, dies at that: they are before the third.
#[test]
fn who_dies_while_it_gives_back_leaves_them_in_order() {
    before_each_step(1, |steps| {
        let scene = Scene::returning([1, 2]);
        assert_eq!((scene.take_now(1), scene.take_now(1)), (Some((1, 0)), Some((2, 0))));
        assert!(scene.put(0, 3));
        scene.die(1);
        scene.keep(1);
        let took = dies_at(steps, || scene.take_now(2));
        scene.die(2);
        scene.keep(2);
        let rest = scene.rest([]);
        assert_eq!(rest.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [1, 2, 3]);
        assert!((1..=2).contains(&rest[0].1) && rest[1..] == [(2, 1), (3, 0)], "{rest:?}");
        took.is_some()
    });
}

/// The holder's process ends to look at the block of an item, while another says that the item is done.
#[test]
fn the_block_of_an_item_is_freed_by_one() {
    model_of(3, || {
        let scene = Scene::returning([1]);
        assert_eq!(scene.take_now(1), Some((1, 0)));
        scene.dockets[0].state.fetch_or(HELD, Ordering::Relaxed);
        let looking = spawn(&scene, |scene| scene.dockets[0].looked());
        let (was_open, left) = scene.ends(2).done(THREAD);
        assert!(was_open);
        let freed = [looking.join().unwrap(), left.is_some()];
        assert_eq!(freed.iter().filter(|freed| **freed).count(), 1, "{freed:?}");
        assert_eq!(scene.dockets[0].state.load(Ordering::Relaxed), 0);
    });
}
