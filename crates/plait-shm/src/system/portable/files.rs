//! Objects of `shm_open` that lose their name at once. POSIX says of them that they can be mapped and have a length, and no more: bytes are written
//! and read through mappings.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FallocateFlags, Mode};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::shm;

use super::Portable;
use crate::segment::Mapping;
use crate::system::{Files, calls};

impl Files for Portable {
    /// Who is killed between the two calls leaves an empty object behind.
    fn create(name: &str) -> io::Result<OwnedFd> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        loop {
            // macOS has room for 31 bytes.
            let name = format!("/{name}-{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            match shm::open(&*name, flags, Mode::RUSR | Mode::WUSR) {
                // Of an earlier process with this id.
                Err(Errno::EXIST) => {}
                made => {
                    // Closed on exec, as POSIX says of it.
                    let made = made?;
                    shm::unlink(&*name)?;
                    return Ok(made);
                }
            }
        }
    }

    /// Shared memory need not be a file that can be read.
    fn private(_name: &str) -> io::Result<File> {
        tempfile::tempfile()
    }

    /// There is no such thing. (macOS refuses to change a length a second time.)
    fn seal(_file: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    /// All that can be told is that nobody can find it by a name.
    fn is_sealed(file: BorrowedFd<'_>) -> bool {
        calls::fstat(file).is_ok_and(|file| file.st_nlink == 0)
    }

    /// Systems that do not know this of a shared object give it memory as it is touched.
    fn fill(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len)) {
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NODEV | Errno::NOTTY) => Ok(()),
            filled => Ok(filled?),
        }
    }

    fn punch(_file: BorrowedFd<'_>, _offset: u64, _len: u64) -> bool {
        false
    }

    fn write(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        Self::fill(file, offset, bytes.len() as u64)?;
        let (mapping, lead) = window(file, offset, bytes.len(), ProtFlags::READ | ProtFlags::WRITE)?;
        // SAFETY: `lead` and as many bytes lie within the new mapping, which is writable. By the protocols of this crate nobody else
        // uses them now, as they may not while somebody writes by a system call.
        unsafe { mapping.base().add(lead).as_ptr().copy_from(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    fn read(file: BorrowedFd<'_>, into: &mut [u8], offset: u64) -> io::Result<()> {
        if into.is_empty() {
            return Ok(());
        }
        let (mapping, lead) = window(file, offset, into.len(), ProtFlags::READ)?;
        // SAFETY: as above, and it is readable; all bytes are numbers.
        unsafe { into.as_mut_ptr().copy_from(mapping.base().add(lead).as_ptr(), into.len()) };
        Ok(())
    }

    fn omit_from_dumps(_mapping: &Mapping) {}

    fn populate(_mapping: &Mapping) {}

    /// Nobody can tell.
    fn is_unwritten(_at: usize, _len: usize) -> bool {
        false
    }
}

/// The pages of a part of the file, and where in them it begins. No access to what lies behind the end would be an error.
fn window(file: BorrowedFd<'_>, offset: u64, len: usize, protection: ProtFlags) -> io::Result<(Mapping, usize)> {
    let size = calls::fstat(file)?.st_size as u64;
    if offset.checked_add(len as u64).is_none_or(|end| end > size) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let lead = (offset % rustix::param::page_size() as u64) as usize;
    let mapping = Mapping::part(file.as_fd(), offset - lead as u64, lead + len, protection, MapFlags::SHARED)?;
    Ok((mapping, lead))
}
