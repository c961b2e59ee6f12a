//! How much there may be: places, tombstones, and the digest of what is gone.

use super::*;

#[test]
fn the_unreachable_give_way_when_the_catalog_is_full() {
    let mut catalog = catalog_with(Config {
        capacity: 3,
        ..Config::default()
    });
    gossip(&mut catalog, entry(1, 1), 0).unwrap();
    gossip(&mut catalog, entry(2, 1), 0).unwrap();
    assert_eq!(gossip(&mut catalog, entry(3, 1), 0), Err(Refused::Full));
    assert!(gossip(&mut catalog, entry(2, 2), 0).is_ok(), "no newcomer");
    catalog.unreachable(&id(2), at(1)).unwrap();
    catalog.unreachable(&id(1), at(2)).unwrap();
    let admitted = gossip(&mut catalog, entry(3, 1), 3).unwrap();
    assert!(
        matches!(&admitted.displaced[..], [Change::Left(peer)] if peer.id() == id(2)),
        "the one that was unreachable for longest"
    );
    assert_eq!(catalog.view().len(), 3);
}

#[test]
fn a_large_entry_counts_for_several() {
    let mut catalog = catalog_with(Config {
        capacity: 6,
        ..Config::default()
    });
    gossip(&mut catalog, entry(1, 1), 0).unwrap();
    gossip(&mut catalog, large(2, 1), 0).unwrap();
    assert_eq!(gossip(&mut catalog, entry(3, 1), 0), Err(Refused::Full));
    assert_eq!(gossip(&mut catalog, large(1, 2), 0), Err(Refused::Full));
    assert!(gossip(&mut catalog, large(2, 2), 0).is_ok(), "no larger");
    assert!(gossip(&mut catalog, entry(2, 3), 0).is_ok(), "smaller");
    assert!(gossip(&mut catalog, entry(3, 1), 0).is_ok(), "room again");
    gossip(&mut catalog, entry(4, 1), 0).unwrap();

    // Of six places five are taken: for four more, three nodes have to go.
    for (n, second) in [(1, 1), (2, 2)] {
        catalog.unreachable(&id(n), at(second)).unwrap();
    }
    assert_eq!(gossip(&mut catalog, large(5, 1), 3), Err(Refused::Full));
    assert_eq!(catalog.view().len(), 5, "nobody has gone for nothing");
    catalog.unreachable(&id(3), at(3)).unwrap();
    let admitted = gossip(&mut catalog, large(5, 1), 4).unwrap();
    assert_eq!(gone(&admitted), [id(1), id(2), id(3)]);

    // The places of who leaves are free.
    gossip(&mut catalog, departure(5, 2), 5).unwrap();
    assert!(gossip(&mut catalog, large(6, 1), 5).is_ok());
}

/// A catalog with this many places, of which all are taken: the local node's, and one each of the others.
fn full(capacity: usize) -> Catalog {
    let mut catalog = catalog_with(Config {
        capacity,
        ..Config::default()
    });
    for n in 1..u16::try_from(capacity).unwrap() {
        gossip(&mut catalog, entry(n, 1), 0).unwrap();
    }
    catalog
}

fn gone(admitted: &Admitted) -> Vec<NodeId> {
    let displaced = admitted.displaced.iter();
    displaced.map(|left| left.peer().id()).collect()
}

#[test]
fn a_large_entry_that_goes_leaves_all_its_places() {
    let mut catalog = full(3);
    catalog.config.capacity = 6;
    gossip(&mut catalog, large(1, 2), 0).unwrap();
    for (n, second) in [(1, 1), (2, 2)] {
        catalog.unreachable(&id(n), at(second)).unwrap();
    }
    let admitted = gossip(&mut catalog, large(3, 1), 3).unwrap();
    assert_eq!(gone(&admitted), [id(1)], "its four places are enough");
}

#[test]
fn nobody_gives_way_to_himself() {
    let mut catalog = full(5);
    for n in 1..4 {
        catalog.unreachable(&id(n), at(u64::from(n))).unwrap();
    }
    // Three more places; two others can go.
    assert_eq!(gossip(&mut catalog, large(1, 2), 4), Err(Refused::Full));
    assert_eq!(catalog.view().len(), 5);
    catalog.unreachable(&id(4), at(4)).unwrap();
    let admitted = gossip(&mut catalog, large(1, 2), 5).unwrap();
    assert_eq!(gone(&admitted), [id(2), id(3), id(4)]);
    assert_eq!(listed(&catalog, 1), Some(true));
}

/// What a node says of itself is listed whatever room there is, so there may be more than fits.
#[test]
fn who_asks_for_no_more_is_not_refused_when_there_is_too_much() {
    let mut catalog = full(3);
    catalog.announce(large(0, 1), at(0)).unwrap();
    assert!(gossip(&mut catalog, entry(1, 2), 1).is_ok());
    assert_eq!(gossip(&mut catalog, large(1, 3), 1), Err(Refused::Full));
    assert_eq!(catalog.view().len(), 3);
}

#[test]
fn tombstones_end_when_the_age_rule_takes_over() {
    let mut catalog = catalog();
    gossip(&mut catalog, departure(1, 0), 0).unwrap();
    let age = MAX_AGE.as_secs();
    catalog.tick(at(age));
    assert_eq!(catalog.tombstones().0, 1);
    assert!(gossip(&mut catalog, entry(1, 0), age).is_err());
    catalog.tick(at(age + 1));
    assert_eq!(catalog.tombstones(), (0, 0));
    assert!(matches!(
        gossip(&mut catalog, entry(1, 0), age + 1),
        Err(Refused::TooOld { .. })
    ));
}

#[test]
fn the_digest_counts_the_gone_for_as_long_as_others_may_list_them() {
    let (mut lists, mut dropped) = (catalog(), catalog());
    for catalog in [&mut lists, &mut dropped] {
        gossip(catalog, entry(1, 10), 0).unwrap();
    }
    assert_eq!(lists.digest(), dropped.digest());
    dropped.unreachable(&id(1), at(1)).unwrap();
    dropped.tick(at(61));
    assert_eq!(listed(&dropped, 1), None);
    assert_eq!(lists.digest(), dropped.digest());
    lists.tick(at(61));
    assert_eq!(listed(&lists, 1), Some(false));
    lists.tick(at(121));
    assert_eq!(listed(&lists, 1), None, "after expiry and a minute");
    assert_eq!(lists.digest(), dropped.digest());
    // Then both come to know what one knows who never heard of it.
    for catalog in [&mut lists, &mut dropped] {
        catalog.tick(at(121 + 110));
        assert_eq!(catalog.digest(), super::tests::catalog().digest());
        assert_eq!(gossip(catalog, entry(1, 10), 300), Err(Refused::Evicted));
    }
}
