//! The numbers by which a recording names processes, threads, GILs and places in the code.

use std::collections::HashMap;

use plait_trace::{Frame, FrameKey, GilKey, ProcessKey, Record, ThreadKey};

use crate::stacks::Place;

/// The next number of each kind.
#[derive(Debug, Default)]
pub(super) struct Keys {
    processes: u32,
    threads: u32,
    gils: u32,
    frames: HashMap<Place, FrameKey>,
}

impl Keys {
    pub fn process(&mut self) -> ProcessKey {
        self.processes += 1;
        ProcessKey(self.processes - 1)
    }

    pub fn thread(&mut self) -> ThreadKey {
        self.threads += 1;
        ThreadKey(self.threads - 1)
    }

    pub fn gil(&mut self) -> GilKey {
        self.gils += 1;
        GilKey(self.gils - 1)
    }

    /// The keys of `places`; those that are new are described in `out`.
    pub fn frames(&mut self, places: Vec<Place>, out: &mut Vec<Record>) -> Vec<FrameKey> {
        let mut key_of = |place: Place| {
            let next = FrameKey(self.frames.len() as u32);
            *self.frames.entry(place).or_insert_with_key(|place| {
                let (function, file) = (place.function.to_string(), place.file.to_string());
                out.push(Record::Frame(Frame { key: next, function, file, line: place.line }));
                next
            })
        };
        places.into_iter().map(&mut key_of).collect()
    }
}
