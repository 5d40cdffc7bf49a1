//! Which task each thread of a process of plait's runs, as the process itself says in its memory.
//!
//! The extension module of plait exports the table (`plait_trace::beacon`); its place in the file is looked up once per file,
//! and where the file was loaded once per process. A look is one read, and two or three small ones for each task that was not
//! seen before. What was torn, or makes no sense, is not told.

pub(crate) mod find;
pub(crate) mod numbers;

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use plait_trace::beacon::{HEAD, Head, LONGEST_NAME, SLOT, Slot, Text, name_of};

use crate::Pid;
use numbers::Numbers;

/// How often a slot is read again that changes meanwhile; tasks that end so soon are hardly seen on a lane.
const TRIES: usize = 4;
/// Names that are kept from one look to the next.
const MOST_NAMES: usize = 4096;

/// A task that a thread runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// The thread, as the observer sees it.
    pub tid: Pid,
    /// The number of the task in its pool.
    pub task: u64,
    /// The function, as errors call it: `shop.images.resize`.
    pub name: Arc<str>,
    /// When it began, nanoseconds of `CLOCK_MONOTONIC`; 0 where it was not noted.
    pub since: u64,
}

/// The table of a live process of plait's.
#[derive(Debug)]
pub struct Beacon {
    /// The memory of the process: not of the next one that gets its number, nor of the next program that it runs.
    memory: File,
    address: u64,
    numbers: Numbers,
    /// Slots that were in use at the last look, and so are read at once.
    used: usize,
    bytes: Vec<u8>,
    /// What was believed of each slot at the last look.
    seen: Vec<Option<Seen>>,
    names: HashSet<Arc<str>>,
}

/// A slot that was found to be true, and what it tells.
#[derive(Debug)]
struct Seen {
    bytes: [u8; SLOT],
    doing: Doing,
}

impl Beacon {
    /// Finds the table of `pid`; `None` when plait is not loaded there, or not ready, or the process may not be read.
    pub fn find(pid: Pid) -> Option<Self> {
        let beacon =
            Self::at(pid, File::open(format!("/proc/{pid}/mem")).ok()?, find::address_in(pid, find::Table::Beacon)?);
        beacon.head().map(|_| beacon)
    }

    /// That of this very process, which lies at `address`; read as any other's is, so that whatever happens meanwhile is noticed.
    pub fn own(address: u64) -> Option<Self> {
        let beacon = Self::at(std::process::id(), File::open("/proc/self/mem").ok()?, address);
        beacon.head().map(|_| beacon)
    }

    fn at(pid: Pid, memory: File, address: u64) -> Self {
        let (bytes, seen, names) = (Vec::new(), Vec::new(), HashSet::new());
        Self { memory, address, numbers: Numbers::of(pid), used: 0, bytes, seen, names }
    }

    fn head(&self) -> Option<Head> {
        let mut bytes = [0; HEAD];
        self.memory.read_exact_at(&mut bytes, self.address).ok()?;
        Head::decode(&bytes).ok()
    }

    /// What the process is in a pool: `plait worker 3`, `plait nursery`; of a program itself nothing.
    pub fn role(&self) -> Option<String> {
        self.head().map(|head| head.role).filter(|role| !role.is_empty())
    }

    /// Adds to `out` what each thread runs that runs a task; nothing when the process has ended.
    pub fn look(&mut self, out: &mut Vec<Doing>) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if self.copy(&mut bytes).is_some() {
            let slots = bytes[HEAD..].as_chunks::<SLOT>().0;
            self.seen.resize_with(slots.len(), || None);
            for (number, slot) in slots.iter().enumerate() {
                if self.seen[number].as_ref().is_none_or(|seen| seen.bytes != *slot) {
                    self.seen[number] = self.settle(number, *slot);
                }
                out.extend(self.seen[number].as_ref().map(|seen| seen.doing.clone()));
            }
        }
        self.bytes = bytes;
    }

    /// Copies the head and the slots that are in use.
    fn copy(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        loop {
            bytes.resize(HEAD + self.used * SLOT, 0);
            self.memory.read_exact_at(bytes, self.address).ok()?;
            let used = Head::decode(bytes).ok()?.used as usize;
            if used <= self.used {
                bytes.truncate(HEAD + used * SLOT);
                return Some(());
            }
            self.used = used;
        }
    }

    /// What a slot that was copied once tells, if anything: looks up the name and whether it was all true.
    fn settle(&mut self, number: usize, mut first: [u8; SLOT]) -> Option<Seen> {
        let place = self.address + (HEAD + number * SLOT) as u64;
        for _ in 0..TRIES {
            let slot = Slot::decode(&first);
            if !slot.is_busy() && slot.sequence.is_multiple_of(2) {
                return None;
            }
            let (mut module, mut name) = ([0; LONGEST_NAME], [0; LONGEST_NAME]);
            let module = self.text(slot.module, &mut module);
            let name = self.text(slot.name, &mut name);
            let mut second = [0; SLOT];
            self.memory.read_exact_at(&mut second, place).ok()?;
            if let Some(slot) = Slot::agreed(&first, &second) {
                let name = self.kept(name_of((module, slot.module), (name, slot.name)));
                let tid = self.numbers.outside(slot.tid)?;
                let doing = Doing { tid, task: slot.task, name, since: slot.since };
                return Some(Seen { bytes: first, doing });
            }
            first = second;
        }
        None
    }

    /// The beginning of a text in the process; nothing where there is none to be read.
    fn text<'a>(&self, text: Text, room: &'a mut [u8; LONGEST_NAME]) -> &'a [u8] {
        let wanted = &mut room[..text.wanted()];
        match self.memory.read_exact_at(wanted, text.address) {
            Ok(()) => wanted,
            Err(_) => &[],
        }
    }

    /// The same name once for all tasks.
    fn kept(&mut self, name: String) -> Arc<str> {
        if let Some(kept) = self.names.get(&*name) {
            return Arc::clone(kept);
        }
        if self.names.len() == MOST_NAMES {
            self.names.clear();
        }
        let name: Arc<str> = if name.is_empty() { "?".into() } else { name.into() };
        self.names.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// A table in this very process, written word by word as its owner does.
    struct Table {
        words: Vec<AtomicU64>,
        texts: Vec<&'static str>,
    }

    impl Table {
        fn new(used: u32, role: &str) -> Self {
            let words = (0..(HEAD + 8 * SLOT) / 8).map(|_| AtomicU64::new(0)).collect();
            let table = Self { words, texts: Vec::new() };
            table.put(0, &Head { used, unseated: 0, role: role.to_owned() }.encode());
            table
        }

        fn put(&self, at: usize, bytes: &[u8]) {
            for (word, bytes) in self.words[at / 8..].iter().zip(bytes.as_chunks().0) {
                word.store(u64::from_ne_bytes(*bytes), Ordering::Release);
            }
        }

        fn put_slot(&self, number: usize, slot: Slot) {
            let at = HEAD + number * SLOT;
            self.words[at / 8].store(slot.sequence - 1, Ordering::SeqCst);
            self.put(at + 8, &slot.encode()[8..]);
            self.words[at / 8].store(slot.sequence, Ordering::SeqCst);
        }

        fn text(&mut self, text: &str) -> Text {
            let text: &'static str = Box::leak(text.into());
            self.texts.push(text);
            Text { address: text.as_ptr().expose_provenance() as u64, len: text.len() as u32 }
        }

        fn beacon(&self) -> Beacon {
            let memory = File::open("/proc/self/mem").expect("own memory opens");
            Beacon::at(std::process::id(), memory, self.words.as_ptr().expose_provenance() as u64)
        }
    }

    fn look(beacon: &mut Beacon) -> Vec<(u32, u64, String, u64)> {
        let mut out = Vec::new();
        beacon.look(&mut out);
        out.into_iter().map(|doing| (doing.tid, doing.task, doing.name.to_string(), doing.since)).collect()
    }

    #[test]
    fn what_is_written_is_seen() {
        let mut table = Table::new(2, "plait worker 3");
        let (module, name) = (table.text("shop.images"), table.text("resize"));
        let slot = |sequence, task, depth| Slot { sequence, task, since: 5, name, module, tid: 70, depth };
        let mut beacon = table.beacon();
        assert_eq!(beacon.role().as_deref(), Some("plait worker 3"));
        assert_eq!(look(&mut beacon), []);
        table.put_slot(1, slot(2, 9, 1));
        for _ in 0..2 {
            assert_eq!(look(&mut beacon), [(70, 9, "shop.images.resize".to_owned(), 5)]);
        }
        table.put_slot(0, Slot { tid: 71, module: Text::default(), ..slot(2, 10, 1) });
        assert_eq!(look(&mut beacon).len(), 2);
        assert_eq!(look(&mut beacon)[0], (71, 10, "resize".to_owned(), 5));
        table.put_slot(1, slot(4, 0, 0));
        table.put_slot(0, Slot { tid: 0, ..slot(4, 10, 1) });
        assert_eq!(look(&mut beacon), []);
        // More slots come into use.
        table.put(16, &Head { used: 5, ..Head::default() }.encode()[16..24]);
        table.put_slot(4, slot(2, 11, 1));
        assert_eq!(look(&mut beacon).len(), 1);
        assert!(table.beacon().role().is_some());
    }

    #[test]
    fn nonsense_is_not_told() {
        let mut table = Table::new(3, "");
        let name = table.text("work");
        let good = Slot { sequence: 2, task: 1, since: 0, name, module: Text::default(), tid: 70, depth: 1 };
        table.put_slot(0, good);
        table.put_slot(1, Slot { sequence: 3, ..good });
        table.put_slot(2, Slot { name: Text { address: 8, len: 1 << 30 }, ..good });
        let mut beacon = table.beacon();
        assert_eq!(beacon.role(), None);
        let seen = look(&mut beacon);
        assert_eq!(seen.iter().map(|seen| &*seen.2).collect::<Vec<_>>(), ["work", "?"]);
        table.put(0, &[0; 8]);
        assert_eq!(look(&mut beacon), []);
        table.put(0, &Head { used: 5000, ..Head::default() }.encode());
        assert_eq!(look(&mut beacon), []);
    }

    #[test]
    fn no_process_no_beacon() {
        assert!(Beacon::find(Pid::MAX).is_none());
        assert!(Beacon::find(std::process::id()).is_none());
    }

    #[test]
    fn a_reader_never_believes_what_is_torn() {
        let mut table = Table::new(1, "");
        let names = ["alpha", "beta", "gamma"].map(|name| table.text(name));
        let table = &table;
        let over = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut turn = 1_u64;
                while !over.load(Ordering::Relaxed) {
                    let name = names[turn as usize % 3];
                    table.put_slot(
                        0,
                        Slot { sequence: 2 * turn, task: turn, since: turn, name, module: name, tid: 70, depth: 1 },
                    );
                    turn += 1;
                    // Without a pause no two copies would ever agree.
                    (0..turn % 5000).for_each(|_| std::hint::spin_loop());
                }
            });
            let mut beacon = table.beacon();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
            let (mut seen, mut last) = (0, 0);
            while seen < 300 && std::time::Instant::now() < deadline {
                for (_, task, name, since) in look(&mut beacon) {
                    assert_eq!(since, task);
                    assert_eq!(name, ["alpha.alpha", "beta.beta", "gamma.gamma"][task as usize % 3]);
                    seen += u32::from(task != last);
                    last = task;
                }
            }
            over.store(true, Ordering::Relaxed);
            assert!(seen >= 300, "{seen} tasks only");
        });
    }
}
