//! What a member with a valid key may try.

use bytes::Bytes;

use super::*;
use crate::entry::EntryError;

#[test]
fn a_forged_signature_changes_nothing() {
    let mut catalog = catalog();
    let digest = catalog.digest().clone();
    for record in [entry(1, 1), departure(1, 1)] {
        let mut bytes = record.as_bytes().to_vec();
        bytes[0] ^= 1;
        let forged = SignedRecord::decode(Bytes::from(bytes)).unwrap();
        for source in [Source::Gossip, FRESH, hello(1)] {
            let refused = catalog.admit(forged.clone(), source, at(0)).unwrap_err();
            assert_eq!(refused, Refused::Invalid(EntryError::Signature));
            assert!(refused.is_fault());
        }
    }
    assert_eq!(catalog.digest(), &digest);
    assert_eq!(catalog.tombstones(), (0, 0));
}

#[test]
fn a_forged_record_of_the_local_node_does_not_raise_its_revision() {
    let mut catalog = catalog();
    let mut bytes = entry(0, 5).as_bytes().to_vec();
    bytes[0] ^= 1;
    let forged = SignedRecord::decode(Bytes::from(bytes)).unwrap();
    assert_eq!(
        catalog.admit(forged, Source::Gossip, at(0)),
        Err(Refused::Invalid(EntryError::Signature))
    );
}

#[test]
fn what_is_not_news_is_refused_without_looking_at_the_signature() {
    let mut catalog = catalog();
    catalog.admit(entry(1, 10), Source::Gossip, at(0)).unwrap();
    let mut bytes = entry(1, 10).as_bytes().to_vec();
    bytes[0] ^= 1;
    let forged = SignedRecord::decode(Bytes::from(bytes)).unwrap();
    assert_eq!(
        catalog.admit(forged, Source::Gossip, at(0)),
        Err(Refused::Known)
    );
}

#[test]
fn a_departed_node_is_not_brought_back_by_an_old_entry() {
    let mut catalog = catalog();
    catalog.admit(entry(1, 10), Source::Gossip, at(0)).unwrap();
    catalog
        .admit(departure(1, 11), Source::Gossip, at(0))
        .unwrap();
    let age = MAX_AGE.as_secs();
    for seconds in [1, 100, 1000, 10_000, age - 1, age, age + 1, 10 * age] {
        catalog.tick(at(seconds));
        for source in [Source::Gossip, FRESH, hello(1)] {
            assert!(catalog.admit(entry(1, 10), source, at(seconds)).is_err());
        }
        assert_eq!(catalog.view().len(), 1, "after {seconds} s");
    }
}

#[test]
fn a_flood_of_suspicions_is_cut_off_and_the_reporter_recovers() {
    let mut catalog = catalog_with(Config {
        suspicion_burst: 3,
        suspicion_every: Duration::from_secs(10),
        ..Config::default()
    });
    for n in 1..=9 {
        catalog.admit(entry(n, 1), Source::Gossip, at(0)).unwrap();
    }
    let mut suspect = |n, reporter, seconds| {
        let said = suspicion(n, 1, reporter);
        catalog.admit(said, Source::Gossip, at(seconds))
    };
    assert_eq!(suspect(1, 20, 0), Err(Refused::UnknownReporter));
    assert_eq!(suspect(20, 9, 0), Err(Refused::UnknownNode));
    for n in 1..=3 {
        suspect(n, 9, 0).unwrap();
    }
    assert_eq!(suspect(4, 9, 0), Err(Refused::TooManySuspicions));
    assert_eq!(suspect(4, 9, 9), Err(Refused::TooManySuspicions));
    assert!(suspect(4, 8, 9).is_ok(), "another reporter");
    assert!(suspect(5, 9, 10).is_ok());
    assert_eq!(suspect(6, 9, 10), Err(Refused::TooManySuspicions));
    assert!(suspect(6, 9, 20).is_ok());
}

#[test]
fn forged_suspicions_do_not_use_up_the_reporters_right() {
    let mut catalog = catalog_with(Config {
        suspicion_burst: 1,
        ..Config::default()
    });
    for n in 1..=2 {
        catalog.admit(entry(n, 1), Source::Gossip, at(0)).unwrap();
    }
    let mut bytes = suspicion(1, 1, 2).as_bytes().to_vec();
    bytes[0] ^= 1;
    let forged = SignedRecord::decode(Bytes::from(bytes)).unwrap();
    assert!(catalog.admit(forged, Source::Gossip, at(0)).is_err());
    assert!(
        catalog
            .admit(suspicion(1, 1, 2), Source::Gossip, at(0))
            .is_ok()
    );
}

#[test]
fn who_comes_in_person_goes_before_hearsay_in_a_full_catalog() {
    let mut catalog = catalog_with(Config {
        capacity: 5,
        ..Config::default()
    });
    let long = |n| {
        let mut entry = plain(n, WALL);
        entry.refresh_s = 3600;
        entry.sign(&key(n)).unwrap()
    };
    // One that was met, one that is connected, one that is heard of every now and then, and one that was made up.
    catalog.admit(entry(1, 1), hello(1), at(0)).unwrap();
    catalog.admit(long(2), Source::Gossip, at(0)).unwrap();
    catalog.connected(id(2), at(0));
    catalog.admit(entry(3, 1), Source::Gossip, at(0)).unwrap();
    catalog.admit(long(4), Source::Gossip, at(0)).unwrap();
    for source in [Source::Gossip, FRESH] {
        assert_eq!(
            catalog.admit(entry(9, 1), source, at(0)),
            Err(Refused::Full)
        );
    }
    let mut forged = entry(9, 1).as_bytes().to_vec();
    forged[0] ^= 1;
    let forged = SignedRecord::decode(Bytes::from(forged)).unwrap();
    assert!(catalog.admit(forged, hello(9), at(0)).is_err());
    assert!(
        listed(&catalog, 4).is_some(),
        "a forgery displaced somebody"
    );
    for (n, gone) in [(9, 4), (8, 3)] {
        let admitted = catalog.admit(entry(n, 1), hello(n), at(0)).unwrap();
        assert!(matches!(&admitted.displaced[..], [Change::Left(peer)] if peer.id() == id(gone)));
        assert_eq!(catalog.view().len(), 5);
    }
    // It takes a place again only in person.
    assert_eq!(
        catalog.admit(long(4), Source::Gossip, at(1)),
        Err(Refused::Evicted)
    );
    // All that are left were here, or are connected.
    assert_eq!(
        catalog.admit(entry(7, 1), hello(7), at(0)),
        Err(Refused::Full)
    );
}

#[test]
fn a_flood_of_sybils_takes_bounded_memory_and_displaces_nobody() {
    let mut catalog = catalog();
    catalog.admit(entry(1, 1), Source::Gossip, at(0)).unwrap();
    let mut admitted = 0;
    for n in 2..20_002_u16 {
        let sybil = crate::entry::Entry {
            streams: vec![advert(&format!("s{n}"))],
            ..plain(n, WALL)
        };
        let sybil = sybil.sign(&key(n)).unwrap();
        match catalog.admit(sybil, Source::Gossip, at(0)) {
            Ok(_) => admitted += 1,
            Err(refused) => assert_eq!(refused, Refused::Full),
        }
    }
    assert_eq!(admitted, limits::CATALOG - 2);
    assert_eq!(catalog.view().len(), limits::CATALOG);
    assert_eq!(listed(&catalog, 1), Some(true));
    assert_eq!(catalog.view().producers_of("s500").count(), 1);
    // They fall silent, and leave no more than the bound of tombstones.
    catalog.connected(id(1), at(0));
    catalog.tick(at(50));
    catalog.tick(at(110));
    assert_eq!(catalog.view().len(), 2);
    let (count, bytes) = catalog.tombstones();
    assert!(count <= limits::CATALOG && bytes <= TOMBSTONE_BYTES);
    assert!(count > limits::CATALOG / 2);
    assert!(catalog.due.is_empty() && catalog.lost.is_empty());
}

#[test]
fn a_flood_of_departures_takes_bounded_memory() {
    let mut catalog = catalog_with(Config {
        tombstones: 10,
        ..Config::default()
    });
    for n in 1..100 {
        let goodbye = departure(n, u64::from(n));
        catalog.admit(goodbye, Source::Gossip, at(0)).unwrap();
    }
    assert_eq!(catalog.tombstones().0, 10);
    assert_eq!(catalog.digest().count(), 11);
    assert!(
        catalog.record(&id(99)).is_some(),
        "the lowest revisions went"
    );
    // When their time comes, nothing of them is left in the digest.
    catalog.tick(at(MAX_AGE.as_secs() + 10));
    assert_eq!(catalog.digest(), super::catalog().digest());
}
