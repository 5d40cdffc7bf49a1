//! Writing the native form. Nothing here runs Python code, so that what is read cannot change while it is read.

mod items;
mod numbers;

use std::ffi::c_int;
use std::slice;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{CHUNK_LIMIT, DEPTH, LIMIT, tag};
use items::{each_entry, list_items, tuple_items};

/// The value is not for the native form.
struct Refused;

type Written = Result<(), Refused>;

/// Borrowed pointers to live objects.
type Items<'a> = &'a [*mut ffi::PyObject];

/// Lists and dicts that might be met again; more of them, and pickle's memo is the better bookkeeper.
const SEEN_MAX: usize = 16;

/// Writes a call; false, and `out` as it was, when it is not for the native form.
pub fn write_call(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>, out: &mut Vec<u8>) -> bool {
    Writer::run(out, LIMIT, |writer| {
        // SAFETY: args is a live tuple.
        let items = unsafe { tuple_items(args.as_ptr()) };
        writer.out.push(u8::try_from(items.len()).map_err(|_| Refused)?);
        for &item in items {
            // SAFETY: item is an element of args, alive as long as it is.
            unsafe { writer.value(item, 0, false)? };
        }
        let Some(kwargs) = kwargs else { return Ok(()) };
        if cfg!(Py_GIL_DISABLED) {
            return Err(Refused);
        }
        // SAFETY: kwargs is a live dict; its keys are asked to be str by writing nothing else.
        unsafe {
            each_entry(kwargs.as_ptr(), |key, value| {
                writer.text(key)?;
                writer.value(value, 0, false)
            })
        }
    })
}

/// Writes one value; false, and `out` as it was, when it is not for the native form.
#[inline]
pub fn write_value(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> bool {
    // SAFETY: value is alive.
    Writer::run(out, LIMIT, |writer| unsafe { writer.value(value.as_ptr(), 0, false) })
}

/// Writes items as a list; false, and `out` as it was, when they are not for the native form.
pub fn write_chunk(items: &[Bound<'_, PyAny>], out: &mut Vec<u8>) -> bool {
    // SAFETY: a Bound is declared to have the form of its pointer.
    let pointers: Items<'_> = unsafe { slice::from_raw_parts(items.as_ptr().cast(), items.len()) };
    // SAFETY: the items are alive, each held by its Bound.
    Writer::run(out, CHUNK_LIMIT, |writer| unsafe { writer.list(pointers, 0, false) })
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// The length of `out` that mixed content must stay below.
    end: usize,
    /// Those met so far; `None` before the first, because most values have none.
    seen: Option<[*mut ffi::PyObject; SEEN_MAX]>,
    seen_len: usize,
}

impl Writer<'_> {
    fn run(out: &mut Vec<u8>, limit: usize, write: impl FnOnce(&mut Writer<'_>) -> Written) -> bool {
        let start = out.len();
        let mut writer = Writer { end: start + limit, seen: None, seen_len: 0, out };
        let written = write(&mut writer).is_ok();
        if !written {
            out.truncate(start);
        }
        written
    }

    /// Writes one value.
    ///
    /// # Safety
    /// `object` points to a live object and the thread is attached to the interpreter.
    #[inline]
    unsafe fn value(&mut self, object: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        // SAFETY: object is alive (contract); the static type objects are alive for ever and only compared.
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyLong_Type {
                self.int(object)
            } else if kind == &raw mut ffi::PyFloat_Type {
                let mut bytes = [tag::FLOAT; 9];
                bytes[1..].copy_from_slice(&ffi::PyFloat_AS_DOUBLE(object).to_le_bytes());
                self.out.extend_from_slice(&bytes);
                Ok(())
            } else if kind == &raw mut ffi::PyUnicode_Type {
                self.text(object)
            } else if object == ffi::Py_None() {
                self.out.push(tag::NONE);
                Ok(())
            } else if object == ffi::Py_True() {
                self.out.push(tag::TRUE);
                Ok(())
            } else if object == ffi::Py_False() {
                self.out.push(tag::FALSE);
                Ok(())
            } else if kind == &raw mut ffi::PyBytes_Type {
                let length = ffi::PyBytes_Size(object) as usize;
                self.block(tag::BYTES, slice::from_raw_parts(ffi::PyBytes_AS_STRING(object).cast(), length))
            } else {
                self.container(object, depth, shared)
            }
        }
    }

    /// Writes an exact int.
    ///
    /// # Safety
    /// As [`Self::value`], and `object` is an int.
    #[inline]
    unsafe fn int(&mut self, object: *mut ffi::PyObject) -> Written {
        let mut overflow: c_int = 0;
        // SAFETY: object is an int, so that no error can be set and no Python code runs.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow) };
        if overflow != 0 {
            // SAFETY: the same contract.
            return unsafe { self.big_int(object) };
        }
        let mut bytes = [tag::INT; 9];
        bytes[1..].copy_from_slice(&value.to_le_bytes());
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Writes an exact str, refuses everything else (keywords of a call may be str subclasses).
    ///
    /// # Safety
    /// As [`Self::value`].
    #[inline]
    unsafe fn text(&mut self, object: *mut ffi::PyObject) -> Written {
        let mut length: ffi::Py_ssize_t = 0;
        // SAFETY: object is alive; the type is checked before it is read as a str. The UTF-8 belongs to the str and lives as
        // long as it does. A lone surrogate sets an error, which is cleared, and nothing borrowed is read after it.
        let text = unsafe {
            if ffi::Py_TYPE(object) != &raw mut ffi::PyUnicode_Type {
                return Err(Refused);
            }
            let text = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut length);
            if text.is_null() {
                ffi::PyErr_Clear();
                return Err(Refused);
            }
            slice::from_raw_parts(text.cast::<u8>(), length as usize)
        };
        self.block(tag::STR, text)
    }

    #[inline]
    fn block(&mut self, tag: u8, bytes: &[u8]) -> Written {
        if self.out.len() + bytes.len() + 5 > self.end {
            return Err(Refused);
        }
        self.head(tag, bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn head(&mut self, tag: u8, count: usize) -> Written {
        let mut bytes = [tag; 5];
        bytes[1..].copy_from_slice(&u32::try_from(count).map_err(|_| Refused)?.to_le_bytes());
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Writes a tuple, list or dict, refuses all other types.
    ///
    /// `shared` says that the path to here leads through a tuple that others refer to too, so that even an object with one
    /// reference may be met twice.
    ///
    /// # Safety
    /// As [`Self::value`].
    unsafe fn container(&mut self, object: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        // SAFETY: object is alive (contract), each branch checks the exact type before it reads the object as that type, and no
        // Python code runs while the borrowed items are in use (see the module's head).
        unsafe {
            let kind = ffi::Py_TYPE(object);
            if kind == &raw mut ffi::PyTuple_Type {
                let items = tuple_items(object);
                if depth == DEPTH {
                    return Err(Refused);
                }
                let shared = shared || ffi::Py_REFCNT(object) > 1;
                self.head(tag::TUPLE, items.len())?;
                return self.values(items, depth + 1, shared);
            }
            // Another thread may resize a list or a dict while it is read, and its reference count tells less.
            if cfg!(Py_GIL_DISABLED) {
                return Err(Refused);
            }
            if kind == &raw mut ffi::PyList_Type {
                self.meet(object, shared)?;
                self.list(list_items(object), depth, false)
            } else if kind == &raw mut ffi::PyDict_Type {
                self.meet(object, shared)?;
                if depth == DEPTH {
                    return Err(Refused);
                }
                self.head(tag::DICT, ffi::PyDict_Size(object) as usize)?;
                each_entry(object, |key, value| {
                    self.value(key, depth + 1, false)?;
                    self.value(value, depth + 1, false)?;
                    self.within_limit()
                })
            } else {
                Err(Refused)
            }
        }
    }

    /// Notes a list or dict, refuses one met before: decoding would make two objects of it.
    ///
    /// # Safety
    /// As [`Self::value`].
    unsafe fn meet(&mut self, object: *mut ffi::PyObject, shared: bool) -> Written {
        // SAFETY: object is alive. What is met twice is referred to twice, unless by way of a shared tuple.
        if !shared && unsafe { ffi::Py_REFCNT(object) } == 1 {
            return Ok(());
        }
        let seen = self.seen.get_or_insert([std::ptr::null_mut(); SEEN_MAX]);
        if self.seen_len == SEEN_MAX || seen[..self.seen_len].contains(&object) {
            return Err(Refused);
        }
        seen[self.seen_len] = object;
        self.seen_len += 1;
        Ok(())
    }

    /// Writes items as a list.
    ///
    /// # Safety
    /// As [`Self::value`], for every item.
    unsafe fn list(&mut self, items: Items<'_>, depth: u32, shared: bool) -> Written {
        if depth == DEPTH {
            return Err(Refused);
        }
        // SAFETY: the items are alive (contract).
        unsafe {
            if let [first, _, ..] = items {
                let kind = ffi::Py_TYPE(*first);
                if kind == &raw mut ffi::PyLong_Type && self.ints(items)? {
                    return Ok(());
                }
                if kind == &raw mut ffi::PyFloat_Type && self.floats(items)? {
                    return Ok(());
                }
            }
            self.head(tag::LIST, items.len())?;
            self.values(items, depth + 1, shared)
        }
    }

    /// # Safety
    /// As [`Self::value`], for every item.
    unsafe fn values(&mut self, items: Items<'_>, depth: u32, shared: bool) -> Written {
        for &item in items {
            // SAFETY: the items are alive (contract).
            unsafe { self.value(item, depth, shared)? };
            self.within_limit()?;
        }
        Ok(())
    }

    #[inline]
    fn within_limit(&self) -> Written {
        if self.out.len() > self.end { Err(Refused) } else { Ok(()) }
    }
}
