//! Makes calls of a copied stack: from the leaf outward, to the interpreter's evaluation loop.

use std::io::IoSliceMut;

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64};
use framehop::{FrameAddress, MayAllocateDuringUnwind, Unwinder};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid as Raw;

use super::modules::{Kind, Modules};
use super::{Copied, rule};
use crate::Pid;

/// Stacks of more calls than this are cut.
const MOST_CALLS: usize = 512;
/// So many bytes before a return address hold the call.
const CALL_BYTES: usize = 8;

/// A function that the thread is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// `None` where nothing names it.
    pub name: Option<String>,
    /// The name is not a symbol's, but what Python calls it.
    pub is_method: bool,
    /// The module and where in it the function begins.
    pub place: String,
    pub kind: Kind,
    /// It called the next one inward by a pointer that it was given or found, not by what the linker knew.
    pub by_pointer: bool,
}

/// The calls of a thread, the innermost first.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub calls: Vec<Call>,
    /// The next call outward is the evaluation loop, which is not among the calls.
    pub reached_python: bool,
    /// There is no next call.
    pub reached_root: bool,
}

impl Walk {
    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.reached_python || self.reached_root
    }
}

impl Modules {
    /// The calls on a stack. Ends early, and says so, where the way out is not certain.
    pub fn walk(&mut self, copied: &Copied) -> Walk {
        self.refresh(false);
        let mut refreshed = false;
        let mut regs = UnwindRegsX86_64::new(copied.ip, copied.sp, copied.bp);
        let mut at = FrameAddress::from_instruction_pointer(copied.ip);
        let mut read = |address: u64| read_word(&copied.stack, copied.sp, address).ok_or(());
        // Not kept from walk to walk: it remembers makeshifts for what could not be read on one stack.
        let mut cache = CacheX86_64::<MayAllocateDuringUnwind>::new();
        let (mut walk, mut returns) = (Walk::default(), Vec::new());
        while walk.calls.len() < MOST_CALLS {
            if !self.is_code(at.address_for_lookup()) && !refreshed {
                // Loaded since, perhaps.
                refreshed = true;
                self.refresh(true);
            }
            let Some((call, described)) = self.call(at.address_for_lookup()) else { break };
            if call.name.as_deref().is_some_and(rule::is_evaluation) {
                walk.reached_python = true;
                break;
            }
            walk.calls.push(call);
            // Where nothing is described the unwinder would follow frame pointers, which code need not have.
            if !described {
                break;
            }
            let Ok(outer) = self.unwinder.unwind_frame(at, &mut regs, &mut cache, &mut read) else { break };
            let Some(outer) = outer.and_then(FrameAddress::from_return_address) else {
                walk.reached_root = true;
                break;
            };
            returns.push(outer.address());
            at = outer;
        }
        // A return address that no call put there is none, and what was found from there on was not called.
        let certain = certain(self.pid, &returns);
        if certain.len() < returns.len() {
            walk = Walk { calls: walk.calls.into_iter().take(certain.len() + 1).collect(), ..Walk::default() };
        }
        for (call, how) in walk.calls.iter_mut().skip(1).zip(certain) {
            call.by_pointer = how == How::ByPointer;
        }
        walk
    }
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Directly,
    ByPointer,
}

fn read_word(stack: &[u8], base: u64, address: u64) -> Option<u64> {
    let from = usize::try_from(address.checked_sub(base)?).ok()?;
    let word = stack.get(from..from.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

/// The calls that these addresses, from the first on, stand right behind in the memory of `pid`; ends before the first address
/// that stands behind none.
fn certain(pid: Pid, returns: &[u64]) -> Vec<How> {
    let mut code = vec![0; returns.len() * CALL_BYTES];
    let before = |address: &u64| usize::try_from(*address).unwrap_or(0).saturating_sub(CALL_BYTES);
    let pieces: Vec<RemoteIoVec> =
        returns.iter().map(|address| RemoteIoVec { base: before(address), len: CALL_BYTES }).collect();
    let read = process_vm_readv(Raw::from_raw(pid.cast_signed()), &mut [IoSliceMut::new(&mut code)], &pieces);
    let read = read.unwrap_or(0) / CALL_BYTES;
    code.chunks_exact(CALL_BYTES).take(read).map_while(call_at_the_end).collect()
}

/// The x86-64 call that the last of these bytes can be.
fn call_at_the_end(code: &[u8]) -> Option<How> {
    let from_end = |back: usize| code.len().checked_sub(back).map(|at| &code[at..]);
    // E8 and four bytes: to a fixed address.
    if from_end(5).is_some_and(|code| code[0] == 0xe8) {
        return Some(How::Directly);
    }
    // FF /2: to an address in a register or in memory; a prefix before it makes no difference.
    let is_call = |code: &&[u8]| code[0] == 0xff && indirect_call_length(&code[1..]) == Some(code.len());
    let call = (2..=7).filter_map(from_end).find(is_call)?;
    // FF 15: through a table that the linker filled.
    Some(if call[1] == 0x15 { How::Directly } else { How::ByPointer })
}

/// How long the call FF /2 is whose bytes after FF these are.
fn indirect_call_length(operand: &[u8]) -> Option<usize> {
    let how = *operand.first()?;
    ((how >> 3) & 7 == 2).then_some(())?;
    let (mode, base) = (how >> 6, how & 7);
    let index = usize::from(mode != 3 && base == 4);
    let far = match mode {
        0 if base == 5 => 4,
        // An index byte whose base is 5 has four more bytes behind it.
        0 if base == 4 && operand.get(1)? & 7 == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    Some(2 + index + far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_other_code() {
        let calls: [&[u8]; 9] = [
            &[0x90, 0x90, 0x90, 0xe8, 1, 2, 3, 4],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 0x18],
            &[0x90, 0x90, 0xff, 0x15, 1, 2, 3, 4],
            &[0x90, 0x90, 0xff, 0x93, 0x20, 1, 0, 0],
            &[0x90, 0x90, 0x90, 0x90, 0xff, 0x54, 0x24, 0x10],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x14, 0x24],
            &[0x90, 0xff, 0x14, 0xc5, 1, 2, 3, 4],
        ];
        for call in calls {
            let fixed = call[3] == 0xe8 || call[3] == 0x15;
            assert_eq!(call_at_the_end(call), Some(if fixed { How::Directly } else { How::ByPointer }), "{call:x?}");
        }
        let others: [&[u8]; 6] = [
            &[0x90; 8],
            &[0x90, 0x90, 0xe8, 1, 2, 3, 4, 0x90],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x50],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff],
            &[],
        ];
        for other in others {
            assert_eq!(call_at_the_end(other), None, "{other:x?}");
        }
    }

    #[test]
    fn words_are_read_within_the_copy_only() {
        let stack: Vec<u8> = (0..16).collect();
        assert_eq!(read_word(&stack, 0x1000, 0x1008), Some(0x0f0e_0d0c_0b0a_0908));
        assert_eq!(read_word(&stack, 0x1000, 0x1003), Some(0x0a09_0807_0605_0403));
        for address in [0, 0xfff, 0x1009, 0x1010, u64::MAX] {
            assert_eq!(read_word(&stack, 0x1000, address), None, "{address:x}");
        }
    }

    #[test]
    fn addresses_that_nobody_called_from_are_not_certain() {
        let code: Vec<u8> = [vec![0x90; 3], vec![0xe8, 1, 2, 3, 4], vec![0x90; 8]].concat();
        let start = code.as_ptr().addr() as u64;
        let own = std::process::id();
        assert_eq!(certain(own, &[start + 8, start + 8]), [How::Directly; 2]);
        assert_eq!(certain(own, &[start + 8, start + 16, start + 8]), [How::Directly]);
        assert_eq!(certain(own, &[start + 8, 4]), [How::Directly]);
        assert_eq!(certain(own, &[]), []);
    }

    #[test]
    fn rubbish_for_a_stack_ends_the_walk() {
        let own = std::process::id();
        let mut modules = Modules::of(own);
        // Deterministic noise, in it addresses of real code.
        let code = (rubbish_for_a_stack_ends_the_walk as fn() as *const ()).addr() as u64;
        let mut seed = 1_u64;
        for round in 0..2000_u64 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed >> 16
            };
            let sp = 0x7fff_0000 + next() % 64;
            let stack = (0..512).flat_map(|_| match next() % 4 {
                0 => (code + next() % 100_000).to_le_bytes(),
                1 => (sp + next() % 4096).to_le_bytes(),
                2 => u64::MAX.to_le_bytes(),
                _ => next().to_le_bytes(),
            });
            let stack = stack.collect();
            let bp = if round % 2 == 0 { sp + 64 } else { next() };
            let walk = modules.walk(&Copied { ip: code + next() % 200_000, sp, bp, stack, ..Copied::default() });
            assert!(walk.calls.len() <= MOST_CALLS && !walk.reached_python);
        }
    }
}
