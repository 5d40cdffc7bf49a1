//! A recording as records again, to be written to a file that it did not come from.

use std::io;

use crate::{Record, Recording, Sink};

impl Recording {
    /// Gives all that is in it to `sink`: a recording that takes it is the same as this one.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn replay(&self, sink: &mut dyn Sink) -> io::Result<()> {
        let mut put = |record: Record| sink.take(&record);
        put(Record::Began(self.began.clone()))?;
        for track in &self.processes {
            put(Record::Process(track.process.clone()))?;
        }
        for lane in &self.gils {
            put(Record::Gil(lane.gil.clone()))?;
        }
        for lane in &self.threads {
            put(Record::Thread(lane.thread.clone()))?;
        }
        for frame in &self.frames {
            put(Record::Frame(frame.clone()))?;
        }
        for lane in &self.threads {
            lane.spans.iter().try_for_each(|span| put(Record::Span(*span)))?;
            lane.stacks.iter().try_for_each(|stack| put(Record::Stack(stack.clone())))?;
            lane.shots.iter().try_for_each(|shot| put(Record::Shot(shot.clone())))?;
            lane.tasks.iter().try_for_each(|task| put(Record::Task(task.clone())))?;
            if let Some(at) = lane.ended {
                put(Record::ThreadEnded { thread: lane.thread.key, at })?;
            }
        }
        for lane in &self.gils {
            lane.holds.iter().try_for_each(|hold| put(Record::Hold(*hold)))?;
        }
        for track in &self.processes {
            if let Some(at) = track.ended {
                put(Record::ProcessEnded { process: track.process.key, at })?;
            }
        }
        self.counts.iter().try_for_each(|count| put(Record::Count(*count)))?;
        self.gaps.iter().try_for_each(|gap| put(Record::Gap(*gap)))?;
        self.notes.iter().try_for_each(|note| put(Record::Note(note.clone())))?;
        if let Some(ended) = self.ended {
            put(Record::Ended(ended))?;
        }
        sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Began, Count, Ended, Frame, FrameKey, Gap, Gil, GilKey, Hold, Kind, Note, Process, ProcessKey, Shot, Sight,
        Span, Stack, State, Subject, Task, Thread, ThreadKey,
    };

    /// One of each kind of record.
    fn records() -> Vec<Record> {
        let (process, thread, gil) = (ProcessKey(0), ThreadKey(0), GilKey(0));
        let frames = vec![FrameKey(0)];
        vec![
            Record::Began(Began { what: "python a.py".into(), period: 7, ..Began::default() }),
            Record::Process(Process {
                key: process,
                pid: 7,
                parent: None,
                found: 0,
                command: "python a.py".into(),
                python: Some("3.13.0".into()),
                sight: Sight::Gil,
                why: None,
                processors: 2,
                quota: Some(1.5),
                role: None,
            }),
            Record::Gil(Gil { key: gil, process, interpreters: vec![0], interval: 5_000_000 }),
            Record::Thread(Thread { key: thread, process, tid: 7, name: "a".into(), interpreter: Some(0), found: 0 }),
            Record::Frame(Frame { key: FrameKey(0), function: "f".into(), file: "a.py".into(), line: 3 }),
            Record::Span(Span { thread, from: 0, to: 5, state: State::Waits, call: None }),
            Record::Span(Span { thread, from: 5, to: 9, state: State::HoldsPython, call: None }),
            Record::Stack(Stack { thread, at: 6, frames: frames.clone() }),
            Record::Shot(Shot { thread, at: 7, function: None, natives: vec!["n".into()], frames, pause: 1 }),
            Record::Task(Task { thread, from: 1, to: 8, name: "work".into(), id: 4 }),
            Record::Hold(Hold { gil, from: 5, to: 9, thread: Some(thread) }),
            Record::ThreadEnded { thread, at: 9 },
            Record::ProcessEnded { process, at: 10 },
            Record::Count(Count { of: Subject::Process(process), kind: Kind::CpuTime, at: 10, value: 3 }),
            Record::Gap(Gap { from: 10, to: 12 }),
            Record::Note(Note { process: Some(process), text: "a note".into() }),
            Record::Ended(Ended { at: 12, looks: 3, ..Ended::default() }),
        ]
    }

    #[test]
    fn a_replayed_recording_is_the_same_and_gives_each_record_once() {
        let mut recording = Recording::default();
        for record in records() {
            recording.put(&record).expect("in order");
        }
        let mut again = Recording::default();
        recording.replay(&mut again).expect("whole");
        assert_eq!(again, recording);

        struct All(Vec<Record>);
        impl Sink for All {
            fn take(&mut self, record: &Record) -> io::Result<()> {
                self.0.push(record.clone());
                Ok(())
            }
        }
        let mut all = All(Vec::new());
        recording.replay(&mut all).expect("whole");
        assert_eq!(all.0.len(), records().len());
        assert!(records().iter().all(|record| all.0.contains(record)));
    }
}
