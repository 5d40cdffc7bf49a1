//! The table of lines, as each Python itself reads it.

use super::*;
use crate::scripts::supported;
use crate::stacks::lines::Lines;

const DUMP: &str = r#"
import argparse, ast, asyncio.base_events, dataclasses, decimal, inspect, json.decoder, re, tarfile, typing
import types, importlib.util
say('ready')
def dump(code):
    say(code.co_firstlineno, code.co_linetable.hex() or '-')
    say(*[f'{start}:{end}:{line or 0}' for start, end, line in code.co_lines()])
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            dump(constant)
for module in argparse, ast, asyncio.base_events, dataclasses, inspect, json.decoder, tarfile, typing, threading, subprocess:
    with open(module.__file__, encoding='utf-8') as file:
        dump(compile(file.read(), module.__file__, 'exec'))
dump(compile('x = 1\n' * 3 + '\n' * 5000 + 'y = [\n' + '\n' * 100 + 'f(),\n' * 40 + ']', 'far', 'exec'))
say('end')
"#;

#[test]
fn every_instruction_of_some_modules_has_the_line_that_python_gives_it() {
    for interpreter in supported() {
        let mut script = start(interpreter, DUMP);
        let (mut codes, mut units) = (0, 0);
        loop {
            let line = script.line();
            if line == "end" {
                break;
            }
            let (first, table) = line.split_once(' ').expect("two words");
            let table: Vec<u8> = table.as_bytes().chunks_exact(2).map(hex).collect();
            let lines = Lines::decode(&table, first.parse().expect("a line"));
            let mut past = 0;
            for range in script.line().split(' ') {
                let numbers: Vec<u32> = range.split(':').map(|number| number.parse().expect("a number")).collect();
                let [start, end, line] = numbers[..] else { panic!("{range}") };
                for unit in start / 2..end / 2 {
                    assert_eq!(lines.at(unit).unwrap_or(0), line, "unit {unit} in {table:?}");
                    units += 1;
                }
                past = end / 2;
            }
            assert_eq!(lines.at(past), None, "no more units than there are");
            codes += 1;
        }
        assert!(codes > 500 && units > 50_000, "{codes} code objects with {units} units");
    }
}

fn hex(digits: &[u8]) -> u8 {
    let digits = std::str::from_utf8(digits).expect("text");
    u8::from_str_radix(digits, 16).expect("two digits")
}
