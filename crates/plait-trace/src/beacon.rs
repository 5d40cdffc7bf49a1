//! How a process of plait's says what it is and what its threads run, in its own memory, for whoever watches from outside.
//!
//! The process writes with plain stores and never asks whether anybody reads; an observer reads the bytes as they are and
//! believes only what agrees with itself. Here are the bytes alone: their places, and what they mean. All numbers are in
//! the byte order of the machine, since nobody reads them on another.
//!
//! A head of [`HEAD`] bytes:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`]; all else is void before it is there |
//! | 8 | 4 | [`VERSION`] |
//! | 12 | 4 | the size of a slot, [`SLOT`] |
//! | 16 | 4 | slots that there are |
//! | 20 | 4 | slots that were ever in use: the rest need not be read |
//! | 24 | 4 | threads that found no free slot |
//! | 28 | 4 | the length of the role, written after it |
//! | 32 | 96 | the role, UTF-8: `plait worker 3`; of the program itself empty |
//!
//! Then the slots, one for each thread that runs tasks:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | the sequence: one more before a change and one more after it, so odd while it is changed |
//! | 8 | 8 | the number of the task |
//! | 16 | 8 | when it began, nanoseconds of `CLOCK_MONOTONIC`; 0 where nobody looked at a clock |
//! | 24 | 8 | the address of the function's qualified name, UTF-8, in that process; 0 if it has none |
//! | 32 | 8 | the address of the name of its module |
//! | 40 | 4 | the length of the first |
//! | 44 | 4 | the length of the second |
//! | 48 | 4 | the thread, by its number in the process's own namespace; 0 if the slot is free |
//! | 52 | 4 | how many tasks the thread is in, one within the other; the slot tells of the innermost, 0: of none |
//! | 56 | 8 | nothing yet |
//!
//! **For readers.** A copy of a slot may be torn, for its words are copied one after the other. Copy it twice: when both copies are
//! the same and the sequence is even, it is true ([`Slot::agreed`]). For nothing changed between the two moments at which
//! the sequence was copied, and, both copies being made in the same order, each word was copied between them once. Names are read between the
//! two copies; the name is alive as long as the slot tells of the task.

use std::fmt;

/// The first bytes.
pub const MAGIC: [u8; 8] = *b"plait\0B1";
/// The version of the layout.
pub const VERSION: u32 = 1;
/// Bytes of the head.
pub const HEAD: usize = 128;
/// Bytes of a slot.
pub const SLOT: usize = 64;
/// Slots that this version has.
pub const SLOTS: usize = 1024;
/// Bytes of a role.
pub const ROLE: usize = 96;
/// More bytes of a name are not read.
pub const LONGEST_NAME: usize = 160;

/// What the head says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Slots that were ever in use.
    pub used: u32,
    /// Threads that found no free slot: their tasks are not seen.
    pub unseated: u32,
    /// What the process is: `plait worker 3`, `plait nursery`; of the program itself empty.
    pub role: String,
}

/// Where text lies in the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text {
    /// Its address; 0 if there is none.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
}

impl Text {
    /// How many bytes of it are to be read; 0 if there are none.
    pub const fn wanted(self) -> usize {
        if self.address == 0 {
            0
        } else if self.len as usize > LONGEST_NAME {
            LONGEST_NAME
        } else {
            self.len as usize
        }
    }
}

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Even, and another one after each change.
    pub sequence: u64,
    /// The number of the task.
    pub task: u64,
    /// When it began, nanoseconds of `CLOCK_MONOTONIC`; 0 where nobody looked at a clock.
    pub since: u64,
    /// The function's qualified name.
    pub name: Text,
    /// The name of its module.
    pub module: Text,
    /// The thread, by its number in the process's own namespace; 0 if the slot is free.
    pub tid: u32,
    /// How many tasks the thread is in.
    pub depth: u32,
}

/// Why bytes are no beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBeacon {
    /// Too few.
    Short,
    /// They do not begin as one: none, or one that is not ready yet.
    Magic,
    /// Of another version of plait.
    Version(u32),
    /// Its numbers contradict each other.
    Garbled,
}

impl fmt::Display for NoBeacon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("too few bytes"),
            Self::Magic => f.write_str("no beacon, or not ready yet"),
            Self::Version(version) => {
                write!(f, "a beacon of version {version}, and {VERSION} is known: use the same plait for both")
            }
            Self::Garbled => f.write_str("a garbled beacon"),
        }
    }
}

impl std::error::Error for NoBeacon {}

impl Head {
    /// Reads it from bytes that may be anything.
    ///
    /// # Errors
    /// [`NoBeacon`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NoBeacon> {
        let bytes = bytes.first_chunk::<HEAD>().ok_or(NoBeacon::Short)?;
        if bytes[..8] != MAGIC {
            return Err(NoBeacon::Magic);
        }
        let [version, size, slots, used, unseated, role_len] = [8, 12, 16, 20, 24, 28].map(|at| word32(bytes, at));
        if version != VERSION {
            return Err(NoBeacon::Version(version));
        }
        let role = bytes[32..].get(..role_len as usize).ok_or(NoBeacon::Garbled)?;
        if size as usize != SLOT || slots as usize > SLOTS || used > slots {
            return Err(NoBeacon::Garbled);
        }
        Ok(Self { used, unseated, role: plain(role) })
    }

    /// Its bytes; a role that is too long is cut.
    pub fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC);
        let role = beginning(&self.role, ROLE).as_bytes();
        let words = [VERSION, SLOT as u32, SLOTS as u32, self.used, self.unseated, role.len() as u32];
        for (at, word) in words.into_iter().enumerate() {
            bytes[8 + 4 * at..12 + 4 * at].copy_from_slice(&word.to_ne_bytes());
        }
        bytes[32..32 + role.len()].copy_from_slice(role);
        bytes
    }
}

impl Slot {
    /// Reads it from a copy that may be torn.
    pub fn decode(bytes: &[u8; SLOT]) -> Self {
        let [sequence, task, since, name, module] = [0, 8, 16, 24, 32].map(|at| word64(bytes, at));
        let [name_len, module_len, tid, depth] = [40, 44, 48, 52].map(|at| word32(bytes, at));
        let [name, module] = [(name, name_len), (module, module_len)].map(|(address, len)| Text { address, len });
        Self { sequence, task, since, name, module, tid, depth }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        let longs = [self.sequence, self.task, self.since, self.name.address, self.module.address];
        for (at, word) in longs.into_iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        for (at, word) in [self.name.len, self.module.len, self.tid, self.depth].into_iter().enumerate() {
            bytes[40 + 4 * at..44 + 4 * at].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// What two copies agree on, the second begun after the first was complete; `None` if it was being changed.
    pub fn agreed(first: &[u8; SLOT], second: &[u8; SLOT]) -> Option<Self> {
        (first == second && word64(first, 0).is_multiple_of(2)).then(|| Self::decode(first))
    }

    /// Whether the thread runs a task.
    pub const fn is_busy(&self) -> bool {
        self.tid != 0 && self.depth > 0
    }
}

/// The name of a function, of the bytes of its qualified name and of its module, which may be anything; what was cut ends
/// in `…`.
pub fn name_of(module: (&[u8], Text), name: (&[u8], Text)) -> String {
    let [module, name] = [module, name].map(|(bytes, text)| {
        let mut shown = plain(bytes);
        if text.len as usize > bytes.len() && !bytes.is_empty() {
            while shown.ends_with(char::REPLACEMENT_CHARACTER) {
                shown.pop();
            }
            shown.push('…');
        }
        shown
    });
    if matches!(&*module, "" | "__main__" | "builtins") || name.is_empty() { name } else { format!("{module}.{name}") }
}

/// Text that is fit to be shown, of any bytes.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// The beginning of a text, of so many bytes at most.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slots() -> impl Strategy<Value = Slot> {
        let text = || (any::<u64>(), any::<u32>()).prop_map(|(address, len)| Text { address, len });
        (any::<[u64; 3]>(), text(), text(), any::<[u32; 2]>()).prop_map(
            |([sequence, task, since], name, module, [tid, depth])| Slot {
                sequence,
                task,
                since,
                name,
                module,
                tid,
                depth,
            },
        )
    }

    proptest! {
        #[test]
        fn heads_come_back(used in 0..=SLOTS as u32, unseated: u32, role in "[ -~é…]{0,120}") {
            let head = Head { used, unseated, role };
            let back = Head::decode(&head.encode()).expect("a head");
            prop_assert_eq!((back.used, back.unseated), (used, unseated));
            prop_assert!(head.role.starts_with(&back.role) && back.role.len() <= ROLE);
            prop_assert!(back.role.len() + 3 > ROLE.min(head.role.len()));
        }

        #[test]
        fn slots_come_back(slot in slots()) {
            let bytes = slot.encode();
            prop_assert_eq!(Slot::decode(&bytes), slot);
            prop_assert_eq!(Slot::agreed(&bytes, &bytes), slot.sequence.is_multiple_of(2).then_some(slot));
        }

        #[test]
        fn garbage_is_refused_or_bounded(mut bytes in prop::collection::vec(any::<u8>(), 0..200), honest: bool) {
            if honest && bytes.len() >= 20 {
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8..12].copy_from_slice(&VERSION.to_ne_bytes());
                bytes[12..16].copy_from_slice(&(SLOT as u32).to_ne_bytes());
                bytes[16..20].copy_from_slice(&(SLOTS as u32).to_ne_bytes());
            }
            if let Ok(head) = Head::decode(&bytes) {
                prop_assert!(head.used as usize <= SLOTS);
            }
            if let Some(chunk) = bytes.first_chunk::<SLOT>() {
                let slot = Slot::decode(chunk);
                prop_assert!(slot.name.wanted() <= LONGEST_NAME && slot.module.wanted() <= LONGEST_NAME);
            }
            let name = name_of((&bytes, Text { address: 1, len: 7 }), (&bytes, Text::default()));
            prop_assert!(!name.contains(char::is_control));
        }

        /// The writer goes on between any two words that a reader copies, in whatever order that copies them.
        #[test]
        fn what_two_copies_agree_on_was_never_torn(
            order in Just((0..SLOT / 8).collect::<Vec<_>>()).prop_shuffle(),
            before in 0_usize..30,
            steps in prop::collection::vec(prop_oneof![6 => Just(0_usize), 1 => 1_usize..25], SLOT / 4),
        ) {
            let mut writer = Writer { bytes: [0; SLOT], steps: 0 };
            (0..before).for_each(|_| writer.step());
            let mut copies = [[0; SLOT]; 2];
            for (turn, steps) in steps.into_iter().enumerate() {
                (0..steps).for_each(|_| writer.step());
                let word = 8 * order[turn % order.len()];
                copies[turn / order.len()][word..word + 8].copy_from_slice(&writer.bytes[word..word + 8]);
            }
            if let Some(slot) = Slot::agreed(&copies[0], &copies[1]) {
                let turn = slot.sequence / 2;
                prop_assert_eq!(slot, Writer::turn(turn));
            }
        }
    }

    /// Writes one word after the other: the odd sequence, what it is about, the even one.
    struct Writer {
        bytes: [u8; SLOT],
        steps: u64,
    }

    impl Writer {
        fn turn(turn: u64) -> Slot {
            let text = Text { address: turn, len: turn as u32 };
            let (sequence, tid, depth) = (2 * turn, turn as u32, turn as u32);
            Slot { sequence, task: turn, since: turn, name: text, module: text, tid, depth }
        }

        fn step(&mut self) {
            let (turn, word) = (self.steps / 9, (self.steps % 9) as usize);
            let full = Self::turn(turn + 1).encode();
            if word == 0 {
                self.bytes[..8].copy_from_slice(&(2 * turn + 1).to_ne_bytes());
            } else {
                let at = 8 * (word % 8);
                self.bytes[at..at + 8].copy_from_slice(&full[at..at + 8]);
            }
            self.steps += 1;
        }
    }

    #[test]
    fn what_is_no_head_is_told_apart() {
        let bytes = Head { used: 3, unseated: 0, role: "plait nursery".to_owned() }.encode();
        let with = |at: usize, value: u32| {
            let mut bytes = bytes;
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            Head::decode(&bytes)
        };
        assert_eq!(Head::decode(&bytes[..HEAD - 1]), Err(NoBeacon::Short));
        assert_eq!(Head::decode(&[0; HEAD]), Err(NoBeacon::Magic));
        assert_eq!(with(8, 2), Err(NoBeacon::Version(2)));
        assert_eq!(with(12, 65), Err(NoBeacon::Garbled));
        assert_eq!(with(16, SLOTS as u32 + 1), Err(NoBeacon::Garbled));
        assert_eq!(with(20, SLOTS as u32 + 1), Err(NoBeacon::Garbled));
        assert_eq!(with(28, ROLE as u32 + 1), Err(NoBeacon::Garbled));
        assert_eq!(with(28, 5).expect("shorter").role, "plait");
    }

    #[test]
    fn names_are_as_in_the_errors() {
        let at = |text: &'static str| (text.as_bytes(), Text { address: 1, len: text.len() as u32 });
        assert_eq!(name_of(at("shop.images"), at("resize")), "shop.images.resize");
        assert_eq!(name_of(at("__main__"), at("Job.run")), "Job.run");
        assert_eq!(name_of(at(""), at("len")), "len");
        assert_eq!(name_of(at("shop"), at("")), "");
        assert_eq!(name_of(at(""), at("a\nb")), "a\u{fffd}b");
        let cut = (&"né".as_bytes()[..2], Text { address: 1, len: 500 });
        assert_eq!(name_of(at(""), cut), "n…");
    }

    #[test]
    fn fuzz_beacon() {
        let head = Head { used: 3, unseated: 1, role: "plait worker 3".into() }.encode();
        let slot = Slot { sequence: 4, task: 7, tid: 9, depth: 1, ..Slot::default() }.encode();
        crate::fuzz::fuzz("beacon", env!("CARGO_MANIFEST_DIR"), &[head.to_vec(), slot.to_vec()], |bytes| {
            if let Ok(head) = Head::decode(bytes) {
                assert!(head.used as usize <= SLOTS && Head::decode(&head.encode()).is_ok());
            }
            if let Some(slot) = bytes.first_chunk() {
                let slot = Slot::decode(slot);
                assert!(slot.name.wanted().max(slot.module.wanted()) <= LONGEST_NAME);
                name_of((bytes, slot.module), (&bytes[bytes.len() / 2..], slot.name));
            }
        });
    }
}
