//! Where things lie in a CPython runtime: the one table of offsets, for x86-64 with glibc.
//!
//! For 3.11 and 3.12 the offsets are constants, taken with `offsetof` from the headers that 3.11.2, 3.11.7 and 3.12.1 install
//! (`include/python3.X/internal`); what is found by them is checked before it is used. Since 3.13 the runtime begins
//! with a table of its own offsets, `_Py_DebugOffsets`; [`Places`] tells where each offset stands in that table, by the
//! headers of 3.13.0, 3.14.10 and 3.15.2.
//!
//! Two things stand in no table. The GIL itself (`struct _gil_runtime_state`, 208 bytes) is the same in 3.11 to 3.15:
//!
//! | at | what |
//! |---|---|
//! | 0 | `interval`, in microseconds |
//! | 8 | `last_holder`, a thread state; who has it while `locked` is 1 |
//! | 16 | `locked`: -1 not yet made, 0 free, 1 held |
//! | 24 | `switch_number` |
//! | 32, 80 | `cond` and `mutex`: who wants the GIL sleeps here |
//! | 120, 168 | `switch_cond` and `switch_mutex`: who was told to give it away sleeps here until another has it |
//!
//! In a free-threaded build `enabled` comes before all that. And in a thread state, `state` (0 detached, 1 attached, 2
//! suspended, 3 about to end) follows a few words behind the bits called `_status`.

use crate::memory::Memory;
use crate::python::RUNTIME_COOKIE;
use crate::{Python, Reason, Version};

/// Of a thread state, so many bytes from its beginning hold all that is read of it; no version has 200.
pub(crate) const LONGEST_HEAD: usize = 512;
/// No offset in a runtime is this large.
const TOO_FAR: u64 = 1 << 20;

/// Offsets in the runtime, in an interpreter (`interp_…`), in a thread state (`thread_…`) and in a frame (`frame_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    /// The build can do without a GIL.
    pub free_threaded: bool,
    /// The newest interpreter, from which the list begins.
    pub interpreters: u64,
    pub gil: GilPlace,
    pub interp_next: u64,
    pub interp_id: u64,
    pub interp_threads: u64,
    /// An `int`: 1 while garbage is collected.
    pub interp_collecting: u64,
    /// Where the constants are used, a check of them: this word of an interpreter points to that place in it, the
    /// youngest generation of objects.
    pub interp_generation0: Option<(u64, u64)>,
    pub thread_next: u64,
    pub thread_interp: u64,
    /// The frame that runs, or in 3.11 and 3.12 a `_PyCFrame`, which points to it.
    pub thread_frame: u64,
    /// Where a `_PyCFrame` points to the frame that runs.
    pub cframe_frame: Option<u64>,
    pub thread_native_id: u64,
    /// An `int`: whether it is attached. Told by free-threaded builds, and by all since 3.13.
    pub thread_attached: Option<u64>,
    pub frame_instruction: u64,
}

/// Where an interpreter's GIL is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GilPlace {
    /// In the runtime, one for all interpreters.
    Runtime(u64),
    /// Each interpreter points to its GIL, which several may share.
    Interpreter(u64),
}

/// What the beginning of a thread state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub next: u64,
    pub interpreter: u64,
    /// See [`Offsets::thread_frame`].
    pub frame: u64,
    pub native_id: u64,
    pub attached: i32,
}

const V3_11: Offsets = Offsets {
    free_threaded: false,
    interpreters: 40,
    gil: GilPlace::Runtime(360),
    interp_next: 0,
    interp_id: 48,
    interp_threads: 16,
    interp_collecting: 848,
    interp_generation0: Some((744, 672)),
    thread_next: 8,
    thread_interp: 16,
    thread_frame: 56,
    cframe_frame: Some(8),
    thread_native_id: 160,
    thread_attached: None,
    frame_instruction: 56,
};

const V3_12: Offsets = Offsets {
    gil: GilPlace::Interpreter(384),
    interp_id: 8,
    interp_threads: 72,
    interp_collecting: 312,
    interp_generation0: Some((208, 136)),
    cframe_frame: Some(0),
    thread_native_id: 144,
    ..V3_11
};

/// Where offsets stand in `_Py_DebugOffsets`, in bytes from its beginning.
///
/// Common to all: the cookie at 0, the version at 8, `free_threaded` at 16, `interpreters_head` at 40; of an interpreter
/// `id` at 56, `next` at 64, `threads_head` at 72. In a thread state's part, `interp` and `current_frame` follow `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Of an interpreter: `gc` and `ceval_gil`.
    pub gc: u64,
    pub ceval_gil: u64,
    /// Of a thread state: `next`, `native_thread_id`, `status`.
    pub thread_next: u64,
    pub native_id: u64,
    pub status: u64,
    /// Of a frame: `instr_ptr`.
    pub instruction: u64,
    /// Of the state of garbage collection: `collecting`.
    pub collecting: u64,
    /// No place: how far `state` lies behind `_status`. Between them are `_whence`, from 3.14 on 4 bytes of padding, and from
    /// 3.15 on `holds_gil` and `gil_requested`.
    pub attached_after_status: u64,
}

pub(super) const FREE_THREADED: u64 = 16;
pub(super) const INTERPRETERS: u64 = 40;
pub(super) const ID: u64 = 56;
pub(super) const NEXT: u64 = 64;
pub(super) const THREADS: u64 = 72;

pub(super) const V3_13: Places = Places {
    gc: 80,
    ceval_gil: 112,
    thread_next: 168,
    native_id: 200,
    status: 216,
    instruction: 248,
    collecting: 576,
    attached_after_status: 8,
};

pub(super) const V3_14: Places = Places {
    gc: 88,
    ceval_gil: 120,
    thread_next: 192,
    native_id: 224,
    status: 240,
    instruction: 272,
    collecting: 656,
    attached_after_status: 12,
};

pub(super) const V3_15: Places =
    Places { native_id: 248, status: 264, instruction: 336, collecting: 760, attached_after_status: 16, ..V3_14 };

impl Offsets {
    /// Those of `python`, from its own table where it has one.
    pub fn of(python: &Python, memory: &Memory) -> Result<Self, Reason> {
        let Python { pid, version, .. } = *python;
        match (version.major, version.minor) {
            (3, 11) => Ok(V3_11),
            (3, 12) => Ok(V3_12),
            (3, 13) => Self::from_table(python, memory, V3_13),
            (3, 14) => Self::from_table(python, memory, V3_14),
            (3, 15) => Self::from_table(python, memory, V3_15),
            _ => Err(Reason::Unsupported { pid, version }),
        }
    }

    fn from_table(python: &Python, memory: &Memory, places: Places) -> Result<Self, Reason> {
        let Python { pid, version, runtime } = *python;
        let unrecognised = |what| Reason::Unrecognised { pid, version, what };
        if memory.read(runtime)? != RUNTIME_COOKIE {
            return Err(unrecognised("its runtime does not begin with a table of offsets"));
        }
        let table_version = Version::from_hex(memory.u64(runtime + 8)?);
        if table_version.is_none_or(|table| (table.major, table.minor) != (version.major, version.minor)) {
            return Err(unrecognised("its table of offsets is of another version"));
        }
        let entry = |place: u64| match memory.u64(runtime + place)? {
            offset if offset < TOO_FAR && offset % 4 == 0 => Ok(offset),
            _ => Err(unrecognised("an offset in its table cannot be one")),
        };
        let found = Self {
            free_threaded: memory.u64(runtime + FREE_THREADED)? != 0,
            interpreters: entry(INTERPRETERS)?,
            gil: GilPlace::Interpreter(entry(places.ceval_gil)?),
            interp_next: entry(NEXT)?,
            interp_id: entry(ID)?,
            interp_threads: entry(THREADS)?,
            interp_collecting: entry(places.gc)? + entry(places.collecting)?,
            interp_generation0: None,
            thread_next: entry(places.thread_next)?,
            thread_interp: entry(places.thread_next + 8)?,
            thread_frame: entry(places.thread_next + 16)?,
            cframe_frame: None,
            thread_native_id: entry(places.native_id)?,
            thread_attached: Some(entry(places.status)? + places.attached_after_status),
            frame_instruction: entry(places.instruction)?,
        };
        if found.head_length() > LONGEST_HEAD {
            return Err(unrecognised("an offset in its table cannot be one"));
        }
        Ok(found)
    }

    /// How many bytes of a thread state, from its beginning, hold all that is read of it.
    pub fn head_length(&self) -> usize {
        let words = [self.thread_next, self.thread_interp, self.thread_frame, self.thread_native_id];
        let ends = words.into_iter().map(|word| word + 8).chain(self.thread_attached.map(|int| int + 4));
        ends.max().unwrap_or_default() as usize
    }

    /// Reads those bytes; `None` when there are too few.
    pub fn head(&self, bytes: &[u8]) -> Option<Head> {
        let word = |at: u64| Some(u64::from_ne_bytes(bytes.get(at as usize..at as usize + 8)?.try_into().ok()?));
        let int = |at: u64| Some(i32::from_ne_bytes(bytes.get(at as usize..at as usize + 4)?.try_into().ok()?));
        Some(Head {
            next: word(self.thread_next)?,
            interpreter: word(self.thread_interp)?,
            frame: word(self.thread_frame)?,
            native_id: word(self.thread_native_id)?,
            attached: self.thread_attached.map_or(Some(0), int)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whole_or_not_at_all() {
        let mut bytes = [0; 168];
        assert_eq!(V3_11.head_length(), bytes.len());
        bytes[8] = 1;
        bytes[16] = 2;
        bytes[56] = 3;
        bytes[160] = 4;
        let head = Head { next: 1, interpreter: 2, frame: 3, native_id: 4, attached: 0 };
        assert_eq!(V3_11.head(&bytes), Some(head));
        assert_eq!(V3_11.head(&bytes[..167]), None);
        let told = Offsets { thread_attached: Some(40), ..V3_11 };
        bytes[40] = 1;
        assert_eq!(told.head(&bytes), Some(Head { attached: 1, ..head }));
    }
}
