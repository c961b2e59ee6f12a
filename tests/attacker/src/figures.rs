//! What an attack costs the honest: figures that decide nothing, and the lines that they are told in.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Set to anything, it makes tests exchange items for longer before they attack, and tell their figures
/// as a program reads them: [`PREFIX`] and JSON, a line for each victim.
pub const MEASURE: &str = "RIVERMESH_MEASURE";
/// What a line of figures begins with.
pub const PREFIX: &str = "figures ";

/// What was seen of one victim.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How long a round of the exchange takes without an attack.
    pub quiet: Rounds,
    /// How long while it is attacked.
    pub attacked: Rounds,
    /// The victim's resident memory before the attack, in bytes.
    pub before_bytes: u64,
    /// The most that it was afterwards.
    pub peak_bytes: u64,
}

/// Rounds of an exchange, each of which is so many items one way and then the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rounds {
    /// How many there were.
    pub count: usize,
    /// What half of them took no longer than.
    pub p50: Duration,
    /// What 99 of 100 took no longer than.
    pub p99: Duration,
}

impl Rounds {
    /// Of how long each of them took.
    #[must_use]
    pub fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let count = took.len();
        let at = |percent: usize| {
            let place = (count * percent).div_ceil(100).max(1);
            took.get(place - 1).copied().unwrap_or_default()
        };
        Self {
            count,
            p50: at(50),
            p99: at(99),
        }
    }
}

impl Figures {
    /// How many times as long as a quiet one an attacked round takes, by p99.
    #[must_use]
    pub fn slower(&self) -> f64 {
        self.attacked.p99.as_secs_f64() / self.quiet.p99.as_secs_f64()
    }
}

/// A row of a table, without its first cell.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} ({}) | {:.1} ({}) | {:.1} | {:.1} | {:.1}",
            ms(self.quiet.p99),
            self.quiet.count,
            ms(self.attacked.p99),
            self.attacked.count,
            self.slower(),
            mib(self.before_bytes),
            mib(self.peak_bytes),
        )
    }
}

/// Several runs of one attack: the median by how much slower the honest were, and from where to where that
/// went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    median: Option<Figures>,
    least: f64,
    most: f64,
}

impl Summary {
    /// Of all runs.
    #[must_use]
    pub fn of(mut runs: Vec<Figures>) -> Self {
        runs.sort_unstable_by(|a, b| a.slower().total_cmp(&b.slower()));
        let slower = |figures: Option<&Figures>| figures.map_or(f64::NAN, Figures::slower);
        Self {
            median: runs.get(runs.len() / 2).copied(),
            least: slower(runs.first()),
            most: slower(runs.last()),
        }
    }
}

/// A row of a table, without its first cell.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(median) = &self.median else {
            return f.write_str("- |");
        };
        let (quiet, attacked) = (&median.quiet, &median.attacked);
        write!(
            f,
            "{:.1} ({}) | {:.1} ({}) | {:.1} | {:.1} to {:.1} | {:.1} | {:.1} |",
            ms(quiet.p99),
            quiet.count,
            ms(attacked.p99),
            attacked.count,
            median.slower(),
            self.least,
            self.most,
            mib(median.before_bytes),
            mib(median.peak_bytes),
        )
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Whether figures are wanted.
#[must_use]
pub fn is_measuring() -> bool {
    std::env::var_os(MEASURE).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_seen() {
        let ms = Duration::from_millis;
        let rounds = Rounds::of((1..=200).rev().map(ms).collect());
        assert_eq!((rounds.p50, rounds.p99), (ms(100), ms(198)));
        // Of few rounds it is the longest.
        let rounds = Rounds::of(vec![ms(5), ms(9), ms(7)]);
        assert_eq!((rounds.count, rounds.p50, rounds.p99), (3, ms(7), ms(9)));
        assert_eq!(Rounds::of(Vec::new()), Rounds::default());
    }

    #[test]
    fn the_median_is_by_how_much_slower_it_was() {
        let run = |quiet, attacked| Figures {
            quiet: Rounds::of(vec![Duration::from_millis(quiet)]),
            attacked: Rounds::of(vec![Duration::from_millis(attacked)]),
            before_bytes: 1 << 20,
            peak_bytes: 3 << 20,
        };
        let text = Summary::of(vec![run(10, 40), run(4, 2), run(8, 12)]).to_string();
        assert_eq!(text, "8.0 (1) | 12.0 (1) | 1.5 | 0.5 to 4.0 | 1.0 | 3.0 |");
        assert_eq!(Summary::of(Vec::new()).to_string(), "- |");
    }
}
