//! Whole lives of pools in a made-up world with faults, millions of tasks in seconds, each drawn from a seed.
//!
//! `world` is what really happens, `ledger` what is true of each task; `run`, `parent` and `overseer` are the shell that
//! connects them with the scheduler and compares after every event. A failure prints the seed, the scenario and the last events; run
//! it again alone with
//! `PLAIT_SIM_SEED=<seed> cargo nextest run -p plait-engine simulation --no-capture`, which uses that seed in every
//! scenario.

mod ledger;
mod overseer;
mod parent;
mod random;
mod run;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Config;
use ledger::Ledger;
use run::{Faults, Run, Scenario};

const SEEDS: std::ops::Range<u64> = 1..5;

fn seeds() -> Vec<u64> {
    match std::env::var("PLAIT_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("PLAIT_SIM_SEED is a number")],
        Err(_) => SEEDS.collect(),
    }
}

/// Runs a scenario and returns its books, and whether the pool broke.
fn simulate(scenario: Scenario, seed: u64) -> (Ledger, bool) {
    let mut run = Run::new(scenario, seed);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run.run())) {
        eprintln!("simulation failed with seed {seed}\n{run}");
        resume_unwind(panic);
    }
    let broken = run.is_broken();
    (run.ledger, broken)
}

const fn config(max_workers: usize, window: usize) -> Config {
    // With so much patience, starts that fail by chance never break a pool.
    Config { max_workers, window, max_tasks_per_child: None, start_attempts: 100 }
}

const CALM: Scenario = Scenario {
    config: config(4, 16),
    tasks: 20_000,
    retries: 0,
    endless: 0,
    faults: Faults {
        failed_start: 0,
        idle_death: 0,
        death_holding: 0,
        death_after_answer: 0,
        raise: 0,
        cancel: 0,
        stop_running: 0,
        overrun: 0,
        late_doom: 0,
        grow: 0,
        stale_message: 0,
        late_ready: 0,
        slow_claim: 0,
    },
    most_pending: usize::MAX,
    no_start_after: None,
    shutdown: None,
};

const STORM: Faults = Faults {
    failed_start: 2_000,
    idle_death: 50,
    death_holding: 200,
    death_after_answer: 100,
    raise: 1_000,
    cancel: 3_000,
    stop_running: 5_000,
    overrun: 100,
    late_doom: 3_000,
    grow: 2_000,
    stale_message: 3_000,
    late_ready: 1_000,
    slow_claim: 100,
};

#[test]
fn a_million_tasks_with_every_fault_end_exactly_once() {
    let mut tasks = 0;
    for seed in seeds() {
        for (config, per_child) in [
            (config(1, 1), None),
            (config(1, 64), Some(1)),
            (config(2, 2), Some(7)),
            (config(4, 256), None),
            (config(8, 8), Some(3)),
            (config(64, 256), None),
            (config(64, 4096), Some(50)),
            (config(1000, 1024), None),
        ] {
            let scenario = Scenario {
                config: Config { max_tasks_per_child: per_child, ..config },
                tasks: 35_000,
                retries: 3,
                faults: STORM,
                ..CALM
            };
            let (ledger, broken) = simulate(scenario, seed);
            assert!(!broken, "workers could be started");
            assert_eq!(ledger.abandoned, 0);
            let Ledger { finished, raised, cancelled, lost, .. } = ledger;
            assert!(finished > 0 && raised > 0 && cancelled > 0 && lost > 0, "the faults took place");
            tasks += ledger.len();
        }
    }
    assert!(tasks >= 1_000_000 || seeds().len() < SEEDS.count());
}

#[test]
fn ten_thousand_workers_are_kept_at_work() {
    for seed in seeds().into_iter().take(2) {
        let config = Config { max_tasks_per_child: Some(20), ..config(10_000, 16_384) };
        let scenario = Scenario { config, tasks: 600_000, retries: 2, faults: STORM, ..CALM };
        let (ledger, broken) = simulate(scenario, seed);
        assert!(!broken);
        assert_eq!(ledger.len(), 600_000);
    }
}

/// Without retractions and slow readers the shell owes nothing but a look at the ring after each batch, and then no
/// worker idles while a task waits.
#[test]
fn no_worker_idles_while_a_task_waits() {
    let faults = Faults { cancel: 0, stale_message: 0, slow_claim: 0, ..STORM };
    for seed in seeds() {
        for config in [config(1, 2), config(2, 3), config(4, 256), config(16, 20), config(64, 80)] {
            for max_tasks_per_child in [None, Some(5)] {
                let config = Config { max_tasks_per_child, ..config };
                simulate(Scenario { config, retries: 1, faults, ..CALM }, seed);
                simulate(Scenario { config, ..CALM }, seed);
                let narrow = Config { window: config.max_workers, ..config };
                simulate(Scenario { config: narrow, ..CALM }, seed);
            }
        }
    }
}

#[test]
fn without_faults_every_task_finishes() {
    for seed in seeds() {
        let (ledger, broken) = simulate(CALM, seed);
        assert!(!broken);
        assert_eq!(ledger.finished, CALM.tasks);
    }
}

#[test]
fn no_task_is_lost_while_it_has_a_try_left() {
    // 50 tries against deaths in 2 of 100: a loss would be the scheduler's.
    let faults = Faults { cancel: 0, raise: 0, overrun: 0, ..STORM };
    for seed in seeds() {
        let mut scenario = Scenario { config: config(8, 32), faults, retries: 0, ..CALM };
        let (ledger, _) = simulate(scenario, seed);
        assert!(ledger.lost > 0, "without retries, deaths lose tasks");
        scenario.retries = 1000;
        let (ledger, _) = simulate(scenario, seed);
        assert!(ledger.lost <= 20, "of 20,000 tasks with up to 1000 retries only those that drew none are lost");
        assert_eq!(ledger.finished + ledger.lost, scenario.tasks);
    }
}

/// Every tenth task would run for ever: each is stopped as often as it has tries, by an exception or by force, and the
/// others run once, undisturbed.
#[test]
fn endless_tasks_fail_after_their_tries_and_the_others_finish() {
    for seed in seeds() {
        for config in [config(1, 1), config(2, 64), config(8, 8), config(64, 256)] {
            for max_tasks_per_child in [None, Some(4)] {
                let config = Config { max_tasks_per_child, ..config };
                let faults = Faults { late_doom: 2_000, late_ready: 1_000, ..CALM.faults };
                let scenario = Scenario { config, endless: 10, retries: 3, faults, ..CALM };
                let (ledger, broken) = simulate(scenario, seed);
                assert!(!broken, "a doomed worker's death is no sign of ill health");
                let (mut endless, mut tries) = (0, [0; 5]);
                for task in 0..ledger.len() {
                    let tried = ledger.entry(task).tries;
                    if scenario.is_endless(task) {
                        endless += 1;
                        tries[tried as usize] += 1;
                    } else {
                        assert_eq!(tried, 1, "task {task} does not pay for others");
                    }
                }
                assert_eq!((ledger.finished, ledger.raised + ledger.lost), (ledger.len() - endless, endless));
                assert!(ledger.raised > 0 && ledger.lost > 0 && tries[1..].iter().all(|count| *count > 0));
            }
        }
    }
}

/// Workers grow all the time: no task notices.
#[test]
fn workers_that_grow_are_replaced_without_a_trace() {
    for seed in seeds() {
        for config in [config(1, 1), config(4, 4), config(4, 256), config(64, 64)] {
            for (max_tasks_per_child, failed_start) in [(None, 0), (Some(6), 0), (None, 5_000)] {
                let config = Config { max_tasks_per_child, ..config };
                let faults = Faults { grow: 5_000, failed_start, late_ready: 1_000, ..CALM.faults };
                let (ledger, broken) = simulate(Scenario { config, faults, ..CALM }, seed);
                assert!(!broken);
                assert_eq!(ledger.finished, CALM.tasks);
                assert!((0..ledger.len()).all(|task| ledger.entry(task).tries == 1));
            }
        }
    }
}

#[test]
fn a_shutdown_in_the_middle_ends_everything() {
    for seed in seeds() {
        for after in [0, 1, 10, 1000, 9_999] {
            for cancel_pending in [false, true] {
                for max_tasks_per_child in [None, Some(4)] {
                    let config = Config { max_tasks_per_child, ..config(8, 32) };
                    let scenario =
                        Scenario { config, shutdown: Some((after, cancel_pending)), faults: STORM, retries: 2, ..CALM };
                    let (ledger, broken) = simulate(scenario, seed);
                    assert!(!broken);
                    assert!(ledger.len() >= after);
                }
            }
        }
    }
}

#[test]
fn a_pool_with_little_to_do_ends_as_well() {
    for seed in seeds() {
        for after in 0..40 {
            for most_pending in 1..4 {
                let scenario = Scenario {
                    config: Config { max_tasks_per_child: Some(3), ..config(4, 4) },
                    most_pending,
                    shutdown: Some((after, after % 2 == 0)),
                    faults: Faults { cancel: 9_000, ..STORM },
                    retries: 1,
                    ..CALM
                };
                simulate(scenario, seed * 1000 + after as u64);
                simulate(Scenario { faults: CALM.faults, ..scenario }, seed);
            }
        }
    }
}

/// Starts fail two times in three, and two in a row are enough to give up: but only when nobody serves.
#[test]
fn failing_starts_break_a_pool_only_when_nobody_serves() {
    let mut whole = 0;
    for seed in seeds() {
        for max_workers in [2, 8, 64] {
            for max_tasks_per_child in [None, Some(2)] {
                let config = Config { max_tasks_per_child, start_attempts: 2, ..config(max_workers, 64) };
                let faults = Faults { failed_start: 6_667, cancel: 0, ..STORM };
                let scenario = Scenario { config, faults, retries: 5, tasks: 2_000, ..CALM };
                let (_, broken) = simulate(scenario, seed);
                whole += usize::from(!broken);
            }
        }
    }
    assert!(whole > 0 || seeds().len() < SEEDS.count(), "large pools get through");
}

#[test]
fn a_pool_whose_workers_cannot_start_gives_everything_back() {
    for seed in seeds() {
        for (max_workers, after) in [(1, 0), (8, 0), (1, 5_000), (8, 5_000), (64, 5_000)] {
            for max_tasks_per_child in [None, Some(6)] {
                let config = Config { max_tasks_per_child, start_attempts: 3, ..config(max_workers, 64) };
                let faults = Faults { failed_start: 0, ..STORM };
                let scenario = Scenario { config, no_start_after: Some(after), faults, retries: 1, ..CALM };
                let (ledger, broken) = simulate(scenario, seed);
                assert!(broken, "the last worker dies by a fault, and no other can start");
                assert!(ledger.abandoned > 0);
                assert!(after > 0 || ledger.finished == 0);
            }
        }
    }
}

#[test]
fn a_seed_replays_exactly() {
    let scenario = Scenario { config: config(8, 32), faults: STORM, retries: 2, ..CALM };
    let books = |seed| {
        let (ledger, _) = simulate(scenario, seed);
        (ledger.finished, ledger.cancelled, ledger.lost, format!("{:?}", ledger.entry(ledger.len() - 1)))
    };
    assert_eq!(books(7), books(7));
    assert_ne!(books(7), books(8));
}
