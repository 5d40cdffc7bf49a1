//! What Python calls the functions of a module that has no symbols for them.
//!
//! Interpreters are mostly shipped stripped. But each module has tables that tell Python its functions: of methods with
//! their names, of types with theirs. They lie in its data, complete once it is loaded, and are recognised by their form:
//! names that are names, functions that begin where functions begin, flags that there are.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// `struct PyMethodDef`: name, function, flags, doc.
const METHOD_BYTES: u64 = 32;
/// `METH_VARARGS` up to `METH_METHOD`; one of the first four or `METH_FASTCALL` says how it is called.
const FLAGS: Range<u64> = 1..0x400;
const CALLING: u64 = 0x1 | 0x4 | 0x8 | 0x80;
/// `Py_tp_methods` in a table of slots, and in a `PyTypeObject` from its name on.
const SLOT_METHODS: u64 = 64;
const TYPE_METHODS: u64 = 208;
const MOST_SLOTS: u64 = 128;
/// Functions of types: name, number of the slot, place in a `PyTypeObject` from its name on. The last is a quicker way to
/// make an object.
const SPECIAL: [(&str, u64, u64); 5] =
    [("__call__", 50, 104), ("__init__", 60, 272), ("__next__", 63, 200), ("__new__", 65, 288), ("__new__", 82, 376)];
/// Where in it, from its name on, the operators are found; name, number of the slot, place among them.
const TYPE_OPERATORS: u64 = 72;
const OPERATORS: [(&str, u64, u64); 9] = [
    ("__add__", 7, 0),
    ("__sub__", 36, 8),
    ("__mul__", 29, 16),
    ("__mod__", 34, 24),
    ("__divmod__", 10, 32),
    ("__pow__", 33, 40),
    ("__floordiv__", 12, 232),
    ("__truediv__", 37, 240),
    ("__matmul__", 75, 272),
];
/// In a `PyTypeObject`, from its name on: the size of its objects.
const TYPE_SIZE: u64 = 8;
const OBJECT_SIZES: Range<u64> = 16..1 << 16;
/// In a `PyModuleDef`, from its name on: the size of the state, and the methods.
const MODULE_STATE: u64 = 16;
const MODULE_METHODS: u64 = 24;
/// In a `PyType_Spec`, from its name on.
const SPEC_SLOTS: u64 = 24;
const LONGEST_NAME: usize = 100;

/// Data of a module as it is mapped.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub stretches: Vec<(u64, Vec<u8>)>,
}

/// Names by the address where the function begins.
pub(super) type Methods = BTreeMap<u64, String>;

/// The functions that tables in `data` name; `is_function` tells whether one begins at an address.
pub(super) fn read(data: &Data, is_function: impl Fn(u64) -> bool) -> Methods {
    let methods: Vec<(u64, &str, u64)> = data.words().filter_map(|at| data.method(at, &is_function)).collect();
    // A table is named by who points to its beginning.
    let mut tables: HashMap<u64, Vec<(&str, u64)>> = HashMap::new();
    let (mut table, mut end) = (0, 0);
    for (at, name, function) in methods {
        if at != end {
            table = at;
        }
        end = at + METHOD_BYTES;
        tables.entry(table).or_default().push((name, function));
    }
    let (mut found, mut alone) = (Found::new(), Found::new());
    for at in data.words() {
        let Some(owner) = data.name_at(at) else { continue };
        let word = |offset: u64| data.word(at.wrapping_add(offset)).unwrap_or(0);
        let mut functions = Vec::new();
        let slots = data.slots(word(SPEC_SLOTS));
        let mut owned =
            slots.iter().filter(|(slot, _)| *slot == SLOT_METHODS).map(|(_, table)| *table).collect::<Vec<_>>();
        for (slot, function) in slots {
            let known = SPECIAL.iter().chain(&OPERATORS).find(|(_, number, _)| *number == slot);
            functions.extend(known.map(|(name, ..)| (*name, function)));
        }
        if is_state_size(word(MODULE_STATE)) {
            owned.push(word(MODULE_METHODS));
        }
        if OBJECT_SIZES.contains(&word(TYPE_SIZE)) && tables.contains_key(&word(TYPE_METHODS)) {
            owned.push(word(TYPE_METHODS));
            let operators = word(TYPE_OPERATORS);
            let operator = |offset| data.word(operators.wrapping_add(offset)).unwrap_or(0);
            functions.extend(SPECIAL.map(|(name, _, offset)| (name, word(offset))));
            functions.extend(OPERATORS.map(|(name, _, offset)| (name, operator(offset))));
        }
        functions.retain(|(_, function)| is_function(*function));
        functions.extend(owned.iter().filter_map(|table| tables.get(table)).flatten());
        for (name, function) in functions {
            add(&mut found, function, Some(owner), name);
        }
    }
    for (name, function) in tables.values().flatten() {
        add(&mut alone, *function, None, name);
    }
    for (function, named) in alone {
        found.entry(function).or_insert(named);
    }
    found.into_iter().filter_map(|(function, named)| Some((function, named.text()?))).collect()
}

type Found<'a> = BTreeMap<u64, Named<'a>>;

fn add<'a>(to: &mut Found<'a>, function: u64, owner: Option<&'a str>, name: &'a str) {
    to.entry(function).or_insert(Named { owner, name: Some(name), alias: None }).also(owner, name);
}

/// The module's state has no size so large.
fn is_state_size(size: u64) -> bool {
    size == u64::MAX || size < 1 << 20
}

/// What the tables call a function.
#[derive(Debug)]
struct Named<'a> {
    owner: Option<&'a str>,
    /// `None` once it has several of several owners, or more than two: there is no telling which one was called.
    name: Option<&'a str>,
    /// Its owner has it under this name, too, as `re.Pattern` has `prefixmatch` as `match` since Python 3.15.
    alias: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn also(&mut self, owner: Option<&'a str>, name: &'a str) {
        let is_its = self.owner.is_some() && self.owner == owner;
        self.owner = self.owner.filter(|_| is_its);
        if self.name == Some(name) || (is_its && self.alias == Some(name)) {
            return;
        }
        if is_its && self.alias.is_none() {
            self.alias = Some(name);
        } else {
            self.name = None;
        }
    }

    fn text(&self) -> Option<String> {
        let name = match (self.name?, self.alias) {
            (name, None) => name.to_owned(),
            // Of two owners, with two names.
            (_, Some(_)) if self.owner.is_none() => return None,
            (name, Some(alias)) => format!("{} or {}", name.min(alias), name.max(alias)),
        };
        Some(self.owner.map_or_else(|| name.clone(), |owner| format!("{owner}.{name}")))
    }
}

impl Data {
    /// All addresses of words.
    fn words(&self) -> impl Iterator<Item = u64> {
        self.stretches.iter().flat_map(|(start, bytes)| (*start..*start + bytes.len() as u64).step_by(8))
    }

    fn at(&self, address: u64) -> Option<&[u8]> {
        let (start, bytes) =
            self.stretches.iter().find(|(start, bytes)| (*start..*start + bytes.len() as u64).contains(&address))?;
        bytes.get(usize::try_from(address - start).ok()?..)
    }

    fn word(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.at(address)?.get(..8)?.try_into().ok()?))
    }

    /// The name that the word at `at` points to: words with dots between.
    fn name_at(&self, at: u64) -> Option<&str> {
        let text = self.at(self.word(at)?)?;
        let end = text.iter().take(LONGEST_NAME).position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&text[..end]).ok()?;
        let is_word = |word: &str| {
            word.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
                && word.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        };
        text.split('.').all(is_word).then_some(text)
    }

    /// The method that is described at `at`, if one is.
    fn method(&self, at: u64, is_function: impl Fn(u64) -> bool) -> Option<(u64, &str, u64)> {
        let flags = self.word(at + 16)?;
        (FLAGS.contains(&flags) && flags & CALLING != 0).then_some(())?;
        let (function, doc) = (self.word(at + 8)?, self.word(at + 24)?);
        (doc == 0 || self.at(doc).is_some()).then_some(())?;
        is_function(function).then_some(())?;
        Some((at, self.name_at(at)?, function))
    }

    /// The slots of a type, if `table` is such a table: numbers and what stands in them, to an end of zeros.
    fn slots(&self, table: u64) -> Vec<(u64, u64)> {
        let mut slots = Vec::new();
        for index in 0..MOST_SLOTS {
            let at = table.wrapping_add(16 * index);
            match (self.word(at), self.word(at.wrapping_add(8))) {
                (Some(0), Some(0)) => return slots,
                (Some(slot), Some(value)) if slot < MOST_SLOTS => slots.push((slot, value)),
                _ => break,
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data at 0x1000: words, and texts at 0x8000 that words refer to by name.
    struct Made {
        words: Vec<u64>,
        texts: Vec<u8>,
    }

    impl Made {
        fn text(&mut self, text: &str) -> u64 {
            let at = 0x8000 + self.texts.len() as u64;
            self.texts.extend(text.bytes().chain([0]));
            at
        }

        fn here(&self) -> u64 {
            0x1000 + 8 * self.words.len() as u64
        }

        fn methods(&mut self, methods: &[(&str, u64, u64)]) -> u64 {
            let table = self.here();
            for (name, function, flags) in methods {
                let name = self.text(name);
                self.words.extend([name, *function, *flags, 0]);
            }
            self.words.extend([0; 4]);
            table
        }

        fn read(self) -> Methods {
            let words = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let data = Data { stretches: vec![(0x1000, words), (0x8000, self.texts)] };
            read(&data, |address| (0x40_0000..0x50_0000).contains(&address) && address.is_multiple_of(16))
        }
    }

    fn made() -> Made {
        Made { words: Vec::new(), texts: Vec::new() }
    }

    #[test]
    fn methods_have_the_names_of_their_owners() {
        let mut data = made();
        // A module: name, doc, size, methods.
        let table = data.methods(&[("dumps", 0x40_0010, 0x83), ("loads", 0x40_0020, 0x83)]);
        let name = data.text("_pickle");
        data.words.extend([name, 0, u64::MAX, table]);
        // A type made at run time: name, sizes, flags, slots.
        let table = data.methods(&[("findall", 0x40_0030, 0x283)]);
        let slots = data.here();
        data.words.extend([SLOT_METHODS, table, 50, 0x40_0040, 57, 0x41_0000, 0, 0]);
        let name = data.text("re.Pattern");
        data.words.extend([name, 0x58, 0x100, slots]);
        // A static type.
        let table = data.methods(&[("join", 0x40_0050, 0x8)]);
        let name = data.text("str");
        let mut static_type = [0; 48];
        (static_type[0], static_type[26], static_type[25]) = (name, table, 0x40_0060);
        (static_type[1], static_type[47]) = (56, 0x40_0090);
        static_type[9] = data.here() + 8 * 48;
        data.words.extend(static_type);
        data.words.extend([0, 0, 0x40_0080, 0, 0]);
        // Nobody's.
        data.methods(&[("alone", 0x40_0070, 0x4)]);
        let expected = [
            (0x40_0010, "_pickle.dumps"),
            (0x40_0020, "_pickle.loads"),
            (0x40_0030, "re.Pattern.findall"),
            (0x40_0040, "re.Pattern.__call__"),
            (0x40_0050, "str.join"),
            (0x40_0060, "str.__next__"),
            (0x40_0070, "alone"),
            (0x40_0080, "str.__mul__"),
            (0x40_0090, "str.__new__"),
        ];
        let found = data.read();
        let found: Vec<(u64, &str)> = found.iter().map(|(function, name)| (*function, name.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn two_names_of_one_owner_are_both_told_and_more_or_others_are_not() {
        let mut data = made();
        let both = [("prefixmatch", 0x40_0010, 0x82), ("match", 0x40_0010, 0x82), ("match", 0x40_0010, 0x82)];
        let many = [("a", 0x40_0020, 0x8), ("b", 0x40_0020, 0x8), ("c", 0x40_0020, 0x8)];
        for (owner, methods) in [
            ("re.Pattern", &both[..]),
            ("many", &many[..]),
            ("one", &[("it", 0x40_0030, 0x8), ("that", 0x40_0040, 0x8), ("this", 0x40_0040, 0x8)]),
            ("other", &[("other", 0x40_0030, 0x8), ("that", 0x40_0040, 0x8)]),
        ] {
            let table = data.methods(methods);
            let name = data.text(owner);
            data.words.extend([name, 0, u64::MAX, table]);
        }
        assert_eq!(
            data.read().into_iter().collect::<Vec<_>>(),
            [(0x40_0010, "re.Pattern.match or prefixmatch".to_owned())]
        );
    }

    #[test]
    fn what_only_looks_like_a_method_is_none() {
        let mut data = made();
        // No function, no way to be called, no flags that there are, no name, two names for one.
        data.methods(&[
            ("a", 0x40_0011, 0x8),
            ("b", 0x40_0010, 0x20),
            ("c", 0x40_0020, 0x1000),
            ("d e", 0x40_0030, 0x8),
        ]);
        data.methods(&[("f", 0x40_0040, 0x8), ("g", 0x40_0040, 0x8)]);
        data.words.extend([3, 0x40_0050, 8, 0, u64::MAX, 0x40_0060, 8, 0]);
        assert_eq!(data.read(), Methods::new());
    }

    #[test]
    fn rubbish_is_read_without_harm() {
        let mut seed = 7_u64;
        for _ in 0..50 {
            let words = (0..256).flat_map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let word = [seed, 0x1000 + (seed >> 40) % 2048, u64::MAX - (seed >> 60), (seed >> 33) % 128];
                word[(seed >> 20) as usize % 4].to_le_bytes()
            });
            let data = Data { stretches: vec![(0x1000, words.collect()), (u64::MAX - 4096, vec![0xff; 4000])] };
            read(&data, |address| address.is_multiple_of(2));
        }
    }
}
