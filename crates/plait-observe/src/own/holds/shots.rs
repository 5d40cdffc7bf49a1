//! Having C functions named by another process, for none can stop a thread of its own.
//!
//! That process is a child which has been started for it. It is asked through one pipe and answers through another; it ends when
//! it is told so by a question of zeros, or when the pipe ends, or its parent. A question is eight bytes: its number and the thread. An answer is 16, the number, the length
//! of the text and the moment at which the thread was looked at (`CLOCK_MONOTONIC`), and then the text: `=` and the name of the function,
//! or `-` and why there is none.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PTracer, Pid as ProcessId, PidfdFlags, pidfd_open, set_ptracer};

use super::monotonic;
use crate::Pid;
use crate::native::{NativeStack, Natives, NoShot};

/// What is told in place of a function when Python itself collects garbage.
const COLLECTING: &str = "garbage collection";
/// More of a name is of no use.
const LONGEST: usize = 4096;

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// When the thread was looked at.
    pub at: u64,
    /// The C function; `None` when no symbol names it. Or why there was no looking.
    pub function: Result<Option<String>, String>,
}

/// The child that names functions, as its parent knows it.
#[derive(Debug)]
pub struct Namer {
    to: File,
    from: File,
    numbers: u32,
    received: Vec<u8>,
    answers: Vec<(u32, Answer)>,
    broken: bool,
}

impl Namer {
    /// The child `pid` runs [`name_functions`] at the other ends of these pipes. Lets it look into this process.
    ///
    /// # Errors
    /// The system's, when a pipe cannot be made fit for it.
    pub fn new(pid: Pid, to: OwnedFd, from: OwnedFd) -> io::Result<Self> {
        for pipe in [&to, &from] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        if let Some(pid) = i32::try_from(pid).ok().and_then(ProcessId::from_raw) {
            // Refused where the kernel lets every process look into others of its user.
            let _ = set_ptracer(PTracer::ProcessID(pid));
        }
        let (to, from) = (to.into(), from.into());
        Ok(Self { to, from, numbers: 0, received: Vec::new(), answers: Vec::new(), broken: false })
    }

    /// Asks what `tid` does just now; `None` when there is nobody to ask.
    pub(super) fn ask(&mut self, tid: Pid) -> Option<u32> {
        self.numbers = self.numbers.wrapping_add(1).max(1);
        let mut question = [0; 8];
        question[..4].copy_from_slice(&self.numbers.to_ne_bytes());
        question[4..].copy_from_slice(&tid.to_ne_bytes());
        // A pipe takes eight bytes as a whole, or is full since nobody reads.
        self.broken |= self.to.write(&question).ok() != Some(question.len());
        (!self.broken).then_some(self.numbers)
    }

    /// Reads what has been answered.
    pub(super) fn listen(&mut self) {
        let mut bytes = [0; 4096];
        while !self.broken {
            match self.from.read(&mut bytes) {
                Ok(0) => self.broken = true,
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken = error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        while let Some((number, answer, used)) = parse(&self.received) {
            self.received.drain(..used);
            self.answers.push((number, answer));
        }
    }

    /// The answer to a question, if it has come.
    pub(super) fn take(&mut self, number: u32) -> Option<Answer> {
        let at = self.answers.iter().position(|(answered, _)| *answered == number)?;
        let answer = self.answers.swap_remove(at).1;
        // Those before it came in vain: what they were about was over.
        self.answers.retain(|(answered, _)| answered.wrapping_sub(number) < u32::MAX / 2);
        Some(answer)
    }

    /// Whether no more answers will come.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }
}

impl Drop for Namer {
    /// Has the child end. A process that was forked meanwhile may have the pipe, too, so that it does not end.
    fn drop(&mut self) {
        let _ = self.to.write(&[0; 8]);
    }
}

/// The first whole answer, and its length in bytes.
fn parse(bytes: &[u8]) -> Option<(u32, Answer, usize)> {
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word));
    let (number, len) = (word(0)?, (word(4)? as usize).min(LONGEST));
    let at = u64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    let text = String::from_utf8_lossy(bytes.get(16..16 + len)?);
    let function = match text.split_at_checked(1) {
        Some(("=", name)) => Ok((!name.is_empty()).then(|| name.to_owned())),
        Some(("-", why)) => Err(why.to_owned()),
        _ => Err("an answer that nobody understands".to_owned()),
    };
    Some((number, Answer { at, function }, 16 + len))
}

fn encode(number: u32, at: u64, shot: &Result<NativeStack, NoShot>) -> Vec<u8> {
    let mut text = match shot {
        Ok(NativeStack { function: Some(function), .. }) => format!("={function}"),
        // It begins wherever enough objects were made, so no function is to blame.
        Ok(NativeStack { collecting: true, .. }) => format!("={COLLECTING}"),
        Ok(_) => "=".to_owned(),
        Err(why) => format!("-{why}"),
    };
    let end = (0..=LONGEST.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
    let mut bytes = Vec::with_capacity(16 + text.len());
    bytes.extend(number.to_ne_bytes());
    bytes.extend((text.len() as u32).to_ne_bytes());
    bytes.extend(at.to_ne_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// The life of the child: names functions of threads of `parent` until there is nobody to ask for it.
///
/// # Errors
/// The system's, when the pipes break otherwise than by their end.
pub fn name_functions(parent: Pid, questions: OwnedFd, answers: OwnedFd) -> io::Result<()> {
    // The pipe may live on in a process that was forked from the parent.
    let gone = i32::try_from(parent).ok().and_then(ProcessId::from_raw);
    let gone = gone.map(|pid| pidfd_open(pid, PidfdFlags::empty())).transpose();
    let gone = match gone {
        Ok(gone) => gone,
        Err(Errno::SRCH) => return Ok(()),
        // A kernel that is too old for it.
        Err(_) => None,
    };
    let mut natives = Natives::new(parent);
    let (mut questions, mut answers) = (File::from(questions), File::from(answers));
    loop {
        let mut waits = vec![PollFd::new(&questions, PollFlags::IN)];
        waits.extend(gone.as_ref().map(|gone| PollFd::new(gone, PollFlags::IN)));
        match poll(&mut waits, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if waits.get(1).is_some_and(|gone| !gone.revents().is_empty()) {
            return Ok(());
        }
        let mut question = [0; 8];
        match questions.read_exact(&mut question) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let [number, tid] = [0, 4].map(|at| u32::from_ne_bytes(*question[at..].first_chunk().expect("4 bytes")));
        if number == 0 {
            return Ok(());
        }
        let at = monotonic();
        let shot = natives.shot(tid);
        match answers.write_all(&encode(number, at, &shot)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn native(function: Option<&str>) -> NativeStack {
        let function = function.map(str::to_owned);
        NativeStack { function, natives: Vec::new(), collecting: false, pause: Duration::ZERO }
    }

    #[test]
    fn answers_come_back_in_pieces_and_in_any_number() {
        let shots = [
            Ok(native(Some("_sre_SRE_Pattern_findall"))),
            Ok(native(None)),
            Err(NoShot::Ended { tid: 7 }),
            Ok(NativeStack { collecting: true, ..native(None) }),
            Ok(native(Some(&"é".repeat(9000)))),
        ];
        let bytes: Vec<u8> = shots.iter().zip(1..).flat_map(|(shot, number)| encode(number, 70, shot)).collect();
        let (mut seen, mut received) = (Vec::new(), Vec::new());
        for byte in bytes {
            received.push(byte);
            while let Some((number, answer, used)) = parse(&received) {
                received.drain(..used);
                assert_eq!((number as usize, answer.at), (seen.len() + 1, 70));
                seen.push(answer.function);
            }
        }
        assert_eq!(seen[0], Ok(Some("_sre_SRE_Pattern_findall".to_owned())));
        assert_eq!(seen[1], Ok(None));
        assert_eq!(seen[2], Err("thread 7 has ended".to_owned()));
        assert_eq!(seen[3], Ok(Some(COLLECTING.to_owned())));
        assert!(matches!(&seen[4], Ok(Some(name)) if name.len() > 4000 && name.chars().all(|letter| letter == 'é')));
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn a_child_that_is_gone_is_not_asked() {
        let (child_from, to) = rustix::pipe::pipe().expect("a pipe");
        let (from, child_to) = rustix::pipe::pipe().expect("a pipe");
        let mut namer = Namer::new(std::process::id(), to, from).expect("fit for it");
        assert_eq!(namer.ask(7), Some(1));
        namer.listen();
        assert!(!namer.is_broken() && namer.take(1).is_none());
        drop((child_from, child_to));
        namer.listen();
        assert!(namer.is_broken());
        assert_eq!(namer.ask(7), None);
    }

    #[test]
    fn a_thread_that_ended_is_told_of() {
        let (questions, to) = rustix::pipe::pipe().expect("a pipe");
        let (from, answers) = rustix::pipe::pipe().expect("a pipe");
        let mut namer = Namer::new(std::process::id(), to, from).expect("fit for it");
        let child = std::thread::spawn(move || name_functions(std::process::id(), questions, answers));
        let before = monotonic();
        let number = namer.ask(Pid::MAX - 1).expect("it listens");
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let answer = loop {
            namer.listen();
            if let Some(answer) = namer.take(number) {
                break answer;
            }
            assert!(std::time::Instant::now() < deadline, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        };
        assert!(answer.function.is_err() && (before..=monotonic()).contains(&answer.at), "{answer:?}");
        // As in a process that was forked meanwhile.
        let _pipe = namer.to.try_clone().expect("a descriptor");
        drop(namer);
        child.join().expect("ends").expect("in good order");
    }
}
