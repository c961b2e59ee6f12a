//! Merging is commutative, associative and idempotent, whichever way the records come.

use proptest::prelude::*;

use super::*;
use crate::{entry::EntryError, sync};

const NODES: u16 = 5;

/// What two catalogs must agree about.
pub(super) fn content(catalog: &Catalog) -> Vec<(Arc<crate::entry::Entry>, bool)> {
    let peers = catalog.view().iter();
    peers
        .map(|peer| (Arc::clone(peer.entry()), peer.is_live()))
        .collect()
}

fn statement() -> impl Strategy<Value = SignedRecord> {
    // The revision decides whether it is an entry: a node uses none twice.
    (1..=NODES, 1..12_u64).prop_map(|(n, revision)| {
        if revision % 4 == 3 {
            departure(n, revision)
        } else {
            entry(n, revision)
        }
    })
}

fn suspecting() -> impl Strategy<Value = SignedRecord> {
    (1..=NODES, 0..8_u64, 1..=NODES)
        .prop_filter("of another", |(n, _, reporter)| n != reporter)
        .prop_map(|(n, revision, reporter)| suspicion(n, revision, reporter))
}

/// The same records in another order, some twice. Whoever suspects has seen the entry, so every
/// suspected entry is among them.
fn orders(
    records: impl Strategy<Value = SignedRecord>,
) -> impl Strategy<Value = (Vec<SignedRecord>, Vec<SignedRecord>)> {
    prop::collection::vec(records, 0..30).prop_flat_map(|mut records| {
        for at in 0..records.len() {
            if records[at].kind() == crate::entry::Kind::Suspicion {
                let node = records[at].node_bytes();
                let n = (1..=NODES).find(|n| *id(*n) == node).unwrap();
                records.push(entry(n, records[at].revision() - WALL));
            }
        }
        let mut twice = records.clone();
        twice.extend(records.iter().step_by(2).cloned());
        (Just(records), Just(twice).prop_shuffle())
    })
}

/// A catalog that is nobody's of those that speak.
fn observer() -> Catalog {
    Catalog::new(id(100), network(), Config::default())
}

fn feed(catalog: &mut Catalog, records: &[SignedRecord], sources: &[u8]) {
    for (at_index, record) in records.iter().enumerate() {
        let signer = NodeId::from_bytes(&record.signer_bytes()).unwrap();
        let source = match sources.get(at_index % sources.len().max(1)) {
            Some(0) => FRESH,
            Some(1) => Source::Handshake { peer: signer },
            _ => Source::Gossip,
        };
        match catalog.admit(record.clone(), source, at(0)) {
            Ok(_) => {}
            Err(refused) => assert!(!refused.is_fault(), "{refused}"),
        }
    }
}

/// The same record with a signature that does not fit.
fn forged(record: &SignedRecord) -> SignedRecord {
    let mut bytes = record.as_bytes().to_vec();
    bytes[0] ^= 1;
    SignedRecord::copy_from_slice(&bytes).unwrap()
}

fn exchange(a: &mut Catalog, b: &mut Catalog) {
    sync::fixture::run(a, b, at(0)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_repetition_and_way_do_not_matter(
        (records, shuffled) in orders(statement()),
        sources in prop::collection::vec(0..3_u8, 1..7),
    ) {
        let (mut a, mut b) = (observer(), observer());
        feed(&mut a, &records, &[2]);
        feed(&mut b, &shuffled, &sources);
        prop_assert_eq!(content(&a), content(&b));
        prop_assert_eq!(a.digest(), b.digest());
        // And again.
        let (before, version) = (content(&b), b.view().version());
        feed(&mut b, &shuffled, &[2]);
        prop_assert_eq!(before, content(&b));
        prop_assert_eq!(version, b.view().version());
    }

    #[test]
    fn what_is_not_worth_it_is_refused_unverified_and_all_else_is_verified(
        records in prop::collection::vec(prop_oneof![statement(), suspecting()], 1..30),
        capacity in 1..=usize::from(NODES) + 1,
    ) {
        let small = || {
            let config = Config { capacity, ..Config::default() };
            // One of those that the records are about, too.
            Catalog::new(id(1), network(), config)
        };
        let (mut catalog, mut beside) = (small(), small());
        for record in records {
            let worth = catalog.may_take(&record, at(0));
            let refused = catalog.admit(forged(&record), FRESH, at(0)).unwrap_err();
            let looked = matches!(refused, Refused::Invalid(EntryError::Signature));
            // Who reports a suspicion is looked at later.
            let reporter = matches!(refused, Refused::UnknownReporter | Refused::Unproven);
            prop_assert_eq!(worth, looked || reporter, "{:?}: {}", record, refused);
            let verified = Verified::of(record.clone()).unwrap();
            prop_assert_eq!(
                catalog.admit_verified(verified, FRESH, at(0)),
                beside.admit(record, FRESH, at(0))
            );
        }
        prop_assert_eq!(content(&catalog), content(&beside));
    }

    #[test]
    fn suspicions_of_the_known_come_to_the_same_in_any_order(
        (records, shuffled) in orders(prop_oneof![
            (1..=NODES, 1..8_u64).prop_map(|(n, revision)| entry(n, revision)),
            suspecting(),
        ]),
    ) {
        let (mut a, mut b) = (observer(), observer());
        for catalog in [&mut a, &mut b] {
            let first: Vec<_> = (1..=NODES).map(|n| entry(n, 0)).collect();
            feed(catalog, &first, &[2]);
        }
        feed(&mut a, &records, &[2]);
        feed(&mut b, &shuffled, &[0, 2]);
        prop_assert_eq!(content(&a), content(&b));
        prop_assert_eq!(a.digest(), b.digest());
    }

    #[test]
    fn merging_whole_catalogs_does_not_depend_on_how_they_are_grouped(
        parts in prop::collection::vec(prop::collection::vec(statement(), 0..12), 3),
    ) {
        let fresh = || -> Vec<Catalog> {
            let parts = parts.iter();
            parts
                .map(|records| {
                    let mut catalog = observer();
                    feed(&mut catalog, records, &[2]);
                    catalog
                })
                .collect()
        };
        let [mut a, mut b, mut c] = <[Catalog; 3]>::try_from(fresh()).unwrap();
        exchange(&mut a, &mut b);
        prop_assert_eq!(content(&a), content(&b));
        exchange(&mut b, &mut c);
        let left = (content(&c), c.digest().clone());
        let [mut a, mut b, mut c] = <[Catalog; 3]>::try_from(fresh()).unwrap();
        exchange(&mut c, &mut b);
        exchange(&mut a, &mut b);
        prop_assert_eq!(left, (content(&a), a.digest().clone()));
        // All in one.
        let mut all = observer();
        for records in &parts {
            feed(&mut all, records, &[2]);
        }
        prop_assert_eq!(content(&all), content(&a));
        prop_assert_eq!(all.digest(), a.digest());
    }
}
