//! The scheduler beside a model that is written for the eye: flat lists, searched from end to end, one rule a line.
//! Proptest draws sequences of events, sensible or not, and every answer and action must be the same.

mod model;

use plait_trace::{TaskId, WorkerId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Cancel, Config, Raised, Scheduler};
use model::{Duty, Model, Task};

#[derive(Clone, Debug)]
enum Event {
    Submit { retries: u32 },
    Finished(Index, Index),
    Raised(Index, Index),
    Ready(Index),
    Doomed(Index),
    Retire(Index),
    Lost(Index, Vec<Index>),
    Unborn(Index),
    Window(usize),
    Full(Index),
    Cancel(Index),
    Retracted(Index),
    Forbid(Index),
    Shutdown(bool),
    Break,
}

fn event() -> impl Strategy<Value = Event> {
    let pick = any::<Index>;
    prop_oneof![
        60 => (0..3u32).prop_map(|retries| Event::Submit { retries }),
        60 => (pick(), pick()).prop_map(|(worker, task)| Event::Finished(worker, task)),
        20 => (pick(), pick()).prop_map(|(worker, task)| Event::Raised(worker, task)),
        40 => pick().prop_map(Event::Ready),
        15 => pick().prop_map(Event::Doomed),
        15 => pick().prop_map(Event::Retire),
        20 => (pick(), vec(pick(), 0..3)).prop_map(|(worker, held)| Event::Lost(worker, held)),
        10 => pick().prop_map(Event::Unborn),
        20 => (0..9usize).prop_map(Event::Window),
        10 => pick().prop_map(Event::Full),
        10 => pick().prop_map(Event::Cancel),
        10 => pick().prop_map(Event::Retracted),
        5 => pick().prop_map(Event::Forbid),
        1 => any::<bool>().prop_map(Event::Shutdown),
        1 => Just(Event::Break),
    ]
}

fn compare(config: Config, events: Vec<Event>) {
    let mut scheduler = Scheduler::new(config).unwrap();
    let mut model = Model::new(config);
    // Every id ever given out, so that events are also about tasks that have ended.
    let mut ids = vec![TaskId::from_bits(0)];
    for (number, event) in events.into_iter().enumerate() {
        let mut actions = Vec::new();
        let worker = |at: Index| WorkerId(at.index(config.worker_ids() + 1) as u16);
        // Of the last few tasks, most are pending.
        let task = |at: Index| ids[ids.len() - 1 - at.index(ids.len().min(12))];
        macro_rules! same {
            ($real:expr, $model:expr) => {{
                let real = $real;
                model.actions = std::mem::take(&mut actions).into_iter();
                assert_eq!(real, $model);
            }};
        }
        match event {
            Event::Submit { retries } => {
                let submitted = scheduler.submit(number, retries, &mut actions);
                model.actions = std::mem::take(&mut actions).into_iter();
                assert_eq!(submitted.is_ok(), model.open);
                if let Ok(id) = submitted {
                    assert!(!ids.contains(&id), "{id:?} was used before");
                    ids.push(id);
                    model.tasks.push(Task { id, job: number, retries, sent: false });
                    if model.tasks.iter().filter(|task| !task.sent).count() == 1 {
                        model.guess_room();
                        model.send();
                    }
                    model.start(usize::from(model.tasks.len() > model.serving()));
                }
            }
            Event::Finished(at, of) => {
                let (worker, task) = (worker(at), task(of));
                same!(scheduler.on_finished(worker, task, &mut actions), {
                    model.ready(worker);
                    model.find(worker).and_then(|_| {
                        let job = model.remove(task, true);
                        model.answered(worker, job.is_some());
                        job
                    })
                });
            }
            Event::Raised(at, of) => {
                let (worker, task) = (worker(at), task(of));
                same!(scheduler.on_raised(worker, task, &mut actions), {
                    model.ready(worker);
                    model.find(worker).map_or(Raised::Stale, |at| {
                        let raised = if model.again(task) {
                            model.workers[at].again = Some(task);
                            model.send();
                            Raised::Again
                        } else {
                            model.remove(task, true).map_or(Raised::Stale, Raised::Failed)
                        };
                        model.answered(worker, raised != Raised::Stale);
                        raised
                    })
                });
            }
            Event::Ready(at) => same!(scheduler.on_worker_ready(worker(at), &mut actions), model.ready(worker(at))),
            Event::Doomed(at) => same!(scheduler.on_worker_doomed(worker(at), &mut actions), model.doomed(worker(at))),
            Event::Retire(at) => same!(scheduler.retire(worker(at), &mut actions), model.retire(worker(at))),
            Event::Lost(at, held) => {
                let held: Vec<_> = held.into_iter().map(task).collect();
                same!(scheduler.on_worker_lost(worker(at), &held, &mut actions), model.lost(worker(at), &held, true));
            }
            Event::Unborn(at) => {
                same!(scheduler.on_worker_unborn(worker(at), &mut actions), model.lost(worker(at), &[], false));
            }
            Event::Window(free) => same!(scheduler.on_window(free, &mut actions), {
                model.room = free.min(config.window);
                model.holes = model.holes.min(config.window - model.room);
                model.send();
            }),
            Event::Full(of) => same!(scheduler.on_full(task(of)), {
                model.room = 0;
                if let Some(at) = model.tasks.iter().position(|other| other.id == task(of) && other.sent) {
                    let mut task = model.tasks.remove(at);
                    task.sent = false;
                    model.tasks.insert(model.sent(), task);
                }
            }),
            Event::Cancel(of) => same!(scheduler.cancel(task(of), &mut actions), {
                let sent = model.tasks.iter().any(|other| other.id == task(of) && other.sent);
                match model.remove(task(of), false) {
                    Some(job) => {
                        model.settle();
                        Cancel::Removed(job)
                    }
                    None if sent => Cancel::AskRing,
                    None => Cancel::Unknown,
                }
            }),
            Event::Retracted(of) => same!(scheduler.on_retracted(task(of), &mut actions), {
                model.remove(task(of), true).inspect(|_| {
                    model.holes += 1;
                    model.settle();
                })
            }),
            Event::Forbid(of) => same!(scheduler.forbid_retries(task(of)), {
                let found = model.tasks.iter_mut().find(|other| other.id == task(of));
                found.is_some_and(|task| {
                    task.retries = 0;
                    true
                })
            }),
            Event::Shutdown(cancel) => same!(scheduler.shutdown(cancel, &mut actions), model.shutdown(cancel)),
            Event::Break => same!(scheduler.break_pool(&mut actions), model.break_pool()),
        }
        assert_eq!(model.actions.as_slice(), [], "nothing else was to be done");
        let counts = scheduler.counts();
        assert_eq!((counts.queued, counts.sent), (model.tasks.len() - model.sent(), model.sent()));
        assert_eq!((counts.starting, counts.ready), (model.count(Duty::Starting), model.count(Duty::Ready)));
        assert_eq!(counts.outgrown, model.count(Duty::Outgrown));
        assert_eq!(counts.leaving, model.count(Duty::Retiring) + model.count(Duty::Stopping));
        assert_eq!(scheduler.is_broken(), model.broken);
        assert_eq!(scheduler.is_drained(), !model.open && model.tasks.is_empty() && model.workers.is_empty());
        for task in &model.tasks {
            assert_eq!(scheduler.job(task.id), Some(&task.job));
            assert_eq!(scheduler.tries_left(task.id), Some(task.retries));
        }
        for id in &ids {
            let pending = model.tasks.iter().any(|task| task.id == *id);
            assert_eq!(scheduler.tries_left(*id).is_some(), pending);
        }
        for worker in &model.workers {
            for id in &ids {
                for ended in 0..3 {
                    let answered = worker.again == Some(*id) && worker.accepted > ended;
                    assert_eq!(scheduler.has_answered(worker.id, *id, ended), answered);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 2_000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_scheduler_does_as_the_model(
        max_workers in 1..5usize,
        spare in 0..4usize,
        max_tasks_per_child in prop::option::of(1..4u64),
        start_attempts in 1..4u32,
        events in vec(event(), 1..120),
    ) {
        let window = max_workers + spare;
        compare(Config { max_workers, window, max_tasks_per_child, start_attempts }, events);
    }
}
