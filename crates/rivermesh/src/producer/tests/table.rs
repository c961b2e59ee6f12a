//! A table of keys that has no room for all of them.

use rivermesh_proto::batch::Batch;

use super::*;
use crate::producer::log::TableBounds;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A table without room for all keys stays within its bounds, counts what it lets go, and gives
    /// nothing that is superseded but what there was no room for.
    #[test]
    fn a_table_is_bounded_and_counts_what_it_forgets(
        keys in 1usize..6,
        bytes in 300usize..3000,
        kinds in prop::collection::vec((0u8..12, any::<bool>()), 1..300),
    ) {
        let retention = Retention {
            newest_per_key: true,
            table: TableBounds { keys, bytes },
            ..Retention::ALL
        };
        let mut bench = Bench::new(retention);
        for (kind, long) in kinds {
            bench.append(Some(kind), long);
            let stats = bench.core.stats();
            prop_assert!(stats.keys <= keys && stats.key_bytes <= bytes, "{stats:?}");
        }
        let ask = Subscribe {
            stream: bench.core.name.clone(),
            fingerprint: None,
            start: Start::LastPerKey,
            lag: Lag::Skip,
            filter: None,
            superseded: Superseded::Send,
            named: None,
            credential: None,
        };
        let node = SecretKey::from_bytes(&[1; 32]).public();
        let (mut feed, _) = bench.core.enter((node, None), &ask, None, bench.now_us).unwrap();
        let (mut received, oldest) = (Vec::new(), bench.core.log().oldest());
        let (mut frames, mut pulled) = (Vec::new(), Vec::new());
        while feed.pull(&mut pulled) == Pull::Frames {
            frames.append(&mut pulled);
        }
        for bytes in &frames {
            let batch = Batch::of_frame(bytes).unwrap();
            let mut position = batch.start();
            received.extend(std::iter::from_fn(|| Some(batch.next(&mut position)?.0)));
        }
        for seq in &received {
            prop_assert!(!bench.is_superseded(*seq) || *seq >= oldest, "{seq}");
        }
        let newest = (0..bench.all.len() as Seq).filter(|seq| !bench.is_superseded(*seq));
        let lost = newest.filter(|seq| !received.contains(seq)).count() as u64;
        prop_assert!(lost <= bench.core.stats().keys_forgotten, "{lost}");
    }
}
