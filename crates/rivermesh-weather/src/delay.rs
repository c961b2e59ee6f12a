//! How readings come too late: the file is in order, the world is not.

use super::{HOUR, Reading};

/// How readings are delayed, the same for the same seed.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// Where the randomness begins.
    pub seed: u64,
    /// Of a hundred readings, so many are delayed, by up to `up_to_hours`.
    pub delayed_percent: u64,
    /// The greatest ordinary delay.
    pub up_to_hours: u64,
    /// Of ten thousand readings, so many are delayed by a day beyond that: too late for their hour.
    pub lost_for_a_day: u64,
}

impl Delays {
    /// Half of the readings up to six hours, and one in a thousand more than a day.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            delayed_percent: 50,
            up_to_hours: 6,
            lost_for_a_day: 10,
        }
    }
}

/// The readings in the order in which they come, by this model. None is lost.
pub fn delayed(readings: &[Reading], delays: Delays) -> Vec<Reading> {
    let mut random = delays.seed;
    let mut coming: Vec<(u64, usize)> = Vec::with_capacity(readings.len());
    for (number, reading) in readings.iter().enumerate() {
        let mut delay_secs = 0;
        if next(&mut random) % 100 < delays.delayed_percent {
            delay_secs = next(&mut random) % (delays.up_to_hours * HOUR.as_secs() + 1);
        }
        if next(&mut random) % 10_000 < delays.lost_for_a_day {
            delay_secs += (24 + delays.up_to_hours) * HOUR.as_secs();
        }
        coming.push((reading.at_secs + delay_secs, number));
    }
    coming.sort_unstable();
    let numbers = coming.into_iter().map(|(_, number)| number);
    numbers
        .filter_map(|number| readings.get(number).cloned())
        .collect()
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
