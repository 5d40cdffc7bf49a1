//! Code objects made by hand, as free-threaded builds and rare programs have them.

use super::*;
use crate::stacks::gather::place;
use crate::stacks::layout::{BytesLayout, CodeLayout, FrameLayout, TextLayout, Top};

/// As in the headers of a free-threaded 3.14.
const FREE_THREADED: Layout = Layout {
    top: Top::State { frame: 72 },
    frame: FrameLayout {
        code: 0,
        previous: 8,
        instruction: 56,
        owner: 78,
        tag: 7,
        first_shim: 3,
        last_owner: 4,
        size: 88,
        last_run: false,
    },
    code: CodeLayout {
        head: (24, 136),
        restless: (0, 0),
        units: 32,
        filename: 128,
        qualname: 144,
        linetable: 152,
        first_line: 84,
        instructions: 232,
        copies: Some(224),
    },
    text: TextLayout { length: 32, state: 48, kind_shift: 8, ascii_size: 56, compact_size: 72 },
    bytes: BytesLayout { size: 32, data: 48 },
};

/// Objects in this process, which is as good to read as any.
#[derive(Default)]
struct Heap(Vec<Vec<u64>>);

impl Heap {
    /// An object with these words at these offsets, and `bytes` at the end of `size`; its address.
    fn object(&mut self, size: u64, words: &[(u64, u64)], bytes: &[u8]) -> u64 {
        let mut object = vec![0_u64; (size as usize + bytes.len()).div_ceil(8)];
        for &(offset, word) in words {
            assert_eq!(offset % 4, 0);
            let (at, shift) = (offset as usize / 8, offset % 8 * 8);
            object[at] |= word << shift;
        }
        for (at, &byte) in bytes.iter().enumerate() {
            let at = size as usize + at;
            object[at / 8] |= u64::from(byte) << (at % 8 * 8);
        }
        self.0.push(object);
        self.0.last().expect("one").as_ptr().addr() as u64
    }

    fn text(&mut self, text: &str) -> u64 {
        let state = 1 << 8 | 1 << 11 | 1 << 12;
        self.object(56, &[(32, text.len() as u64), (48, state)], text.as_bytes())
    }

    fn code(&mut self, copies: u64, qualname: u64) -> u64 {
        let filename = self.text("made.py");
        // Four units on line 5, then four on line 6.
        let table = self.object(48, &[(32, 4)], &[0x80 | 3, 0, 0x80 | 11 << 3 | 3, 0]);
        let words = [(24, 0x1234), (32, 8), (84, 5), (128, filename), (144, qualname), (152, table), (224, copies)];
        self.object(232, &words, &[0; 16])
    }
}

struct Reader {
    codes: Codes,
    gather: Gather,
}

impl Reader {
    fn new() -> Self {
        Self { codes: Codes::default(), gather: Gather::of(std::process::id()).expect("own memory") }
    }

    fn head(&mut self, code: u64) -> Vec<u8> {
        let mut head = vec![0; FREE_THREADED.code.head.1];
        self.gather.read(&[place(code + 24, head.len())], &mut head).expect("own memory");
        head
    }

    fn load(&mut self, code: u64) -> Result<(), Miss> {
        let head = self.head(code);
        self.codes.load(self.gather.memory(), &FREE_THREADED, code, &head)
    }

    fn line(&mut self, code: u64, instruction: u64) -> Option<u32> {
        self.codes.place(code, instruction, false).map(|place| place.line)
    }
}

#[test]
fn instructions_in_a_threads_own_copy_have_their_lines() {
    let mut heap = Heap::default();
    let (one, other) = (heap.object(16, &[], &[]), heap.object(16, &[], &[]));
    let copies = heap.object(32, &[(0, 3), (8, one), (16, 0), (24, other)], &[]);
    let name = heap.text("made");
    let code = heap.code(copies, name);
    let mut reader = Reader::new();
    assert_eq!(reader.load(code), Ok(()));
    for start in [code + 232, one, other] {
        assert_eq!(reader.line(code, start), Some(5));
        assert_eq!(reader.line(code, start + 8), Some(6));
        assert_eq!(reader.line(code, start + 1), None, "within an instruction");
        assert_eq!(reader.codes.place(code, start + 14, false).map(|place| place.function), Some("made".into()));
    }
    assert_eq!(reader.line(code, 0x1000), None);
    assert_eq!(reader.line(code, one.wrapping_sub(2)), None);
    assert_eq!(reader.codes.place(code, (code + 232).wrapping_sub(2), true).map(|place| place.line), Some(5));
}

#[test]
fn code_is_known_by_every_byte_of_its_head() {
    let mut heap = Heap::default();
    let name = heap.text("made");
    let code = heap.code(0, name);
    let mut reader = Reader::new();
    reader.load(code).expect("a code object");
    let head = reader.head(code);
    assert!(reader.codes.knows(&FREE_THREADED.code, code, &head));
    assert!(!reader.codes.knows(&FREE_THREADED.code, code + 16, &head));
    for at in 0..head.len() {
        let mut other = head.clone();
        other[at] ^= 1;
        assert!(!reader.codes.knows(&FREE_THREADED.code, code, &other), "byte {at}");
        let restless = CodeLayout { restless: (at, at + 1), ..FREE_THREADED.code };
        assert!(reader.codes.knows(&restless, code, &other), "byte {at}");
    }
    reader.codes.forget(code);
    assert!(!reader.codes.knows(&FREE_THREADED.code, code, &head));
}

#[test]
fn what_is_no_code_object_is_refused() {
    let mut heap = Heap::default();
    let name = heap.text("made");
    let huge = heap.object(56, &[(32, u64::MAX), (48, 1 << 8 | 3 << 11)], &[]);
    let mut reader = Reader::new();
    for qualname in [0, 8, name + 4, 0xdead_0000, huge] {
        let code = heap.code(0, qualname);
        assert_eq!(reader.load(code), Err(Miss::Nowhere), "{qualname:#x}");
    }
    let many = heap.object(16, &[(0, u64::MAX)], &[]);
    let code = heap.code(many, name);
    assert_eq!(reader.load(code), Err(Miss::Nowhere));
    // Once the type of code objects is known, nothing of another type is one.
    let code = heap.code(0, name);
    reader.load(code).expect("a code object");
    assert_eq!(reader.line(code, code + 232), Some(5));
    let mut head = reader.head(code);
    head[0] ^= 1;
    assert_eq!(reader.codes.load(reader.gather.memory(), &FREE_THREADED, code, &head), Err(Miss::Nowhere));
}
