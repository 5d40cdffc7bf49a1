//! Memory, CPU time and tree of live programs with children.

mod python;

use std::collections::HashSet;

use plait_observe::{Meter, tree, tree_pss};
use python::{Script, supported};

#[test]
fn the_tree_has_children_and_grandchildren_parents_first() {
    let source = "
def child(depth):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        die_with_parent()
        below = child(depth - 1) if depth else []
        os.write(write, ' '.join(map(str, [os.getpid(), *below])).encode())
        time.sleep(3600)
    return [int(word) for word in os.read(read, 100).split()]
made = []
thread = threading.Thread(target=lambda: made.extend(child(0)))
thread.start(); thread.join()
made += child(2)
say('ready'); say(*made); wait()";
    for interpreter in supported() {
        let mut script = Script::start(interpreter, source);
        let made: HashSet<u32> = script.numbers().into_iter().chain([script.pid()]).collect();
        let found = tree(script.pid());
        assert_eq!(made.len(), 5);
        assert_eq!(found.iter().copied().collect::<HashSet<_>>(), made);
        assert_eq!((found[0], found.len()), (script.pid(), 5));
    }
}

#[test]
fn shared_memory_counts_once_and_private_memory_counts_per_process() {
    // 64 MiB before the fork, shared by all three; then 32 MiB of their own in each of the two children.
    let source = "
shared = bytes(range(256)) * (64 << 12)
say('ready'); wait()
for _ in range(2):
    read, write = os.pipe()
    if os.fork() == 0:
        die_with_parent()
        own = bytes(range(256)) * (32 << 12)
        os.write(write, b'x')
        time.sleep(3600)
    os.read(read, 1)
say('grown'); wait()";
    for interpreter in supported() {
        let mut script = Script::start(interpreter, source);
        let before = tree_pss(script.pid()).expect("alive");
        script.go_on();
        assert_eq!(script.line(), "grown");
        let after = tree_pss(script.pid()).expect("alive");
        assert!(!before.is_rss && !after.is_rss);
        let grown = (after.bytes - before.bytes) >> 20;
        assert!(before.bytes >> 20 >= 64, "{before:?}");
        // Libraries count the less the more processes of other tests have them.
        assert!((56..96).contains(&grown), "{grown} MiB: shared memory was counted more than once, or own not at all");
    }
}

#[test]
fn a_meter_finds_the_peak_and_the_time_of_children_that_are_gone() {
    // What the kernel tells the script of itself and of its children is the truth to compare with. The peak is held for
    // several of the pauses that a look's cost makes the meter take.
    let source = "
import resource
def used():
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
say('ready'); wait()
before = used()
burn = 'x = bytes(range(256)) * (48 << 12)\\nfor i in range(1_500_000): i * i'
for _ in range(3):
    subprocess.run([sys.executable, '-I', '-c', burn], check=True)
grown = bytes(range(256)) * (96 << 12); time.sleep(1.5); del grown
for i in range(1_500_000): i * i
say(used() - before); wait()";
    for interpreter in supported() {
        let mut script = Script::start(interpreter, source);
        let before = tree_pss(script.pid()).expect("alive").bytes;
        let meter = Meter::start(script.pid()).expect("a thread starts");
        script.go_on();
        let [truth] = script.numbers::<f64>()[..] else { panic!("one number") };
        let usage = meter.stop();
        println!("{:?}: {usage:?}, truth {truth:.4} s", interpreter.version);
        // Clock ticks round the user and the system time of waited-for children down, by 10 ms each.
        assert!((usage.cpu_seconds - truth).abs() < 0.03, "{usage:?}, {truth}");
        assert!(usage.peak_pss_bytes >= before + (90 << 20), "{usage:?}");
        assert!(usage.samples >= 2 && !usage.pss_is_rss && usage.meter_cpu_seconds > 0.0, "{usage:?}");
    }
}

#[test]
fn the_time_of_a_process_whose_parent_ended_is_kept() {
    // The middle process ends at once; its child burns on, as a child of nobody we know, until told to stop.
    let source = "
read, write = os.pipe()
go, gone = os.pipe()
say('ready'); wait()
if os.fork() == 0:
    if os.fork() == 0:
        os.close(gone)
        os.read(go, 1)
        os.write(write, str(os.getpid()).encode().ljust(20))
        while time.process_time() < 0.4: pass
        os.write(write, b'x')
        os.read(go, 1)
        os._exit(0)
    time.sleep(0.4)
    os._exit(0)
os.close(go)
os.wait()
os.write(gone, b'x')
say(os.read(read, 20).decode()); os.read(read, 1); say('burnt'); wait()";
    let interpreter = supported()[0];
    let mut script = Script::start(interpreter, source);
    let meter = Meter::start(script.pid()).expect("a thread starts");
    script.go_on();
    let [orphan] = script.numbers::<u32>()[..] else { panic!("one number") };
    assert_eq!(script.line(), "burnt");
    assert!(!tree(script.pid()).contains(&orphan));
    let usage = meter.stop();
    assert!(usage.cpu_seconds > 0.35, "{usage:?}");
}

#[test]
fn a_meter_on_a_dead_process_measures_nothing() {
    let script = Script::spawn(std::process::Command::new("sh").args(["-c", "echo ready; read go"]));
    let pid = script.pid();
    drop(script);
    let usage = Meter::start(pid).expect("a thread starts").stop();
    assert_eq!((usage.cpu_seconds, usage.peak_pss_bytes, usage.samples), (0.0, 0, 0));
}
