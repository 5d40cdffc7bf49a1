//! Finds the CPython runtime in a live process: where `_PyRuntime` lies and which version it is.
//!
//! The runtime is in the executable or in a libpython, and every build exports it, stripped ones too. The file tells
//! its place and that of `Py_Version`; the kernel's map of the process tells where the file was loaded. The
//! version is then read from the process itself. Files are parsed once per [`Finder`], for workers share them.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use object::elf::{FileHeader64, PT_LOAD, SHT_DYNSYM, STT_OBJECT};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, ReadCache};

use crate::memory::Memory;
use crate::{Pid, Reason};

/// The first bytes of `_PyRuntime` in CPython 3.13 and newer.
pub(crate) const RUNTIME_COOKIE: [u8; 8] = *b"xdebugpy";

/// A version of CPython.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 3.
    pub major: u8,
    /// 13 of 3.13.1.
    pub minor: u8,
    /// 1 of 3.13.1.
    pub micro: u8,
}

impl Version {
    /// From `PY_VERSION_HEX`; `None` for what cannot be the version of a CPython 3.
    pub(crate) fn from_hex(hex: u64) -> Option<Self> {
        let [0, 0, 0, 0, major, minor, micro, _release] = hex.to_be_bytes() else {
            return None;
        };
        (major == 3).then_some(Self { major, minor, micro })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// A live CPython: which process, which version, and where its runtime lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Python {
    /// The process.
    pub pid: Pid,
    /// What it runs.
    pub version: Version,
    /// The address of `_PyRuntime` in that process.
    pub runtime: u64,
}

impl Python {
    /// Finds the runtime of `pid`. To look into many processes, keep a [`Finder`].
    ///
    /// # Errors
    /// A [`Reason`] when the process has ended, is no CPython 3.11 or newer, or may not be read.
    ///
    /// ```
    /// // A Rust program is no Python.
    /// let refused = plait_observe::Python::find(std::process::id()).unwrap_err();
    /// assert!(refused.to_string().contains("is not a CPython program"));
    /// ```
    pub fn find(pid: Pid) -> Result<Self, Reason> {
        Finder::default().find(pid, &Memory::of(pid)?)
    }
}

/// Finds runtimes and remembers what it learnt of each program file.
#[derive(Debug, Default)]
pub struct Finder {
    images: HashMap<FileId, Option<Image>>,
}

/// Tells a file, as it is now, from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// What a program file that holds a CPython runtime says of it, in addresses of the file's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    runtime: u64,
    version: Option<u64>,
    segments: Vec<Segment>,
}

/// A part of a program file that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub offset: u64,
    pub address: u64,
}

/// One mapping of a file into a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub start: u64,
    pub end: u64,
    pub offset: u64,
    pub inode: u64,
    pub path: String,
}

impl Finder {
    pub(crate) fn find(&mut self, pid: Pid, memory: &Memory) -> Result<Python, Reason> {
        let maps = fs::read(format!("/proc/{pid}/maps")).map_err(|error| Reason::of_io(pid, "maps", &error))?;
        let mappings = parse_maps(&String::from_utf8_lossy(&maps));
        if mappings.is_empty() {
            // So it is with a process that ended but was not waited for, and with the kernel's own threads.
            return Err(Reason::Gone { pid });
        }
        let mut unreadable = None;
        for (path, inode) in candidates(pid, &mappings) {
            let parts: Vec<&Mapping> =
                mappings.iter().filter(|part| part.path == path && part.inode == inode).collect();
            let image = match self.image(pid, parts[0]) {
                Ok(Some(image)) => image,
                Ok(None) => continue,
                Err(reason) => {
                    unreadable = Some(reason);
                    continue;
                }
            };
            let Some(shift) = load_shift(&image.segments, &parts) else {
                continue;
            };
            if mappings.iter().any(|part| file_name(&part.path).starts_with("ld-musl")) {
                return Err(Reason::Platform { pid });
            }
            let runtime = image.runtime.wrapping_add(shift);
            let version = match image.version {
                Some(at) => memory.u64(at.wrapping_add(shift))?,
                // From 3.13 on the runtime begins with a description of itself: a cookie, then the version.
                None if memory.read(runtime)? == RUNTIME_COOKIE => memory.u64(runtime + 8)?,
                None => return Err(Reason::TooOld { pid }),
            };
            let version = Version::from_hex(version).ok_or(Reason::NotPython { pid })?;
            return Ok(Python { pid, version, runtime });
        }
        Err(unreadable.unwrap_or(Reason::NotPython { pid }))
    }

    /// What the file behind `mapping` says; `None` when it holds no CPython runtime.
    fn image(&mut self, pid: Pid, mapping: &Mapping) -> Result<Option<&Image>, Reason> {
        let unreadable = |error| Reason::of_io(pid, "program file", &error);
        let file = open_mapped(pid, mapping).map_err(unreadable)?;
        let id = FileId::of(&file.metadata().map_err(unreadable)?);
        // A file that is no ELF file is no Python either.
        Ok(self.images.entry(id).or_insert_with(|| parse_image(file).ok().flatten()).as_ref())
    }
}

impl FileId {
    pub fn of(about: &fs::Metadata) -> Self {
        let changed = (about.mtime(), about.mtime_nsec());
        Self { device: about.dev(), inode: about.ino(), size: about.size(), changed }
    }
}

/// Opens the very file that is mapped, also when the process sees other file systems or the file was replaced since.
pub(crate) fn open_mapped(pid: Pid, mapping: &Mapping) -> std::io::Result<File> {
    let at_its_path = File::open(format!("/proc/{pid}/root{}", mapping.path));
    if let Ok(file) = &at_its_path
        && file.metadata()?.ino() == mapping.inode
    {
        return at_its_path;
    }
    // Needs privileges, and finds deleted and replaced files, too.
    File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end))
}

/// The mapped files that may hold a runtime, the likeliest first.
fn candidates(pid: Pid, mappings: &[Mapping]) -> Vec<(String, u64)> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let likely = |part: &Mapping| {
        let name = file_name(&part.path);
        if name.starts_with("libpython") {
            Some(0)
        } else if name.starts_with("python") {
            Some(1)
        } else {
            (std::path::Path::new(&part.path) == exe).then_some(2)
        }
    };
    let mut files: Vec<(i32, String, u64)> =
        mappings.iter().filter_map(|part| Some((likely(part)?, part.path.clone(), part.inode))).collect();
    files.sort();
    files.dedup();
    files.into_iter().map(|(_, path, inode)| (path, inode)).collect()
}

pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What must be added to the file's own addresses to get those in the process.
pub(crate) fn load_shift(segments: &[Segment], parts: &[&Mapping]) -> Option<u64> {
    let page = rustix::param::page_size() as u64;
    segments.iter().find_map(|segment| {
        let part = parts.iter().find(|part| part.offset == segment.offset & !(page - 1))?;
        Some(part.start.wrapping_sub(segment.address & !(page - 1)))
    })
}

pub(crate) fn parse_maps(text: &str) -> Vec<Mapping> {
    let parse = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (_rights, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let (_device, rest) = rest.split_once(' ')?;
        let (inode, path) = rest.split_once(' ')?;
        let path = path.trim_start();
        path.starts_with('/').then_some(())?;
        Some(Mapping {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            offset: u64::from_str_radix(offset, 16).ok()?,
            inode: inode.parse().ok()?,
            path: path.to_owned(),
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Looks up the runtime in the exported symbols, or by its section; reads only those parts of the file.
fn parse_image(file: File) -> object::Result<Option<Image>> {
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, &cache)?.iter();
    let segments = segments
        .filter(|part| part.p_type(endian) == PT_LOAD)
        .map(|part| Segment { offset: part.p_offset(endian), address: part.p_vaddr(endian) })
        .collect();
    let sections = header.sections(endian, &cache)?;
    let symbols = sections.symbols(endian, &cache, SHT_DYNSYM)?;
    let (mut runtime, mut version) = (None, None);
    for symbol in symbols.iter().filter(|symbol| symbol.st_type() == STT_OBJECT) {
        // Names are read one by one, so only those of the right size are.
        let wanted = match symbol.st_size(endian) {
            4 | 8 => (&mut version, b"Py_Version".as_slice()),
            size if size > 256 => (&mut runtime, b"_PyRuntime".as_slice()),
            _ => continue,
        };
        if symbols.symbol_name(endian, symbol)? == wanted.1 {
            *wanted.0 = Some(symbol.st_value(endian));
        }
    }
    let by_section = || {
        let (_, section) = sections.section_by_name(endian, b".PyRuntime")?;
        Some(section.sh_addr(endian))
    };
    Ok(runtime.or_else(by_section).map(|runtime| Image { runtime, version, segments }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_their_hex_form() {
        let version = Version::from_hex(0x030b_07f0).expect("a version");
        assert_eq!(version.to_string(), "3.11.7");
        assert_eq!(Version::from_hex(0), None);
        assert_eq!(Version::from_hex(0x1_030b_07f0), None);
    }

    #[test]
    fn maps_are_read_with_spaces_in_paths_and_without_files() {
        let text = "7f00-7f10 r--p 00001000 fe:00 42                         /opt/my python/bin/python3.11\n\
                    7f20-7f30 rw-p 00000000 00:00 0 \n\
                    7f40-7f50 rw-p 00000000 00:00 0                          [heap]\n";
        let expected = Mapping {
            start: 0x7f00,
            end: 0x7f10,
            offset: 0x1000,
            inode: 42,
            path: "/opt/my python/bin/python3.11".into(),
        };
        assert_eq!(parse_maps(text), [expected]);
    }

    #[test]
    fn the_shift_is_zero_for_a_program_at_fixed_addresses() {
        let segments = [Segment { offset: 0x1c40, address: 0x40_1c40 }];
        let part = Mapping { start: 0x40_1000, end: 0x40_2000, offset: 0x1000, inode: 1, path: "/python".into() };
        assert_eq!(load_shift(&segments, &[&part]), Some(0));
        let moved = Mapping { start: 0x7000_0040_1000, ..part };
        assert_eq!(load_shift(&segments, &[&moved]), Some(0x7000_0000_0000));
    }
}
