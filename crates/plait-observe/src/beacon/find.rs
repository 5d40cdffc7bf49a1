//! Where a table lies in a process: the extension module that is mapped there, and the symbol that it exports.

use std::collections::HashMap;
use std::fs::{self, File};
use std::sync::{Mutex, PoisonError};

use object::elf::{FileHeader64, PT_LOAD, SHT_DYNSYM, STT_OBJECT};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, ReadCache};
use plait_trace::{beacon, pools};

use crate::Pid;
use crate::python::{FileId, Mapping, Segment, file_name, load_shift, open_mapped, parse_maps};

/// A table that a process of plait's has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// What its threads run.
    Beacon,
    /// Which pools it has.
    Pools,
}

/// What the tables are called in the file, and how large they are at least.
const SYMBOLS: [(&[u8], usize); 2] =
    [(b"PLAIT_BEACON", beacon::HEAD + beacon::SLOT), (b"PLAIT_POOLS", pools::HEAD + pools::SLOT)];

/// What a program file that has the tables says of them, in addresses of the file's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    /// As in `SYMBOLS`; older ones have the first only.
    tables: [Option<u64>; 2],
    segments: Vec<Segment>,
}

/// Files that were looked into. There are few: one module for each Python that runs plait here.
static KNOWN: Mutex<Option<HashMap<FileId, Option<Image>>>> = Mutex::new(None);

/// The address of the table in a live process.
pub(crate) fn address_in(pid: Pid, table: Table) -> Option<u64> {
    let mappings = parse_maps(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/maps")).ok()?));
    let mut files: Vec<(&str, u64)> =
        mappings.iter().filter(|part| may_be_ours(&part.path)).map(|part| (&*part.path, part.inode)).collect();
    files.dedup();
    files.into_iter().find_map(|(path, inode)| {
        let parts: Vec<&Mapping> = mappings.iter().filter(|part| part.path == path && part.inode == inode).collect();
        let image = image(&open_mapped(pid, parts.first()?).ok()?)?;
        Some(image.tables[table as usize]?.wrapping_add(load_shift(&image.segments, &parts)?))
    })
}

/// Whether a mapped file is called as the module is: `_core.cpython-313-x86_64-linux-gnu.so`. Replaced since, it is
/// marked as deleted.
fn may_be_ours(path: &str) -> bool {
    let name = file_name(path);
    name.starts_with("_core.") && name.trim_end_matches(" (deleted)").ends_with(".so")
}

fn image(file: &File) -> Option<Image> {
    let id = FileId::of(&file.metadata().ok()?);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get_or_insert_default().entry(id).or_insert_with(|| parse(file).ok().flatten()).clone()
}

/// Looks the tables up in the exported symbols; `None` when none is there.
fn parse(file: &File) -> object::Result<Option<Image>> {
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache)?;
    let endian = header.endian()?;
    let symbols = header.sections(endian, &cache)?.symbols(endian, &cache, SHT_DYNSYM)?;
    let mut tables = [None; SYMBOLS.len()];
    for symbol in symbols.iter().filter(|symbol| symbol.st_type() == STT_OBJECT) {
        // Names are read one by one, so only those of the right size are.
        if SYMBOLS.iter().any(|(_, least)| symbol.st_size(endian) >= *least as u64) {
            let name = symbols.symbol_name(endian, symbol)?;
            if let Some(at) = SYMBOLS.iter().position(|(known, _)| *known == name) {
                tables[at] = Some(symbol.st_value(endian));
            }
        }
    }
    if tables == [None; SYMBOLS.len()] {
        return Ok(None);
    }
    let loaded = header.program_headers(endian, &cache)?.iter().filter(|part| part.p_type(endian) == PT_LOAD);
    let segments = loaded.map(|part| Segment { offset: part.p_offset(endian), address: part.p_vaddr(endian) });
    Ok(Some(Image { tables, segments: segments.collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_known_by_its_name() {
        assert!(may_be_ours("/env/site-packages/plait/_core.cpython-311-x86_64-linux-gnu.so"));
        assert!(may_be_ours("/a (b)/_core.abi3.so (deleted)"));
        assert!(!may_be_ours("/env/plait/_core.py"));
        assert!(!may_be_ours("/env/other/my_core.cpython-311-x86_64-linux-gnu.so"));
    }

    #[test]
    fn a_file_without_the_symbol_has_no_table() {
        let own = File::open("/proc/self/exe").expect("this program has a file");
        assert_eq!(image(&own), None);
        let text = File::open("/proc/self/status").expect("this process has a status");
        assert_eq!(image(&text), None);
        assert_eq!(address_in(std::process::id(), Table::Beacon), None);
        assert_eq!(address_in(Pid::MAX, Table::Pools), None);
    }
}
