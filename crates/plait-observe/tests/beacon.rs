//! The table of tasks found from outside, in a Python that has loaded a module like plait's.

mod python;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use plait_observe::{Beacon, Doing};
use plait_trace::beacon::{HEAD, Head, Slot, Text};
use python::{Script, supported};

/// A module with nothing in it but the table; `name` is its file's.
fn module(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("beacon-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder is made");
    let (source, made) = (folder.join("table.c"), folder.join(name));
    // Initialised data lies before the table, so that the two are not of one part of the file.
    let text = "int before[5000] = {1}; char PLAIT_BEACON[65664] __attribute__((aligned(64)));";
    fs::write(&source, text).expect("the source is written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&made).arg(&source).status();
    assert!(built.expect("a C compiler is there").success());
    made
}

/// Loads the module and fills its table with the bytes it is told, then tells its thread's number and the address of text.
const LOADS: &str = "
lib = ctypes.CDLL(sys.argv[1])
table = (ctypes.c_char * 65664).in_dll(lib, 'PLAIT_BEACON')
text = ctypes.create_string_buffer('übung'.encode())
say('ready')
say(threading.get_native_id(), ctypes.addressof(text))
while line := sys.stdin.readline():
    at, data = line.split()
    ctypes.memmove(ctypes.byref(table, int(at)), bytes.fromhex(data), len(data) // 2)
    say('done')
";

struct Program {
    script: Script,
    tid: u32,
    text: Text,
}

impl Program {
    fn start(module: &PathBuf, source: &str) -> Vec<Self> {
        let start = |interpreter: &&python::Interpreter| {
            let source = format!("{}\n{source}", python::PRELUDE);
            let mut script = Script::spawn(Command::new(&interpreter.path).args(["-I", "-c", &source]).arg(module));
            let [tid, address] = script.numbers::<u64>()[..] else { panic!("two numbers") };
            Self { script, tid: tid as u32, text: Text { address, len: 6 } }
        };
        supported().iter().map(start).collect()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.script.tell(&format!("{at} {hex}"));
        assert_eq!(self.script.line(), "done");
    }
}

#[test]
fn tasks_and_roles_are_seen_from_outside() {
    let module = module("_core.cpython-3xx.so");
    for mut program in Program::start(&module, LOADS) {
        let pid = program.script.pid();
        assert!(Beacon::find(pid).is_none(), "nothing was written yet");
        program.put(0, &Head { used: 2, unseated: 0, role: "plait worker 7".to_owned() }.encode());
        let mut beacon = Beacon::find(pid).expect("its table is found");
        assert_eq!(beacon.role().as_deref(), Some("plait worker 7"));
        let (name, tid) = (program.text, program.tid);
        let slot = Slot { sequence: 8, task: 5, since: 77, name, module: Text::default(), tid, depth: 1 };
        let mut look = || {
            let mut out = Vec::new();
            beacon.look(&mut out);
            out
        };
        assert_eq!(look(), []);
        program.put(HEAD, &slot.encode());
        let doing = |task| Doing { tid, task, name: "übung".into(), since: 77 };
        assert_eq!(look(), [doing(5)]);
        program.put(HEAD, &Slot { sequence: 10, task: 6, ..slot }.encode());
        assert_eq!(look(), [doing(6)]);
        drop(program);
        assert_eq!(look(), [], "the process has ended");
        assert!(Beacon::find(pid).is_none());
    }
    let _ = fs::remove_dir_all(module.parent().expect("it lies in a folder"));
}

#[test]
fn a_module_of_another_name_is_not_looked_into() {
    let module = module("other.so");
    for mut program in Program::start(&module, LOADS) {
        program.put(0, &Head::default().encode());
        assert!(Beacon::find(program.script.pid()).is_none());
    }
    let _ = fs::remove_dir_all(module.parent().expect("it lies in a folder"));
}

#[test]
fn a_module_that_was_replaced_is_found_by_those_who_may() {
    let module = module("_core.replaced.so");
    for mut program in Program::start(&module, LOADS) {
        program.put(0, &Head { role: "plait nursery".to_owned(), ..Head::default() }.encode());
        let copy = module.with_extension("copy");
        fs::copy(&module, &copy).and_then(|_| fs::rename(&copy, &module)).expect("the module is replaced");
        let found = Beacon::find(program.script.pid());
        // Only the privileged may open what a process has mapped but by its name.
        let (start, end) = first_mapping_of(program.script.pid(), "_core.replaced.so");
        let may = fs::File::open(format!("/proc/{}/map_files/{start}-{end}", program.script.pid())).is_ok();
        assert_eq!(found.and_then(|beacon| beacon.role()).as_deref(), may.then_some("plait nursery"));
    }
    let _ = fs::remove_dir_all(module.parent().expect("it lies in a folder"));
}

fn first_mapping_of(pid: u32, name: &str) -> (String, String) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps are readable");
    let line = maps.lines().find(|line| line.contains(name)).expect("it is mapped");
    let (start, rest) = line.split_once('-').expect("a range");
    (start.to_owned(), rest.split(' ').next().expect("its end").to_owned())
}
