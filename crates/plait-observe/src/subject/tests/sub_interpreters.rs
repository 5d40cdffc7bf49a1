//! Interpreters beside the main one, with GILs of their own and without.

use super::*;

/// Makes two interpreters and runs `code` in each, in threads that say who they are first, and in the main one.
fn sub_interpreters(version: (u8, u8, u8), kind: &str, code: &str) -> String {
    let (module, run) = if version.1 < 13 { ("_xxsubinterpreters", "run_string") } else { ("_interpreters", "exec") };
    format!(
        "
import {module} as subs
code = {code:?}
def work(made):
    say(int(made), threading.get_native_id())
    subs.{run}(made, code)
made = [subs.create({kind}) for _ in range(2)]
say('ready')
for one in made:
    threading.Thread(target=work, args=(one,), daemon=True).start()
exec(code)"
    )
}

#[test]
fn sub_interpreters_with_gils_of_their_own_are_told_apart() {
    for installed in supported().into_iter().filter(|installed| installed.version.1 >= 12) {
        let mut script = Script::start(installed, &sub_interpreters(installed.version, "", "while True: pass"));
        let mut workers: Vec<Vec<i64>> = (0..2).map(|_| script.numbers::<i64>()).collect();
        workers.push(vec![0, i64::from(script.pid())]);
        let mut subject = attach(script.pid());
        assert_eq!(subject.gils().len(), 3);
        for numbers in workers {
            let [id, tid] = numbers[..] else { panic!("two numbers") };
            let look = until("each GIL is held in its loop", || {
                subject.refresh().expect("it lives");
                let info = subject.gils().iter().find(|info| info.interpreters == [id]).expect("one of the three");
                subject.look(info.gil).ok().filter(|look| look.held && look.spot.is_some())
            });
            // Before 3.13 the thread state is that of the thread which made the interpreter.
            let is_told = installed.version.1 >= 13 || id == 0;
            let expected = is_told.then(|| Pid::try_from(tid).expect("a thread"));
            assert_eq!(look.holder, expected, "{:?}: interpreter {id}", installed.version);
            let listed = subject.threads().iter().find(|thread| thread.state == look.state);
            assert_eq!(listed.map(|thread| (thread.tid, thread.interpreter)), expected.map(|tid| (tid, id)));
        }
    }
}

#[test]
fn sub_interpreters_may_share_the_main_gil() {
    for installed in supported() {
        let kind = match installed.version.1 {
            11 => "",
            12 => "isolated=False",
            _ => "'legacy'",
        };
        // In 3.11 interpreters that share a GIL do not ask each other for it: they must let go by themselves.
        let code = "import time\nwhile True:\n  sum(range(50_000)); time.sleep(0.001)";
        let mut script = Script::start(installed, &sub_interpreters(installed.version, kind, code));
        let ids: HashSet<i64> = (0..2).map(|_| script.numbers::<i64>()[0]).chain([0]).collect();
        let subject = attach(script.pid());
        let [info] = subject.gils() else { panic!("{:?}", subject.gils()) };
        assert_eq!(info.interpreters.iter().copied().collect::<HashSet<i64>>(), ids);
        let mut states = HashSet::new();
        let mut looks = looks(&subject);
        until("each had it", || {
            states.extend(looks.next().filter(|look| look.held).map(|look| look.state));
            (states.len() == 3).then_some(())
        });
    }
}
