//! Filters: what evaluating them costs an item, and what reading one costs.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use rivermesh_proto::{
    filter::{Filter, Set},
    schema::{Schema, trace},
};

use super::{Group, Reading};
use crate::probe::measured;

pub(super) const ALL: Group = &[
    ("filter 100 by 1 scanned", || evaluate(1, by_temperature)),
    ("filter 100 by 1,000 scanned", || {
        evaluate(1000, by_temperature)
    }),
    ("filter 100 by 1,000 indexed", || evaluate(1000, by_origin)),
    ("read a filter, 100 ×", read),
];

const ITEMS: u32 = 100;

/// Has to be evaluated for each item; true for those above `n`.
fn by_temperature(n: u32) -> String {
    format!("temp > {n}.5")
}

/// Is found by the item's value.
fn by_origin(n: u32) -> String {
    format!("origin == 'N{n}'")
}

fn schema() -> Result<Schema> {
    trace::<Reading>().context("the item has no shape")
}

fn evaluate(filters: u32, source: fn(u32) -> String) -> Result<()> {
    let (schema, mut set) = (schema()?, Set::new());
    for n in 0..filters {
        set.insert(&Filter::parse(&source(n))?.check(&schema)?);
    }
    let items: Vec<_> = (1..=ITEMS).map(Reading::of).collect();
    // What the set allocates at its first item is not counted.
    set.evaluate(&items[0], None)?;
    let mut matched = 0;
    measured(&mut || {
        for item in &items {
            let found = set.evaluate(black_box(item), None);
            matched += found.map_or(0, <[_]>::len);
        }
    });
    ensure!(matched >= items.len(), "{matched} filters matched");
    Ok(())
}

fn read() -> Result<()> {
    let source = "temp > 86.0 && (origin in ['JFK', 'LGA'] || wind < 5.0)";
    let (schema, mut plans) = (schema()?, 0);
    measured(&mut || {
        for _ in 0..100 {
            let filter = Filter::parse(black_box(source)).ok();
            let plan = filter.and_then(|filter| filter.check(&schema).ok());
            plans += u32::from(black_box(plan).is_some());
        }
    });
    ensure!(plans == 100, "{plans} plans");
    Ok(())
}
