//! Shots at live Pythons: the right names, and targets that notice nothing.

use std::thread;
use std::time::{Duration, Instant};

use super::{NativeStack, Natives, NoShot};
use crate::Pid;
use crate::scripts::{Interpreter, Script, supported};

mod life;
mod names;
mod others;

/// Whatever is waited for is given up after so long.
const LONG: Duration = Duration::from_secs(60);

/// Tells its own thread first, as the scripts of these tests do; the observer shoots at that one.
fn start(interpreter: &Interpreter, work: &str) -> (Script, Pid) {
    let source = format!("say('ready'); say(threading.get_native_id())\n{work}");
    let mut script = Script::start(interpreter, &source);
    let [tid] = script.numbers()[..] else { panic!("one number") };
    (script, tid)
}

/// One shot that hits; on a busy machine some targets get no processor to stop on.
fn hit(natives: &mut Natives, tid: Pid) -> NativeStack {
    let began = Instant::now();
    loop {
        match natives.shot(tid) {
            Ok(hit) => return hit,
            Err(NoShot::Busy { .. }) => {}
            Err(refused) => panic!("{refused}"),
        }
        assert!(began.elapsed() < LONG, "no hit");
    }
}

/// Shoots until `count` shots have hit, and hands over those.
fn shots(script: &mut Script, tid: Pid, count: usize) -> Vec<NativeStack> {
    let mut natives = Natives::new(script.pid());
    let mut hits = Vec::new();
    while hits.len() < count {
        assert!(script.is_running(), "the script ended");
        hits.push(hit(&mut natives, tid));
        // Not in step with what the program repeats.
        thread::sleep(Duration::from_millis(1 + 3 * (hits.len() as u64 % 5)));
    }
    hits
}
