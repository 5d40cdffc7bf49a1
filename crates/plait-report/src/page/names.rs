//! What processes and threads are called on the page: as the verdicts call them.

use std::collections::HashMap;

use plait_trace::{ProcessKey, ThreadKey, ThreadLane};

use crate::verdicts::Findings;

pub(super) struct Names<'a> {
    processes: HashMap<ProcessKey, &'a str>,
    threads: HashMap<ThreadKey, &'a str>,
}

impl<'a> Names<'a> {
    pub fn of(findings: &'a Findings) -> Self {
        let processes = &findings.figures.processes;
        let threads = processes.iter().flat_map(|process| &process.threads);
        Self {
            processes: processes.iter().map(|process| (process.key, process.name.as_str())).collect(),
            threads: threads.map(|thread| (thread.key, thread.name.as_str())).collect(),
        }
    }

    pub fn of_process(&self, key: ProcessKey) -> &'a str {
        self.processes.get(&key).copied().unwrap_or("process")
    }

    pub fn of_thread(&self, lane: &ThreadLane) -> &'a str {
        self.threads.get(&lane.thread.key).copied().unwrap_or("thread")
    }
}
