//! Symbols as people read them.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};

/// Names of instantiated templates have no end; this much of one is kept.
const LONGEST: usize = 200;
/// What compilers append to the names of functions that they split, specialise or move.
const SUFFIXES: [&str; 9] = ["cold", "part", "isra", "constprop", "lto_priv", "llvm", "localalias", "warm", "clone"];

/// A C symbol as it is, without what the compiler appended; Rust and C++ symbols demangled, without hash and parameters.
pub(super) fn readable(symbol: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        return bounded(format_args!("{rust:#}"));
    }
    let symbol = without_suffix(symbol);
    if symbol.starts_with("_Z")
        && let Ok(cpp) = Symbol::new(symbol)
        && let options = DemangleOptions::new().no_params().no_return_type()
        && let mut text = Bounded::default()
        && (cpp.structured_demangle(&mut text, &options).is_ok() || text.is_full)
    {
        return text.into_string();
    }
    bounded(format_args!("{symbol}"))
}

fn without_suffix(symbol: &str) -> &str {
    let mut words = symbol.match_indices('.').filter(|(at, _)| *at > 0);
    let is_suffix = |at: usize| {
        let word = symbol[at + 1..].split('.').next().unwrap_or_default();
        SUFFIXES.contains(&word) || (!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.find(|(at, _)| is_suffix(*at)).map_or(symbol, |(at, _)| &symbol[..at])
}

fn bounded(text: fmt::Arguments<'_>) -> String {
    let mut bounded = Bounded::default();
    let _ = bounded.write_fmt(text);
    bounded.into_string()
}

/// Takes so much text and then refuses, for a short symbol can stand for gigabytes of name.
#[derive(Debug, Default)]
struct Bounded {
    text: String,
    characters: usize,
    is_full: bool,
}

impl Bounded {
    fn into_string(mut self) -> String {
        if self.is_full {
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.characters == LONGEST {
                self.is_full = true;
                return Err(fmt::Error);
            }
            self.text.push(character);
            self.characters += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_all_languages_become_names() {
        for (symbol, name) in [
            ("_sre_SRE_Pattern_findall", "_sre_SRE_Pattern_findall"),
            ("long_mul", "long_mul"),
            ("list_sort_impl.isra.0", "list_sort_impl"),
            ("_PyEval_EvalFrameDefault.cold", "_PyEval_EvalFrameDefault"),
            ("builtin_sum_impl.constprop.2.cold", "builtin_sum_impl"),
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_ZN5torch8autograd6Engine7executeERKSt6vectorIiSaIiEE", "torch::autograd::Engine::execute"),
            ("_ZNSt6vectorIiSaIiEE9push_backERKi.isra.0", "std::vector<int, std::allocator<int> >::push_back"),
            ("_Znonsense", "_Znonsense"),
            (".hidden", ".hidden"),
            ("", ""),
        ] {
            assert_eq!(readable(symbol), name, "{symbol}");
        }
    }

    #[test]
    fn names_without_end_are_cut() {
        let long = readable(&"a".repeat(5000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (LONGEST + 1, true));
        assert!(readable(&"ä".repeat(300)).ends_with('…'));
        assert_eq!(readable(&"ä".repeat(LONGEST)), "ä".repeat(LONGEST));
        // Each argument is a pair of the one before: twice as long each time.
        let pairs: String = (0..20).map(|n| format!("St4pairIS{}_S{}_E", n, n)).collect();
        let name = readable(&format!("_Z1fI{pairs}Evv"));
        assert!(name.len() < 2 * LONGEST, "{name}");
        for cut in 1..60 {
            readable(&"_ZNSt6vectorISt4pairIiS_IiEESaIS1_EE9push_backEOS1_"[..cut.min(50)]);
        }
    }
}
