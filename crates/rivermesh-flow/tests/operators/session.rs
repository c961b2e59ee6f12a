use std::collections::BTreeMap;

use proptest::prelude::*;
use rivermesh_flow::{
    Operator,
    window::{Config, Fired, Scope, Sessions, fold},
};

use crate::{Bench, Item, input, key, time, us};

fn ids() -> impl rivermesh_flow::window::Fold<Item, State = Vec<u32>> {
    fold(
        Vec::new,
        |ids: &mut Vec<u32>, _, item: &Item| ids.push(item.id),
        |ids: &mut Vec<u32>, more: Vec<u32>| ids.extend(more),
    )
}

/// Sessions of the whole input at once: sorted, cut where the gap is.
fn offline(input: &[(Item, u64)], gap: u64, scope: Scope) -> Vec<(u64, u64, Vec<u32>)> {
    let mut groups: BTreeMap<u8, Vec<Item>> = BTreeMap::new();
    for (item, _) in input {
        let group = if scope == Scope::PerKey { item.key } else { 0 };
        groups.entry(group).or_default().push(*item);
    }
    let mut sessions = Vec::new();
    for items in groups.values_mut() {
        items.sort();
        for session in items.chunk_by(|one, next| next.at - one.at < gap) {
            let mut ids: Vec<u32> = session.iter().map(|item| item.id).collect();
            ids.sort_unstable();
            let (first, last) = (session[0].at, session[session.len() - 1].at);
            sessions.push((first, last + gap, ids));
        }
    }
    sessions.sort();
    sessions
}

proptest! {
    #[test]
    fn equal_the_sessions_of_the_sorted_input(
        input in input(3), gap in 1_u64..12, together in any::<bool>(),
    ) {
        let scope = if together { Scope::Together } else { Scope::PerKey };
        let config = Config::default().slack(us(1000)).max_windows(1000);
        let mut bench = Bench::new(Sessions::new(us(gap), scope, config, key, time, ids()));
        let mut out: Vec<_> = input.iter().flat_map(|(item, _)| bench.push(*item)).collect();
        out.extend(bench.end());
        prop_assert!(out.is_sorted_by_key(|window| window.end));
        let mut online: Vec<_> = out
            .into_iter()
            .map(|window| {
                assert_eq!(window.missing.is_empty(), !together || window.values.len() == 3
                    || window.values.len() == input.iter().map(|(item, _)| item.key)
                        .collect::<std::collections::BTreeSet<_>>().len());
                let mut ids: Vec<u32> = window.values.into_iter().flat_map(|(_, ids)| ids).collect();
                ids.sort_unstable();
                (window.start.as_micros(), window.end.as_micros(), ids)
            })
            .collect();
        online.sort();
        prop_assert_eq!(online, offline(&input, gap, scope));
    }

    /// With a watermark that moves and a bound on sessions: each item is in one session or late.
    #[test]
    fn lose_nothing(input in input(3), gap in 1_u64..12, slack in 0_u64..20, max in 1_usize..4) {
        let config = Config::default().slack(us(slack)).max_windows(max);
        let sessions = Sessions::new(us(gap), Scope::PerKey, config, key, time, ids());
        let mut bench = Bench::new(sessions.one_source());
        let (mut mark, mut late) = (0, 0);
        let mut all = Vec::new();
        for (item, _) in &input {
            let before = bench.operator.stats().late;
            let out = bench.push(*item);
            let is_late = bench.operator.stats().late > before;
            // Never late before the watermark has passed it.
            prop_assert!(!is_late || item.at + gap <= mark);
            late += u64::from(is_late);
            mark = mark.max(item.at.saturating_sub(slack));
            all.extend(out);
        }
        all.extend(bench.end());
        let mut ids: Vec<u32> = all.iter().flat_map(|window| window.values.iter())
            .flat_map(|(_, ids)| ids.iter().copied()).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), count, "no item is in two sessions");
        prop_assert_eq!(count as u64 + late, input.len() as u64);
        prop_assert!(bench.operator.stats().is_balanced());
    }
}

#[test]
fn an_item_can_make_one_session_of_two() {
    let config = Config::default().slack(us(100));
    let mut bench = Bench::new(Sessions::new(
        us(5),
        Scope::Together,
        config,
        key,
        time,
        ids(),
    ));
    for (id, at) in [10, 18, 14].into_iter().enumerate() {
        let (key, id) = (id as u8, id as u32);
        assert!(bench.push(Item { at, key, id }).is_empty());
    }
    let out = bench.end();
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].start.as_micros(), out[0].end.as_micros()), (10, 23));
    assert_eq!((out[0].items, out[0].fired), (3, Fired::End));
}
