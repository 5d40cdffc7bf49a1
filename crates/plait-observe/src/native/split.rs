//! Functions that the compiler has cut in two: what it takes to run rarely lies elsewhere, without a name once the file is stripped.
//!
//! Builds of CPython can have almost all of their evaluation loop there.

use std::collections::HashMap;
use std::ops::Range;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameOffset, LittleEndian, Register, UnwindContext, UnwindSection, X86_64,
};

use super::image::Part;

/// Where the jumps from the function at `address` lead to, beside addresses that are none: each byte may begin an instruction.
fn jumps(code: &[u8], address: u64) -> impl Iterator<Item = u64> {
    (0..code.len()).filter_map(move |at| {
        let distance = match code[at..] {
            [0xe9, a, b, c, d, ..] => (5, [a, b, c, d]),
            [0x0f, 0x80..=0x8f, a, b, c, d, ..] => (6, [a, b, c, d]),
            _ => return None,
        };
        let (len, bytes) = distance;
        Some(address.wrapping_add(at as u64 + len).wrapping_add_signed(i32::from_le_bytes(bytes).into()))
    })
}

/// The part that was cut off the function with this `code`, which begins at `address`, if there is one. `described` says in which stretch of
/// code an address lies, and at which offset of `eh_frame` that is described.
pub(super) fn rest(
    code: &[u8],
    address: u64,
    eh_frame: &Part,
    described: impl Fn(u64) -> Option<(Range<u64>, usize)>,
) -> Option<Range<u64>> {
    let mut found = HashMap::<u64, (usize, Range<u64>)>::new();
    for target in jumps(code, address) {
        let Some((range, at)) = described(target).filter(|(range, _)| !range.contains(&address)) else { continue };
        if let Some((jumps, _)) = found.get_mut(&range.start) {
            *jumps += 1;
        } else if begins_midway(eh_frame, at) {
            found.insert(range.start, (1, range));
        }
    }
    // What is none by chance is not met as often.
    found.into_values().max_by_key(|(jumps, range)| (*jumps, range.start)).map(|(_, range)| range)
}

/// Whether the code that is described there begins with registers saved, as no function does.
fn begins_midway(eh_frame: &Part, at: usize) -> bool {
    let section = EhFrame::new(&eh_frame.bytes, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(eh_frame.address);
    let begins = || {
        let entry = section.fde_from_offset(&bases, EhFrameOffset(at), EhFrame::cie_from_offset).ok()?;
        let mut context = UnwindContext::new();
        let mut rows = entry.rows(&section, &bases, &mut context).ok()?;
        let first = rows.next_row().ok()??;
        let at_entry = CfaRule::RegisterAndOffset { register: X86_64::RSP, offset: 8 };
        let is_saved = |register: Register| register != X86_64::RA;
        Some(*first.cfa() != at_entry && first.registers().any(|(register, _)| is_saved(*register)))
    };
    begins().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_where_they_say() {
        // je +0x10; nop; jmp -0x20; a call; too short a jump
        let code = [0x0f, 0x84, 0x10, 0, 0, 0, 0x90, 0xe9, 0xe0, 0xff, 0xff, 0xff, 0xe8, 1, 0, 0, 0, 0xe9, 0];
        assert_eq!(jumps(&code, 0x1000).collect::<Vec<_>>(), [0x1016, 0xfec]);
        assert_eq!(jumps(&[0xe9, 0xff, 0xff, 0xff, 0xff], u64::MAX).collect::<Vec<_>>(), [3]);
    }

    /// An `.eh_frame` at 0x8000 that begins with what all entries share; each entry says that it describes 16 bytes.
    fn eh_frame(entries: &[(u64, &[u8])]) -> (Part, Vec<usize>) {
        let mut bytes = vec![];
        let mut put = |id: u32, body: &[u8]| {
            let at = bytes.len();
            let len = (4 + body.len()).next_multiple_of(8) + 4;
            bytes.extend((len as u32).to_le_bytes());
            bytes.extend(if id == 0 { 0 } else { at as u32 + 4 }.to_le_bytes());
            bytes.extend(body);
            // Padded with instructions that do nothing.
            bytes.resize(at + 4 + len, 0);
            at
        };
        // Version 1, "zR", factors 1 and -8, the return address is register 16; relative four bytes; rsp + 8, and that above it.
        put(0, b"\x01zR\0\x01\x78\x10\x01\x1b\x0c\x07\x08\x90\x01");
        let mut at = vec![];
        for (start, instructions) in entries {
            let here = 0x8000 + at.last().map_or(24, |last: &usize| last + 40) as u64 + 8;
            let mut body = (start.wrapping_sub(here) as u32).to_le_bytes().to_vec();
            body.extend(16u32.to_le_bytes());
            body.push(0);
            body.extend(*instructions);
            body.resize(28, 0);
            at.push(put(1, &body));
        }
        (Part { address: 0x8000, bytes: bytes.into() }, at)
    }

    #[test]
    fn the_rest_is_where_most_jumps_lead_of_what_begins_with_registers_saved() {
        // A function; a stub of the linker's; two parts, saved by rbp and by rsp.
        let kinds: [&[u8]; 4] = [
            b"\x41\x0e\x10\x86\x02",
            b"\x0e\x10\x46\x0e\x18",
            b"\x0c\x06\x10\x86\x02\x41\x83\x03",
            b"\x0e\x40\x83\x02",
        ];
        let starts = [0x1000, 0x1100, 0x1200, 0x1300];
        let entries: Vec<_> = starts.into_iter().zip(kinds).collect();
        let (part, at) = eh_frame(&entries);
        let is_midway: Vec<_> = at.iter().map(|at| begins_midway(&part, *at)).collect();
        assert_eq!(is_midway, [false, false, true, true]);
        assert!(!begins_midway(&part, 3) && !begins_midway(&part, 1 << 20));

        let described = |address: u64| {
            let which = starts.iter().position(|start| (*start..start + 16).contains(&address))?;
            Some((starts[which]..starts[which] + 16, at[which]))
        };
        let code = |targets: &[u64]| {
            let jump = |(n, target): (usize, &u64)| {
                let after = 0x2000 + 5 * (n as u64 + 1);
                [&[0xe9][..], &(target.wrapping_sub(after) as u32).to_le_bytes()].concat()
            };
            targets.iter().enumerate().flat_map(jump).collect::<Vec<_>>()
        };
        let rest = |targets: &[u64]| rest(&code(targets), 0x2000, &part, described);
        assert_eq!(rest(&[0x1000, 0x1100, 0x1304, 0x1204, 0x1200]), Some(0x1200..0x1210));
        assert_eq!(rest(&[0x1000, 0x1100, 0x1108, 0x5000]), None);
        assert_eq!(rest(&[]), None);
    }
}
