//! Which names a pickle refers to: a walk over its opcodes, which runs nothing.
//!
//! A value found in `__main__` pickles by name without complaint, and only the worker would notice that its own `__main__` is another
//! program. So every pickle is asked for the modules of its globals before it goes. The walk skips what strings and buffers
//! hold, so its cost follows the number of objects, and a pickle without globals is told by one `memchr`.

use std::ops::ControlFlow;

use memchr::memchr;

const STACK_GLOBAL: u8 = 0x93;

/// The pickle has an opcode that C pickle does not write at protocol 5, or is cut short.
#[derive(Debug)]
pub struct Unknown;

/// The strings a pickle pushed last, which `STACK_GLOBAL` takes for module and name.
#[derive(Clone, Copy, Default)]
pub(super) struct Text {
    start: usize,
    length: usize,
}

/// Calls `visit` with module and qualified name of each global, until it breaks.
///
/// # Errors
/// [`Unknown`], after the globals before the place were visited.
pub fn each_global<B>(
    pickle: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Unknown> {
    if memchr(STACK_GLOBAL, pickle).is_none() {
        return Ok(ControlFlow::Continue(()));
    }
    let mut walk = Walk { pickle, position: 0 };
    // For each memoized object the string it is, or an empty one.
    let mut memo = Vec::new();
    let (mut module, mut name) = (Text::default(), Text::default());
    while walk.position < pickle.len() {
        match walk.step()? {
            Step::Text(text) => (module, name) = (name, text),
            Step::Recall(index) => (module, name) = (name, *memo.get(index).ok_or(Unknown)?),
            Step::Global => {
                if let ControlFlow::Break(found) = visit(walk.text(module), walk.text(name)) {
                    return Ok(ControlFlow::Break(found));
                }
                name = Text::default();
            }
            Step::Memoize => memo.push(name),
            Step::Stop => return Ok(ControlFlow::Continue(())),
            // What follows is memoized as no string.
            Step::Other => name = Text::default(),
            Step::Frame => {}
        }
    }
    Err(Unknown)
}

/// The first few `module.name`s that a pickle refers to, without those of every pickle.
pub fn some_names(pickle: &[u8]) -> Vec<String> {
    const MOST: usize = 3;
    let mut names = Vec::new();
    // What follows a place that cannot be read is not needed either.
    let _ = each_global(pickle, |module, name| {
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
    Frame,
    Other,
}

/// A walk over the opcodes of a pickle.
pub(super) struct Walk<'a> {
    pub(super) pickle: &'a [u8],
    /// Where the next opcode is.
    pub(super) position: usize,
}

impl<'a> Walk<'a> {
    fn text(&self, text: Text) -> &'a [u8] {
        &self.pickle[text.start..text.start + text.length]
    }

    fn skip(&mut self, length: usize) -> Result<usize, Unknown> {
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
        Ok(Step::Text(Text { start: self.skip(length)?, length }))
    }

    fn block(&mut self, width: usize) -> Result<Step, Unknown> {
        let length = self.number(width)?;
        self.skip(length)?;
        Ok(Step::Other)
    }

    fn fixed(&mut self, length: usize) -> Result<Step, Unknown> {
        self.skip(length)?;
        Ok(Step::Other)
    }

    fn recall(&mut self, width: usize) -> Result<Step, Unknown> {
        self.number(width).map(Step::Recall)
    }

    /// Goes over one opcode.
    pub(super) fn step(&mut self) -> Result<Step, Unknown> {
        let at = self.skip(1)?;
        match self.pickle[at] {
            0x8c => self.string(1),                     // SHORT_BINUNICODE
            b'X' => self.string(4),                     // BINUNICODE
            0x8d => self.string(8),                     // BINUNICODE8
            0x94 => Ok(Step::Memoize),                  // MEMOIZE
            b'h' => self.recall(1),                     // BINGET
            b'j' => self.recall(4),                     // LONG_BINGET
            STACK_GLOBAL => Ok(Step::Global),           // STACK_GLOBAL
            b'C' | 0x8a => self.block(1),               // SHORT_BINBYTES, LONG1
            b'B' | 0x8b => self.block(4),               // BINBYTES, LONG4
            0x8e | 0x96 => self.block(8),               // BINBYTES8, BYTEARRAY8
            b'K' | 0x80 => self.fixed(1),               // BININT1, PROTO
            b'M' => self.fixed(2),                      // BININT2
            b'J' => self.fixed(4),                      // BININT
            b'G' => self.fixed(8),                      // BINFLOAT
            0x95 => self.fixed(8).map(|_| Step::Frame), // FRAME
            b'.' => Ok(Step::Stop),                     // STOP
            // MARK, POP, POP_MARK, DUP, NONE, NEWTRUE, NEWFALSE, containers, REDUCE, BUILD, NEWOBJ, NEWOBJ_EX, and
            // NEXT_BUFFER, READONLY_BUFFER
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | 0x88
            | 0x89
            | b')'
            | b't'
            | 0x85..=0x87
            | b']'
            | b'l'
            | b'a'
            | b'e'
            | b'}'
            | b'd'
            | b's'
            | b'u'
            | 0x8f
            | 0x90
            | 0x91
            | b'R'
            | b'b'
            | 0x81
            | 0x92
            | 0x97
            | 0x98 => Ok(Step::Other),
            _ => Err(Unknown),
        }
    }
}
