//! Threads that stand still in calls of all kinds.

use super::*;
use crate::scripts::supported;
use crate::stacks::text::LONGEST_TEXT;

/// Each scene runs in a thread of its own, and ends in `rest()`. Files with other names come from `compile`.
const SCENES: &str = r#"
import asyncio
event = threading.Event()
def rest():
    event.wait()

def chain():
    def inner():
        rest()
    middle = lambda: (
        None,
        inner(),
    )
    middle()

class Holder:
    @property
    def value(self):
        return self.method(key=1)
    @staticmethod
    def method(key):
        try:
            raise KeyError(key)
        except KeyError:
            rest()

def holder():
    Holder().value

def generators():
    def leaf():
        yield 1
        rest()
        yield 2
    def root():
        yield from leaf()
    for _ in root():
        pass

def comprehension():
    rows = [[rest() for _ in range(2)] for _ in range(2)]
    return rows

def generator_expression():
    return sum(rest() or 1 for _ in range(3))

def c_calls_between():
    def key(item):
        return max([item], key=lambda item: rest())
    sorted([3, 1, 2], key=key)

def class_body():
    class Body:
        rest()

def with_and_finally():
    class Manager:
        def __enter__(self): return self
        def __exit__(self, *_):
            rest()
    with Manager():
        try:
            int('1')
        finally:
            str(2)

def closure_with_cells():
    number = 1
    def inner():
        nonlocal number
        number += 1
        rest()
        return number
    inner()

def recursion(depth=100):
    if depth:
        return recursion(depth - 1) + 1
    rest()
    return 0

def text_code():
    exec(compile('def run():\n\n  rest()\nrun()', '<string>', 'exec'), {'rest': rest})

def names_of_all_widths():
    for name, file in [('été', 'naïf.py'), ('функция_αβγ', '例.py'), ('𝔘𝔫𝔦', '\U0001f40d.py'), ('x' * 3000, 'y' * 2000)]:
        space = {'rest': rest}
        exec(compile(f'def {name}(after=None):\n (after or rest)()\nfunction = {name}', file, 'exec'), space)
        previous = globals().get('named')
        globals()['named'] = (lambda one, two: lambda: one(two))(space['function'], previous)
    named()

def half_a_character():
    space = {'rest': rest}
    exec(compile('rest()', '\udc80.py', 'exec'), space)

def far_down_the_file():
    exec(compile('\n' * 70_000 + 'rest()', 'far.py', 'exec'), {'rest': rest})

def big_function():
    body = ''.join(f' x = {n} + 1\n' if n % 3 else '\n' for n in range(20_000))
    exec(compile(f'def big():\n{body} rest()\nbig()', 'big.py', 'exec'), {'rest': rest})

def many_locals():
    names = ', '.join(f'v{n}' for n in range(3000))
    exec(compile(f'def many(again):\n {names} = range(3000)\n (many if again else rest)(*([0] if again else []))\nmany(1)', 'many.py', 'exec'), {'rest': rest})

def finalizer():
    class Ends:
        def __del__(self):
            rest()
    ends = Ends()
    del ends

async def asynchronous():
    async def leaf():
        await asyncio.sleep(0)
        rest()
    class Context:
        async def __aenter__(self):
            await leaf()
        async def __aexit__(self, *_):
            pass
    async with Context():
        pass

def loop_of_events():
    asyncio.run(asynchronous())

scenes = [chain, holder, generators, comprehension, generator_expression, c_calls_between, class_body,
    with_and_finally, closure_with_cells, recursion, text_code, names_of_all_widths, half_a_character,
    far_down_the_file, big_function, many_locals, finalizer, loop_of_events]
sys.set_int_max_str_digits(0)
sys.stdout.reconfigure(errors='replace')
natives = []
for scene in scenes:
    thread = threading.Thread(target=scene, daemon=True)
    thread.start()
    natives.append(thread.native_id)
say('ready')
say(*natives)
say(*[scene.__name__ for scene in scenes])
wait()
for native in natives:
    tell(native)
wait()
"#;

#[test]
fn every_kind_of_call_is_read_as_python_tells_it() {
    for interpreter in supported() {
        let mut script = start(interpreter, SCENES);
        let natives: Vec<Pid> = script.numbers();
        let names: Vec<String> = script.line().split(' ').map(str::to_owned).collect();
        let (mut stacks, _) = open(&script);
        let at_rest =
            |stack: &[Place]| stack.len() > 3 && is_in("Condition.wait")(stack) && &*stack[2].function == "rest";
        let mut found = Vec::new();
        for &native in &natives {
            let state = state_of(&script, native);
            until(&mut stacks, state, at_rest);
            found.push((state, stacks.stack(state)));
        }
        script.go_on();
        let told: Vec<_> = natives.iter().map(|_| told(&mut script)).collect();
        stacks.looker.gather.forbid();
        for ((name, (state, stack)), mut expected) in names.iter().zip(&found).zip(told) {
            for place in &mut expected {
                // What cannot be printed was replaced by the script, with another sign than here.
                if &*place.file == "?.py" {
                    place.file = "\u{fffd}.py".into();
                }
            }
            assert!(functions(&expected).contains(&name.as_str()), "{name}: {expected:?}");
            assert_eq!(*stack, Ok(expected), "{name} of {:?}", interpreter.version);
            assert_eq!(stacks.stack(*state), *stack, "{name} of {:?}, one by one", interpreter.version);
        }
    }
}

#[test]
fn a_known_chain_has_its_functions_files_and_lines() {
    let source = "
code = '''
def outer():
    pass
    middle()

def middle():
    class Inner:
        def method(self):
            return [
                1,
                sleep(3600),
            ]
    Inner().method()
outer()
'''
say('ready')
exec(compile(code, '/srv/app/chain.py', 'exec'), {'sleep': time.sleep})";
    for interpreter in supported() {
        let script = start(interpreter, source);
        let (mut stacks, threads) = open(&script);
        let stack = until(&mut stacks, threads[0].0, is_in("middle.<locals>.Inner.method"));
        let told: Vec<_> = stack.iter().map(|place| (&*place.function, &*place.file, place.line)).collect();
        let file = "/srv/app/chain.py";
        let expected = [
            ("middle.<locals>.Inner.method", file, 11),
            ("middle", file, 13),
            ("outer", file, 4),
            ("<module>", file, 14),
        ];
        assert_eq!(told[..4], expected, "{interpreter:?}");
        assert_eq!(told.len(), 5);
        assert_eq!((told[4].0, told[4].1), ("<module>", "<string>"));
    }
}

#[test]
fn a_coroutine_that_blocks_stands_under_its_event_loop() {
    let source = "
import asyncio
async def leaf():
    time.sleep(3600)
async def request():
    await asyncio.sleep(0)
    await leaf()
async def main():
    await asyncio.gather(request())
say('ready')
asyncio.run(main())";
    for interpreter in supported() {
        let script = start(interpreter, source);
        let (mut stacks, threads) = open(&script);
        let stack = until(&mut stacks, threads[0].0, is_in("leaf"));
        let functions = functions(&stack);
        assert_eq!(functions[..4], ["leaf", "request", "Handle._run", "BaseEventLoop._run_once"], "{interpreter:?}");
        assert_eq!(functions.last(), Some(&"<module>"));
        assert!(stack[2].file.ends_with("asyncio/events.py"), "{stack:?}");
    }
}

#[test]
fn a_stack_deeper_than_is_read_says_so() {
    let source = "
sys.setrecursionlimit(100_000)
threading.stack_size(512 << 20)
def deep(n):
    if n:
        deep(n - 1)
    else:
        say('ready')
        time.sleep(3600)
# A frame of which fills more than a page.
names = ', '.join(f'v{n}' for n in range(700))
exec(f'def wide(n):\\n {names} = range(700)\\n if n: wide(n - 1)\\n else: time.sleep(3600)')
threading.Thread(target=wide, args=[5000], daemon=True).start()
deep(5000)";
    for interpreter in supported() {
        let script = start(interpreter, source);
        let (mut stacks, threads) = open(&script);
        for (state, native) in threads {
            let (function, fewest) = if native == script.pid() { ("deep", 512) } else { ("wide", 100) };
            let last = Place { function: CUT.into(), file: "".into(), line: 0 };
            let stack = until(&mut stacks, state, |stack| is_in(function)(stack) && stack.last() == Some(&last));
            let rest = &stack[..stack.len() - 1];
            assert!(rest.len() >= fewest, "{} of {function}", rest.len());
            assert!(rest.iter().all(|place| &*place.function == function), "{function}: {rest:?}");
        }
    }
}

#[test]
fn a_name_longer_than_is_read_is_cut() {
    let source = "
exec(compile(f'def {\"n\" * 5000}():\\n say(\"ready\"); time.sleep(3600)\\n{\"n\" * 5000}()', 'f' * 5000, 'exec'))";
    let longest = LONGEST_TEXT as usize;
    for interpreter in supported() {
        let script = start(interpreter, source);
        let (mut stacks, threads) = open(&script);
        let stack = until(&mut stacks, threads[0].0, |stack| stack.len() == 3);
        assert_eq!(*stack[0].function, format!("{}…", "n".repeat(longest)));
        assert_eq!(*stack[0].file, format!("{}…", "f".repeat(longest)));
    }
}

/// What a stack of ten calls costs, of a thread that stands still. A figure to look at, not a promise.
#[test]
fn a_stack_of_ten_calls_costs_little() {
    let source = "
def call(n):
    if n: call(n - 1)
    else: time.sleep(3600)
say('ready')
call(8)";
    for interpreter in supported() {
        let script = start(interpreter, source);
        let (mut stacks, threads) = open(&script);
        let first = until(&mut stacks, threads[0].0, |stack| stack.len() == 10);
        for way in ["one call", "one by one"] {
            let mut costs: Vec<_> = (0..4000)
                .map(|_| {
                    let begin = Instant::now();
                    let stack = stacks.stack(threads[0].0);
                    let cost = begin.elapsed();
                    assert_eq!(stack.as_ref(), Ok(&first));
                    cost
                })
                .collect();
            costs.sort_unstable();
            println!("{:?}, {way}: p50 {:?}, p99 {:?}", interpreter.version, costs[2000], costs[3960]);
            stacks.looker.gather.forbid();
        }
    }
}
