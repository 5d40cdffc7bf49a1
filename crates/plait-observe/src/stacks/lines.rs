//! From an instruction to its line: the location table of a code object (`co_linetable`, 3.11 and newer).
//!
//! An entry begins with the only byte of it that has its highest bit set: `1kkkklll`, for `lll + 1` code units of two
//! bytes each, of kind `kkkk`. Where the line changes, the change follows from the kind, or stands behind it:
//!
//! | kind | line |
//! |---|---|
//! | 0–10 | as before |
//! | 11, 12 | one or two further |
//! | 13, 14 | changed by a signed number: groups of six bits, the lowest first, bit 6 set where more follow; its lowest bit is the sign |
//! | 15 | these units belong to no line |
//!
//! The rest of an entry tells columns, which nobody needs here.

/// Marks the first byte of an entry.
const FIRST: u8 = 0x80;

/// The lines of a code object: where each run of code units of one line begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    runs: Vec<Run>,
    /// How many units the table tells of.
    units: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct Run {
    start: u32,
    line: Option<u32>,
}

impl Lines {
    /// Reads `table`; `first` is the line on which the code begins. A table that is not one gives what can be told.
    pub fn decode(table: &[u8], first: u32) -> Self {
        let mut lines = Self { runs: Vec::new(), units: 0 };
        let mut line = i64::from(first);
        let mut rest = table;
        while let [head, behind @ ..] = rest {
            if head & FIRST == 0 {
                // Only before the first entry of a table that is broken.
                rest = behind;
                continue;
            }
            let length = behind.iter().position(|byte| byte & FIRST != 0).unwrap_or(behind.len());
            let (entry, next) = behind.split_at(length);
            let kind = head >> 3 & 15;
            line += match kind {
                11 => 1,
                12 => 2,
                13 | 14 => signed(entry),
                _ => 0,
            };
            let known = u32::try_from(line).ok().filter(|_| kind != 15);
            if lines.runs.last().is_none_or(|run| run.line != known) {
                lines.runs.push(Run { start: lines.units, line: known });
            }
            lines.units = lines.units.saturating_add(u32::from(head & 7) + 1);
            rest = next;
        }
        lines.runs.shrink_to_fit();
        lines
    }

    /// The line that code unit number `unit` belongs to, if any.
    pub fn at(&self, unit: u32) -> Option<u32> {
        if unit >= self.units {
            return None;
        }
        let after = self.runs.partition_point(|run| run.start <= unit);
        self.runs[after.checked_sub(1)?].line
    }
}

/// The number at the beginning of `bytes`; digits beyond those of a line number are dropped.
fn signed(bytes: &[u8]) -> i64 {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(6).enumerate() {
        value |= u64::from(byte & 63) << (6 * place);
        if byte & 64 == 0 {
            break;
        }
    }
    let size = (value >> 1) as i64;
    if value & 1 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(kind: u8, units: u8) -> u8 {
        FIRST | kind << 3 | (units - 1)
    }

    #[test]
    fn each_kind_changes_the_line_as_it_should() {
        // Line 10 for 2 units, 11 for 1, 13 for 8, no line for 1, 13 for 1, 13 - 5 for 1, 8 + 1000 for 1.
        let back = 5 << 1 | 1;
        let on: u16 = 1000 << 1;
        let table = [
            [entry(0, 2), 7].as_slice(),
            &[entry(11, 1), 1, 2],
            &[entry(12, 8), 1, 2],
            &[entry(15, 1)],
            &[entry(10, 1), 1, 2],
            &[entry(13, 1), back],
            &[entry(14, 1), 64 | (on & 63) as u8, (on >> 6) as u8, 0, 1, 1],
        ]
        .concat();
        let lines = Lines::decode(&table, 10);
        let told: Vec<Option<u32>> = (0..17).map(|unit| lines.at(unit)).collect();
        let expected = [vec![10, 10, 11], vec![13; 8], vec![0, 13, 8, 1008, 0, 0]].concat();
        assert_eq!(told, expected.into_iter().map(|line| (line != 0).then_some(line)).collect::<Vec<_>>());
        assert_eq!(lines.runs.len(), 7);
    }

    #[test]
    fn an_empty_table_tells_no_line() {
        assert_eq!(Lines::decode(&[], 3).at(0), None);
        assert_eq!(Lines::decode(&[5, 6], 3).at(0), None);
    }

    proptest! {
        #[test]
        fn no_table_breaks_it(table: Vec<u8>, first: u32, units: Vec<u32>) {
            let lines = Lines::decode(&table, first);
            for unit in units.into_iter().chain([0, 1, u32::MAX, lines.units]) {
                prop_assert!(unit < lines.units || lines.at(unit).is_none());
                let _ = lines.at(unit);
            }
        }

        #[test]
        fn what_was_encoded_is_read_back(entries in prop::collection::vec((1..=8_u8, prop::option::of(1..=2_000_000_u32)), 0..200)) {
            let (mut table, mut expected, mut line) = (Vec::new(), Vec::new(), 7_i64);
            for (units, next) in entries {
                match next {
                    None => table.push(entry(15, units)),
                    Some(next) => {
                        let change = i64::from(next) - line;
                        table.push(entry(13, units));
                        let mut value = change.unsigned_abs() << 1 | u64::from(change < 0);
                        while value > 63 {
                            table.push(64 | (value & 63) as u8);
                            value >>= 6;
                        }
                        table.push(value as u8);
                        line = i64::from(next);
                    }
                }
                expected.extend(std::iter::repeat_n(next, units.into()));
            }
            let lines = Lines::decode(&table, 7);
            let told: Vec<_> = (0..lines.units).map(|unit| lines.at(unit)).collect();
            prop_assert_eq!(told, expected);
        }
    }

    #[test]
    fn fuzz_lines() {
        let table = vec![entry(13, 3), 2, entry(11, 1), entry(15, 8), entry(14, 2), 0x7f, 0x3f, entry(0, 1)];
        plait_trace::fuzz::fuzz("lines", env!("CARGO_MANIFEST_DIR"), &[table], |bytes| {
            let lines = Lines::decode(bytes, u32::MAX);
            assert!(lines.runs.len() <= bytes.len());
            let _ = [0, 1, lines.units / 2, lines.units, u32::MAX].map(|unit| lines.at(unit));
        });
    }
}
