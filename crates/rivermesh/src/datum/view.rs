//! Items that are looked at where they lie.

use bytes::Bytes;

use super::{Datum, DecodeError, Dynamic, Payload};

/// An item that can be looked at in the bytes that it came in, without being made from them.
///
/// `Bytes` and `String` are viewed as `&[u8]` and `&str`. A type of a program's own can have a
/// view that borrows what it need not own:
///
/// ```
/// use rivermesh::{Datum, DecodeError, Payload, View};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Datum)]
/// struct Reading {
///     origin: String,
///     temp: f32,
/// }
///
/// /// The same fields in the same order.
/// #[derive(Deserialize)]
/// struct ReadingView<'a> {
///     origin: &'a str,
///     temp: f32,
/// }
///
/// impl View for Reading {
///     type View<'a> = ReadingView<'a>;
///
///     fn view(payload: Payload<'_>) -> Result<ReadingView<'_>, DecodeError> {
///         payload.postcard()
///     }
/// }
/// # let bytes = bytes::Bytes::from_static(&[3, b'J', b'F', b'K', 0, 0, 0, 0]);
/// # let seen = Reading::view(Payload::new(&bytes, &bytes, None)).unwrap();
/// # assert_eq!((seen.origin, seen.temp), ("JFK", 0.0));
/// ```
pub trait View: Datum {
    /// What is seen of an item while its batch is there.
    type View<'a>;

    /// Looks at an item in all of its bytes.
    ///
    /// # Errors
    /// When the bytes are not exactly one item of this type.
    fn view(payload: Payload<'_>) -> Result<Self::View<'_>, DecodeError>;
}

impl View for Bytes {
    type View<'a> = &'a [u8];

    #[inline]
    fn view(payload: Payload<'_>) -> Result<&[u8], DecodeError> {
        Ok(payload.as_slice())
    }
}

impl View for String {
    type View<'a> = &'a str;

    #[inline]
    fn view(payload: Payload<'_>) -> Result<&str, DecodeError> {
        std::str::from_utf8(payload.as_slice()).map_err(DecodeError::Utf8)
    }
}

impl View for Dynamic {
    type View<'a> = Payload<'a>;

    #[inline]
    fn view(payload: Payload<'_>) -> Result<Payload<'_>, DecodeError> {
        Ok(payload)
    }
}
