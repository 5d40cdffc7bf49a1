//! A recording as a whole: records put together lane by lane, in the order of time.

mod replay;

use std::io;

use crate::{
    Began, Count, Ended, Frame, Gap, Gil, Hold, Nanos, Note, Process, Record, Shot, Sink, Span, Stack, Subject, Task,
    Thread,
};

/// A process and its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The process.
    pub process: Process,
    /// When it was seen to be gone, if it was.
    pub ended: Option<Nanos>,
}

/// All that was seen of a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadLane {
    /// The thread.
    pub thread: Thread,
    /// When it was seen to be gone, if it was.
    pub ended: Option<Nanos>,
    /// What it did; no two overlap, none is empty.
    pub spans: Vec<Span>,
    /// Python calls it was in.
    pub stacks: Vec<Stack>,
    /// Native calls it was in.
    pub shots: Vec<Shot>,
    /// Tasks it ran.
    pub tasks: Vec<Task>,
}

/// All that was seen of a GIL.
#[derive(Clone, Debug, PartialEq)]
pub struct GilLane {
    /// The GIL.
    pub gil: Gil,
    /// Who had it; no two overlap, none is empty.
    pub holds: Vec<Hold>,
}

/// A recording. Keys of processes, threads, GILs and frames are places in its lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// How it began.
    pub began: Began,
    /// How it ended; absent while it goes on, and where the observer was killed.
    pub ended: Option<Ended>,
    /// The processes.
    pub processes: Vec<Track>,
    /// The GILs.
    pub gils: Vec<GilLane>,
    /// The threads.
    pub threads: Vec<ThreadLane>,
    /// The places in Python code.
    pub frames: Vec<Frame>,
    /// The figures, in the order in which they were read.
    pub counts: Vec<Count>,
    /// When nobody looked.
    pub gaps: Vec<Gap>,
    /// What the reader should know.
    pub notes: Vec<Note>,
    /// Whether the file ended in the midst of a block, as when its writer was killed. The rest is whole.
    pub cut: bool,
    latest: Nanos,
}

impl Recording {
    /// Takes the next record.
    ///
    /// # Errors
    /// With what is wrong with it: a key that nothing described, a time before that of the span before it. The recording
    /// is as it was.
    pub fn put(&mut self, record: &Record) -> Result<(), &'static str> {
        match record {
            Record::Began(began) => self.began = began.clone(),
            Record::Process(process) => {
                let track = Track { process: process.clone(), ended: None };
                describe(&mut self.processes, process.key.index(), track, |old, new| old.process = new.process)?;
                self.reach(process.found);
            }
            Record::ProcessEnded { process, at } => {
                self.processes.get_mut(process.index()).ok_or("the end of an unknown process")?.ended = Some(*at);
                self.reach(*at);
            }
            Record::Gil(gil) => {
                known(self.processes.len(), gil.process.index(), "a GIL of an unknown process")?;
                let lane = GilLane { gil: gil.clone(), holds: Vec::new() };
                describe(&mut self.gils, gil.key.index(), lane, |old, new| old.gil = new.gil)?;
            }
            Record::Thread(thread) => {
                known(self.processes.len(), thread.process.index(), "a thread of an unknown process")?;
                describe(&mut self.threads, thread.key.index(), ThreadLane::new(thread.clone()), |old, new| {
                    old.thread = new.thread;
                })?;
                self.reach(thread.found);
            }
            Record::ThreadEnded { thread, at } => {
                self.lane(thread.index())?.ended = Some(*at);
                self.reach(*at);
            }
            Record::Span(span) => {
                append(
                    &mut self.lane(span.thread.index())?.spans,
                    *span,
                    |span| (span.from, span.to),
                    |last, next| (last.state, last.call) == (next.state, next.call),
                    |last, to| last.to = to,
                )?;
                self.reach(span.to);
            }
            Record::Hold(hold) => {
                if let Some(thread) = hold.thread {
                    self.lane(thread.index())?;
                }
                let lane = self.gils.get_mut(hold.gil.index()).ok_or("a hold of an unknown GIL")?;
                append(
                    &mut lane.holds,
                    *hold,
                    |hold| (hold.from, hold.to),
                    |last, next| last.thread == next.thread,
                    |last, to| last.to = to,
                )?;
                self.reach(hold.to);
            }
            Record::Count(count) => {
                match count.of {
                    Subject::Machine => {}
                    Subject::Process(process) => {
                        known(self.processes.len(), process.index(), "a count of an unknown process")?;
                    }
                    Subject::Thread(thread) => {
                        self.lane(thread.index())?;
                    }
                    Subject::Gil(gil) => known(self.gils.len(), gil.index(), "a count of an unknown GIL")?,
                }
                self.counts.push(*count);
                self.reach(count.at);
            }
            Record::Frame(frame) => {
                describe(&mut self.frames, frame.key.index(), frame.clone(), |old, new| *old = new)?
            }
            Record::Stack(stack) => {
                self.check_frames(&stack.frames)?;
                self.lane(stack.thread.index())?.stacks.push(stack.clone());
                self.reach(stack.at);
            }
            Record::Shot(shot) => {
                self.check_frames(&shot.frames)?;
                self.lane(shot.thread.index())?.shots.push(shot.clone());
                self.reach(shot.at);
            }
            Record::Task(task) => {
                if task.to < task.from {
                    return Err("a task that ends before it begins");
                }
                self.lane(task.thread.index())?.tasks.push(task.clone());
                self.reach(task.to);
            }
            Record::Gap(gap) => {
                self.gaps.push(*gap);
                self.reach(gap.to);
            }
            Record::Note(note) => {
                if let Some(process) = note.process {
                    known(self.processes.len(), process.index(), "a note on an unknown process")?;
                }
                self.notes.push(note.clone());
            }
            Record::Ended(ended) => {
                self.ended = Some(*ended);
                self.reach(ended.at);
            }
        }
        Ok(())
    }

    /// How long it is: to its end, or to the last that is known.
    pub fn length(&self) -> Nanos {
        self.ended.map_or(self.latest, |ended| ended.at.max(self.latest))
    }

    /// Forgets what was over before `at`: for a view of the last seconds. What is described stays.
    pub fn forget_before(&mut self, at: Nanos) {
        for lane in &mut self.threads {
            drop_first(&mut lane.spans, |span| span.to <= at);
            drop_first(&mut lane.stacks, |stack| stack.at < at);
            drop_first(&mut lane.shots, |shot| shot.at < at);
            lane.tasks.retain(|task| task.to > at);
        }
        for lane in &mut self.gils {
            drop_first(&mut lane.holds, |hold| hold.to <= at);
        }
        drop_first(&mut self.counts, |count| count.at < at);
        drop_first(&mut self.gaps, |gap| gap.to <= at);
    }

    /// The threads of a process.
    pub fn threads_of(&self, process: &Process) -> impl Iterator<Item = &ThreadLane> {
        let key = process.key;
        self.threads.iter().filter(move |lane| lane.thread.process == key)
    }

    /// The GILs of a process.
    pub fn gils_of(&self, process: &Process) -> impl Iterator<Item = &GilLane> {
        let key = process.key;
        self.gils.iter().filter(move |lane| lane.gil.process == key)
    }

    fn lane(&mut self, index: usize) -> Result<&mut ThreadLane, &'static str> {
        self.threads.get_mut(index).ok_or("something of an unknown thread")
    }

    fn check_frames(&self, frames: &[crate::FrameKey]) -> Result<(), &'static str> {
        frames.iter().try_for_each(|frame| known(self.frames.len(), frame.index(), "an unknown place in the code"))
    }

    fn reach(&mut self, at: Nanos) {
        self.latest = self.latest.max(at);
    }
}

impl ThreadLane {
    fn new(thread: Thread) -> Self {
        Self { thread, ended: None, spans: Vec::new(), stacks: Vec::new(), shots: Vec::new(), tasks: Vec::new() }
    }
}

impl Sink for Recording {
    fn take(&mut self, record: &Record) -> io::Result<()> {
        self.put(record).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

fn known(length: usize, index: usize, complaint: &'static str) -> Result<(), &'static str> {
    if index < length { Ok(()) } else { Err(complaint) }
}

/// A new entry at the end of the list, or a new description of an old one.
fn describe<T>(list: &mut Vec<T>, index: usize, new: T, renew: impl FnOnce(&mut T, T)) -> Result<(), &'static str> {
    if index == list.len() {
        list.push(new);
    } else {
        renew(list.get_mut(index).ok_or("a key that skips others")?, new);
    }
    Ok(())
}

/// Adds a stretch of time, or lets the last one go on where nothing has changed.
fn append<T: Copy>(
    list: &mut Vec<T>,
    next: T,
    times: impl Fn(&T) -> (Nanos, Nanos),
    same: impl Fn(&T, &T) -> bool,
    extend: impl Fn(&mut T, Nanos),
) -> Result<(), &'static str> {
    let (from, to) = times(&next);
    if to <= from {
        return Err("a stretch of time that ends before it has begun");
    }
    if let Some(last) = list.last_mut() {
        let (_, end) = times(last);
        if from < end {
            return Err("a stretch of time that begins before the last one ended");
        }
        if from == end && same(last, &next) {
            extend(last, to);
            return Ok(());
        }
    }
    list.push(next);
    Ok(())
}

fn drop_first<T>(list: &mut Vec<T>, is_over: impl Fn(&T) -> bool) {
    let count = list.partition_point(is_over);
    list.drain(..count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GilKey, ProcessKey, Sight, State, ThreadKey};

    fn recording() -> Recording {
        let mut recording = Recording::default();
        recording.put(&Record::Process(process("3.13.0"))).expect("a process");
        let thread = Thread {
            key: ThreadKey(0),
            process: ProcessKey(0),
            tid: 7,
            name: "main".into(),
            interpreter: Some(0),
            found: 0,
        };
        recording.put(&Record::Thread(thread)).expect("a thread");
        recording
    }

    fn process(python: &str) -> Process {
        Process {
            key: ProcessKey(0),
            pid: 7,
            parent: None,
            found: 0,
            command: "python a.py".into(),
            python: Some(python.into()),
            sight: Sight::Gil,
            why: None,
            processors: 2,
            quota: None,
            role: None,
        }
    }

    fn span(from: Nanos, to: Nanos, state: State) -> Record {
        Record::Span(Span { thread: ThreadKey(0), from, to, state, call: None })
    }

    #[test]
    fn a_span_goes_on_where_nothing_changes() {
        let mut recording = recording();
        for record in [span(0, 5, State::Waits), span(5, 9, State::Waits), span(9, 10, State::Native)] {
            recording.put(&record).expect("in order");
        }
        let spans: Vec<_> = recording.threads[0].spans.iter().map(|span| (span.from, span.to, span.state)).collect();
        assert_eq!(spans, [(0, 9, State::Waits), (9, 10, State::Native)]);
        assert_eq!(recording.length(), 10);
    }

    #[test]
    fn nonsense_is_refused_and_changes_nothing() {
        let mut recording = recording();
        recording.put(&span(3, 5, State::Waits)).expect("in order");
        let before = recording.clone();
        assert!(recording.put(&span(4, 6, State::Native)).is_err());
        assert!(recording.put(&span(6, 6, State::Native)).is_err());
        let hold = Hold { gil: GilKey(0), from: 0, to: 1, thread: None };
        assert!(recording.put(&Record::Hold(hold)).is_err());
        assert!(recording.put(&Record::ThreadEnded { thread: ThreadKey(1), at: 3 }).is_err());
        assert_eq!(recording, before);
    }

    #[test]
    fn a_second_description_replaces_the_first() {
        let mut recording = recording();
        recording.put(&Record::Process(process("3.12.1"))).expect("known");
        assert_eq!(recording.processes.len(), 1);
        assert_eq!(recording.processes[0].process.python.as_deref(), Some("3.12.1"));
    }

    #[test]
    fn what_is_over_can_be_forgotten() {
        let mut recording = recording();
        for record in [span(0, 5, State::Waits), span(5, 9, State::Native), span(9, 20, State::Waits)] {
            recording.put(&record).expect("in order");
        }
        recording.forget_before(7);
        assert_eq!(recording.threads[0].spans[0].from, 5);
        assert_eq!(recording.length(), 20);
    }
}
