//! Processes that end, fork, or run another program.

use super::*;

#[test]
fn a_process_that_ended_is_gone() {
    for installed in supported() {
        let script = Script::start(installed, "say('ready'); loop()");
        let mut subject = attach(script.pid());
        let gil = main_gil(&subject);
        assert!(subject.look(gil).is_ok());
        let gone = Reason::Gone { pid: script.pid() };
        drop(script);
        assert_eq!(subject.look(gil), Err(gone.clone()));
        assert_eq!(subject.refresh(), Err(gone));
    }
}

#[test]
fn a_process_that_runs_another_program_is_gone_at_the_next_look() {
    for installed in supported() {
        let source = "
say('ready'); wait()
os.execv(sys.executable, [sys.executable, '-I', '-c', 'print(\"python\", flush=True)\\nwhile True: pass'])";
        let mut script = Script::start(installed, source);
        let mut subject = attach(script.pid());
        let gil = main_gil(&subject);
        assert!(subject.look(gil).is_ok());
        script.go_on();
        assert_eq!(script.line(), "python");
        let gone = Reason::Gone { pid: script.pid() };
        assert_eq!(subject.look(gil), Err(gone.clone()));
        assert_eq!(subject.refresh(), Err(gone.clone()));
        assert_eq!(subject.look(gil), Err(gone));
        let anew = attach(script.pid());
        until("the new program runs", || {
            let look = anew.look(main_gil(&anew)).expect("it lives");
            (look.held && look.holder == Some(script.pid())).then_some(())
        });
    }
}

#[test]
fn a_child_in_the_memory_of_its_parent_is_not_taken_for_a_python() {
    // Between fork and exec it waits for someone to open the other end of a pipe.
    let source = "
import tempfile
with tempfile.TemporaryDirectory() as folder:
    pipe = folder + '/pipe'
    os.mkfifo(pipe)
    say('ready'); say(pipe)
    code = 'print(\"python\", flush=True); import sys; sys.stdin.read()'
    wait_at = [(os.POSIX_SPAWN_OPEN, 0, pipe, os.O_RDONLY, 0)]
    os.posix_spawn(sys.executable, [sys.executable, '-I', '-c', code], os.environ, file_actions=wait_at)
wait()";
    on_all(source, |_, script| {
        let pipe = script.line();
        let child = until("it has a child", || crate::tree(script.pid()).get(1).copied());
        let memory = Memory::of(child).expect("it lives").marked();
        let runtime = Finder::default().find(child, &memory).expect("its parent is a Python").runtime;
        assert_eq!(Subject::attach(child, &mut Finder::default()).err(), Some(Reason::NotReady { pid: child }));
        let mut bytes = [0; 8];
        assert_eq!(memory.scattered(&[(runtime, 8)], &mut bytes), Ok(8));
        assert!(memory.is_current());
        let end = std::fs::OpenOptions::new().write(true).open(pipe).expect("the child waits");
        assert_eq!(script.line(), "python");
        let gone = Reason::Gone { pid: child };
        assert_eq!(memory.read_into(runtime, &mut bytes), Ok(()), "the parent lives");
        assert_eq!(memory.scattered(&[(runtime, 8)], &mut bytes), Err(gone));
        assert!(!memory.is_current());
        assert!(attach(child).look(main_gil(&attach(child))).is_ok());
        drop(end);
    });
}

#[test]
fn the_child_of_a_fork_has_its_own_threads() {
    let source = "
start(2, lambda: time.sleep(3600))
say('ready')
if os.fork() == 0:
    die_with_parent(); say(os.getpid()); loop()
wait()";
    on_all(source, |_, script| {
        let [child] = script.numbers::<Pid>()[..] else { panic!("one number") };
        let look = until("the child runs", || {
            let subject = Subject::attach(child, &mut Finder::default()).ok()?;
            let look = subject.look(main_gil(&subject)).ok()?;
            (look.held && subject.threads().len() == 1).then_some(look)
        });
        assert_eq!(look.holder, Some(child));
    });
}
