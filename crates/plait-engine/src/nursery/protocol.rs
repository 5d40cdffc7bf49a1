//! What parent and nursery say to each other on their socket: one packet a message, descriptors beside it.
//!
//! The socket is `SOCK_SEQPACKET`, so a packet arrives whole or not at all. Descriptors travel by `SCM_RIGHTS`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The most descriptors one message carries.
pub const MAX_FDS: usize = 8;

/// Parent to nursery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Here is a process descriptor of the parent: end when it does. Always the first message.
    Hello,
    /// Fork a worker and hand it the descriptors that come along.
    Fork {
        /// The parent's name for the worker, used in the answers.
        key: u64,
    },
}

/// Nursery to parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The worker lives; its process descriptor comes along.
    Forked {
        /// The key of the request.
        key: u64,
        /// Its process id.
        pid: i32,
    },
    /// The fork failed.
    Failed {
        /// The key of the request.
        key: u64,
        /// The system's reason.
        errno: i32,
    },
    /// The worker has ended and was reaped.
    Ended {
        /// The key of the request.
        key: u64,
        /// How.
        exit: Exit,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// Nobody could tell (the nursery ended before it).
    Unknown,
}

/// One packet: a tag and two numbers.
type Packet = [u8; 20];

fn packet(tag: i32, key: u64, a: i32, b: i32) -> Packet {
    let mut out = [0; 20];
    out[0..4].copy_from_slice(&tag.to_le_bytes());
    out[4..12].copy_from_slice(&key.to_le_bytes());
    out[12..16].copy_from_slice(&a.to_le_bytes());
    out[16..20].copy_from_slice(&b.to_le_bytes());
    out
}

fn unpack(bytes: &Packet) -> (i32, u64, i32, i32) {
    let word = |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let key = u64::from(word(4) as u32) | u64::from(word(8) as u32) << 32;
    (word(0), key, word(12), word(16))
}

impl Request {
    fn encode(self) -> Packet {
        match self {
            Self::Hello => packet(1, 0, 0, 0),
            Self::Fork { key } => packet(2, key, 0, 0),
        }
    }

    fn decode(bytes: &Packet) -> io::Result<Self> {
        match unpack(bytes) {
            (1, ..) => Ok(Self::Hello),
            (2, key, ..) => Ok(Self::Fork { key }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Report {
    fn encode(self) -> Packet {
        match self {
            Self::Forked { key, pid } => packet(1, key, pid, 0),
            Self::Failed { key, errno } => packet(2, key, errno, 0),
            Self::Ended { key, exit } => match exit {
                Exit::Code(code) => packet(3, key, 0, code),
                Exit::Signal(signal) => packet(3, key, 1, signal),
                Exit::Unknown => packet(3, key, 2, 0),
            },
        }
    }

    fn decode(bytes: &Packet) -> io::Result<Self> {
        Ok(match unpack(bytes) {
            (1, key, pid, _) => Self::Forked { key, pid },
            (2, key, errno, _) => Self::Failed { key, errno },
            (3, key, 0, code) => Self::Ended { key, exit: Exit::Code(code) },
            (3, key, 1, signal) => Self::Ended { key, exit: Exit::Signal(signal) },
            (3, key, 2, _) => Self::Ended { key, exit: Exit::Unknown },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

/// Sends a request with its descriptors.
pub fn send_request(socket: impl AsFd, request: Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send(socket, &request.encode(), fds)
}

/// Sends a report with its descriptors.
pub fn send_report(socket: impl AsFd, report: Report, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    send(socket, &report.encode(), fds)
}

/// Waits for the next request; `None` when the parent has closed its end.
pub fn recv_request(socket: impl AsFd) -> io::Result<Option<(Request, Vec<OwnedFd>)>> {
    recv(socket)?.map(|(bytes, fds)| Ok((Request::decode(&bytes)?, fds))).transpose()
}

/// Waits for the next report; `None` when the nursery has closed its end.
pub fn recv_report(socket: impl AsFd) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
    recv(socket)?.map(|(bytes, fds)| Ok((Report::decode(&bytes)?, fds))).transpose()
}

fn send(socket: impl AsFd, packet: &Packet, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &[IoSlice::new(packet)], &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

fn recv(socket: impl AsFd) -> io::Result<Option<(Packet, Vec<OwnedFd>)>> {
    let mut bytes: Packet = [0; 20];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            fds.extend(list);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.flags.contains(ReturnFlags::CTRUNC) {
        // The receiver ran out of descriptors: the kernel dropped some of them.
        return Err(rustix::io::Errno::MFILE.into());
    }
    if got.bytes != bytes.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some((bytes, fds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn messages_arrive_as_sent_with_their_descriptors() {
        let (parent, nursery) = pair();
        send_request(&parent, Request::Hello, &[parent.as_fd()]).unwrap();
        send_request(&parent, Request::Fork { key: u64::MAX - 3 }, &[]).unwrap();
        let (request, fds) = recv_request(&nursery).unwrap().unwrap();
        assert_eq!((request, fds.len()), (Request::Hello, 1));
        let (request, fds) = recv_request(&nursery).unwrap().unwrap();
        assert_eq!((request, fds.len()), (Request::Fork { key: u64::MAX - 3 }, 0));

        let reports = [
            Report::Forked { key: 7, pid: 4711 },
            Report::Failed { key: 8, errno: 11 },
            Report::Ended { key: 9, exit: Exit::Code(3) },
            Report::Ended { key: 10, exit: Exit::Signal(9) },
            Report::Ended { key: 11, exit: Exit::Unknown },
        ];
        for report in reports {
            send_report(&nursery, report, &[]).unwrap();
            assert_eq!(recv_report(&parent).unwrap().unwrap().0, report);
        }
    }

    #[test]
    fn a_closed_end_reads_as_the_end() {
        let (parent, nursery) = pair();
        drop(parent);
        assert!(recv_request(&nursery).unwrap().is_none());
    }
}
