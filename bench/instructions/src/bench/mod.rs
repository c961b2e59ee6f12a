//! What is counted.
//!
//! Inputs are fixed, and large enough that the random order of a hash map stays far below the
//! tolerance. Each bench makes its input, has the work [`measured`](crate::probe::measured), and
//! then checks that the work was done.

mod filters;
mod items;
mod peers;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// One bench.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench {
    pub(crate) name: &'static str,
    pub(crate) run: fn() -> Result<()>,
}

/// All, in the order in which they are shown.
pub(crate) fn all() -> impl Iterator<Item = Bench> {
    let groups = [items::ALL, filters::ALL, peers::ALL];
    let all = groups.into_iter().flatten();
    all.map(|&(name, run)| Bench { name, run })
}

/// A group's benches: names and what they do.
type Group = &'static [(&'static str, fn() -> Result<()>)];

/// A small item with a key, numbers and missing values.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    origin: String,
    time_us: i64,
    temp: Option<f64>,
    wind: Option<f64>,
}

impl Reading {
    fn of(n: u32) -> Self {
        Self {
            origin: format!("N{n}"),
            time_us: 1_357_000_000_000_000 + i64::from(n),
            temp: Some(f64::from(n)),
            wind: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_each_bench_does_its_work() {
        let mut names = BTreeSet::new();
        for bench in all() {
            assert!(names.insert(bench.name), "{} twice", bench.name);
            (bench.run)().unwrap();
        }
        assert!(names.len() > 10);
    }
}
