//! Where records go: to a thread that hands them to the sink, or to whoever takes them at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use plait_trace::{Record, Sink};

use super::{Progress, Take};
use crate::observer::{Listed, Turns};

/// Where the observer puts what it wrote down.
pub(super) struct Outbox {
    way: Way,
    /// What the next parcel will hold.
    pub records: Vec<Record>,
}

enum Way {
    Writer {
        to: Sender<Vec<Record>>,
        /// Emptied by the writer, to be filled again.
        back: Receiver<Vec<Record>>,
    },
    AtOnce(Take),
}

impl Outbox {
    /// Hands records to `take` on the observer's own thread.
    pub fn to(take: Take) -> Self {
        Self { way: Way::AtOnce(take), records: Vec::new() }
    }

    pub fn put(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Sends off what has come together.
    pub fn send(&mut self) {
        if self.records.is_empty() {
            return;
        }
        match &mut self.way {
            Way::Writer { to, back } => {
                let empty = back.try_recv().unwrap_or_default();
                // A writer that has ended was dropped together with the recorder, or has failed and says so itself.
                let _ = to.send(std::mem::replace(&mut self.records, empty));
            }
            Way::AtOnce(take) => {
                take(&self.records);
                self.records.clear();
            }
        }
    }
}

/// The handle of the writing thread.
pub(super) struct Writer {
    thread: Option<JoinHandle<Option<io::Error>>>,
    /// A fork of this process has the handle, but not the thread.
    owner: u32,
}

impl Writer {
    /// Waits until all is written; tells why not, if the sink failed.
    pub fn finish(mut self) -> Option<io::Error> {
        self.join()
    }

    fn join(&mut self) -> Option<io::Error> {
        let thread = self.thread.take()?;
        if self.owner != std::process::id() {
            std::mem::forget(thread);
            return None;
        }
        thread.join().unwrap_or_else(|_| Some(io::Error::other("the thread that writes the recording panicked")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// Starts the thread; it is over when the sink fails.
pub(super) fn start(sink: Box<dyn Sink>, progress: Arc<Progress>) -> io::Result<(Outbox, Writer)> {
    let (to, parcels) = mpsc::channel();
    let (return_to, back) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("plait-record-out".to_owned())
        .spawn(move || write(sink, &parcels, &return_to, &progress))?;
    let writer = Writer { thread: Some(thread), owner: std::process::id() };
    Ok((Outbox { way: Way::Writer { to, back }, records: Vec::new() }, writer))
}

fn write(
    mut sink: Box<dyn Sink>,
    parcels: &Receiver<Vec<Record>>,
    back: &Sender<Vec<Record>>,
    progress: &Progress,
) -> Option<io::Error> {
    let _listed = Listed::new();
    let mut turns = Turns::unbidden();
    let mut failure = None;
    while let Ok(mut parcel) = parcels.recv() {
        // Until the observer stops, what it sends must not pile up, though there is no place for it.
        if failure.is_none() {
            failure = parcel.iter().try_for_each(|record| sink.take(record)).and_then(|()| sink.flush()).err();
            progress.over.fetch_or(failure.is_some(), Ordering::AcqRel);
        }
        parcel.clear();
        let _ = back.send(parcel);
        turns.tell_cost();
    }
    failure
}
