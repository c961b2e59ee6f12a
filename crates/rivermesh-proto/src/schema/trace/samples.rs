//! The values that a type is offered, the likeliest first.

/// Integers; those that do not fit the type are left out.
const INTEGERS: [i128; 48] = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    20,
    24,
    31,
    32,
    48,
    50,
    60,
    63,
    64,
    97,
    100,
    127,
    128,
    200,
    255,
    256,
    1000,
    1024,
    1900,
    1970,
    2013,
    4096,
    8080,
    65_535,
    65_536,
    1_000_000,
    1_356_998_400,
    1_356_998_400_000,
    2_147_483_647,
    -1,
    -100,
];

pub(super) const FLOATS: [f32; 12] = [
    0.0, 1.0, 0.5, 0.1, 2.0, 10.0, 45.0, 100.0, 300.0, 1000.0, -1.0, -100.0,
];

pub(super) const CHARS: [char; 8] = ['a', '0', 'A', '1', ' ', '/', '+', 'é'];

/// Texts that the usual types with a text form accept: numbers, dates, addresses, versions.
pub(super) const TEXTS: [&str; 48] = [
    "",
    "0",
    "a",
    "1",
    "A",
    "00",
    "1.0",
    "1.0.0",
    "2013-01-01T00:00:00Z",
    "2013-01-01T00:00:00",
    "2013-01-01 00:00:00 UTC",
    "2013-01-01 00:00:00",
    "2013-01-01",
    "00:00:00",
    "00:00",
    "+00:00",
    "Tue, 1 Jan 2013 00:00:00 +0000",
    "2013-01-01T00:00:00+00:00[UTC]",
    "2013-01-01T00:00:00Z[UTC]",
    "UTC",
    "Europe/London",
    "1s",
    "PT1S",
    "Mon",
    "Jan",
    "00000000-0000-4000-8000-000000000000",
    "00000000000000000000000000",
    "0000000000000000",
    "00000000000000000000000000000000",
    "0000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "127.0.0.0/8",
    "00:00:00:00:00:00",
    "http://a.b/",
    "a.b",
    "a@b.cd",
    "/a",
    "/a/b",
    "a/b",
    "text/plain",
    "en-GB",
    "EUR",
    "#000000",
    "{}",
];

/// Lengths of byte strings.
const LENGTHS: [usize; 16] = [0, 16, 32, 1, 4, 8, 20, 6, 12, 24, 2, 33, 48, 64, 65, 128];

/// Where byte strings are cut from.
static ZEROS: [u8; 128] = [0; 128];

/// Counts of the elements of sequences and maps.
pub(super) const COUNTS: [usize; 8] = [1, 2, 3, 4, 8, 16, 32, 64];

/// Byte strings.
pub(super) fn zeros() -> [&'static [u8]; 16] {
    LENGTHS.map(|length| ZEROS.get(..length).unwrap_or_default())
}

pub(super) fn integers<T: TryFrom<i128>>() -> Vec<T> {
    INTEGERS
        .into_iter()
        .filter_map(|sample| T::try_from(sample).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fit_the_mask_of_rejections() {
        assert!(integers::<i128>().len() <= 64);
        assert!(TEXTS.len() <= 64);
        assert!(LENGTHS.into_iter().all(|length| length <= ZEROS.len()));
    }
}
