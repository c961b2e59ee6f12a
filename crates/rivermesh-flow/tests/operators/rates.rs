//! Throttle, rate limit, sample, batch, dedup, zip, rate.

use std::{collections::BTreeMap, time::Duration};

use futures::future::Either;
use proptest::prelude::*;
use rivermesh_flow::{
    Operator,
    batch::Batch,
    dedup::{self, Dedup},
    inspect::InspectRate,
    rate::{Config, RateLimit, TooSoon},
    sample::Sample,
    zip::ZipLatest,
};

use crate::{Bench, Item, input, key, secs};

proptest! {
    /// Dropping equals a bucket of tokens per key that is filled drop by drop.
    #[test]
    fn a_limit_equals_a_bucket(input in input(3), every in 1_u64..10, burst in 1_u32..4) {
        let config = Config::every(secs(every)).burst(burst);
        let mut bench = Bench::new(RateLimit::new(key, config));
        let (mut now, mut dropped) = (0, 0);
        // Tokens in units of a second, so that nothing is rounded.
        let mut buckets: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
        let full = every * u64::from(burst);
        for (item, seconds) in &input {
            now += seconds;
            prop_assert!(bench.wait(secs(*seconds)).is_empty());
            let out = bench.push(*item);
            let (tokens, at) = buckets.entry(item.key).or_insert((full, now));
            *tokens = full.min(*tokens + now - *at);
            *at = now;
            if *tokens >= every {
                *tokens -= every;
                prop_assert_eq!(out, [*item]);
            } else {
                dropped += 1;
                prop_assert!(out.is_empty());
            }
            prop_assert_eq!(bench.operator.stats().dropped, dropped);
        }
    }

    /// Waiting loses nothing, keeps the order, and is never faster than the rate.
    #[test]
    fn pacing_loses_nothing(input in input(3), every in 1_u64..10, burst in 1_u32..4, max_keys in 1_usize..4) {
        let config = Config::every(secs(every)).burst(burst).too_soon(TooSoon::Wait);
        let mut bench = Bench::new(RateLimit::new(key, config.max_keys(max_keys)));
        let mut out = Vec::new();
        let mut now = 0;
        for (item, seconds) in &input {
            for _ in 0..*seconds {
                now += 1;
                out.extend(bench.wait(secs(1)).into_iter().map(|item| (item, now)));
            }
            while !bench.is_ready() {
                now += 1;
                out.extend(bench.wait(secs(1)).into_iter().map(|item| (item, now)));
            }
            out.extend(bench.push(*item).into_iter().map(|item| (item, now)));
        }
        while !bench.is_ready() {
            now += 1;
            out.extend(bench.wait(secs(1)).into_iter().map(|item| (item, now)));
        }
        let items: Vec<Item> = out.iter().map(|(item, _)| *item).collect();
        prop_assert_eq!(items, input.iter().map(|(item, _)| *item).collect::<Vec<_>>());
        for wanted in 0..3 {
            let times: Vec<u64> = out.iter().filter(|(item, _)| item.key == wanted)
                .map(|(_, at)| *at).collect();
            for pair in times.windows(burst as usize + 1) {
                prop_assert!(pair[burst as usize] - pair[0] >= every, "{times:?}");
            }
        }
    }

    #[test]
    fn a_sample_is_the_newest_of_each_period(input in input(3), every in 1_u64..10) {
        let mut bench = Bench::new(Sample::new(secs(every)));
        let (mut now, mut out) = (0, Vec::new());
        for (item, seconds) in &input {
            now += seconds;
            out.extend(bench.wait(secs(*seconds)));
            prop_assert!(bench.push(*item).is_empty());
        }
        out.extend(bench.end());
        let mut expected: BTreeMap<u64, Item> = BTreeMap::new();
        let mut at = 0;
        for (item, seconds) in &input {
            at += seconds;
            expected.insert(at / every, *item);
        }
        prop_assert_eq!(at, now);
        prop_assert_eq!(out, expected.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn batches_are_of_n_or_of_what_came_in_time(
        input in input(3), n in 1_usize..6, after in 1_u64..12,
    ) {
        let mut bench = Bench::new(Batch::new(n, secs(after)));
        let (mut now, mut out, mut expected) = (0, Vec::new(), Vec::new());
        let (mut open, mut since) = (Vec::new(), 0);
        for (item, seconds) in &input {
            now += seconds;
            out.extend(bench.wait(secs(*seconds)));
            if !open.is_empty() && now >= since + after {
                expected.push(std::mem::take(&mut open));
            }
            if open.is_empty() {
                since = now;
            }
            open.push(*item);
            if open.len() == n {
                expected.push(std::mem::take(&mut open));
            }
            out.extend(bench.push(*item));
            prop_assert_eq!(&out, &expected);
        }
        out.extend(bench.end());
        if !open.is_empty() {
            expected.push(open);
        }
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn dedup_equals_a_search_through_the_history(
        input in input(6), window in 1_u64..20, max_keys in 1_usize..8,
    ) {
        let config = dedup::Config::new(secs(window)).max_keys(max_keys);
        let mut bench = Bench::new(Dedup::new(key, config));
        let (mut now, mut passed, mut forgotten) = (0, Vec::<(u64, u8)>::new(), 0);
        for (item, seconds) in &input {
            now += seconds;
            bench.wait(secs(*seconds));
            passed.retain(|(at, _)| now < at + window);
            let repeated = passed.iter().any(|(_, key)| *key == item.key);
            if !repeated {
                if passed.len() == max_keys {
                    passed.remove(0);
                    forgotten += 1;
                }
                passed.push((now, item.key));
            }
            prop_assert_eq!(bench.push(*item).is_empty(), repeated);
            prop_assert_eq!(bench.operator.forgotten(), forgotten);
        }
    }

    /// The rate is that of the items in the last ten tenths of the window, over the time since their
    /// beginning; whoever passes, passes at once and unchanged.
    #[test]
    fn a_rate_equals_counting_the_history(
        steps in prop::collection::vec((0_u64..700, 0_usize..4), 1..60), window_s in 1_u64..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async move {
            let mut rate = InspectRate::new(secs(window_s));
            let reader = rate.reader();
            rate.start(tokio::time::Instant::now());
            let slot = window_s * 100;
            let (mut now, mut history) = (0, Vec::new());
            for (id, (millis, items)) in steps.into_iter().enumerate() {
                tokio::time::advance(Duration::from_millis(millis)).await;
                now += millis;
                for _ in 0..items {
                    rate.push(id, tokio::time::Instant::now());
                    assert_eq!(rate.pull(), Some(id));
                    history.push(now);
                }
                let stats = Operator::<usize>::stats(&rate);
                assert!(stats.is_balanced() && stats.emitted == history.len() as u64);
                let first = (now / slot).saturating_sub(9) * slot;
                let seen = history.iter().filter(|at| **at >= first).count();
                let over = (now - first) as f64 / 1000.0;
                let expected = if over > 0.0 { seen as f64 / over } else { 0.0 };
                let found = reader.per_second();
                assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
            }
        });
    }

    #[test]
    fn zip_latest_pairs_the_newest(sides in prop::collection::vec(any::<bool>(), 0..40)) {
        let mut bench = Bench::new(ZipLatest::<usize, usize>::default());
        let (mut left, mut right) = (None, None);
        for (id, is_left) in sides.iter().enumerate() {
            let item = if *is_left {
                left = Some(id);
                Either::Left(id)
            } else {
                right = Some(id);
                Either::Right(id)
            };
            let expected: Vec<_> = left.zip(right).into_iter().collect();
            prop_assert_eq!(bench.push(item), expected);
        }
        let stats = Operator::<Either<usize, usize>>::stats(&bench.operator);
        prop_assert_eq!(stats.taken, sides.len() as u64);
        prop_assert_eq!(stats.buffered, u64::from(left.is_some() != right.is_some()));
    }
}

#[test]
fn a_limit_knows_no_more_keys_than_it_may() {
    let config = Config::every(secs(10)).max_keys(2);
    let mut bench = Bench::new(RateLimit::new(key, config));
    let item = |key| Item { at: 0, key, id: 0 };
    assert_eq!(bench.push(item(0)).len() + bench.push(item(1)).len(), 2);
    assert!(
        bench.push(item(2)).is_empty(),
        "neither of the two can be forgotten yet"
    );
    bench.wait(secs(10));
    assert_eq!(bench.push(item(2)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_that_of_the_window() {
    let mut rate = InspectRate::new(secs(10));
    let reader = rate.reader();
    assert_eq!(reader.per_second(), 0.0);
    rate.start(tokio::time::Instant::now());
    for second in 1..=60_u64 {
        // Five in each second, and then none any more.
        for _ in 0..if second <= 30 { 5 } else { 0 } {
            rate.push((), tokio::time::Instant::now());
            rate.pull().unwrap();
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let seen = reader.per_second();
        match second {
            2..=30 => assert!((seen - 5.0).abs() < 0.6, "{seen} after {second} s"),
            31..=39 => assert!(seen < 5.1),
            40.. => assert_eq!(seen, 0.0, "after {second} s"),
            _ => {}
        }
    }
    assert_eq!(rate.stats().emitted, 150);
}
