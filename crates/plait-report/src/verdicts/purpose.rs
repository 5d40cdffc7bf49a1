//! What a blocked thread waits for, by the Python calls it is in.
//!
//! A worker that waits for work, and a caller that waits for a result, are blocked in the same system calls as a thread that
//! waits for a lock which another holds too long, or for a slow server. The calls tell them apart.

use plait_trace::FrameKey;

use super::code::Code;

/// What a blocked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be given work, or told something: it is idle, and nobody's time is lost.
    ToBeTold,
    /// What it was blocked for itself: a lock, the network, a disk, time.
    Itself,
}

/// Calls by the end of their file's name, and of their own name; an empty name stands for all.
type Calls = &'static [(&'static str, &'static str)];

/// Where threads wait for work, for results, or for each other's end.
const TOLD: Calls = &[
    ("/concurrent/futures/thread.py", "_worker"),
    ("/concurrent/futures/process.py", ""),
    ("/concurrent/futures/_base.py", ""),
    ("/multiprocessing/pool.py", ""),
    ("/multiprocessing/queues.py", ""),
    ("/multiprocessing/managers.py", ""),
    ("/multiprocessing/process.py", "join"),
    ("/multiprocessing/forkserver.py", ""),
    ("/multiprocessing/resource_tracker.py", ""),
    ("/multiprocessing/resource_sharer.py", ""),
    ("/multiprocessing/popen_fork.py", ""),
    ("/socketserver.py", "serve_forever"),
    ("/socket.py", "accept"),
    ("/queue.py", "get"),
    ("/queue.py", "put"),
    ("/queue.py", "join"),
    ("/threading.py", "join"),
    ("/threading.py", "_join"),
    ("/threading.py", "_shutdown"),
    ("/threading.py", "_wait_for_tstate_lock"),
    ("/threading.py", "Event.wait"),
    ("/threading.py", "Barrier.wait"),
    ("/threading.py", "Barrier._wait"),
    ("/subprocess.py", ""),
    ("/plait/_worker.py", ""),
    ("/plait/_nursery.py", ""),
    ("/plait/_executor.py", ""),
    ("/plait/_map.py", ""),
    ("/joblib/parallel.py", ""),
    ("/loky/process_executor.py", ""),
    ("/ipykernel/iostream.py", ""),
    ("/zmq/utils/garbage.py", ""),
];

/// Calls that bound how many go on at a time.
const LIMITS: Calls = &[("/threading.py", "Semaphore.acquire"), ("/threading.py", "BoundedSemaphore.acquire")];

/// Calls that others are made of: what they are for, their callers know.
const PARTS: Calls = &[
    ("/threading.py", ""),
    ("/multiprocessing/synchronize.py", ""),
    ("/multiprocessing/connection.py", ""),
    ("/selectors.py", ""),
    ("/queue.py", ""),
    ("/contextlib.py", ""),
];

/// No deeper than this: what is further out is whose work it is, not what it waits for.
const DEEPEST: usize = 8;

fn is_among(calls: Calls, file: &str, function: &str) -> bool {
    let name = |own: &str| own.is_empty() || function == own || function.ends_with(own) && is_part(function, own);
    calls.iter().any(|(end, own)| (file.ends_with(end) || file == &end[1..]) && name(own))
}

/// Whether `own` is the last part of a qualified name, as `join` is of `Thread.join`.
fn is_part(function: &str, own: &str) -> bool {
    function[..function.len() - own.len()].ends_with('.')
}

/// What a thread that is blocked in these calls (innermost first) waits for.
pub(super) fn purpose(code: &Code<'_>, frames: &[FrameKey]) -> Purpose {
    let mut notified = false;
    for &key in frames.iter().take(DEEPEST) {
        let Some(frame) = code.frame(key) else { break };
        let (file, function) = (frame.file.as_str(), frame.function.as_str());
        if is_among(LIMITS, file, function) {
            return Purpose::Itself;
        }
        if is_among(TOLD, file, function) {
            return Purpose::ToBeTold;
        }
        notified |= file.ends_with("/threading.py") && function.starts_with("Condition.wait");
        if code.is_users(key) || !is_among(PARTS, file, function) {
            break;
        }
    }
    if notified { Purpose::ToBeTold } else { Purpose::Itself }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plait_trace::{Frame, Recording};

    const LIB: &str = "/usr/lib/python3.13";

    /// The purpose of the calls, innermost first: `file:function`.
    fn purpose_of(calls: &[&str]) -> Purpose {
        let frames = calls.iter().enumerate().map(|(number, call)| {
            let (file, function) = call.split_once(':').expect("file:function");
            let file = if file.starts_with('/') { file.to_owned() } else { format!("{LIB}/{file}") };
            Frame { key: FrameKey(number as u32), function: function.to_owned(), file, line: 1 }
        });
        let mut recording = Recording::default();
        recording.frames.extend(frames);
        let keys: Vec<FrameKey> = recording.frames.iter().map(|frame| frame.key).collect();
        purpose(&Code::of(&recording), &keys)
    }

    #[test]
    fn workers_without_work_and_callers_without_results_wait_to_be_told() {
        for calls in [
            &["concurrent/futures/thread.py:_worker", "threading.py:Thread.run"][..],
            &["threading.py:Condition.wait", "queue.py:Queue.get", "/srv/app.py:consume"],
            &["threading.py:Condition.wait", "concurrent/futures/_base.py:Future.result", "/srv/app.py:main"],
            &["threading.py:Thread._wait_for_tstate_lock", "threading.py:Thread.join", "/srv/app.py:main"],
            &["multiprocessing/connection.py:Connection._recv", "multiprocessing/queues.py:SimpleQueue.get"],
            &["multiprocessing/synchronize.py:SemLock.__enter__", "multiprocessing/queues.py:SimpleQueue.get"],
            &["threading.py:Condition.wait", "/srv/app.py:wait_until_ready"],
            &["threading.py:Condition.wait", "threading.py:Event.wait", "/srv/app.py:main"],
        ] {
            assert_eq!(purpose_of(calls), Purpose::ToBeTold, "{calls:?}");
        }
    }

    #[test]
    fn whoever_waits_for_a_lock_or_a_server_waits_for_that() {
        for calls in [
            &["/srv/app.py:update", "concurrent/futures/thread.py:_worker"][..],
            &["threading.py:Condition.wait", "threading.py:Semaphore.acquire", "/srv/app.py:fetch"],
            &["logging/__init__.py:Handler.acquire", "/srv/app.py:main"],
            &[
                "socket.py:SocketIO.readinto",
                "http/client.py:HTTPResponse.begin",
                "concurrent/futures/thread.py:_worker",
            ],
            &["/srv/app.py:rejoin", "threading.py:Thread.run"],
            &[],
        ] {
            assert_eq!(purpose_of(calls), Purpose::Itself, "{calls:?}");
        }
    }
}
