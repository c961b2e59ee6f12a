//! The seed of a test run.

use std::{env, num::ParseIntError};

use rand::{SeedableRng, rngs::StdRng};

/// The variable that fixes the seed: a decimal number, or hexadecimal after `0x`.
pub const VARIABLE: &str = "RIVERMESH_TEST_SEED";

/// The seed of one test; prints how to repeat the run when the test that holds it panics.
///
/// Hold it for the whole test: the print is in its `Drop`.
#[derive(Debug)]
pub struct Seed(u64);

impl Seed {
    /// The seed that the environment names, else a random one.
    ///
    /// # Panics
    /// When the variable is set to something that is not a number: a typo must not run another
    /// seed than the one that was meant.
    #[must_use]
    pub fn take() -> Self {
        match env::var(VARIABLE) {
            Ok(text) => match parse(&text) {
                Ok(seed) => Self(seed),
                Err(error) => panic!("{VARIABLE}={text:?} is not a seed: {error}"),
            },
            Err(_) => Self(rand::random()),
        }
    }

    /// This seed and no other.
    #[must_use]
    pub const fn fixed(seed: u64) -> Self {
        Self(seed)
    }

    /// The number.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.0
    }

    /// A generator for the part of the test that `purpose` names; the draws of one part do not
    /// move those of another.
    #[must_use]
    pub fn rng(&self, purpose: &str) -> StdRng {
        let mut hasher = blake3::Hasher::new_derive_key("rivermesh 2026-11 test seed");
        hasher.update(&self.0.to_le_bytes());
        hasher.update(purpose.as_bytes());
        StdRng::from_seed(*hasher.finalize().as_bytes())
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat this run with {VARIABLE}={:#x}", self.0);
        }
    }
}

fn parse(text: &str) -> Result<u64, ParseIntError> {
    match text.trim().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.trim().parse(),
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;

    #[test]
    fn a_seed_is_read_in_both_notations() {
        assert_eq!(parse("17"), Ok(17));
        assert_eq!(parse(" 0xffffffffffffffff\n"), Ok(u64::MAX));
        assert!(parse("seventeen").is_err());
    }

    #[test]
    fn parts_draw_independently_and_repeatably() {
        let seed = Seed::fixed(7);
        let draw = |purpose| seed.rng(purpose).random::<u64>();
        assert_eq!(draw("faults"), draw("faults"));
        assert_ne!(draw("faults"), draw("payloads"));
    }
}
