//! Keys: what items of one stream are told apart by.

use std::{borrow::Cow, fmt, hash, io::Write, sync::Arc};

use bytes::Bytes;

/// Bytes of the longest integer in decimal: `i128::MIN` has 40 characters.
const INLINE: usize = 40;

/// The key of an item: some bytes, borrowed from the item or held inline.
///
/// Text is its UTF-8, an integer its decimal digits, so keys of different types are equal when
/// they read the same: `7u8`, `7i64` and `"7"`. Comparison is by bytes. Nothing is allocated.
#[derive(Clone, Copy)]
pub struct Key<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    Borrowed(&'a [u8]),
    Inline { bytes: [u8; INLINE], len: u8 },
}

impl<'a> Key<'a> {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Borrowed(bytes) => bytes,
            Repr::Inline { bytes, len } => bytes.get(..usize::from(*len)).unwrap_or_default(),
        }
    }

    fn write(args: fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; INLINE];
        let mut rest = &mut bytes[..];
        // Cannot fail: everything that is written here fits.
        let written = rest.write_fmt(args);
        debug_assert!(written.is_ok());
        let len = (INLINE - rest.len()) as u8;
        Self(Repr::Inline { bytes, len })
    }
}

impl<'a> From<&'a [u8]> for Key<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self(Repr::Borrowed(bytes))
    }
}

impl<'a> From<&'a str> for Key<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self(Repr::Borrowed(text.as_bytes()))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl hash::Hash for Key<'_> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Plain text as it is, anything else as `0x` and hexadecimal digits.
impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.as_bytes()) {
            Ok(text) if !text.chars().any(char::is_control) => f.pad(text),
            _ => {
                f.write_str("0x")?;
                self.as_bytes()
                    .iter()
                    .try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A type that can be the key field of an item.
pub trait AsKey {
    /// The key; `None` when this item has none.
    fn as_key(&self) -> Option<Key<'_>>;
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Key<'_> {
            fn from(number: $integer) -> Self {
                Self::write(format_args!("{number}"))
            }
        }

        impl AsKey for $integer {
            fn as_key(&self) -> Option<Key<'_>> {
                Some((*self).into())
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl AsKey for bool {
    fn as_key(&self) -> Option<Key<'_>> {
        Some(if *self { "true" } else { "false" }.into())
    }
}

impl AsKey for char {
    fn as_key(&self) -> Option<Key<'_>> {
        Some(Key::write(format_args!("{self}")))
    }
}

impl AsKey for str {
    #[inline]
    fn as_key(&self) -> Option<Key<'_>> {
        Some(self.into())
    }
}

impl AsKey for String {
    #[inline]
    fn as_key(&self) -> Option<Key<'_>> {
        Some(self.as_str().into())
    }
}

impl AsKey for [u8] {
    #[inline]
    fn as_key(&self) -> Option<Key<'_>> {
        Some(self.into())
    }
}

impl AsKey for Vec<u8> {
    #[inline]
    fn as_key(&self) -> Option<Key<'_>> {
        Some(self.as_slice().into())
    }
}

impl AsKey for Bytes {
    #[inline]
    fn as_key(&self) -> Option<Key<'_>> {
        Some(self[..].into())
    }
}

impl<const N: usize> AsKey for [u8; N] {
    #[inline]
    fn as_key(&self) -> Option<Key<'_>> {
        Some(self[..].into())
    }
}

impl<T: AsKey> AsKey for Option<T> {
    fn as_key(&self) -> Option<Key<'_>> {
        self.as_ref().and_then(T::as_key)
    }
}

impl<T: AsKey + ToOwned + ?Sized> AsKey for Cow<'_, T> {
    fn as_key(&self) -> Option<Key<'_>> {
        (**self).as_key()
    }
}

macro_rules! pointers {
    ($($pointer:ty)*) => {$(
        impl<T: AsKey + ?Sized> AsKey for $pointer {
            #[inline]
            fn as_key(&self) -> Option<Key<'_>> {
                (**self).as_key()
            }
        }
    )*};
}

pointers!(&T Box<T> Arc<T>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_texts_that_read_the_same_are_equal() {
        assert_eq!(7u8.as_key(), "7".as_key());
        assert_eq!(7i128.as_key(), String::from("7").as_key());
        assert_ne!(7u8.as_key(), (-7i8).as_key());
        assert_eq!(
            i128::MIN.as_key().unwrap().to_string(),
            i128::MIN.to_string()
        );
        assert_eq!(
            u128::MAX.as_key().unwrap().to_string(),
            u128::MAX.to_string()
        );
        assert_eq!('é'.as_key(), "é".as_key());
        assert_eq!(true.as_key(), "true".as_key());
        assert_eq!(None::<u8>.as_key(), None);
        assert_eq!(Some(Arc::<str>::from("a")).as_key(), "a".as_key());
    }

    #[test]
    fn bytes_that_are_not_plain_text_show_as_digits() {
        assert_eq!([0u8, 255].as_key().unwrap().to_string(), "0x00ff");
        assert_eq!("a\nb".as_key().unwrap().to_string(), "0x610a62");
        assert_eq!(
            Bytes::from_static(b"JFK").as_key().unwrap().to_string(),
            "JFK"
        );
    }
}
