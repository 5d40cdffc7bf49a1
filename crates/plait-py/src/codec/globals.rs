//! Which names a pickle refers to: a walk over its opcodes, which runs nothing.
//!
//! A value found in `__main__` pickles by name without complaint, and only the worker would notice that its own `__main__` is another
//! program. So every pickle is asked for the modules of its globals before it goes. The walk skips what strings and buffers
//! hold, and the frames without anything that looks like a global, which end where opcodes do: its cost follows the number of
//! objects near globals.

use std::ops::ControlFlow;

use memchr::{memchr, memchr_iter};

const STACK_GLOBAL: u8 = 0x93;
const MEMOIZE: u8 = 0x94;
const BINGET: u8 = b'h';
const LONG_BINGET: u8 = b'j';

/// The lengths of the opcodes, with what belongs to them, that matter neither for names nor for the memo; 0 for all others.
const PLAIN: [u8; 256] = {
    let mut lengths = [0; 256];
    // MARK, POP, POP_MARK, DUP, NONE, NEWTRUE, NEWFALSE, containers, REDUCE, BUILD, NEWOBJ, NEWOBJ_EX, NEXT_BUFFER and
    // READONLY_BUFFER
    let single = b"(012N\x88\x89)t\x85\x86\x87]lae}dsu\x8f\x90\x91Rb\x81\x92\x97\x98";
    let mut index = 0;
    while index < single.len() {
        lengths[single[index] as usize] = 1;
        index += 1;
    }
    // BININT1, PROTO, BININT2, BININT, BINFLOAT
    lengths[b'K' as usize] = 2;
    lengths[0x80] = 2;
    lengths[b'M' as usize] = 3;
    lengths[b'J' as usize] = 5;
    lengths[b'G' as usize] = 9;
    lengths
};

/// The pickle has an opcode that C pickle does not write at protocol 5, or is cut short.
#[derive(Debug)]
pub struct Unknown;

/// The strings a pickle pushed last, which `STACK_GLOBAL` takes for module and name.
#[derive(Clone, Copy, Default)]
pub(super) struct Text {
    start: usize,
    length: usize,
}

/// A pickle, perhaps with gaps where the long stretches of bytes and text in it are to be put in.
#[derive(Clone, Copy)]
pub struct Pickle<'a> {
    bytes: &'a [u8],
    /// Where, and how long.
    gaps: &'a [(usize, usize)],
}

impl<'a> Pickle<'a> {
    /// One that is all there.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, gaps: &[] }
    }

    /// One with gaps, in their order.
    pub fn with_gaps(bytes: &'a [u8], gaps: &'a [(usize, usize)]) -> Self {
        Self { bytes, gaps }
    }
}

/// Calls `visit` with module and qualified name of each global, until it breaks.
///
/// # Errors
/// [`Unknown`], after the globals before the place were visited.
pub fn each_global<B>(
    pickle: Pickle<'_>,
    mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Unknown> {
    if memchr(STACK_GLOBAL, pickle.bytes).is_none() {
        return Ok(ControlFlow::Continue(()));
    }
    let mut walk = Walk::new(pickle);
    let mut known = Known { memo: Some(Vec::new()), module: None, name: None };
    let mut skips = true;
    loop {
        if walk.skip_plain()? {
            known.on(&Step::Other)?;
        }
        let at = walk.position;
        match walk.step()? {
            Step::Global => {
                if known.pair().is_none() {
                    known = Known::at(pickle, at)?;
                    skips = false;
                }
                let (module, name) = known.pair().ok_or(Unknown)?;
                if let ControlFlow::Break(found) = visit(walk.text(module), walk.text(name)) {
                    return Ok(ControlFlow::Break(found));
                }
                known.on(&Step::Global)?;
            }
            Step::Frame(length) if skips => {
                let start = walk.position;
                walk.skip(length)?;
                if may_have_global(&pickle.bytes[start..walk.position]) {
                    walk.position = start;
                } else if walk.position == pickle.bytes.len() {
                    return if pickle.bytes.ends_with(b".") { Ok(ControlFlow::Continue(())) } else { Err(Unknown) };
                } else {
                    known = Known::default();
                }
            }
            Step::Stop => return Ok(ControlFlow::Continue(())),
            step => known.on(&step)?,
        }
    }
}

/// What is known of a pickle at a place in it: nothing, after something was skipped.
#[derive(Default)]
struct Known {
    /// For each memoized object the string it is, or an empty one.
    memo: Option<Vec<Text>>,
    /// The string that was pushed last but one.
    module: Option<Text>,
    /// What was pushed last, which is empty if it is no string.
    name: Option<Text>,
}

impl Known {
    /// All there is to know before the opcode at this place.
    #[cold]
    fn at(pickle: Pickle<'_>, place: usize) -> Result<Self, Unknown> {
        let mut walk = Walk::new(pickle);
        let mut known = Self { memo: Some(Vec::new()), module: None, name: None };
        loop {
            if walk.skip_plain()? {
                known.on(&Step::Other)?;
            }
            if walk.position >= place {
                return Ok(known);
            }
            known.on(&walk.step()?)?;
        }
    }

    fn on(&mut self, step: &Step) -> Result<(), Unknown> {
        match *step {
            Step::Text(text) => (self.module, self.name) = (self.name, Some(text)),
            Step::Recall(index) => {
                self.module = self.name;
                self.name = match &self.memo {
                    Some(memo) => Some(*memo.get(index).ok_or(Unknown)?),
                    None => None,
                };
            }
            Step::Memoize => {
                if let Some(memo) = &mut self.memo {
                    memo.push(self.name.unwrap_or_default());
                }
            }
            Step::Global | Step::Other => self.name = Some(Text::default()),
            Step::Frame(_) | Step::Stop => {}
        }
        Ok(())
    }

    fn pair(&self) -> Option<(Text, Text)> {
        self.module.zip(self.name)
    }
}

/// Whether a byte is that of the opcode, and stands behind what C pickle writes before it: a string that it has just memoized, or
/// one that it recalls.
fn may_have_global(frame: &[u8]) -> bool {
    // That may have come to stand in the frame before.
    let is_at = |place: Option<usize>, opcode| place.is_none_or(|place| frame[place] == opcode);
    memchr_iter(STACK_GLOBAL, frame).any(|at| {
        is_at(at.checked_sub(1), MEMOIZE) || is_at(at.checked_sub(2), BINGET) || is_at(at.checked_sub(5), LONG_BINGET)
    })
}

/// The first few `module.name`s that a pickle refers to, without those of every pickle.
pub fn some_names(pickle: &[u8]) -> Vec<String> {
    const MOST: usize = 3;
    let mut names = Vec::new();
    // What follows a place that cannot be read is not needed either.
    let _ = each_global(Pickle::whole(pickle), |module, name| {
        let ours = matches!(module, b"builtins" | b"copyreg" | b"_codecs")
            || module.starts_with(b"plait._")
            || module.starts_with(b"cloudpickle.");
        let name = format!("{}.{}", String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        if !ours && !names.contains(&name) {
            names.push(name);
        }
        if names.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    names
}

/// What an opcode does, as far as names and the memo are concerned.
pub(super) enum Step {
    Text(Text),
    /// An object of the memo, by its number.
    Recall(usize),
    Global,
    Memoize,
    Stop,
    /// The beginning of one that has so many bytes.
    Frame(usize),
    Other,
}

/// A walk over the opcodes of a pickle.
pub(super) struct Walk<'a> {
    pickle: &'a [u8],
    /// Those that it has not come to.
    gaps: &'a [(usize, usize)],
    /// Where the next opcode is.
    pub(super) position: usize,
}

impl<'a> Walk<'a> {
    /// One that begins.
    pub(super) fn new(pickle: Pickle<'a>) -> Self {
        Self { pickle: pickle.bytes, gaps: pickle.gaps, position: 0 }
    }

    fn text(&self, text: Text) -> &'a [u8] {
        &self.pickle[text.start..text.start + text.length]
    }

    pub(super) fn skip(&mut self, length: usize) -> Result<usize, Unknown> {
        let start = self.position;
        self.position = start.checked_add(length).filter(|&end| end <= self.pickle.len()).ok_or(Unknown)?;
        Ok(start)
    }

    /// An unsigned number of `width` bytes.
    fn number(&mut self, width: usize) -> Result<usize, Unknown> {
        let start = self.skip(width)?;
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&self.pickle[start..self.position]);
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| Unknown)
    }

    fn string(&mut self, width: usize) -> Result<Step, Unknown> {
        let length = self.number(width)?;
        // What is as long as a gap is no name.
        Ok(if self.cross_gap(length) { Step::Other } else { Step::Text(Text { start: self.skip(length)?, length }) })
    }

    fn block(&mut self, width: usize) -> Result<Step, Unknown> {
        let length = self.number(width)?;
        if !self.cross_gap(length) {
            self.skip(length)?;
        }
        Ok(Step::Other)
    }

    /// Whether what comes next is left out.
    fn cross_gap(&mut self, length: usize) -> bool {
        match self.gaps.split_first() {
            Some((&gap, rest)) if gap == (self.position, length) => {
                self.gaps = rest;
                true
            }
            _ => false,
        }
    }

    fn fixed(&mut self, length: usize) -> Result<Step, Unknown> {
        self.skip(length)?;
        Ok(Step::Other)
    }

    fn recall(&mut self, width: usize) -> Result<Step, Unknown> {
        self.number(width).map(Step::Recall)
    }

    /// Goes over opcodes that matter neither for names nor for the memo; whether there were any.
    fn skip_plain(&mut self) -> Result<bool, Unknown> {
        let start = self.position;
        let mut position = start;
        while let Some(&opcode) = self.pickle.get(position) {
            let length = PLAIN[usize::from(opcode)];
            if length == 0 {
                break;
            }
            position += usize::from(length);
        }
        self.position = position;
        if position < self.pickle.len() { Ok(position > start) } else { Err(Unknown) }
    }

    /// Goes over one opcode.
    pub(super) fn step(&mut self) -> Result<Step, Unknown> {
        let at = self.skip(1)?;
        match self.pickle[at] {
            0x8c => self.string(1), // SHORT_BINUNICODE
            b'X' => self.string(4), // BINUNICODE
            0x8d => self.string(8), // BINUNICODE8
            MEMOIZE => Ok(Step::Memoize),
            BINGET => self.recall(1),
            LONG_BINGET => self.recall(4),
            STACK_GLOBAL => Ok(Step::Global),
            b'C' | 0x8a => self.block(1),            // SHORT_BINBYTES, LONG1
            b'B' | 0x8b => self.block(4),            // BINBYTES, LONG4
            0x8e | 0x96 => self.block(8),            // BINBYTES8, BYTEARRAY8
            0x95 => self.number(8).map(Step::Frame), // FRAME
            b'.' => Ok(Step::Stop),                  // STOP
            opcode => match PLAIN[usize::from(opcode)] {
                0 => Err(Unknown),
                length => self.fixed(usize::from(length) - 1),
            },
        }
    }
}
