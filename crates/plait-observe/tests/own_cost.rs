//! What observers cost the process they live in is taken off its figures. Alone in its file: any other thread of this
//! process would be measured, too.

mod python;

use std::time::Duration;

use plait_observe::{Meter, Watch, WatchOptions};
use python::{Script, supported};

#[test]
fn a_watch_and_a_meter_do_not_measure_themselves() {
    let script = Script::start(supported()[0], "start(8, lambda: time.sleep(3600)); say('ready'); wait()");
    let meter = Meter::start(std::process::id()).expect("a thread starts");
    // Looks often, so that its cost dwarfs all else.
    let options = WatchOptions { period: Duration::from_micros(50), max_cpu_share: 1.0 };
    let watch = Watch::start_with(script.pid(), options).expect("a thread starts");
    while watch.ticks() < 1000 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let own = watch.stop().own_cpu_seconds;
    // The script is a child of this process: its time is in, the watch's is out.
    let busy = plait_observe::tree_cpu_seconds(script.pid()).expect("alive");
    let usage = meter.stop();
    println!("{usage:?}, watch {own:.3} s, script {busy:.3} s");
    assert!(own > 0.005 && usage.cpu_seconds < busy + 0.5 * own, "{usage:?}, watch {own}, script {busy}");
}
