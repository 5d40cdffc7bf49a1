//! The figures of a pool for Python, which makes `plait.Stats` of them.

use std::collections::HashMap;

use plait_engine::tally::Tally;
use plait_observe::{Beacon, cpu_of_process, cpu_of_thread, resident};
use plait_trace::pools::{Counts, Place};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::time::{ClockId, clock_gettime};

use crate::beacon::PLAIT_BEACON;
use crate::process::ProcessHome;

/// What is counted.
pub fn of_tally<'py>(py: Python<'py>, counts: &Counts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let Counts { submitted, done, failed, cancelled, retried, started, died, recycled } = *counts;
    let words = [
        ("submitted", submitted),
        ("done", done),
        ("failed", failed),
        ("cancelled", cancelled),
        ("retried", retried),
        ("workers_started", started),
        ("workers_died", died),
        ("workers_recycled", recycled),
    ];
    for (name, value) in words {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// The same, how much runs and waits, and of each worker: pid, number, state, task, seconds, done, memory, peak, CPU seconds.
pub fn of_processes<'py>(py: Python<'py>, home: &ProcessHome) -> PyResult<Bound<'py, PyDict>> {
    let (counts, rows, running, pending) = py.detach(|| {
        let (workers, pending) = home.pool().workers();
        let counts = home.pool().tally().counts();
        let running = workers.iter().filter(|worker| worker.task.is_some()).count();
        let mut beacons = home.beacons.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        beacons.retain(|pid, _| workers.iter().any(|worker| worker.pid == *pid));
        let rows: Vec<_> = workers
            .into_iter()
            .filter(|worker| worker.pid > 0)
            .map(|worker| {
                let pid = worker.pid.cast_unsigned();
                let task = worker.task.map(|(name, nanos)| {
                    // What goes to a worker with its arguments has no name here.
                    let name = if name.is_empty() { asked(&mut beacons, worker.pid) } else { Some(name.to_string()) };
                    (name, nanos as f64 / 1e9)
                });
                let memory = resident(pid);
                let (now, peak) = (memory.map(|memory| memory.now), memory.map(|memory| memory.peak));
                (worker.pid, worker.worker.0, task, worker.done, now, peak, cpu_of_process(pid))
            })
            .collect();
        (counts, rows, running, pending)
    });
    let dict = of_tally(py, &counts)?;
    dict.set_item("running", running)?;
    dict.set_item("queued", pending.saturating_sub(running))?;
    dict.set_item("workers", rows)?;
    Ok(dict)
}

/// What a worker process says that it runs.
fn asked(beacons: &mut HashMap<i32, Beacon>, pid: i32) -> Option<String> {
    let beacon = match beacons.entry(pid) {
        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::hash_map::Entry::Vacant(place) => place.insert(Beacon::find(pid.cast_unsigned())?),
    };
    let mut doing = Vec::new();
    beacon.look(&mut doing);
    doing.first().map(|doing| doing.name.to_string())
}

/// The same of threads: number, whether its call was given up, task, seconds, done, CPU seconds.
pub fn of_threads<'py>(py: Python<'py>, tally: &Tally) -> PyResult<Bound<'py, PyDict>> {
    let (places, counts) = (tally.taken(), tally.counts());
    let running: u64 = places.iter().filter(|place| !place.is_lost).map(|place| u64::from(place.depth)).sum();
    let running = running.min(counts.pending());
    let now = clock_gettime(ClockId::Monotonic);
    let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    let mut doing = Vec::new();
    if places.iter().any(|place| place.depth > 0)
        && let Some(mut beacon) = Beacon::own((&raw const PLAIT_BEACON).expose_provenance() as u64)
    {
        beacon.look(&mut doing);
    }
    let row = |place: &Place| {
        let task = (place.depth > 0).then(|| {
            let name = doing.iter().find(|doing| doing.tid == place.id).map(|doing| doing.name.to_string());
            (name, now.saturating_sub(place.since) as f64 / 1e9)
        });
        (place.id, place.is_lost, task, place.done, cpu_of_thread(std::process::id(), place.id))
    };
    let dict = of_tally(py, &counts)?;
    dict.set_item("running", running)?;
    dict.set_item("queued", counts.pending().saturating_sub(running))?;
    dict.set_item("workers", places.iter().map(row).collect::<Vec<_>>())?;
    Ok(dict)
}
