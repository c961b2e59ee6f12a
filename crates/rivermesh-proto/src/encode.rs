//! Writing items into a batch, under a limit of bytes.
//!
//! An [`Encoder`] appends one item to a buffer that may already hold others. It does not know
//! where a batch begins or ends; when it fails, its caller rolls the buffer back to where the
//! item began.

use std::io;

use bytes::{BufMut, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use thiserror::Error;

use crate::filter::WalkError;

/// Appends the bytes of one item to a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    buffer: &'a mut BytesMut,
    start: usize,
    /// Length of the buffer that the item may not cross.
    end: usize,
    limit: usize,
}

/// An item could not be encoded. The buffer holds a part of it; nothing was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The item is larger than items may be.
    #[error("the item takes more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// postcard cannot encode the value, or its `Serialize` implementation failed.
    #[error("the item cannot be encoded")]
    Postcard(#[source] postcard::Error),
    /// The value has no JSON form.
    #[error("the item cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// The value's `Serialize` implementation failed before a filter.
    #[error("the item cannot be held against the consumers' filters")]
    Filter(#[source] WalkError),
    /// The type can be consumed only.
    #[error("items of type {type_name} can be consumed only, not produced")]
    ConsumerOnly {
        /// The Rust type.
        type_name: &'static str,
    },
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `buffer` and fails as soon as the item takes more than `limit`
    /// bytes.
    #[inline]
    #[must_use]
    pub fn new(buffer: &'a mut BytesMut, limit: usize) -> Self {
        let start = buffer.len();
        Self {
            buffer,
            start,
            end: start.saturating_add(limit),
            limit,
        }
    }

    /// Bytes of the item so far.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether the item has no bytes so far.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes as they are.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`], with nothing appended.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if bytes.len() > self.end - self.buffer.len() {
            return Err(self.too_large());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a value in postcard's format.
    ///
    /// # Errors
    /// When the value is too large, or cannot be encoded; a part of it may have been appended.
    #[inline]
    pub fn serialize<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let storage = Storage {
            buffer: &mut *self.buffer,
            end: self.end,
        };
        match postcard::serialize_with_flavor(value, storage) {
            Ok(()) => Ok(()),
            Err(postcard::Error::SerializeBufferFull) => Err(self.too_large()),
            Err(error) => Err(EncodeError::Postcard(error)),
        }
    }

    /// Appends a value as JSON text.
    ///
    /// # Errors
    /// When the value is too large, or has no JSON form; a part of it may have been appended.
    pub fn serialize_json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let storage = Storage {
            buffer: &mut *self.buffer,
            end: self.end,
        };
        serde_json::to_writer(storage, value).map_err(|error| {
            if error.is_io() {
                self.too_large()
            } else {
                EncodeError::Json(error)
            }
        })
    }

    #[cold]
    fn too_large(&self) -> EncodeError {
        EncodeError::TooLarge { limit: self.limit }
    }
}

/// The buffer as postcard and serde_json write to it.
struct Storage<'a> {
    buffer: &'a mut BytesMut,
    end: usize,
}

impl Flavor for Storage<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.end - self.buffer.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if self.buffer.len() == self.end {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.buffer.put_u8(byte);
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl io::Write for Storage<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.try_extend(bytes)
            .map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_what_postcard_makes() {
        let value = (7u8, "seven", vec![1u64, 300, u64::MAX], Some(1.5f64), -3i32);
        let mut buffer = BytesMut::from(&b"before"[..]);
        let mut encoder = Encoder::new(&mut buffer, 1000);
        encoder.serialize(&value).unwrap();
        let expected = postcard::to_stdvec(&value).unwrap();
        assert_eq!(encoder.len(), expected.len());
        assert_eq!(&buffer[..6], b"before");
        assert_eq!(&buffer[6..], expected);
    }

    #[test]
    fn the_limit_is_exact_and_is_kept_while_writing() {
        let value = vec![1u8; 99];
        for limit in [0, 1, 50, 99] {
            let mut buffer = BytesMut::from(&b"before"[..]);
            let error = Encoder::new(&mut buffer, limit)
                .serialize(&value)
                .unwrap_err();
            assert!(matches!(error, EncodeError::TooLarge { limit: l } if l == limit));
            assert!(buffer.len() <= 6 + limit);
            buffer.truncate(6);
            assert_eq!(buffer, &b"before"[..]);
        }
        let mut buffer = BytesMut::new();
        Encoder::new(&mut buffer, 100).serialize(&value).unwrap();
        assert_eq!(buffer.len(), 100);
        let mut encoder = Encoder::new(&mut buffer, 3);
        encoder.extend(b"abc").unwrap();
        assert!(encoder.extend(b"d").is_err());
        assert_eq!(encoder.len(), 3);
    }

    #[test]
    fn json_is_limited_too() {
        let value = serde_json::json!({"a": [1, 2, 3]});
        let mut buffer = BytesMut::new();
        Encoder::new(&mut buffer, 13)
            .serialize_json(&value)
            .unwrap();
        assert_eq!(buffer, &br#"{"a":[1,2,3]}"#[..]);
        let error = Encoder::new(&mut buffer, 12)
            .serialize_json(&value)
            .unwrap_err();
        assert!(matches!(error, EncodeError::TooLarge { limit: 12 }));
    }

    #[test]
    fn a_value_that_cannot_be_encoded_is_an_error() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("broken"))
            }
        }
        let mut buffer = BytesMut::new();
        let error = Encoder::new(&mut buffer, 12)
            .serialize(&Broken)
            .unwrap_err();
        assert!(matches!(error, EncodeError::Postcard(_)));
        let error = Encoder::new(&mut buffer, 12)
            .serialize_json(&Broken)
            .unwrap_err();
        assert!(matches!(error, EncodeError::Json(_)));
    }
}
