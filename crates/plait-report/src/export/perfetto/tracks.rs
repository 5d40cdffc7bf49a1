//! Which number each track has.
//!
//! The format knows tracks by process and thread number alone, and takes a thread number for one thread, whatever its process.
//! The kernel gives numbers again, and there are tracks that are no threads; those get numbers that no kernel gives.

use std::collections::HashSet;
use std::io::{self, Write};

use plait_trace::{Recording, Sight};
use serde_json::json;

use super::nest;
use crate::export::gil_title;
use crate::export::stream::List;

/// Beyond all numbers of threads that Linux gives.
const MADE_UP: u32 = 1_000_000_000;

pub(super) struct Tracks {
    pub(super) processes: Vec<u32>,
    /// Process and thread.
    pub(super) gils: Vec<(u32, u32)>,
    pub(super) threads: Vec<ThreadTracks>,
    pub(super) observer: u32,
}

pub(super) struct ThreadTracks {
    pub(super) pid: u32,
    /// Of the states.
    pub(super) tid: u32,
    pub(super) tasks: Vec<u32>,
    pub(super) calls: u32,
}

struct Numbers {
    taken: HashSet<u32>,
    next: u32,
}

impl Numbers {
    /// The kernel's number if nothing else has it, or one that is made up.
    fn take(&mut self, wanted: u32) -> u32 {
        if wanted > 0 && wanted < MADE_UP && self.taken.insert(wanted) {
            return wanted;
        }
        self.next += 1;
        self.next
    }
}

impl Tracks {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut numbers = Numbers { taken: HashSet::new(), next: MADE_UP };
        let processes: Vec<u32> = recording.processes.iter().map(|track| numbers.take(track.process.pid)).collect();
        let mut main_is_known = vec![false; processes.len()];
        let threads = recording.threads.iter().map(|lane| {
            let process = lane.thread.process.index();
            let pid = processes[process];
            let is_main = lane.thread.tid == recording.processes[process].process.pid && !main_is_known[process];
            main_is_known[process] |= is_main;
            let tid = if is_main { pid } else { numbers.take(lane.thread.tid) };
            let tasks = nest::rows(&lane.tasks).iter().map(|_| numbers.take(0)).collect();
            ThreadTracks { pid, tid, tasks, calls: numbers.take(0) }
        });
        let threads = threads.collect();
        let gils = recording.gils.iter().map(|lane| (processes[lane.gil.process.index()], numbers.take(0)));
        Self { gils: gils.collect(), processes, threads, observer: numbers.take(0) }
    }
}

/// Says what the tracks are called, and in which order they come.
pub(super) fn name<W: Write>(recording: &Recording, tracks: &Tracks, list: &mut List<W>) -> io::Result<()> {
    let mut say = |what: &str, pid: u32, tid: u32, args: serde_json::Value| {
        list.put(&json!({"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}))
    };
    for (order, (track, &pid)) in recording.processes.iter().zip(&tracks.processes).enumerate() {
        let process = &track.process;
        let mut name = process.role.clone().map(|role| role + ": ").unwrap_or_default() + &process.command;
        if pid != process.pid {
            name += &format!(" (PID {})", process.pid);
        }
        say("process_name", pid, pid, json!({"name": name}))?;
        say("process_sort_index", pid, pid, json!({"sort_index": order}))?;
        let python =
            process.python.as_ref().map_or("no Python known".to_owned(), |version| format!("CPython {version}"));
        let seen = match process.sight {
            Sight::Gil => "the GIL is seen",
            Sight::FreeThreaded => "free-threaded",
            Sight::Kernel => "only the kernel's word is seen",
            Sight::Nothing => "nothing can be seen",
        };
        let labels = [Some(python), Some(seen.to_owned()), process.why.clone()];
        let labels = labels.into_iter().flatten().collect::<Vec<_>>().join(", ");
        say("process_labels", pid, pid, json!({"labels": labels}))?;
    }
    say("process_name", tracks.observer, tracks.observer, json!({"name": "plait, the observer"}))?;
    say("process_sort_index", tracks.observer, tracks.observer, json!({"sort_index": tracks.processes.len()}))?;
    say("thread_name", tracks.observer, tracks.observer, json!({"name": "gaps and notes"}))?;
    let mut order = 0;
    let mut thread = |pid: u32, tid: u32, name: String| {
        order += 1;
        say("thread_name", pid, tid, json!({"name": name}))?;
        say("thread_sort_index", pid, tid, json!({"sort_index": order}))
    };
    for (lane, &(pid, tid)) in recording.gils.iter().zip(&tracks.gils) {
        thread(pid, tid, gil_title(recording, lane))?;
    }
    for (lane, ids) in recording.threads.iter().zip(&tracks.threads) {
        let known = &lane.thread;
        let name = if known.name.is_empty() { "thread" } else { &known.name };
        for &tid in &ids.tasks {
            thread(ids.pid, tid, format!("{name} {}: tasks", known.tid))?;
        }
        let whole = if ids.tid == known.tid { name.to_owned() } else { format!("{name} (thread {})", known.tid) };
        thread(ids.pid, ids.tid, whole)?;
        if !lane.stacks.is_empty() {
            thread(ids.pid, ids.calls, format!("{name} {}: Python calls", known.tid))?;
        }
    }
    Ok(())
}
