//! What parent and nursery say to each other on their socket: one packet a message, descriptors beside it.
//!
//! The socket is `SOCK_SEQPACKET`, so a packet arrives whole or not at all; where there is none it is a stream, of packets that are all of one
//! length, and less than what goes into a socket's buffer at once. Descriptors travel by `SCM_RIGHTS`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use rustix::process::Signal;

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
    /// Send a worker a signal, if it lives. For a parent that has no process descriptor of it, or not yet.
    Signal {
        /// The key of the worker's `Fork`.
        key: u64,
        /// The signal's number.
        signal: i32,
    },
}

/// Nursery to parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The worker lives, and says so itself, before it works: so no worker works that the parent does not know of, even
    /// if the nursery is killed after the fork. Its process descriptor comes along, if it had room for one.
    Forked {
        /// The key of the request.
        key: u64,
        /// Its process id.
        pid: i32,
    },
    /// The fork failed, or the new process could not get ready; the end of such a process may still be reported.
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
        /// The most memory it ever had resident, in bytes; 0: unknown.
        peak: u64,
    },
    /// A worker's debugger asks for the terminal. A descriptor comes along: the other end of what it talks over.
    Terminal,
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

/// What came in one packet.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// The descriptors beside it.
    pub fds: Vec<OwnedFd>,
    /// Some descriptors are missing, because the receiver could not have more.
    pub truncated: bool,
}

/// One packet: a tag, two small numbers, the key and a large number.
type Packet = [u8; 28];

fn packet(tag: i32, key: u64, a: i32, b: i32, c: u64) -> Packet {
    let mut out = [0; 28];
    out[0..4].copy_from_slice(&tag.to_le_bytes());
    out[4..8].copy_from_slice(&a.to_le_bytes());
    out[8..12].copy_from_slice(&b.to_le_bytes());
    out[12..20].copy_from_slice(&key.to_le_bytes());
    out[20..28].copy_from_slice(&c.to_le_bytes());
    out
}

fn unpack(bytes: &Packet) -> (i32, u64, i32, i32, u64) {
    fn part<const N: usize>(bytes: &Packet, at: usize) -> [u8; N] {
        std::array::from_fn(|i| bytes[at + i])
    }
    let small = |at| i32::from_le_bytes(part(bytes, at));
    let large = |at| u64::from_le_bytes(part(bytes, at));
    (small(0), large(12), small(4), small(8), large(20))
}

impl Request {
    fn encode(self) -> Packet {
        match self {
            Self::Hello => packet(1, 0, 0, 0, 0),
            Self::Fork { key } => packet(2, key, 0, 0, 0),
            Self::Signal { key, signal } => packet(3, key, signal, 0, 0),
        }
    }

    fn decode(bytes: &Packet) -> io::Result<Self> {
        match unpack(bytes) {
            (1, ..) => Ok(Self::Hello),
            (2, key, ..) => Ok(Self::Fork { key }),
            (3, key, signal, ..) => Ok(Self::Signal { key, signal }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Report {
    fn encode(self) -> Packet {
        match self {
            Self::Forked { key, pid } => packet(1, key, pid, 0, 0),
            Self::Failed { key, errno } => packet(2, key, errno, 0, 0),
            Self::Ended { key, exit, peak } => match exit {
                Exit::Code(code) => packet(3, key, 0, code, peak),
                Exit::Signal(signal) => packet(3, key, 1, signal, peak),
                Exit::Unknown => packet(3, key, 2, 0, peak),
            },
            Self::Terminal => packet(4, 0, 0, 0, 0),
        }
    }

    fn decode(bytes: &Packet) -> io::Result<Self> {
        Ok(match unpack(bytes) {
            (1, key, pid, ..) => Self::Forked { key, pid },
            (2, key, errno, ..) => Self::Failed { key, errno },
            (3, key, 0, code, peak) => Self::Ended { key, exit: Exit::Code(code), peak },
            (3, key, 1, signal, peak) => Self::Ended { key, exit: Exit::Signal(signal), peak },
            (3, key, 2, _, peak) => Self::Ended { key, exit: Exit::Unknown, peak },
            (4, ..) => Self::Terminal,
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

/// Waits for the next request; `None` when the parent has closed its end, or was killed.
pub fn recv_request(socket: impl AsFd) -> io::Result<Option<Received<Request>>> {
    recv(socket, Request::decode)
}

/// Waits for the next report; `None` when the nursery and all that it forked just now have closed their end.
pub fn recv_report(socket: impl AsFd) -> io::Result<Option<Received<Report>>> {
    recv(socket, Report::decode)
}

/// The signal of this number, also a real-time one where there are any, but none that the C library keeps for itself.
pub fn signal(number: i32) -> Option<Signal> {
    #[cfg(target_os = "linux")]
    return <Signal as rustix_libc_wrappers::process::SignalExt>::from_raw(number);
    #[cfg(not(target_os = "linux"))]
    return Signal::from_named_raw(number);
}

/// What Linux is told with each message, and other systems of each socket or descriptor.
#[cfg(target_os = "linux")]
const FLAGS: (SendFlags, RecvFlags) = (SendFlags::NOSIGNAL, RecvFlags::CMSG_CLOEXEC);
#[cfg(not(target_os = "linux"))]
const FLAGS: (SendFlags, RecvFlags) = (SendFlags::empty(), RecvFlags::empty());

/// The two ends of such a socket, closed on exec.
///
/// # Errors
/// The system's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    #[cfg(all(target_os = "linux", not(portable)))]
    return Ok(rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?);
    #[cfg(any(portable, not(target_os = "linux")))]
    return std::os::unix::net::UnixStream::pair().map(|(one, other)| (one.into(), other.into()));
}

fn send(socket: impl AsFd, packet: &Packet, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &[IoSlice::new(packet)], &mut ancillary, FLAGS.0))?;
    Ok(())
}

fn recv<M>(socket: impl AsFd, decode: impl Fn(&Packet) -> io::Result<M>) -> io::Result<Option<Received<M>>> {
    let mut bytes: Packet = [0; size_of::<Packet>()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut into = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(&socket, &mut into, &mut ancillary, FLAGS.1) {
            // The other side has gone with messages to it unread. The kernel says so once, and before it gives out what
            // that side had sent.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            got => break got?,
        }
    };
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            fds.extend(list);
        }
    }
    if !cfg!(target_os = "linux") {
        for fd in &fds {
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    if got.bytes != bytes.len() && !read_rest(&socket, &mut bytes[got.bytes..])? {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let truncated = got.flags.contains(ReturnFlags::CTRUNC);
    Ok(Some(Received { message: decode(&bytes)?, fds, truncated }))
}

/// Reads what is missing of a packet, where a stream may give it in parts; whether all of it came.
fn read_rest(socket: impl AsFd, mut rest: &mut [u8]) -> io::Result<bool> {
    if cfg!(all(target_os = "linux", not(portable))) {
        return Ok(false);
    }
    while !rest.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::read(&socket, &mut *rest))? {
            0 => return Ok(false),
            read => rest = &mut rest[read..],
        }
    }
    Ok(true)
}

// Not under Miri: descriptors in messages.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent_with_their_descriptors() {
        let (parent, nursery) = pair().unwrap();
        let requests = [
            (Request::Hello, 1),
            (Request::Fork { key: u64::MAX - 3 }, 0),
            (Request::Fork { key: 1 << 40 | 7 }, MAX_FDS),
            (Request::Signal { key: 3, signal: 64 }, 0),
        ];
        for (request, fds) in requests {
            send_request(&parent, request, &vec![parent.as_fd(); fds]).unwrap();
            let got = recv_request(&nursery).unwrap().unwrap();
            assert_eq!((got.message, got.fds.len(), got.truncated), (request, fds, false));
        }
        let reports = [
            Report::Forked { key: 7, pid: 4711 },
            Report::Failed { key: 8, errno: 11 },
            Report::Ended { key: 9, exit: Exit::Code(3), peak: u64::MAX - 1 },
            Report::Ended { key: 10, exit: Exit::Signal(9), peak: 0 },
            Report::Ended { key: 11, exit: Exit::Unknown, peak: 1 },
            Report::Terminal,
        ];
        for report in reports {
            send_report(&nursery, report, &[]).unwrap();
            assert_eq!(recv_report(&parent).unwrap().unwrap().message, report);
        }
    }

    #[test]
    fn a_closed_end_reads_as_the_end() {
        let (parent, nursery) = pair().unwrap();
        drop(parent);
        assert!(recv_request(&nursery).unwrap().is_none());
    }

    #[test]
    fn what_was_said_last_is_heard_from_an_end_closed_with_messages_unread() {
        let (parent, nursery) = pair().unwrap();
        let last = Report::Forked { key: 1, pid: 2 };
        send_request(&parent, Request::Fork { key: 2 }, &[]).unwrap();
        send_report(&nursery, last, &[io::stderr().as_fd()]).unwrap();
        drop(nursery);
        let heard = recv_report(&parent).unwrap().unwrap();
        assert_eq!((heard.message, heard.fds.len()), (last, 1));
        drop(heard);
        assert!(recv_report(&parent).unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&[0; 28][..], &[9; 28], &[1; 3]] {
            let (parent, nursery) = pair().unwrap();
            rustix::net::send(&parent, bytes, SendFlags::empty()).unwrap();
            drop(parent);
            assert_eq!(recv_request(&nursery).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn fuzz_nursery() {
        let requests = [Request::Hello, Request::Fork { key: 1 << 40 | 7 }, Request::Signal { key: 3, signal: 64 }];
        let ended = Report::Ended { key: 9, exit: Exit::Code(3), peak: u64::MAX - 1 };
        let reports = [Report::Forked { key: 7, pid: 4711 }, Report::Failed { key: 8, errno: 11 }, ended];
        let seeds = requests.map(Request::encode).into_iter().chain(reports.map(Report::encode));
        let seeds: Vec<_> = seeds.map(|packet| packet.to_vec()).collect();
        plait_trace::fuzz::fuzz("nursery", env!("CARGO_MANIFEST_DIR"), &seeds, |bytes| {
            if let Some(packet) = bytes.first_chunk() {
                if let Ok(request) = Request::decode(packet) {
                    assert_eq!(Request::decode(&request.encode()).ok(), Some(request));
                }
                if let Ok(report) = Report::decode(packet) {
                    assert_eq!(Report::decode(&report.encode()).ok(), Some(report));
                }
            }
        });
    }
}
