//! Writing numbers: ints beyond a machine word, and lists of nothing but ints or floats.

use std::ffi::c_int;

use pyo3::ffi;

use super::super::tag;
use super::{Items, Refused, Writer, Written};

impl Writer<'_> {
    /// Writes an int beyond `i64`, refuses one beyond 512 bits.
    ///
    /// # Safety
    /// As [`Self::int`].
    #[cold]
    pub(super) unsafe fn big_int(&mut self, object: *mut ffi::PyObject) -> Written {
        let mut bytes = [0_u8; 64];
        // SAFETY: object is an int and the buffer has the length that is told.
        #[cfg(Py_3_13)]
        let fits = unsafe {
            let needed = ffi::PyLong_AsNativeBytes(
                object,
                bytes.as_mut_ptr().cast(),
                bytes.len() as ffi::Py_ssize_t,
                ffi::Py_ASNATIVEBYTES_LITTLE_ENDIAN,
            );
            (0..=bytes.len() as ffi::Py_ssize_t).contains(&needed)
        };
        // SAFETY: the same; an int too long sets OverflowError, which is cleared. That may run the garbage collector, and with
        // it Python code, but nothing borrowed is read again after a refusal.
        #[cfg(not(Py_3_13))]
        let fits = unsafe {
            let failed = ffi::_PyLong_AsByteArray(object.cast(), bytes.as_mut_ptr(), bytes.len(), 1, 1) != 0;
            if failed {
                ffi::PyErr_Clear();
            }
            !failed
        };
        if !fits {
            return Err(Refused);
        }
        // Bytes that only repeat the sign are left out.
        let sign = if bytes[63] & 0x80 == 0 { 0 } else { 0xff };
        let mut length = bytes.len();
        while length > 1 && bytes[length - 1] == sign && (bytes[length - 2] ^ sign) & 0x80 == 0 {
            length -= 1;
        }
        self.out.extend_from_slice(&[tag::BIG_INT, length as u8]);
        self.out.extend_from_slice(&bytes[..length]);
        Ok(())
    }

    /// Writes items as a list of ints when they are all exact ints of `i64`; else false, and nothing written.
    ///
    /// # Safety
    /// As [`Self::value`], for every item.
    pub(super) unsafe fn ints(&mut self, items: Items<'_>) -> Result<bool, Refused> {
        let start = self.out.len();
        self.head(tag::INTS_8, items.len())?;
        let body = self.out.len();
        self.out.resize(body + items.len() * 8, 0);
        let mut bits = 0_u64;
        for (&item, place) in items.iter().zip(self.out[body..].as_chunks_mut::<8>().0) {
            let mut overflow: c_int = 0;
            // SAFETY: item is alive, and known to be an int when it is read as one, so that no error is set.
            let value = unsafe {
                if ffi::Py_TYPE(item) != &raw mut ffi::PyLong_Type {
                    self.out.truncate(start);
                    return Ok(false);
                }
                ffi::PyLong_AsLongLongAndOverflow(item, &raw mut overflow)
            };
            if overflow != 0 {
                self.out.truncate(start);
                return Ok(false);
            }
            // Has a bit set for each that some value needs beside its sign.
            bits |= (value ^ (value >> 63)) as u64;
            *place = value.to_le_bytes();
        }
        let (tag, width) = match bits {
            0..=0x7f => (tag::INTS_1, 1),
            0x80..=0x7fff => (tag::INTS_2, 2),
            0x8000..=0x7fff_ffff => (tag::INTS_4, 4),
            _ => return Ok(true),
        };
        self.out[start] = tag;
        let places = &mut self.out[body..];
        for index in 1..items.len() {
            // All eight bytes, which is faster than few: the place of the next one read is never reached.
            places.copy_within(index * 8..index * 8 + 8, index * width);
        }
        self.out.truncate(body + items.len() * width);
        Ok(true)
    }

    /// Writes items as a list of floats when they are all exact floats; else false, and nothing written.
    ///
    /// # Safety
    /// As [`Self::value`], for every item.
    pub(super) unsafe fn floats(&mut self, items: Items<'_>) -> Result<bool, Refused> {
        let start = self.out.len();
        self.head(tag::FLOATS, items.len())?;
        let body = self.out.len();
        self.out.resize(body + items.len() * 8, 0);
        for (&item, place) in items.iter().zip(self.out[body..].as_chunks_mut::<8>().0) {
            // SAFETY: item is alive, and known to be a float when it is read as one.
            unsafe {
                if ffi::Py_TYPE(item) != &raw mut ffi::PyFloat_Type {
                    self.out.truncate(start);
                    return Ok(false);
                }
                *place = ffi::PyFloat_AS_DOUBLE(item).to_le_bytes();
            }
        }
        Ok(true)
    }
}
