//! Where things lie in thread states, frames, code objects and strings of each CPython version.
//!
//! CPython 3.13 and newer begin their runtime with a table of offsets (`_Py_DebugOffsets`), which is used. The places
//! *in* that table differ between minor versions. For 3.11 and 3.12 the offsets themselves are constants, as `offsetof`
//! gives them for the headers (with `Py_BUILD_CORE` for those of frames); they are alike on all 64-bit machines.

use std::ops::Range;

use crate::memory::Memory;
use crate::python::RUNTIME_COOKIE;
use crate::{Python, Reason, Version};

/// Bytes of the table that are read: more than the table of 3.15 has, less than any runtime.
const TABLE: usize = 1024;
/// No offset in a structure read here is larger.
const LARGEST_OFFSET: u64 = 1024;

/// All offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub top: Top,
    pub frame: FrameLayout,
    pub code: CodeLayout,
    pub text: TextLayout,
    pub bytes: BytesLayout,
}

/// How a thread state leads to its innermost frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Top {
    /// 3.13 and newer: the pointer to it lies here.
    State { frame: u64 },
    /// Before: `cframe` points to a block on the C stack, and in that lies the pointer to the frame.
    Cframe { cframe: u64, frame: u64 },
}

/// `_PyInterpreterFrame`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameLayout {
    pub code: u64,
    pub previous: u64,
    pub instruction: u64,
    pub owner: u64,
    /// Bits of the code pointer that are no part of the address.
    pub tag: u64,
    /// The `owner` of frames that stand for C calls into the interpreter, and above; they have no code of their own.
    pub first_shim: u8,
    /// The largest `owner` there is.
    pub last_owner: u8,
    /// Bytes to read.
    pub size: usize,
    /// Whether `instruction` is the last unit that was run (`prev_instr`), rather than the one that is running.
    pub last_run: bool,
}

/// `PyCodeObject`. What is compared to tell whether an address still holds the same code is all of `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeLayout {
    /// From the type, past the counters of references, to the last pointer that is used.
    pub head: (u64, usize),
    /// Bytes of the head, from its beginning, that change while the code runs.
    pub restless: (usize, usize),
    pub units: u64,
    pub filename: u64,
    pub qualname: u64,
    pub linetable: u64,
    pub first_line: u64,
    /// Where the instructions begin.
    pub instructions: u64,
    /// Free-threaded 3.14 and newer: a pointer to the list of per-thread copies of the instructions.
    pub copies: Option<u64>,
}

impl CodeLayout {
    /// Where in the head that lies which is at `offset` of the code object.
    pub fn in_head(&self, offset: u64) -> usize {
        (offset - self.head.0) as usize
    }
}

/// `PyASCIIObject` and its larger kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextLayout {
    pub length: u64,
    pub state: u64,
    /// The bit of the state from which on it says the width of characters.
    pub kind_shift: u32,
    pub ascii_size: u64,
    pub compact_size: u64,
}

/// `PyBytesObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BytesLayout {
    pub size: u64,
    pub data: u64,
}

impl Layout {
    /// The layout of the structures in a live Python.
    pub fn of(python: &Python, memory: &Memory) -> Result<Self, Reason> {
        let Python { pid, version, runtime } = *python;
        if cfg!(not(all(target_pointer_width = "64", target_endian = "little"))) {
            return Err(Reason::Platform { pid });
        }
        match (version.major, version.minor) {
            (3, 11) => Ok(V3_11),
            (3, 12) => Ok(V3_12),
            (3, minor @ 13..=15) => {
                let table: [u8; TABLE] = memory.read(runtime)?;
                from_table(&table, minor).map_err(|what| Reason::Unrecognised { pid, version, what })
            }
            _ => Err(Reason::Unsupported { pid, version }),
        }
    }
}

pub(super) const V3_11: Layout = Layout {
    top: Top::Cframe { cframe: 56, frame: 8 },
    frame: FrameLayout {
        code: 32,
        previous: 48,
        instruction: 56,
        owner: 69,
        tag: 0,
        first_shim: 3,
        last_owner: 2,
        size: 72,
        last_run: true,
    },
    code: CodeLayout {
        head: (8, 136),
        // co_warmup and _co_linearray_entry_size.
        restless: (44, 48),
        units: 16,
        filename: 112,
        qualname: 128,
        linetable: 136,
        first_line: 72,
        instructions: 184,
        copies: None,
    },
    text: TextLayout { length: 16, state: 32, kind_shift: 2, ascii_size: 48, compact_size: 72 },
    bytes: BytesLayout { size: 16, data: 32 },
};

pub(super) const V3_12: Layout = Layout {
    top: Top::Cframe { cframe: 56, frame: 0 },
    frame: FrameLayout {
        code: 0,
        previous: 8,
        instruction: 56,
        owner: 70,
        tag: 0,
        first_shim: 3,
        last_owner: 3,
        size: 72,
        last_run: true,
    },
    code: CodeLayout {
        head: (8, 136),
        restless: (0, 0),
        units: 16,
        filename: 112,
        qualname: 128,
        linetable: 136,
        first_line: 68,
        instructions: 192,
        copies: None,
    },
    text: TextLayout { length: 16, state: 32, kind_shift: 2, ascii_size: 40, compact_size: 56 },
    bytes: BytesLayout { size: 16, data: 32 },
};

/// Where the sections of the table begin, each with its `size` first.
struct Sections {
    current_frame: usize,
    frame: usize,
    code: usize,
    object: usize,
    bytes: usize,
    text: usize,
    /// `co_tlbc` stands in the table, after `co_code_adaptive`.
    has_copies: bool,
}

fn from_table(table: &[u8; TABLE], minor: u8) -> Result<Layout, &'static str> {
    let word = |at: usize| u64::from_le_bytes(table[at..at + 8].try_into().expect("8 bytes"));
    if table[..8] != RUNTIME_COOKIE {
        return Err("its runtime does not begin with a table of offsets");
    }
    if Version::from_hex(word(8)).is_none_or(|version| version.minor != minor) {
        return Err("its table of offsets is of another version");
    }
    let free_threaded = match word(16) {
        0 => false,
        1 => true,
        _ => return Err("its table of offsets cannot be one"),
    };
    let sections = match minor {
        13 => Sections {
            current_frame: 184,
            frame: 224,
            code: 272,
            object: 352,
            bytes: 512,
            text: 536,
            has_copies: false,
        },
        14 => {
            Sections { current_frame: 208, frame: 248, code: 312, object: 400, bytes: 592, text: 616, has_copies: true }
        }
        _ => {
            Sections { current_frame: 208, frame: 312, code: 376, object: 464, bytes: 688, text: 712, has_copies: true }
        }
    };
    let entry = |at: usize| match word(at) {
        offset if offset < LARGEST_OFFSET => Ok(offset),
        _ => Err("an offset in its table cannot be one"),
    };
    let aligned = |at: usize| match entry(at)? {
        offset if offset % 8 == 0 => Ok(offset),
        _ => Err("an offset in its table cannot be one"),
    };
    let object_size = aligned(sections.object)?;
    let head = head(aligned(sections.object + 8)?, aligned(sections.code + 8)?..aligned(sections.code + 32)? + 8)?;
    let layout = Layout {
        top: Top::State { frame: aligned(sections.current_frame)? },
        frame: FrameLayout {
            previous: aligned(sections.frame + 8)?,
            code: aligned(sections.frame + 16)?,
            instruction: aligned(sections.frame + 24)?,
            owner: entry(sections.frame + 40)?,
            tag: if minor == 13 { 0 } else { 7 },
            first_shim: 3,
            last_owner: if minor == 13 { 3 } else { 4 },
            size: aligned(sections.frame)? as usize,
            last_run: false,
        },
        code: CodeLayout {
            head,
            restless: (0, 0),
            units: object_size,
            filename: aligned(sections.code + 8)?,
            qualname: aligned(sections.code + 24)?,
            linetable: aligned(sections.code + 32)?,
            first_line: entry(sections.code + 40)?,
            instructions: aligned(sections.code + 72)?,
            copies: if sections.has_copies && free_threaded { Some(aligned(sections.code + 80)?) } else { None },
        },
        text: TextLayout {
            state: entry(sections.text + 8)?,
            length: aligned(sections.text + 16)?,
            // Free-threaded builds keep `interned` in a byte of its own since 3.14.
            kind_shift: if minor >= 14 && free_threaded { 8 } else { 2 },
            ascii_size: aligned(sections.text + 24)?,
            compact_size: aligned(sections.text + 24)? + 16,
        },
        bytes: BytesLayout { size: aligned(sections.bytes + 8)?, data: entry(sections.bytes + 16)? },
    };
    check(&layout).then_some(layout).ok_or("the offsets in its table do not fit together")
}

fn head(kind: u64, pointers: Range<u64>) -> Result<(u64, usize), &'static str> {
    let size = pointers.end.checked_sub(kind).filter(|_| kind < pointers.start);
    size.map(|size| (kind, size as usize)).ok_or("the offsets in its table do not fit together")
}

/// Whether every part lies inside the whole that is read.
fn check(layout: &Layout) -> bool {
    let Layout { frame, code, text, bytes, .. } = layout;
    let in_frame = |offset: u64, size: u64| offset + size <= frame.size as u64;
    let in_head = |offset: u64, size: u64| code.head.0 <= offset && offset + size <= code.head.0 + code.head.1 as u64;
    [frame.code, frame.previous, frame.instruction].into_iter().all(|offset| in_frame(offset, 8))
        && in_frame(frame.owner, 1)
        && (32..=256).contains(&frame.size)
        && [code.units, code.filename, code.qualname, code.linetable].into_iter().all(|offset| in_head(offset, 8))
        && in_head(code.first_line, 4)
        && code.head.1 <= 256
        && code.instructions >= code.head.0 + code.head.1 as u64
        && text.length + 8 <= text.ascii_size
        && text.state + 4 <= text.ascii_size
        && bytes.size + 8 <= bytes.data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of 3.13.0, as far as it is used.
    fn table() -> [u8; TABLE] {
        let mut table = [0; TABLE];
        table[..8].copy_from_slice(&RUNTIME_COOKIE);
        let words: [(usize, u64); 22] = [
            (8, 0x030d_00f0),
            (184, 72),
            (224, 80),
            (232, 8),
            (240, 0),
            (248, 56),
            (264, 70),
            (280, 112),
            (296, 128),
            (304, 136),
            (312, 68),
            (344, 200),
            (352, 16),
            (360, 8),
            (512, 40),
            (520, 16),
            (528, 32),
            (536, 64),
            (544, 32),
            (552, 16),
            (560, 40),
            (16, 0),
        ];
        for (at, word) in words {
            table[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        table
    }

    fn changed(at: usize, word: u64) -> Result<Layout, &'static str> {
        let mut table = table();
        table[at..at + 8].copy_from_slice(&word.to_le_bytes());
        from_table(&table, 13)
    }

    #[test]
    fn the_table_of_3_13_is_3_12_with_other_words() {
        let mut expected = V3_12;
        expected.top = Top::State { frame: 72 };
        expected.frame.last_run = false;
        expected.frame.size = 80;
        expected.code.instructions = 200;
        assert_eq!(from_table(&table(), 13), Ok(expected));
        assert!(check(&V3_11) && check(&V3_12));
    }

    #[test]
    fn tables_that_cannot_be_are_refused() {
        assert!(changed(0, 0).is_err());
        assert!(changed(8, 0x030e_00f0).is_err());
        assert!(changed(16, 7).is_err());
        assert!(changed(184, u64::MAX).is_err());
        assert!(changed(184, 73).is_err());
        assert!(changed(264, 200).is_err());
        assert!(changed(360, 512).is_err());
        assert!(changed(224, 4096).is_err());
        assert!(changed(344, 8).is_err());
    }
}
