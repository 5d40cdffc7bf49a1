//! What a program file says of its code: how to unwind it, and the names of its functions.
//!
//! Read when a stack first touches the file, and only these parts of it. Nothing in a file is trusted: what is out of
//! bounds is as good as absent.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use object::elf::{FileHeader64, PF_X, PT_LOAD, SHT_DYNSYM, SHT_NOBITS, SHT_SYMTAB, SectionType};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable};
use object::{Endianness, ReadCache, ReadRef};

use super::maps::{Mapping, VDSO};
use super::methods::{self, Data, Methods};
use super::symbols::{Bytes, Symbols};
use super::{rule, split};

/// Larger parts of a file are left unread.
const LARGEST_PART: u64 = 256 << 20;
/// Addresses are looked up relative to the first, in four bytes.
const LARGEST_IMAGE: u64 = u32::MAX as u64;

/// A part of a file, and at which of the file's own addresses it lies.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub address: u64,
    pub bytes: Arc<[u8]>,
}

/// What a program file says of its code.
#[derive(Debug)]
pub(super) struct Image {
    /// The lowest address, page-aligned.
    pub base: u64,
    pub eh_frame: Option<Part>,
    pub eh_frame_hdr: Option<Part>,
    code: Vec<Segment>,
    symbols: Symbols,
    bytes: Bytes,
    is_interpreter: OnceLock<bool>,
    /// What was cut off the evaluation loop.
    rest: OnceLock<Option<Range<u64>>>,
    methods: OnceLock<Methods>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Image {
    /// What `file` says. Processes mostly run the same files, and share what was read of them.
    pub fn of_file(file: File) -> Option<Arc<Self>> {
        static READ: LazyLock<Mutex<HashMap<FileId, Weak<Image>>>> = LazyLock::new(Mutex::default);
        let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let id = FileId {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            changed: (about.mtime(), about.mtime_nsec()),
        };
        if let Some(image) = lock(&READ).get(&id).and_then(Weak::upgrade) {
            return Some(image);
        }
        // Not under the lock: reading a large file takes long.
        let again = file.try_clone().ok()?;
        let image = Arc::new(Self::parse(&ReadCache::new(file), Bytes::File(again, id.size))?);
        let mut read = lock(&READ);
        read.retain(|_, image| image.strong_count() > 0);
        read.insert(id, Arc::downgrade(&image));
        Some(image)
    }

    /// What the vDSO says, of which these are the bytes.
    pub fn of_memory(bytes: Vec<u8>) -> Option<Arc<Self>> {
        Self::parse(bytes.as_slice(), Bytes::Memory(bytes.clone())).map(Arc::new)
    }

    fn parse<'d, R: ReadRef<'d>>(data: R, bytes: Bytes) -> Option<Self> {
        let header = FileHeader64::<Endianness>::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let loaded = header.program_headers(endian, data).ok()?.iter().filter(|part| part.p_type(endian) == PT_LOAD);
        let base = page_floor(loaded.clone().map(|part| part.p_vaddr(endian)).min()?);
        let code = loaded.filter(|part| part.p_flags(endian).0 & PF_X.0 != 0);
        let code = code.map(|part| Segment {
            offset: part.p_offset(endian),
            address: part.p_vaddr(endian),
            size: part.p_filesz(endian),
        });
        let code = code.filter(|part| part.address.saturating_add(part.size) - base <= LARGEST_IMAGE).collect();
        let sections = header.sections(endian, data).ok()?;
        let part = |name: &[u8]| {
            let (_, section) = sections.section_by_name(endian, name)?;
            let size = section.sh_size(endian);
            let there = section.sh_type(endian) != SHT_NOBITS && size <= LARGEST_PART;
            let read = there.then(|| bytes.read(section.sh_offset(endian), size)).flatten()?;
            Some(Part { address: section.sh_addr(endian), bytes: read.into() })
        };
        let (eh_frame, eh_frame_hdr) = (part(b".eh_frame"), part(b".eh_frame_hdr"));
        // Stripped files keep the names that others use.
        let symbols = [SHT_SYMTAB, SHT_DYNSYM].into_iter().find_map(|kind| symbols(&sections, endian, kind, &bytes));
        let symbols = symbols.unwrap_or_default();
        Some(Self {
            base,
            eh_frame,
            eh_frame_hdr,
            code,
            symbols,
            bytes,
            is_interpreter: OnceLock::new(),
            rest: OnceLock::new(),
            methods: OnceLock::new(),
        })
    }

    /// Whether CPython's own functions are here. Not for any file: to look means to read all names.
    pub fn is_interpreter(&self) -> bool {
        *self.is_interpreter.get_or_init(|| self.has(rule::OF_THE_INTERPRETER))
    }

    /// What must be added to the file's own addresses to get those of `mapping`.
    pub fn shift(&self, mapping: &Mapping) -> Option<u64> {
        if mapping.path == VDSO {
            return Some(mapping.start.wrapping_sub(self.base));
        }
        self.code.iter().find_map(|segment| {
            let first = page_floor(segment.offset);
            let within = (first..segment.offset.checked_add(segment.size)?).contains(&mapping.offset);
            let address = page_floor(segment.address).checked_add(mapping.offset.wrapping_sub(first))?;
            within.then(|| mapping.start.wrapping_sub(address))
        })
    }

    /// The symbol at one of the file's own addresses.
    pub fn symbol(&self, address: u64) -> Option<String> {
        self.symbols.name(&self.bytes, address)
    }

    /// What Python calls the function that begins at one of the file's own addresses. `data` reads the file's data as it is
    /// mapped in some process, where it is `shift` further up; it is asked once.
    pub fn method(&self, start: u64, shift: u64, data: impl FnOnce() -> Option<Data>) -> Option<&str> {
        if self.methods.get().is_none() {
            let is_function = |address: u64| {
                let own = address.wrapping_sub(shift);
                self.described(own).is_some_and(|code| code.start == own)
            };
            let found = methods::read(&data()?, is_function);
            let _ = self.methods.set(found.into_iter().map(|(at, name)| (at.wrapping_sub(shift), name)).collect());
        }
        self.methods.get()?.get(&start).map(String::as_str)
    }

    /// Whether there is a function of this name. Reads all names.
    pub fn has(&self, function: &str) -> bool {
        self.symbols.find(&self.bytes, function).is_some()
    }

    /// Whether one of the file's own addresses lies in a part of the evaluation loop that has no name.
    pub fn is_in_rest_of_evaluation(&self, address: u64) -> bool {
        let rest = self.rest.get_or_init(|| {
            let whole = self.symbols.find(&self.bytes, rule::EVALUATION)?;
            let segment = self.code.iter().find(|segment| {
                (segment.address..segment.address.saturating_add(segment.size)).contains(&whole.start)
            })?;
            let size = (whole.end - whole.start).min(LARGEST_PART);
            let code = self.bytes.read(segment.offset.checked_add(whole.start - segment.address)?, size)?;
            split::rest(&code, whole.start, self.eh_frame.as_ref()?, |address| self.description(address))
        });
        rest.as_ref().is_some_and(|rest| rest.contains(&address))
    }

    /// The stretch of code around `address` whose unwinding the file describes; for all but hand-written and split code, a
    /// function. Found by the index that the linker makes, for files that name no functions as well.
    pub fn described(&self, address: u64) -> Option<Range<u64>> {
        self.description(address).map(|(range, _)| range)
    }

    /// The same, and where in `eh_frame` that is.
    fn description(&self, address: u64) -> Option<(Range<u64>, usize)> {
        // Version 1; 4-byte numbers, those in the table relative to the part's own address.
        const FORM: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        const HEADER_BYTES: usize = 12;
        let index = self.eh_frame_hdr.as_ref()?;
        (index.bytes.get(..4)? == FORM).then_some(())?;
        let count = (index.number(8)?.cast_unsigned() as usize).min(index.bytes.len() / 8);
        let entry = |at: usize| {
            let (start, description) = (index.number(HEADER_BYTES + 8 * at)?, index.number(HEADER_BYTES + 8 * at + 4)?);
            Some((
                index.address.wrapping_add_signed(start.into()),
                index.address.wrapping_add_signed(description.into()),
            ))
        };
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            if entry(middle)?.0 <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let (start, description) = entry(low.checked_sub(1)?)?;
        // Length, distance to what is common, start relative to where that stands, size.
        let eh_frame = self.eh_frame.as_ref()?;
        let at = usize::try_from(description.checked_sub(eh_frame.address)?).ok()?;
        let stated = description.wrapping_add(8).wrapping_add_signed(eh_frame.number(at.checked_add(8)?)?.into());
        let size = eh_frame.number(at.checked_add(12)?)?.cast_unsigned();
        let range = start..start.checked_add(size.into())?;
        (stated == start && range.contains(&address)).then_some((range, at))
    }
}

impl Part {
    fn number(&self, at: usize) -> Option<i32> {
        Some(i32::from_le_bytes(self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }
}

fn symbols<'d, R: ReadRef<'d>>(
    sections: &SectionTable<'d, FileHeader64<Endianness>, R>,
    endian: Endianness,
    kind: SectionType,
    bytes: &Bytes,
) -> Option<Symbols> {
    let table = sections.iter().find(|section| section.sh_type(endian) == kind)?;
    let names = sections.iter().nth(table.sh_link(endian) as usize)?;
    let names = (names.sh_offset(endian), names.sh_size(endian));
    let size = table.sh_size(endian);
    (size <= LARGEST_PART && names.1 <= LARGEST_PART).then_some(())?;
    Some(Symbols::parse(&bytes.read(table.sh_offset(endian), size)?, names))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn page_floor(address: u64) -> u64 {
    address & !(rustix::param::page_size() as u64 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").expect("our own program")
    }

    #[test]
    fn a_program_tells_its_functions_and_where_they_begin() {
        let image = Image::of_file(File::open("/proc/self/exe").expect("opens")).expect("a program");
        let again = Image::of_file(File::open("/proc/self/exe").expect("opens")).expect("a program");
        assert!(Arc::ptr_eq(&image, &again), "read once");
        assert!(!image.is_interpreter());
        let mapping = super::super::maps::of(std::process::id()).expect("our maps");
        let here = own_address();
        let mapping = mapping.iter().find(|mapping| (mapping.start..mapping.end).contains(&here)).expect("is mapped");
        let address = here.wrapping_sub(image.shift(mapping).expect("of this file"));
        let symbol = image.symbol(address).expect("has a name");
        assert!(symbol.contains("own_address"), "{symbol}");
        assert_eq!(image.described(address + 1).expect("has a start").start, address);
    }

    #[inline(never)]
    fn own_address() -> u64 {
        (own_address as fn() -> u64 as *const ()).addr() as u64
    }

    #[test]
    fn what_is_no_program_or_a_damaged_one_says_nothing_or_less() {
        assert!(Image::of_memory(Vec::new()).is_none());
        assert!(Image::of_memory(b"#!/bin/sh\n".repeat(100)).is_none());
        assert!(Image::of_file(File::open("/dev/null").expect("opens")).is_none());
        let whole = own();
        for cut in [16, 64, 200, 4096, whole.len() / 2, whole.len() - 1] {
            if let Some(image) = Image::of_memory(whole[..cut].to_vec()) {
                assert_eq!(image.symbol(0), None);
            }
        }
        // Every byte of the headers overwritten in turn: no panic, and no bytes from elsewhere.
        let head: Vec<u8> = whole[..whole.len().min(64 << 10)].to_vec();
        for at in 16..200 {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = head.clone();
                damaged[at] = value;
                if let Some(image) = Image::of_memory(damaged) {
                    image.symbol(0x1234);
                    image.described(u64::MAX);
                }
            }
        }
    }

    #[test]
    fn a_mapping_of_a_part_of_a_segment_has_the_same_shift() {
        let image = Image {
            base: 0x40_0000,
            eh_frame: None,
            eh_frame_hdr: None,
            code: vec![Segment { offset: 0x1c40, address: 0x40_1c40, size: 0x5000 }],
            symbols: Symbols::default(),
            bytes: Bytes::Memory(Vec::new()),
            is_interpreter: OnceLock::new(),
            rest: OnceLock::new(),
            methods: OnceLock::new(),
        };
        let whole = Mapping { start: 0x40_1000, end: 0x40_7000, offset: 0x1000, inode: 1, path: "/python".into() };
        assert_eq!(image.shift(&whole), Some(0));
        let part = Mapping { start: 0x7000_0040_3000, offset: 0x3000, ..whole.clone() };
        assert_eq!(image.shift(&part), Some(0x7000_0000_0000));
        assert_eq!(image.shift(&Mapping { offset: 0x9000, ..whole }), None);
    }

    /// The kernel's own library, a whole one in a few pages.
    fn vdso() -> Vec<u8> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.ends_with("[vdso]")).unwrap();
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut bytes = vec![0; (end - start) as usize];
        let memory = File::open("/proc/self/mem").unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, start).unwrap();
        bytes
    }

    #[test]
    fn fuzz_elf() {
        plait_trace::fuzz::fuzz("elf", env!("CARGO_MANIFEST_DIR"), &[vdso()], |bytes| {
            let Some(image) = Image::of_memory(bytes.to_vec()) else { return };
            let mapping =
                Mapping { start: 0x1000, end: 0x3000, offset: 0, inode: 0, path: super::super::maps::VDSO.into() };
            let _ = image.shift(&mapping);
            for address in [0, 0x800, u64::MAX] {
                let _ = (image.symbol(address), image.described(address), image.is_in_rest_of_evaluation(address));
            }
            assert!(!image.has("a function that no kernel has"));
        });
    }
}
