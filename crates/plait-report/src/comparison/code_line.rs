//! The line of Python that does what the verdict advises.

use super::row::Row;
use crate::plain_text::one_line;

/// `results = list(plait.map(count_primes, ITEMS, backend="processes", workers=2))`.
pub(super) fn code_line(function: &str, call_expr: Option<&str>, best: &Row) -> String {
    let function = callable(function);
    let items = argument(call_expr.unwrap_or_default()).unwrap_or_else(|| "items".to_owned());
    let backend = quoted(&best.backend);
    match best.backend.as_str() {
        "serial" => format!("results = list(plait.map({function}, {items}, backend={backend}))"),
        _ => format!("results = list(plait.map({function}, {items}, backend={backend}, workers={}))", best.workers),
    }
}

/// The name by which the user's own code knows the function: what stands after the file or module. What is no name
/// (`<lambda>`) becomes `function`.
fn callable(function: &str) -> String {
    let name = function.rsplit(':').next().unwrap_or(function).trim();
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c.is_alphanumeric())
    };
    if name.split('.').all(is_name) { name.to_owned() } else { "function".to_owned() }
}

/// The user's expression as one argument of a call: on one line, and in parentheses where a bare one would read as
/// several arguments or as a generator.
fn argument(expression: &str) -> Option<String> {
    let (mut depth, mut bare, mut end) = (0i32, false, expression.len());
    let mut chars = expression.char_indices();
    let mut word = String::new();
    while let Some((place, c)) = chars.next() {
        if !(c == '_' || c.is_alphanumeric()) {
            bare |= depth == 0 && matches!(word.as_str(), "for" | "lambda" | "yield");
            word.clear();
        }
        match c {
            '#' => {
                end = place;
                break;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' => bare |= depth == 0,
            '=' => bare |= depth == 0 && expression[..place].ends_with(':'),
            '\'' | '"' => skip_string(c, &mut chars),
            c if c == '_' || c.is_alphanumeric() => word.push(c),
            _ => {}
        }
    }
    let expression = one_line(&expression[..end]);
    match expression.as_str() {
        "" => None,
        _ if bare => Some(format!("({expression})")),
        _ => Some(expression),
    }
}

fn skip_string(quote: char, chars: &mut std::str::CharIndices<'_>) {
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return,
            _ => {}
        }
    }
}

/// A string literal of Python.
fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(&text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_called_by_its_name() {
        for (function, name) in [
            ("primes.py:count_primes", "count_primes"),
            ("C:\\work\\primes.py:Sieve.count", "Sieve.count"),
            ("count", "count"),
            ("t.py:größe", "größe"),
            ("t.py:<lambda>", "function"),
            ("", "function"),
            ("x'); import os; ('", "function"),
        ] {
            assert_eq!(callable(function), name, "{function}");
        }
    }

    #[test]
    fn items_stay_one_argument_on_one_line() {
        for (written, argument_text) in [
            ("ITEMS", Some("ITEMS")),
            ("[1,\n 2]", Some("[1, 2]")),
            ("range(3), range(4)", Some("(range(3), range(4))")),
            ("x * x for x in range(9)", Some("(x * x for x in range(9))")),
            ("(x for x in y)", Some("(x for x in y)")),
            ("forms", Some("forms")),
            ("load('a,b # c')  # all of them", Some("load('a,b # c')")),
            ("rows := load()", Some("(rows := load())")),
            ("f(a=1)", Some("f(a=1)")),
            ("'it\\'s, so'", Some("'it\\'s, so'")),
            (" # nothing", None),
            ("", None),
        ] {
            assert_eq!(argument(written).as_deref(), argument_text, "{written}");
        }
    }

    #[test]
    fn a_hostile_backend_stays_a_string() {
        assert_eq!(quoted("a\"), evil(\"\\"), r#""a\"), evil(\"\\""#);
    }
}
