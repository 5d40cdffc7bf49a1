//! Reading the native form. Every length is checked against the bytes that are there before anything is made of it.

use std::ffi::c_long;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{DEPTH, tag};

/// Why a value could not be made.
enum Unread {
    /// The bytes are not what a writer wrote.
    Broken,
    /// Python's error indicator is set.
    Raised,
}

/// An owned reference: dropping it, as every early return here does, gives it back.
struct Owned(*mut ffi::PyObject);

impl Owned {
    fn new(object: *mut ffi::PyObject) -> Result<Owned, Unread> {
        if object.is_null() { Err(Unread::Raised) } else { Ok(Owned(object)) }
    }

    fn into_ptr(self) -> *mut ffi::PyObject {
        let object = self.0;
        std::mem::forget(self);
        object
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it is our reference, and only made and dropped by threads attached to the interpreter.
        unsafe { ffi::Py_DECREF(self.0) }
    }
}

/// The arguments that `write_call` wrote.
pub fn read_call<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    let mut reader = Reader { bytes };
    let mut call = || -> Result<(Owned, Option<Owned>), Unread> {
        let count = usize::from(reader.take::<1>()?[0]);
        let args = reader.tuple(count, 0)?;
        if reader.bytes.is_empty() {
            return Ok((args, None));
        }
        // SAFETY: attached, as py shows.
        let kwargs = Owned::new(unsafe { ffi::PyDict_New() })?;
        while !reader.bytes.is_empty() {
            let [tag::STR] = reader.take::<1>()? else {
                return Err(Unread::Broken);
            };
            let key = reader.text()?;
            let value = reader.value(0)?;
            // SAFETY: three live objects, the first a dict; it takes references of its own.
            if unsafe { ffi::PyDict_SetItem(kwargs.0, key.0, value.0) } != 0 {
                return Err(Unread::Raised);
            }
        }
        Ok((args, Some(kwargs)))
    };
    let (args, kwargs) = call().map_err(|why| raise(py, &why))?;
    // SAFETY: owned references to a tuple and a dict, made above.
    unsafe {
        let args = Bound::from_owned_ptr(py, args.into_ptr()).cast_into_unchecked();
        let kwargs = kwargs.map(|kwargs| Bound::from_owned_ptr(py, kwargs.into_ptr()).cast_into_unchecked());
        Ok((args, kwargs))
    }
}

/// The value that `write_value` or `write_chunk` wrote.
pub fn read_value<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut reader = Reader { bytes };
    let value = reader.value(0).and_then(|value| if reader.bytes.is_empty() { Ok(value) } else { Err(Unread::Broken) });
    let value = value.map_err(|why| raise(py, &why))?;
    // SAFETY: an owned reference.
    Ok(unsafe { Bound::from_owned_ptr(py, value.into_ptr()) })
}

/// Takes values that `write_value` wrote off the front of `bytes`, up to the end or to a byte that `is_end` knows.
pub fn read_front(
    py: Python<'_>,
    bytes: &mut &[u8],
    is_end: impl Fn(u8) -> bool,
    values: &mut Vec<Py<PyAny>>,
) -> PyResult<()> {
    let mut reader = Reader { bytes };
    while reader.bytes.first().is_some_and(|&first| first == tag::INT || !is_end(first)) {
        let value = reader.value(0).map_err(|why| raise(py, &why))?;
        *bytes = reader.bytes;
        // SAFETY: an owned reference.
        values.push(unsafe { Bound::from_owned_ptr(py, value.into_ptr()) }.unbind());
    }
    Ok(())
}

#[cold]
fn raise(py: Python<'_>, why: &Unread) -> PyErr {
    match why {
        Unread::Broken => {
            PyValueError::new_err("not a message of plait's native codec: it was cut short or overwritten")
        }
        Unread::Raised => PyErr::fetch(py),
    }
}

/// What is still to be read. All of its methods ask that the thread is attached to the interpreter, which the functions
/// above, the only makers of readers, have as `py`.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(Unread::Broken)?;
        self.bytes = rest;
        Ok(*head)
    }

    #[inline]
    fn slice(&mut self, length: usize) -> Result<&'a [u8], Unread> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or(Unread::Broken)?;
        self.bytes = rest;
        Ok(head)
    }

    /// A count of things that take at least `size` bytes each: never more than can still follow.
    #[inline]
    fn count(&mut self, size: usize) -> Result<usize, Unread> {
        let count = u32::from_le_bytes(self.take()?) as usize;
        if count > self.bytes.len() / size { Err(Unread::Broken) } else { Ok(count) }
    }

    #[inline]
    fn value(&mut self, depth: u32) -> Result<Owned, Unread> {
        // SAFETY: (all of the match) attached; pointers and lengths passed on are those of slices that are alive; None, True and
        // False are alive for ever, and new references to them are made.
        unsafe {
            match self.take::<1>()?[0] {
                tag::INT => int(i64::from_le_bytes(self.take()?)),
                tag::FLOAT => Owned::new(ffi::PyFloat_FromDouble(f64::from_le_bytes(self.take()?))),
                tag::STR => self.text(),
                tag::NONE => Owned::new(ffi::Py_NewRef(ffi::Py_None())),
                tag::TRUE => Owned::new(ffi::Py_NewRef(ffi::Py_True())),
                tag::FALSE => Owned::new(ffi::Py_NewRef(ffi::Py_False())),
                tag::BYTES => {
                    let length = self.count(1)?;
                    let bytes = self.slice(length)?;
                    Owned::new(ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t))
                }
                tag::BIG_INT => self.big_int(),
                tag => self.container(tag, depth),
            }
        }
    }

    #[inline]
    fn text(&mut self) -> Result<Owned, Unread> {
        let length = self.count(1)?;
        let text = self.slice(length)?;
        // SAFETY: attached; pointer and length of a live slice. Bytes that are not UTF-8 raise.
        Owned::new(unsafe { ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), text.len() as ffi::Py_ssize_t) })
    }

    #[cold]
    fn big_int(&mut self) -> Result<Owned, Unread> {
        let length = usize::from(self.take::<1>()?[0]);
        let bytes = self.slice(length)?;
        // SAFETY: attached; pointer and length of a live slice.
        #[cfg(Py_3_13)]
        let int = unsafe {
            ffi::PyLong_FromNativeBytes(bytes.as_ptr().cast(), bytes.len(), ffi::Py_ASNATIVEBYTES_LITTLE_ENDIAN)
        };
        // SAFETY: the same.
        #[cfg(not(Py_3_13))]
        let int = unsafe { ffi::_PyLong_FromByteArray(bytes.as_ptr(), bytes.len(), 1, 1) };
        Owned::new(int)
    }

    fn container(&mut self, tag: u8, depth: u32) -> Result<Owned, Unread> {
        if depth == DEPTH {
            return Err(Unread::Broken);
        }
        match tag {
            tag::TUPLE => {
                let count = self.count(1)?;
                self.tuple(count, depth + 1)
            }
            tag::LIST => {
                let count = self.count(1)?;
                fill_list(count, |_| self.value(depth + 1))
            }
            tag::DICT => self.dict(depth),
            tag::INTS_1 => self.ints::<1>(|[byte]| i64::from(byte.cast_signed())),
            tag::INTS_2 => self.ints::<2>(|bytes| i64::from(i16::from_le_bytes(bytes))),
            tag::INTS_4 => self.ints::<4>(|bytes| i64::from(i32::from_le_bytes(bytes))),
            tag::INTS_8 => self.ints::<8>(i64::from_le_bytes),
            tag::FLOATS => {
                let count = self.count(8)?;
                let (places, _) = self.slice(count * 8)?.as_chunks::<8>();
                // SAFETY: attached.
                fill_list(count, |index| unsafe {
                    Owned::new(ffi::PyFloat_FromDouble(f64::from_le_bytes(places[index])))
                })
            }
            _ => Err(Unread::Broken),
        }
    }

    fn ints<const N: usize>(&mut self, widen: impl Fn([u8; N]) -> i64) -> Result<Owned, Unread> {
        let count = self.count(N)?;
        let (places, _) = self.slice(count * N)?.as_chunks::<N>();
        // SAFETY: attached.
        fill_list(count, |index| unsafe { int(widen(places[index])) })
    }

    fn tuple(&mut self, count: usize, depth: u32) -> Result<Owned, Unread> {
        if count > self.bytes.len() {
            return Err(Unread::Broken);
        }
        // SAFETY: attached. A tuple in the making may have empty places: its deallocation skips them.
        let tuple = Owned::new(unsafe { ffi::PyTuple_New(count as ffi::Py_ssize_t) })?;
        for index in 0..count {
            let value = self.value(depth)?;
            // SAFETY: index is below the tuple's size, the place is empty, the tuple is referred to by nobody else.
            unsafe { ffi::PyTuple_SET_ITEM(tuple.0, index as ffi::Py_ssize_t, value.into_ptr()) };
        }
        Ok(tuple)
    }

    fn dict(&mut self, depth: u32) -> Result<Owned, Unread> {
        let count = self.count(2)?;
        // SAFETY: attached.
        let dict = Owned::new(unsafe { ffi::PyDict_New() })?;
        for _ in 0..count {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            // SAFETY: three live objects, the first a dict; it takes references of its own. A key that has no hash raises.
            if unsafe { ffi::PyDict_SetItem(dict.0, key.0, value.0) } != 0 {
                return Err(Unread::Raised);
            }
        }
        Ok(dict)
    }
}

/// # Safety
/// The thread is attached to the interpreter.
#[inline]
unsafe fn int(value: i64) -> Result<Owned, Unread> {
    // CPython makes an int from a C long faster than from a long long, and on most platforms they are one.
    if size_of::<c_long>() == size_of::<i64>() {
        // SAFETY: attached (contract).
        return Owned::new(unsafe { ffi::PyLong_FromLong(value as c_long) });
    }
    // SAFETY: attached (contract).
    Owned::new(unsafe { ffi::PyLong_FromLongLong(value) })
}

#[inline]
fn fill_list(count: usize, mut value: impl FnMut(usize) -> Result<Owned, Unread>) -> Result<Owned, Unread> {
    // SAFETY: attached, as Reader's methods ask. A list in the making may have empty places: its deallocation skips them.
    let list = Owned::new(unsafe { ffi::PyList_New(count as ffi::Py_ssize_t) })?;
    for index in 0..count {
        let value = value(index)?;
        // SAFETY: index is below the list's size, and the place is empty.
        unsafe { ffi::PyList_SET_ITEM(list.0, index as ffi::Py_ssize_t, value.into_ptr()) };
    }
    Ok(list)
}
