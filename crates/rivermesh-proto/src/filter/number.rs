//! Numbers of every type that serde knows, compared exactly.

use std::cmp::Ordering;

/// A number as an item or a filter has it. Nothing is rounded when two are compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// Every integer up to 64 bits, and most of 128.
    Int(i128),
    /// What is too large for `i128`; never another number, so that equal numbers look alike.
    Big(u128),
    /// A float of either width; 32 bits are widened, which is exact.
    Float(f64),
}

/// 2^127: the first float that no `i128` reaches, and the last below it by sign.
const TWO_127: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
/// 2^128: the first float that no `u128` reaches.
const TWO_128: f64 = TWO_127 * 2.0;
/// Integers up to here are the same in `f32`, `f64` and `i128`.
const EXACT_IN_F32: f64 = 16_777_216.0;

impl Number {
    /// How the numbers relate as real numbers; `None` when one is not a number.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Big(a), Self::Big(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(_), Self::Big(_)) => Some(Ordering::Less),
            (Self::Big(_), Self::Int(_)) => Some(Ordering::Greater),
            (whole, Self::Float(float)) => compare_with_float(whole, float),
            (Self::Float(float), whole) => compare_with_float(whole, float).map(Ordering::reverse),
        }
    }

    /// What equal numbers of different types have in common; `None` when it is not a number, and
    /// so equal to nothing.
    pub(super) fn identity(self) -> Option<Identity> {
        Some(match self {
            Self::Int(whole) => Identity::Int(whole),
            Self::Big(whole) => Identity::Big(whole),
            Self::Float(float) if float.is_nan() => return None,
            Self::Float(float) if float.fract() == 0.0 && float.abs() < TWO_127 => {
                Identity::Int(float as i128)
            }
            Self::Float(float) if float == -TWO_127 => Identity::Int(i128::MIN),
            Self::Float(float) if (TWO_127..TWO_128).contains(&float) => {
                Identity::Big(float as u128)
            }
            Self::Float(float) => Identity::Bits(float.to_bits()),
        })
    }

    /// The one spelling of a literal: an integer where every type of float would hold it exactly.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::Float(float) if float.fract() == 0.0 && float.abs() <= EXACT_IN_F32 => {
                Self::Int(float as i128)
            }
            other => other,
        }
    }

    /// The number as a field of 32 bits would hold it, unless it is beyond them.
    pub(super) fn narrowed(self) -> Self {
        match self {
            Self::Float(float) if (float as f32).is_finite() => {
                Self::Float(f64::from(float as f32))
            }
            other => other,
        }
    }
}

impl From<u128> for Number {
    fn from(whole: u128) -> Self {
        i128::try_from(whole).map_or(Self::Big(whole), Self::Int)
    }
}

/// A number by value and not by type; made by [`Number::identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Int(i128),
    Big(u128),
    /// A float that is not an integer within 128 bits.
    Bits(u64),
}

fn compare_with_float(whole: Number, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // A cast of a float that lies within the integer's type cuts off its fraction and nothing else.
    let (against_whole, fraction) = match whole {
        Number::Int(_) if float >= TWO_127 => return Some(Ordering::Less),
        Number::Int(_) if float < -TWO_127 => return Some(Ordering::Greater),
        Number::Int(whole) => (whole.cmp(&(float as i128)), float.fract()),
        Number::Big(_) if float >= TWO_128 => return Some(Ordering::Less),
        // Whatever is `Big` is over 2^127 - 1, and floats are whole from 2^53 on.
        Number::Big(_) if float < TWO_127 => return Some(Ordering::Greater),
        Number::Big(whole) => (whole.cmp(&(float as u128)), 0.0),
        Number::Float(other) => return other.partial_cmp(&float),
    };
    Some(against_whole.then_with(|| 0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn int(whole: i128) -> Number {
        Number::Int(whole)
    }

    #[test]
    fn integers_and_floats_are_compared_without_rounding() {
        use Ordering::{Equal, Greater, Less};
        let two_53 = 1_i128 << 53;
        for (a, b, expected) in [
            (int(1), Number::Float(1.0), Some(Equal)),
            (int(0), Number::Float(-0.0), Some(Equal)),
            (int(2), Number::Float(1.5), Some(Greater)),
            (int(1), Number::Float(1.5), Some(Less)),
            (int(-1), Number::Float(-1.5), Some(Greater)),
            (int(-2), Number::Float(-1.5), Some(Less)),
            // 2^53 + 1 is no f64, and would be rounded to 2^53.
            (int(two_53 + 1), Number::Float(two_53 as f64), Some(Greater)),
            (
                int(i128::from(u64::MAX)),
                Number::Float(u64::MAX as f64),
                Some(Less),
            ),
            (
                int(i128::from(i64::MAX)),
                Number::Float(i64::MAX as f64),
                Some(Less),
            ),
            (int(i128::MAX), Number::Float(TWO_127), Some(Less)),
            (int(i128::MIN), Number::Float(-TWO_127), Some(Equal)),
            (
                int(i128::MIN),
                Number::Float(f64::NEG_INFINITY),
                Some(Greater),
            ),
            (Number::from(1 << 127), Number::Float(TWO_127), Some(Equal)),
            (Number::from(u128::MAX), Number::Float(TWO_128), Some(Less)),
            (Number::from(u128::MAX), int(i128::MAX), Some(Greater)),
            (int(0), Number::Float(f64::NAN), None),
            (Number::Float(f64::NAN), Number::Float(f64::NAN), None),
        ] {
            assert_eq!(a.compare(b), expected, "{a:?} {b:?}");
            assert_eq!(b.compare(a), expected.map(Ordering::reverse), "{b:?} {a:?}");
            let same = a.identity().is_some() && a.identity() == b.identity();
            assert_eq!(same, expected == Some(Equal), "{a:?} {b:?}");
        }
    }

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![
            any::<i64>().prop_map(|n| int(n.into())),
            any::<u128>().prop_map(Number::from),
            any::<f64>().prop_map(Number::Float),
            (-3_i8..3).prop_map(|n| Number::Float(f64::from(n) / 2.0)),
            (-3_i8..3).prop_map(|n| int(n.into())),
            (0_u32..128).prop_map(|n| Number::from(1_u128 << n)),
            (0_i32..129).prop_map(|n| Number::Float(2_f64.powi(n))),
        ]
    }

    proptest! {
        #[test]
        fn equal_numbers_have_one_identity(a in number(), b in number()) {
            let equal = a.compare(b) == Some(Ordering::Equal);
            let alike = a.identity().is_some() && a.identity() == b.identity();
            prop_assert_eq!(equal, alike);
        }

        #[test]
        fn plain_numbers_are_the_same_numbers(a in number(), b in number()) {
            prop_assert_eq!(a.plain().compare(b), a.compare(b));
        }
    }
}
