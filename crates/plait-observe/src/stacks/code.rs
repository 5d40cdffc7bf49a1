//! Code objects of another process, each read once: its names and its lines.
//!
//! An address alone does not name a code object, for memory is used again. So a stack brings the head of each code
//! object along, and what was read before counts only while every byte of it is the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Place;
use super::gather::Miss;
use super::layout::{CodeLayout, Layout};
use super::lines::Lines;
use super::text::{Data, Head};
use crate::memory::Memory;

/// No process has pointers outside of these bounds.
const ADDRESSES: std::ops::Range<u64> = 0x1000..1 << 48;
/// A larger location table is none.
const LARGEST_TABLE: u64 = 16 << 20;
/// More copies of its instructions, one for each thread, no code object has.
const MOST_COPIES: u64 = 4096;
/// So many code objects are remembered; a program with more is read anew from time to time.
const MOST_KNOWN: usize = 50_000;

/// Whether `address` may be that of an object.
pub(super) fn is_address(address: u64) -> bool {
    ADDRESSES.contains(&address) && address.is_multiple_of(8)
}

/// All that were seen.
#[derive(Debug, Default)]
pub(super) struct Codes {
    known: HashMap<u64, Code>,
    files: HashSet<Arc<str>>,
    /// The type of code objects.
    kind: Option<[u8; 8]>,
}

#[derive(Debug)]
struct Code {
    head: Box<[u8]>,
    function: Arc<str>,
    file: Arc<str>,
    first_line: u32,
    lines: Lines,
    /// Bytes of instructions.
    size: u64,
    /// Where they begin: in the code object, and in the copies that free-threaded builds make for threads.
    starts: Vec<u64>,
}

impl Codes {
    /// Whether the code object at `address`, whose head is `head`, was read before.
    pub fn knows(&self, layout: &CodeLayout, address: u64, head: &[u8]) -> bool {
        let (from, to) = layout.restless;
        self.known.get(&address).is_some_and(|code| code.head[..from] == head[..from] && code.head[to..] == head[to..])
    }

    /// Reads the code object at `address`. It counts only if a stack that is taken *after* this still shows it: then it
    /// was in use, and so alive, all the while.
    pub fn load(&mut self, memory: &Memory, layout: &Layout, address: u64, head: &[u8]) -> Result<(), Miss> {
        let code = layout.code;
        if self.kind.is_some_and(|kind| head[..8] != kind) {
            return Err(Miss::Nowhere);
        }
        let word = |offset: u64| {
            let at = code.in_head(offset);
            u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"))
        };
        let first_line = line_at(&head[code.in_head(code.first_line)..]);
        let function = text(memory, layout, word(code.qualname))?;
        let file = text(memory, layout, word(code.filename))?;
        let table = bytes(memory, layout, word(code.linetable))?;
        let mut starts = vec![address + code.instructions];
        if let Some(copies) = code.copies {
            starts.extend(copies_of(memory, address + copies)?);
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
            self.files.clear();
        }
        let code = Code {
            head: head.into(),
            function: function.into(),
            file: self.file(&file),
            first_line,
            lines: Lines::decode(&table, first_line),
            size: word(code.units).saturating_mul(2),
            starts,
        };
        self.known.insert(address, code);
        Ok(())
    }

    /// Where the code object at `address` is when it runs `instruction`, or ran it last; `None` if that is no
    /// instruction of it.
    pub fn place(&mut self, address: u64, instruction: u64, last_run: bool) -> Option<Place> {
        let code = self.known.get(&address)?;
        let line = code.line(instruction, last_run)?;
        self.kind = Some(code.head[..8].try_into().expect("8 bytes"));
        Some(Place { function: code.function.clone(), file: code.file.clone(), line })
    }

    /// Lets it be read again.
    pub fn forget(&mut self, address: u64) {
        self.known.remove(&address);
    }

    /// One copy of each file's name, for a file has many functions.
    fn file(&mut self, name: &str) -> Arc<str> {
        if let Some(file) = self.files.get(name) {
            return file.clone();
        }
        let file: Arc<str> = name.into();
        self.files.insert(file.clone());
        file
    }
}

impl Code {
    fn line(&self, instruction: u64, last_run: bool) -> Option<u32> {
        for &start in &self.starts {
            if last_run && instruction == start.wrapping_sub(2) {
                // Called, and nothing run yet.
                return Some(self.first_line);
            }
            let offset = instruction.wrapping_sub(start);
            if offset < self.size && offset % 2 == 0 {
                let unit = u32::try_from(offset / 2).ok()?;
                return Some(self.lines.at(unit).unwrap_or(0));
            }
        }
        None
    }
}

/// A line, which is an `int`; a negative one is none.
fn line_at(bytes: &[u8]) -> u32 {
    let line = i32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
    u32::try_from(line).unwrap_or(0)
}

fn pointed(address: u64) -> Result<u64, Miss> {
    if is_address(address) { Ok(address) } else { Err(Miss::Nowhere) }
}

fn text(memory: &Memory, layout: &Layout, address: u64) -> Result<String, Miss> {
    let address = pointed(address)?;
    let length = memory.u64(address + layout.text.length)?;
    let state = u32::from_le_bytes(memory.read(address + layout.text.state)?);
    let head = Head::read(&layout.text, length, state).ok_or(Miss::Nowhere)?;
    let data = match head.data {
        Data::At(offset) => address + offset,
        Data::Behind(offset) => memory.u64(address + offset)?,
    };
    let mut characters = vec![0; head.characters * head.width];
    memory.read_into(data, &mut characters)?;
    Ok(head.text(&characters))
}

fn bytes(memory: &Memory, layout: &Layout, address: u64) -> Result<Vec<u8>, Miss> {
    let address = pointed(address)?;
    let size = memory.u64(address + layout.bytes.size)?;
    if size > LARGEST_TABLE {
        return Err(Miss::Nowhere);
    }
    let mut bytes = vec![0; size as usize];
    memory.read_into(address + layout.bytes.data, &mut bytes)?;
    Ok(bytes)
}

/// Where the copies of instructions begin that a `_PyCodeArray` lists: their number, then a pointer to each.
fn copies_of(memory: &Memory, place: u64) -> Result<Vec<u64>, Miss> {
    let list = match memory.u64(place)? {
        0 => return Ok(Vec::new()),
        list => pointed(list)?,
    };
    let count = memory.u64(list)?;
    if count > MOST_COPIES {
        return Err(Miss::Nowhere);
    }
    let mut bytes = vec![0; count as usize * 8];
    memory.read_into(list + 8, &mut bytes)?;
    let pointers = bytes.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().expect("8 bytes")));
    Ok(pointers.filter(|&pointer| pointer != 0).collect())
}
