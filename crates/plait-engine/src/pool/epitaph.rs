//! What is said of a task whose worker died: how, why, and what the worker left in shared memory.

use std::sync::Arc;

use plait_trace::TaskId;

use crate::machine::OomKills;
use crate::nursery::Exit;

use super::link::{Fate, Link, Why};
use super::outcome::{Finished, Loss, MemoryCause, Outcome, Payload, Ticket, TimedOut};
use super::state::{Job, Shared, locked};

const SIGKILL: i32 = 9;

/// The kind of the payload that a chunk's finished results are.
const DRAFT: u8 = 0;

/// The end of a worker, as the nursery told it.
pub(super) struct End<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) exit: Exit,
    pub(super) peak: Option<u64>,
    pub(super) fate: Option<Fate>,
    /// It wrote over its own shared memory.
    pub(super) overwritten: bool,
}

/// The kernel's count of the processes that it killed for want of memory, and how much of it has been accounted for.
pub(super) struct OomWatch {
    kills: OomKills,
    seen: Option<u64>,
}

impl OomWatch {
    pub(super) fn new() -> Self {
        let kills = OomKills::open();
        let seen = kills.count();
        Self { kills, seen }
    }

    /// Whether there was one since the last time.
    fn is_one_more(&mut self) -> bool {
        let count = self.kills.count();
        let more = matches!((count, self.seen), (Some(count), Some(seen)) if count > seen);
        self.seen = count;
        more
    }
}

impl<T: Ticket> Shared<T> {
    /// What becomes of a task that the worker held.
    pub(super) fn epitaph(&self, end: &End<'_>, task: TaskId, job: &Job<T>) -> Outcome {
        let End { link, exit, peak, fate, overwritten } = end;
        let memory = &link.memory;
        let function = Arc::clone(&job.function.name);
        let stack = Some(memory.dump()).filter(|stack| !stack.is_empty());
        let why = fate.filter(|fate| fate.task == task).map(|fate| fate.why);
        let cause = match why {
            Some(Why::TimedOut(timeout)) => {
                let (tries, pid) = (job.tries(), link.process.named());
                return Outcome::TimedOut(Box::new(TimedOut { function, tries, timeout, pid, raised: None, stack }));
            }
            Some(Why::Cancelled) => return Outcome::Cancelled,
            Some(Why::OverMemory { limit, used }) => MemoryCause::OverLimit { limit, used },
            None if *overwritten => MemoryCause::Overwritten,
            None if *exit == Exit::Signal(SIGKILL) && locked(&self.oom).is_one_more() => MemoryCause::OutOfMemory,
            None => MemoryCause::None,
        };
        let progress = memory.status().progress().filter(|_| !overwritten).map(|progress| {
            let results = Payload::lent(DRAFT, Arc::clone(link), progress.block, progress.block.len);
            let pieces = job.pieces.iter().chain(&job.function.pieces);
            let kept = pieces.map(|piece| Arc::clone(&piece.hold)).chain(link.leased()).collect();
            Finished::new(progress.items, results, Arc::clone(link), kept)
        });
        Outcome::Lost(Box::new(Loss {
            function,
            tries: job.tries(),
            pid: link.process.named(),
            exit: *exit,
            peak: *peak,
            memory: cause,
            stack,
            output: last_lines(&memory.tail().read()),
            progress,
        }))
    }
}

/// The last whole lines of what was printed: the first may have lost its beginning.
fn last_lines(tail: &[u8]) -> String {
    let text = String::from_utf8_lossy(tail);
    let text = text.trim_end_matches(['\n', '\r']);
    let whole = if tail.len() < FULL { text } else { text.split_once('\n').map_or(text, |(_, rest)| rest) };
    let from = whole.rmatch_indices('\n').nth(LINES - 1).map_or(0, |(at, _)| at + 1);
    whole[from..].to_owned()
}

/// From so many bytes on, older ones may have been overwritten.
const FULL: usize = 3072;

/// How many lines are kept.
const LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_begin_with_a_whole_one() {
        assert_eq!(last_lines(b""), "");
        assert_eq!(last_lines(b"one\ntwo\n"), "one\ntwo");
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let kept = last_lines(many.as_bytes());
        assert!(kept.starts_with("line 80\n") && kept.ends_with("line 99"));
        let full = vec![b'x'; 4092].into_iter().chain(*b"\nend").collect::<Vec<_>>();
        assert_eq!(last_lines(&full), "end");
    }
}
