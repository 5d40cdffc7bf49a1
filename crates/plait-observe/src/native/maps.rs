//! What code is mapped into a process, and where.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use crate::Pid;

/// The kernel's own library, which it maps into every process and which is no file.
pub(super) const VDSO: &str = "[vdso]";

/// A stretch of a file, or of the vDSO, that is mapped to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub start: u64,
    pub end: u64,
    /// Where in the file it begins.
    pub offset: u64,
    pub inode: u64,
    pub path: String,
}

/// The code of a process, ordered by address.
pub(super) fn of(pid: Pid) -> io::Result<Vec<Mapping>> {
    fs::read(format!("/proc/{pid}/maps")).map(|maps| parse(&String::from_utf8_lossy(&maps)))
}

/// Where a file's data is mapped in a process, to read or to write.
pub(super) fn data(pid: Pid, inode: u64, path: &str) -> io::Result<Vec<Range<u64>>> {
    let maps = fs::read(format!("/proc/{pid}/maps"))?;
    let maps = String::from_utf8_lossy(&maps);
    let all = lines(&maps).filter(|(rights, _)| rights.starts_with('r') && !rights.contains('x'));
    Ok(all.filter(|(_, of)| of.inode == inode && of.path == path).map(|(_, of)| of.start..of.end).collect())
}

fn parse(text: &str) -> Vec<Mapping> {
    let is_code = |mapping: &Mapping| mapping.path.starts_with('/') || mapping.path == VDSO;
    let code = lines(text).filter(|(rights, mapping)| rights.contains('x') && is_code(mapping));
    let mut mappings: Vec<Mapping> = code.map(|(_, mapping)| mapping).collect();
    mappings.sort_by_key(|mapping| mapping.start);
    mappings
}

/// What is mapped, with its rights.
fn lines(text: &str) -> impl Iterator<Item = (&str, Mapping)> {
    text.lines().filter_map(line)
}

fn line(line: &str) -> Option<(&str, Mapping)> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let offset = words.next()?;
    let _device = words.next()?;
    let inode = words.next()?.parse().ok()?;
    let path = words.next()?.trim_start();
    let hex = |word| u64::from_str_radix(word, 16).ok();
    let (start, end, offset) = (hex(start)?, hex(end)?, hex(offset)?);
    (start < end).then(|| (rights, Mapping { start, end, offset, inode, path: path.to_owned() }))
}

impl Mapping {
    /// The name of its file, which says `(deleted)` if it was.
    pub fn name(&self) -> &str {
        let path = self.path.strip_suffix(" (deleted)").unwrap_or(&self.path);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// Opens the very file that is mapped, also when the process sees other file systems or the file was replaced since.
    pub fn open(&self, pid: Pid) -> io::Result<File> {
        if let Ok(file) = File::open(format!("/proc/{pid}/root{}", self.path))
            && file.metadata()?.ino() == self.inode
        {
            return Ok(file);
        }
        // Needs privileges, and finds deleted and replaced files, too.
        File::open(format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_and_data_is_not() {
        let text = "7f20-7f30 r-xp 00001000 fe:00 42                         /opt/my lib/libpython3.11.so.1.0\n\
                    7f00-7f10 r--p 00000000 fe:00 42                         /opt/my lib/libpython3.11.so.1.0\n\
                    7f40-7f50 rwxp 00000000 00:00 0 \n\
                    7f60-7f70 r-xp 00000000 00:00 0                          [vdso]\n\
                    1000-2000 r-xp 00000000 fe:00 43                         /tmp/gone.so (deleted)\n\
                    nonsense\n9-8 r-xp 0 0 0 /x\n";
        let found = parse(text);
        let [gone, python, vdso] = &found[..] else { panic!("{found:?}") };
        assert_eq!((gone.start, gone.name()), (0x1000, "gone.so"));
        let expected = Mapping { start: 0x7f20, end: 0x7f30, offset: 0x1000, inode: 42, path: python.path.clone() };
        assert_eq!(*python, expected);
        assert_eq!(python.name(), "libpython3.11.so.1.0");
        assert_eq!(vdso.name(), VDSO);
    }

    #[test]
    fn fuzz_maps() {
        let maps = fs::read("/proc/self/maps").unwrap();
        let few =
            b"7f00-7f10 r-xp 00001000 08:01 42 /lib/a b.so (deleted)\n7f20-7f30 rw-s 0 00:01 7 /memfd:x\n".to_vec();
        plait_trace::fuzz::fuzz("maps", env!("CARGO_MANIFEST_DIR"), &[maps, few], |bytes| {
            for mapping in parse(&String::from_utf8_lossy(bytes)) {
                assert!(mapping.start < mapping.end && mapping.name().len() <= mapping.path.len());
            }
        });
    }
}
