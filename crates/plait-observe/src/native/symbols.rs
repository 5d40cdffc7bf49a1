//! Which function of a program file an address belongs to.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A name longer than this is cut; nobody reads it.
const LONGEST_NAME: u64 = 4096;
/// One entry of a symbol table of a 64-bit ELF file.
const ENTRY_BYTES: usize = 24;
/// How many functions that begin before an address are looked at: some overlap.
const NEIGHBOURS: usize = 16;

/// Where the bytes of a program file are.
#[derive(Debug)]
pub(super) enum Bytes {
    /// In a file of so many bytes, which is kept open: names are read when they are needed.
    File(File, u64),
    /// In memory: the vDSO.
    Memory(Vec<u8>),
}

impl Bytes {
    /// `len` bytes from `offset` on, if they are there.
    pub fn read(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        let len = usize::try_from(len).ok()?;
        match self {
            Self::File(file, whole) => {
                let end = offset.checked_add(len as u64)?;
                (end <= *whole).then_some(())?;
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset).ok()?;
                Some(bytes)
            }
            Self::Memory(all) => {
                let from = usize::try_from(offset).ok()?;
                all.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
            }
        }
    }
}

/// The functions of a program file, and where their names are.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    functions: Vec<Function>,
    /// Where in the file the names are, and how many bytes.
    names: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    start: u64,
    end: u64,
    name: u32,
    /// Seen by other modules.
    global: bool,
}

impl Symbols {
    /// From the bytes of a symbol table; `names` says where in the file its names are.
    pub fn parse(table: &[u8], names: (u64, u64)) -> Self {
        let mut functions: Vec<Function> = table.chunks_exact(ENTRY_BYTES).filter_map(Function::parse).collect();
        functions.sort_unstable();
        Self { functions, names }
    }

    /// The symbol of the function that `address` lies in, as it stands in the file. An address past the end of the function
    /// before it is in none: code without a symbol is not given the name of its neighbour.
    pub fn name(&self, bytes: &Bytes, address: u64) -> Option<String> {
        let after = self.functions.partition_point(|function| function.start <= address);
        let before = self.functions[..after].iter().rev().take(NEIGHBOURS);
        let start = before.clone().find(|function| function.end > address)?.start;
        // Several names of one function: the one without underscores is what its users know.
        let aliases = before.filter(|function| function.start == start && function.end > address);
        let named = aliases.filter_map(|function| Some((function.global, self.read_name(bytes, function.name)?)));
        named
            .min_by_key(|(global, name)| (name.len() - name.trim_start_matches('_').len(), !global))
            .map(|(_, name)| name)
    }

    /// Where the function of this name is, if there is one.
    pub fn find(&self, bytes: &Bytes, wanted: &str) -> Option<Range<u64>> {
        // Read at once: to look for one name means to look at all.
        let names = bytes.read(self.names.0, self.names.1)?;
        let is_wanted = |at: u32| {
            let name = names.get(at as usize..).and_then(|rest| rest.get(..=wanted.len()));
            name.is_some_and(|name| name.starts_with(wanted.as_bytes()) && name.ends_with(&[0]))
        };
        let found = self.functions.iter().find(|function| is_wanted(function.name))?;
        Some(found.start..found.end)
    }

    fn read_name(&self, bytes: &Bytes, at: u32) -> Option<String> {
        let left = self.names.1.checked_sub(u64::from(at)).filter(|left| *left > 0)?;
        let text = bytes.read(self.names.0.checked_add(u64::from(at))?, left.min(LONGEST_NAME))?;
        let text = text.split(|byte| *byte == 0).next().filter(|text| !text.is_empty())?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

impl Function {
    /// `None` for what is no function, or has no extent: then nothing lies in it.
    fn parse(entry: &[u8]) -> Option<Self> {
        const FUNC: u8 = 2;
        const IFUNC: u8 = 10;
        let word = |at: usize| Some(u64::from_le_bytes(entry.get(at..at + 8)?.try_into().ok()?));
        let name = u32::from_le_bytes(entry.get(..4)?.try_into().ok()?);
        let (info, defined) = (*entry.get(4)?, entry.get(6..8)? != [0, 0]);
        let (start, size) = (word(8)?, word(16)?);
        let is_function = matches!(info & 0xf, FUNC | IFUNC) && defined && size > 0;
        is_function.then_some(Self { start, end: start.checked_add(size)?, name, global: info >> 4 != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: u32, info: u8, section: u16, start: u64, size: u64) -> Vec<u8> {
        let mut entry = name.to_le_bytes().to_vec();
        entry.extend([info, 0]);
        entry.extend(section.to_le_bytes());
        entry.extend(start.to_le_bytes());
        entry.extend(size.to_le_bytes());
        entry
    }

    #[test]
    fn an_address_has_the_name_of_the_function_it_lies_in_or_none() {
        let names = b"\0__usleep\0usleep\0inner\0data\0undefined\0".to_vec();
        let at =
            |name: &str| String::from_utf8_lossy(&names).find(&format!("\0{name}\0")).expect("is there") as u32 + 1;
        let table = [
            entry(at("__usleep"), 0x12, 1, 0x100, 0x40),
            entry(at("usleep"), 0x22, 1, 0x100, 0x40),
            entry(at("inner"), 0x02, 1, 0x110, 0x08),
            entry(at("data"), 0x11, 1, 0x200, 0x40),
            entry(at("undefined"), 0x12, 0, 0x300, 0x40),
            entry(9999, 0x12, 1, 0x400, 0x10),
            entry(at("data"), 0x12, 1, u64::MAX - 4, 0x10),
        ];
        let symbols = Symbols::parse(&table.concat(), (0, names.len() as u64));
        let find = |name| symbols.find(&Bytes::Memory(names.clone()), name);
        assert_eq!(find("usleep"), Some(0x100..0x140));
        assert_eq!((find("sleep"), find("uslee")), (None, None));
        let bytes = Bytes::Memory(names);
        let name = |address| symbols.name(&bytes, address);
        assert_eq!(name(0x100).as_deref(), Some("usleep"));
        assert_eq!(name(0x112).as_deref(), Some("inner"));
        assert_eq!(name(0x13f).as_deref(), Some("usleep"));
        for address in [0, 0xff, 0x140, 0x210, 0x310, 0x405, u64::MAX] {
            assert_eq!(name(address), None, "{address:x}");
        }
    }
}
