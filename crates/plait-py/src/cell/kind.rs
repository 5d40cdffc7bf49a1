//! What a cell holds: which kinds there are, by which names they go, and how Python's numbers become words.

use std::ffi::CStr;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyType};

/// The kind of a cell. A boolean has one byte, all others have eight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Int,
    Uint,
    Float,
    Bool,
}

impl Kind {
    /// The kind that a typecode of `array`, a type of `ctypes`, NumPy or Python, or a name means. Integers have 64 bits whatever
    /// width was asked for, and floats are double.
    ///
    /// # Errors
    /// `TypeError` for everything else.
    pub fn of(kind: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::named(&name_of(kind)?).ok_or_else(|| {
            PyTypeError::new_err(format!(
                "no cell holds {}: the kinds are int, float, bool, 'int64', 'uint64', the typecodes of numbers (as 'i' or 'd'), \
                 and ctypes' types of them; for other things make an array with plait.zeros",
                kind.repr().map_or_else(|_| "that".to_owned(), |told| told.to_string())
            ))
        })
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "int" | "int64" | "b" | "h" | "i" | "l" | "q" => Self::Int,
            "uint64" | "B" | "H" | "I" | "L" | "Q" => Self::Uint,
            "float" | "float64" | "f" | "d" => Self::Float,
            "bool" | "bool_" | "?" => Self::Bool,
            _ => return None,
        })
    }

    /// Its name, which [`Kind::of`] knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int64",
            Self::Uint => "uint64",
            Self::Float => "float64",
            Self::Bool => "bool",
        }
    }

    /// Its bytes.
    pub fn size(self) -> usize {
        if self == Self::Bool { 1 } else { 8 }
    }

    /// How `struct` calls it.
    pub fn format(self) -> &'static CStr {
        match self {
            Self::Int => c"q",
            Self::Uint => c"Q",
            Self::Float => c"d",
            Self::Bool => c"?",
        }
    }

    /// The word that a Python object is.
    ///
    /// # Errors
    /// `TypeError` for what is no number of this kind, `OverflowError` for what does not fit.
    pub fn word(self, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        match self {
            Self::Int => value.extract::<i64>().map(i64::cast_unsigned),
            Self::Uint => value.extract(),
            Self::Float => value.extract().map(f64::to_bits),
            Self::Bool => value.is_truthy().map(u64::from),
        }
        .map_err(|error| self.explain(value, error))
    }

    /// The Python object of a word.
    pub fn object(self, py: Python<'_>, word: u64) -> Py<PyAny> {
        let Ok(object) = match self {
            Self::Int => word.cast_signed().into_pyobject(py).map(Bound::into_any),
            Self::Uint => word.into_pyobject(py).map(Bound::into_any),
            Self::Float => f64::from_bits(word).into_pyobject(py).map(Bound::into_any),
            Self::Bool => (word != 0).into_pyobject(py).map(|flag| flag.to_owned().into_any()),
        };
        object.unbind()
    }

    /// Whether two words are the same number. There is one NaN here, or a loop that waits for what it read would never end.
    pub fn same(self, one: u64, other: u64) -> bool {
        if self != Self::Float || one == other {
            return one == other;
        }
        let (one, other) = (f64::from_bits(one), f64::from_bits(other));
        one == other || one.is_nan() && other.is_nan()
    }

    /// What is to be added: of an integer, any that could lead from one word to another; one, if nothing is said.
    ///
    /// # Errors
    /// As [`Kind::word`]; `TypeError` for booleans.
    pub fn amount(self, amount: Option<&Bound<'_, PyAny>>) -> PyResult<Amount> {
        match (self, amount) {
            (Self::Bool, _) => Err(PyTypeError::new_err(
                "nothing can be added to a bool: set it, or use swap() or compare_and_swap(); to count, make a cell of kind int",
            )),
            (Self::Float, None) => Ok(Amount::Float(1.0)),
            (_, None) => Ok(Amount::Whole(1)),
            (Self::Float, Some(amount)) => {
                amount.extract().map(Amount::Float).map_err(|error| self.explain(amount, error))
            }
            (_, Some(amount)) => amount.extract().map(Amount::Whole).map_err(|error| self.explain(amount, error)),
        }
    }

    /// The sum; nothing where it does not fit.
    pub fn sum(self, word: u64, amount: Amount) -> Option<u64> {
        match (self, amount) {
            (Self::Int, Amount::Whole(amount)) => {
                let sum = i128::from(word.cast_signed()).checked_add(amount)?;
                i64::try_from(sum).ok().map(i64::cast_unsigned)
            }
            (Self::Uint, Amount::Whole(amount)) => i128::from(word).checked_add(amount)?.try_into().ok(),
            (_, Amount::Float(amount)) => Some((f64::from_bits(word) + amount).to_bits()),
            (Self::Float | Self::Bool, Amount::Whole(_)) => None,
        }
    }

    /// Of a sum that does not fit.
    pub fn overflow(self) -> PyErr {
        let range = match self {
            Self::Uint => "0 to 2**64-1",
            _ => "-2**63 to 2**63-1",
        };
        PyOverflowError::new_err(format!(
            "the sum does not fit a cell of kind {} ({range}); it is as it was",
            self.name()
        ))
    }

    fn explain(self, value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
        let py = value.py();
        if error.is_instance_of::<PyOverflowError>(py) {
            let range = match self {
                Self::Uint => "0 to 2**64-1",
                _ => "-2**63 to 2**63-1",
            };
            return PyOverflowError::new_err(format!(
                "this number does not fit a cell of kind {} ({range})",
                self.name()
            ));
        }
        if error.is_instance_of::<PyTypeError>(py) && !value.hasattr("__index__").unwrap_or(true) {
            let kind = value.get_type().name().map_or_else(|_| "this".into(), |name| name.to_string());
            return PyTypeError::new_err(format!("a cell of kind {} holds no {kind}", self.name()));
        }
        error
    }
}

/// What is to be added to a cell.
#[derive(Clone, Copy)]
pub enum Amount {
    Whole(i128),
    Float(f64),
}

/// What a kind is called by whoever asks for it.
fn name_of(kind: &Bound<'_, PyAny>) -> PyResult<String> {
    if kind.is_instance_of::<PyString>() {
        return kind.extract();
    }
    if let Ok(class) = kind.cast::<PyType>() {
        let py = kind.py();
        let plain =
            [(py.get_type::<PyBool>(), "bool"), (py.get_type::<PyInt>(), "int"), (py.get_type::<PyFloat>(), "float")];
        if let Some((_, name)) = plain.iter().find(|(plain, _)| class.is(plain)) {
            return Ok((*name).to_owned());
        }
        // ctypes calls its types by typecodes; NumPy by their names.
        let code = class.getattr("_type_").and_then(|code| code.extract::<String>());
        let module = class.module().is_ok_and(|module| module == "numpy");
        return match code {
            Ok(code) => Ok(code),
            Err(_) if module => class.name()?.extract(),
            Err(_) => Ok(String::new()),
        };
    }
    // Of a numpy.dtype.
    Ok(kind.getattr("name").and_then(|name| name.extract()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_fits_or_is_none() {
        let max = i64::MAX.cast_unsigned();
        assert_eq!(Kind::Int.sum(max, Amount::Whole(1)), None);
        assert_eq!(Kind::Int.sum(max, Amount::Whole(-1)), Some(max - 1));
        assert_eq!(Kind::Int.sum(0, Amount::Whole(-1)), Some(u64::MAX));
        assert_eq!(Kind::Uint.sum(0, Amount::Whole(-1)), None);
        assert_eq!(Kind::Uint.sum(u64::MAX, Amount::Whole(-(i128::from(u64::MAX)))), Some(0));
        assert_eq!(Kind::Uint.sum(1, Amount::Whole(i128::MAX)), None);
        assert_eq!(Kind::Float.sum(1.5_f64.to_bits(), Amount::Float(2.0)), Some(3.5_f64.to_bits()));
    }

    #[test]
    fn there_is_one_zero_and_one_nan() {
        let bits = f64::to_bits;
        assert!(Kind::Float.same(bits(0.0), bits(-0.0)));
        assert!(Kind::Float.same(bits(f64::NAN), bits(-f64::NAN)));
        assert!(!Kind::Float.same(bits(1.0), bits(f64::NAN)));
        assert!(!Kind::Int.same(bits(0.0), bits(-0.0)));
    }
}
