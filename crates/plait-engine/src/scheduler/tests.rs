//! The scheduler's habits one by one, as examples to read.

use plait_trace::WorkerId;

use super::Action::{Send, StartWorker, StopWorker};
use super::*;

const W0: WorkerId = WorkerId(0);
const W1: WorkerId = WorkerId(1);

fn scheduler(max_workers: usize, max_tasks_per_child: Option<u64>) -> Scheduler<&'static str> {
    let config = Config { max_workers, window: max_workers, max_tasks_per_child, start_attempts: 2 };
    Scheduler::new(config).unwrap()
}

/// What an event made the scheduler do.
fn actions<T>(event: impl FnOnce(&mut Vec<Action>) -> T) -> (T, Vec<Action>) {
    let mut actions = Vec::new();
    let answer = event(&mut actions);
    (answer, actions)
}

#[test]
fn workers_start_as_tasks_find_none_idle() {
    let mut pool = scheduler(2, None);
    let (a, did) = actions(|act| pool.submit("a", 0, act).unwrap());
    assert_eq!(did, [Send(a), StartWorker(W0)]);
    let ((), did) = actions(|act| pool.on_worker_ready(W0, act));
    assert_eq!(did, []);
    let (job, _) = actions(|act| pool.on_finished(W0, a, act));
    assert_eq!(job, Some("a"));
    let (b, did) = actions(|act| pool.submit("b", 0, act).unwrap());
    assert_eq!(did, [Send(b)], "the first worker is idle");
    let (c, did) = actions(|act| pool.submit("c", 0, act).unwrap());
    assert_eq!(did, [Send(c), StartWorker(W1)]);
    let (_, did) = actions(|act| pool.submit("d", 0, act).unwrap());
    assert_eq!(did, [], "the ring is full, and so is the pool");
    assert_eq!(pool.counts(), Counts { queued: 1, sent: 2, starting: 1, ready: 1, outgrown: 0, leaving: 0 });
}

#[test]
fn a_dead_workers_tasks_go_again_before_the_others_or_come_back() {
    let mut pool = scheduler(3, None);
    let mut submit = |job, retries| actions(|act| pool.submit(job, retries, act).unwrap()).0;
    let (a, b, c, d) = (submit("a", 0), submit("b", 1), submit("c", 0), submit("d", 0));
    actions(|act| pool.on_worker_ready(W0, act));
    let (lost, did) = actions(|act| pool.on_worker_lost(W0, &[a, b, c], act));
    assert_eq!(lost.failed, [(a, "a"), (c, "c")]);
    assert_eq!(lost.abandoned, []);
    assert_eq!(did, [], "two others are starting for two tasks, and the shell has not counted the ring");
    let ((), did) = actions(|act| pool.on_window(3, act));
    assert_eq!(did, [Send(b), Send(d)]);
}

#[test]
fn a_running_task_may_submit_after_the_shutdown() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    actions(|act| pool.shutdown(false, act));
    assert!(pool.submit("from outside", 0, &mut Vec::new()).is_err());
    let (b, _) = actions(|act| pool.submit_inner("b", 0, act).unwrap());
    let (_, did) = actions(|act| pool.on_finished(W0, a, act));
    assert_eq!(did, [], "the worker stays for the other");
    let ((), did) = actions(|act| pool.on_window(1, act));
    assert_eq!(did, [Send(b)]);
    let (_, did) = actions(|act| pool.on_finished(W0, b, act));
    assert_eq!(did, [StopWorker(W0)]);
    assert!(pool.submit_inner("too late", 0, &mut Vec::new()).is_err());
}

#[test]
fn the_replacement_is_there_before_the_old_worker_leaves() {
    let mut pool = scheduler(1, Some(1));
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    actions(|act| pool.submit("b", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    let (_, did) = actions(|act| pool.on_finished(W0, a, act));
    assert_eq!(did, [StartWorker(W1)]);
    let ((), did) = actions(|act| pool.on_worker_ready(W1, act));
    assert_eq!(did, [StopWorker(W0)]);
}

#[test]
fn a_worker_at_its_limit_leaves_at_once_when_nothing_waits() {
    let mut pool = scheduler(1, Some(1));
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    let (_, did) = actions(|act| pool.on_finished(W0, a, act));
    assert_eq!(did, [StopWorker(W0)]);
    assert!(!pool.is_drained(), "the pool is open");
}

#[test]
fn an_answer_may_overtake_the_news_that_its_worker_is_ready() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    assert_eq!(actions(|act| pool.on_finished(W0, a, act)).0, Some("a"));
    assert_eq!(pool.counts().ready, 1);
    actions(|act| pool.on_worker_ready(W0, act));
    assert_eq!(pool.counts().ready, 1);
}

#[test]
fn failed_starts_in_a_row_break_the_pool() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 9, act).unwrap());
    let (b, _) = actions(|act| pool.submit("b", 9, act).unwrap());
    let (lost, did) = actions(|act| pool.on_worker_lost(W0, &[], act));
    assert_eq!((lost.abandoned, did), (vec![], vec![StartWorker(W0)]));
    let (lost, did) = actions(|act| pool.on_worker_lost(W0, &[], act));
    assert_eq!((lost.abandoned, did), (vec![(a, "a"), (b, "b")], vec![]));
    assert!(pool.is_broken() && pool.is_drained());
    let (refused, _) = actions(|act| pool.submit("c", 0, act).unwrap_err());
    assert_eq!((refused.job, refused.reason), ("c", Refusal::Broken));
}

/// Two are started by something that dies twice: that is twice, not four times.
#[test]
fn what_keeps_many_from_starting_is_one_failed_start() {
    let mut pool = scheduler(2, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    let (b, _) = actions(|act| pool.submit("b", 0, act).unwrap());
    assert_eq!(actions(|act| pool.on_worker_lost(W1, &[], act)).1, [StartWorker(W1)]);
    assert_eq!(actions(|act| pool.on_worker_unborn(W0, act)).1, [StartWorker(W0)]);
    assert_eq!(actions(|act| pool.on_worker_lost(W1, &[], act)), (Lost { failed: vec![], abandoned: vec![] }, vec![]));
    assert!(!pool.is_broken(), "the other may be ready yet");
    let (lost, did) = actions(|act| pool.on_worker_unborn(W0, act));
    assert_eq!((lost.abandoned, did), (vec![(a, "a"), (b, "b")], vec![]));
    assert!(pool.is_broken());
}

/// While others serve, failing starts are tried again after a pause that doubles, counted in answers.
#[test]
fn failed_starts_are_paused_while_others_serve() {
    let mut pool = scheduler(2, None);
    actions(|act| pool.submit("a", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    actions(|act| pool.submit("b", 0, act).unwrap());
    assert_eq!(actions(|act| pool.on_worker_lost(W1, &[], act)).1, [StartWorker(W1)]);
    assert_eq!(actions(|act| pool.on_worker_lost(W1, &[], act)).1, [], "two failed: a pause of 2^2");
    let (_, did) = actions(|act| pool.submit("c", 0, act).unwrap());
    assert_eq!(did, [], "the ring is full and starting pauses");
    let stale = plait_trace::TaskId::from_bits(0);
    for _ in 0..3 {
        assert_eq!(actions(|act| pool.on_finished(W0, stale, act)).1, []);
    }
    assert_eq!(actions(|act| pool.on_finished(W0, stale, act)).1, [StartWorker(W1)]);
    assert_eq!(actions(|act| pool.on_worker_lost(W1, &[], act)).1, []);
    let (lost, did) = actions(|act| pool.on_worker_lost(W0, &[], act));
    assert_eq!((lost.abandoned.len(), did), (0, vec![StartWorker(W0), StartWorker(W1)]), "nobody to wait for");
}

#[test]
fn the_last_cancelled_task_lets_a_shut_down_pool_end() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 1, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    actions(|act| pool.on_window(0, act));
    let (b, _) = actions(|act| pool.submit("b", 0, act).unwrap());
    let (raised, did) = actions(|act| pool.on_raised(W0, a, act));
    assert_eq!((raised, did), (Raised::Again, vec![]));
    assert_eq!(actions(|act| pool.on_window(1, act)).1, [Send(a)]);
    let (back, did) = actions(|act| pool.shutdown(true, act));
    assert_eq!((back, did), (vec![(b, "b")], vec![]));
    assert_eq!(actions(|act| pool.cancel(a, act)).0, Cancel::AskRing);
    let (job, did) = actions(|act| pool.on_retracted(a, act));
    assert_eq!((job, did), (Some("a"), vec![StopWorker(W0)]));
    let (lost, _) = actions(|act| pool.on_worker_lost(W0, &[], act));
    assert_eq!(lost.failed, []);
    assert!(pool.is_drained() && !pool.is_broken());
}

#[test]
fn a_cancelled_task_whose_slot_is_a_hole_does_not_stop_the_end() {
    // a waits in the ring and b, behind it, is taken back; c cannot be sent, and is all that is left when a ends.
    let mut pool = scheduler(2, None);
    let mut submit = |job| actions(|act| pool.submit(job, 0, act).unwrap()).0;
    let (a, b, c) = (submit("a"), submit("b"), submit("c"));
    assert_eq!(actions(|act| pool.on_retracted(b, act)).0, Some("b"));
    actions(|act| pool.on_window(0, act));
    assert_eq!(actions(|act| pool.on_finished(W0, a, act)), (Some("a"), vec![]));
    actions(|act| pool.shutdown(false, act));
    assert_eq!(actions(|act| pool.cancel(c, act)), (Cancel::Removed("c"), vec![StopWorker(W0), StopWorker(W1)]));
}

#[test]
fn a_task_that_found_its_slot_held_up_waits_before_the_others() {
    let mut pool = scheduler(2, None);
    let mut submit = |job| actions(|act| pool.submit(job, 0, act).unwrap()).0;
    let (a, b, c) = (submit("a"), submit("b"), submit("c"));
    actions(|act| pool.on_finished(W1, b, act));
    let ((), did) = actions(|act| pool.on_window(1, act));
    assert_eq!(did, [Send(c)]);
    pool.on_full(c);
    assert_eq!(pool.queued(), 1);
    let (d, did) = actions(|act| pool.submit("d", 0, act).unwrap());
    assert_eq!(did, [], "the first worker still reads a");
    let ((), did) = actions(|act| pool.on_window(2, act));
    assert_eq!(did, [Send(c), Send(d)]);
    pool.on_full(b);
    assert_eq!(pool.queued(), 0, "a task that has ended does not come back");
    assert_eq!(pool.job(a), Some(&"a"));
}

#[test]
fn a_doomed_workers_place_is_filled_before_it_ends() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 1, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    assert_eq!(actions(|act| pool.on_worker_doomed(W0, act)).1, [StartWorker(W1)], "and nobody is told to stop");
    assert_eq!(actions(|act| pool.on_worker_doomed(W0, act)).1, []);
    assert_eq!(pool.counts(), Counts { sent: 1, starting: 1, leaving: 1, ..Counts::default() });
    actions(|act| pool.on_worker_ready(W1, act));
    let (lost, _) = actions(|act| pool.on_worker_lost(W0, &[a], act));
    assert_eq!((lost.failed.len(), pool.tries_left(a)), (0, Some(0)));
    assert_eq!(actions(|act| pool.on_window(1, act)).1, [Send(a)]);
    assert_eq!(actions(|act| pool.on_worker_doomed(W1, act)).1, [StartWorker(W0)]);
    let (lost, _) = actions(|act| pool.on_worker_lost(W1, &[a], act));
    assert_eq!((lost.failed, pool.tries_left(a)), (vec![(a, "a")], None));
}

#[test]
fn a_doomed_worker_may_still_answer_and_is_not_replaced_for_nothing() {
    let mut pool = scheduler(2, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    let (b, _) = actions(|act| pool.submit("b", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    actions(|act| pool.on_worker_ready(W1, act));
    assert_eq!(actions(|act| pool.on_finished(W0, a, act)).0, Some("a"));
    assert_eq!(actions(|act| pool.on_worker_doomed(W1, act)).1, [], "the other is enough for b");
    assert_eq!(actions(|act| pool.on_raised(W1, b, act)).0, Raised::Failed("b"));
    let (lost, did) = actions(|act| pool.on_worker_lost(W1, &[], act));
    assert_eq!((lost.failed, did), (vec![], vec![]));
}

#[test]
fn a_worker_can_be_doomed_before_it_is_heard_of() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    assert_eq!(actions(|act| pool.on_worker_doomed(W1, act)).1, [], "there is no such worker");
    assert_eq!(actions(|act| pool.on_worker_doomed(W0, act)).1, [StartWorker(W1)]);
    assert_eq!(actions(|act| pool.on_worker_ready(W0, act)).1, [], "the news comes too late");
    assert_eq!(actions(|act| pool.on_worker_lost(W0, &[a], act)).0.failed, [(a, "a")]);
    assert_eq!(pool.counts(), Counts { starting: 1, ..Counts::default() });
}

/// However often tasks overrun: the pool is not ill, and starts pause for nobody.
#[test]
fn the_deaths_of_doomed_workers_break_nothing() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 100, act).unwrap());
    let mut workers = [W0, W1];
    for _ in 0..100 {
        let [old, new] = workers;
        actions(|act| pool.on_worker_ready(old, act));
        assert_eq!(actions(|act| pool.on_worker_doomed(old, act)).1, [StartWorker(new)]);
        assert_eq!(actions(|act| pool.on_worker_lost(old, &[a], act)).0.failed, []);
        assert_eq!(actions(|act| pool.on_window(1, act)).1, [Send(a)]);
        workers.reverse();
    }
    assert_eq!(pool.tries_left(a), Some(0));
    assert!(!pool.is_broken());
}

#[test]
fn a_worker_that_has_grown_works_until_another_is_ready() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    assert!(!actions(|act| pool.retire(W0, act)).0, "it has not started");
    actions(|act| pool.on_worker_ready(W0, act));
    assert_eq!(actions(|act| pool.retire(W0, act)), (true, vec![StartWorker(W1)]));
    assert_eq!(actions(|act| pool.retire(W0, act)), (false, vec![]));
    actions(|act| pool.submit("b", 0, act).unwrap());
    assert_eq!(actions(|act| pool.on_finished(W0, a, act)), (Some("a"), vec![]));
    assert_eq!(pool.counts(), Counts { queued: 1, starting: 1, outgrown: 1, ..Counts::default() });
    assert_eq!(actions(|act| pool.on_worker_ready(W1, act)).1, [StopWorker(W0)]);
}

#[test]
fn a_worker_that_has_grown_leaves_at_once_where_others_are_enough() {
    let mut pool = scheduler(2, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    let (b, _) = actions(|act| pool.submit("b", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    actions(|act| pool.on_worker_ready(W1, act));
    actions(|act| pool.on_finished(W0, a, act));
    assert_eq!(actions(|act| pool.retire(W0, act)), (true, vec![StopWorker(W0)]));
    actions(|act| pool.on_finished(W1, b, act));
    assert_eq!(actions(|act| pool.retire(W1, act)), (true, vec![StopWorker(W1)]), "there is no task");
}

/// Of the pool's only worker; its replacement fails to start, twice, which is once too often when nobody serves.
#[test]
fn a_worker_that_has_grown_goes_on_while_no_other_can_start() {
    let mut pool = scheduler(1, None);
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    actions(|act| pool.retire(W0, act));
    assert_eq!(actions(|act| pool.on_worker_lost(W1, &[], act)).1, [StartWorker(W1)]);
    let (lost, did) = actions(|act| pool.on_worker_lost(W1, &[], act));
    assert_eq!((lost.abandoned, did, pool.is_broken()), (vec![], vec![], false), "a pause of 2^2 answers");
    assert_eq!(actions(|act| pool.on_finished(W0, a, act)), (Some("a"), vec![]), "nor is it let go when idle");
    for name in ["b", "c"] {
        let (task, _) = actions(|act| pool.submit(name, 0, act).unwrap());
        assert_eq!(actions(|act| pool.on_finished(W0, task, act)).1, []);
    }
    actions(|act| pool.submit("d", 0, act).unwrap());
    let stale = plait_trace::TaskId::from_bits(0);
    assert_eq!(actions(|act| pool.on_finished(W0, stale, act)).1, [StartWorker(W1)], "the pause is over");
    assert_eq!(actions(|act| pool.on_worker_ready(W1, act)).1, [StopWorker(W0)]);
}

#[test]
fn one_that_has_grown_and_run_its_tasks_only_waits() {
    let mut pool = scheduler(1, Some(1));
    let (a, _) = actions(|act| pool.submit("a", 0, act).unwrap());
    actions(|act| pool.submit("b", 0, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    assert_eq!(actions(|act| pool.retire(W0, act)), (true, vec![StartWorker(W1)]));
    assert_eq!(actions(|act| pool.on_finished(W0, a, act)), (Some("a"), vec![]));
    assert_eq!(pool.counts(), Counts { queued: 1, starting: 1, leaving: 1, ..Counts::default() });
    assert_eq!(actions(|act| pool.on_worker_ready(W1, act)).1, [StopWorker(W0)]);
}

#[test]
fn every_way_to_fail_costs_a_task_one_try() {
    let mut pool = scheduler(2, None);
    let (a, _) = actions(|act| pool.submit("a", 3, act).unwrap());
    actions(|act| pool.on_worker_ready(W0, act));
    assert_eq!(actions(|act| pool.on_raised(W0, a, act)), (Raised::Again, vec![Send(a)]));
    assert_eq!(pool.tries_left(a), Some(2));
    actions(|act| pool.on_worker_doomed(W0, act));
    assert_eq!(actions(|act| pool.on_worker_lost(W0, &[a], act)).0.failed, []);
    assert_eq!(pool.tries_left(a), Some(1));
    actions(|act| pool.on_window(2, act));
    assert_eq!(actions(|act| pool.on_raised(W1, a, act)).0, Raised::Again);
    assert_eq!(pool.tries_left(a), Some(0));
    actions(|act| pool.on_window(2, act));
    assert_eq!(actions(|act| pool.on_raised(W1, a, act)).0, Raised::Failed("a"));
    assert_eq!(pool.tries_left(a), None);
}

/// ```text
/// W0  claims a ─ raises ─╳ killed before it noted that a has ended
/// W1                claims a again ─ …
/// ```
#[test]
fn a_task_that_was_answered_is_not_held_whatever_the_note_says() {
    let mut pool = scheduler(2, None);
    let (a, _) = actions(|act| pool.submit("a", 3, act).unwrap());
    let (b, _) = actions(|act| pool.submit("b", 0, act).unwrap());
    actions(|act| pool.on_finished(W0, b, act));
    assert!(!pool.has_answered(W0, b, 0), "it has ended and may be named");
    assert!(!pool.has_answered(W0, a, 1));
    assert_eq!(actions(|act| pool.on_raised(W0, a, act)).0, Raised::Again);
    assert!(pool.has_answered(W0, a, 1), "the second answer was about a");
    assert!(!pool.has_answered(W0, a, 2), "it noted that, and claimed a again");
    assert_eq!(actions(|act| pool.on_raised(W0, plait_trace::TaskId::from_bits(0), act)).0, Raised::Stale);
    assert!(!pool.has_answered(W0, a, 2), "an answer to nothing proves nothing");
    assert!(!pool.has_answered(W1, a, 0));
    assert_eq!(actions(|act| pool.on_worker_lost(W0, &[], act)).0.failed, []);
    assert_eq!(pool.tries_left(a), Some(2));
}
