//! Who is live: refreshes, ages, suspicions, and who is connected.

use super::*;

#[test]
fn a_silent_node_becomes_unreachable_and_is_removed() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 0).unwrap();
    // 3 × 15 s and 5 s of grace.
    assert_eq!(catalog.next_deadline(), Some(at(50).mono));
    assert_eq!(catalog.tick(at(49)), []);
    let changes = catalog.tick(at(50));
    assert!(matches!(&changes[..], [Change::Unreachable(peer)]
        if peer.reachability() == Reachability::Unreachable { since: at(50).mono }));
    assert_eq!(catalog.next_deadline(), Some(at(110).mono));
    assert_eq!(catalog.tick(at(109)), []);
    let changes = catalog.tick(at(110));
    assert!(matches!(&changes[..], [Change::Left(peer)] if peer.id() == id(1)));
    assert_eq!(listed(&catalog, 1), None);
    assert_eq!(listed(&catalog, 0), Some(true), "the local node stays");
}

#[test]
fn each_refresh_puts_the_end_off() {
    let mut catalog = catalog();
    for i in 0..20 {
        gossip(&mut catalog, entry(1, i), i * 15).unwrap();
        assert_eq!(catalog.tick(at(i * 15 + 14)), []);
    }
    assert_eq!(catalog.tick(at(19 * 15 + 49)), []);
    assert_eq!(catalog.tick(at(19 * 15 + 50)).len(), 1);
}

#[test]
fn the_age_in_a_sync_shortens_the_life() {
    let mut catalog = catalog();
    let aged = |seconds| Source::Sync {
        age: Duration::from_secs(seconds),
    };
    assert_eq!(
        catalog.admit(entry(1, 1), aged(50), at(0)),
        Err(Refused::Expired)
    );
    catalog.admit(entry(1, 1), aged(49), at(0)).unwrap();
    assert_eq!(catalog.next_deadline(), Some(at(1).mono));
}

#[test]
fn the_evicted_stay_away_until_they_say_something_new_or_come_in_person() {
    let gone = || {
        let mut catalog = catalog();
        gossip(&mut catalog, entry(1, 10), 0).unwrap();
        catalog.tick(at(50));
        catalog.tick(at(110));
        assert_eq!(catalog.view().len(), 1);
        catalog
    };
    let mut catalog = gone();
    for source in [Source::Gossip, FRESH] {
        assert_eq!(
            catalog.admit(entry(1, 10), source, at(111)),
            Err(Refused::Evicted)
        );
    }
    assert!(matches!(
        change(catalog.admit(entry(1, 10), hello(1), at(111))),
        Change::Joined(_)
    ));
    let mut catalog = gone();
    assert!(matches!(
        change(gossip(&mut catalog, entry(1, 11), 111)),
        Change::Joined(_)
    ));
    let mut catalog = gone();
    assert_eq!(
        catalog.admit(entry(1, 9), hello(1), at(111)),
        Err(Refused::Older { known: WALL + 10 }),
        "the node has to learn what others hold"
    );
    assert_eq!(catalog.record(&id(1)), Some(&entry(1, 10)));
}

#[test]
fn a_handshake_is_proof_of_life_for_an_unreachable_node() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 0).unwrap();
    catalog.tick(at(50));
    assert_eq!(listed(&catalog, 1), Some(false));
    for source in [Source::Gossip, FRESH] {
        assert_eq!(
            catalog.admit(entry(1, 10), source, at(51)),
            Err(Refused::Known)
        );
    }
    let back = catalog.admit(entry(1, 10), hello(1), at(51)).unwrap();
    assert!(matches!(back.change, Some(Change::Updated(peer)) if peer.is_live()));
    assert_eq!(catalog.next_deadline(), Some(at(101).mono));
}

#[test]
fn a_suspicion_counts_for_this_revision_only_and_is_refuted_by_the_next() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 0).unwrap();
    gossip(&mut catalog, entry(2, 10), 0).unwrap();
    assert_eq!(
        gossip(&mut catalog, suspicion(1, 9, 2), 1),
        Err(Refused::Older { known: WALL + 10 })
    );
    let suspected = gossip(&mut catalog, suspicion(1, 10, 2), 1).unwrap();
    assert!(suspected.forward);
    assert!(matches!(suspected.change, Some(Change::Unreachable(_))));
    assert_eq!(
        gossip(&mut catalog, suspicion(1, 10, 2), 1),
        Err(Refused::Known)
    );
    assert!(matches!(
        change(gossip(&mut catalog, entry(1, 11), 2)),
        Change::Updated(peer) if peer.is_live()
    ));
    // Without a refutation it is removed after a minute.
    gossip(&mut catalog, suspicion(1, 11, 2), 10).unwrap();
    assert!(matches!(&catalog.tick(at(70))[..], [.., Change::Left(peer)] if peer.id() == id(1)));
}

#[test]
fn a_suspicion_that_overtakes_the_entry_waits_for_it() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 0).unwrap();
    gossip(&mut catalog, entry(2, 10), 0).unwrap();
    let early = gossip(&mut catalog, suspicion(1, 12, 2), 1).unwrap();
    assert_eq!(early.change, None);
    assert_eq!(listed(&catalog, 1), Some(true));
    gossip(&mut catalog, entry(1, 11), 1).unwrap();
    assert_eq!(listed(&catalog, 1), Some(true));
    assert!(matches!(
        change(gossip(&mut catalog, entry(1, 12), 1)),
        Change::Unreachable(_)
    ));
    gossip(&mut catalog, entry(1, 13), 1).unwrap();
    assert_eq!(listed(&catalog, 1), Some(true));
    // One that names a revision which never comes does not keep out one that is true.
    gossip(&mut catalog, suspicion(1, 5_000, 2), 1).unwrap();
    assert!(matches!(
        change(gossip(&mut catalog, suspicion(1, 13, 2), 1)),
        Change::Unreachable(_)
    ));
}

#[test]
fn a_connected_node_neither_expires_nor_can_be_suspected() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 0).unwrap();
    gossip(&mut catalog, entry(2, 10), 0).unwrap();
    assert_eq!(catalog.connected(id(1), at(0)), None);
    assert!(catalog.is_connected(&id(1)));
    assert_eq!(
        gossip(&mut catalog, suspicion(1, 10, 2), 1),
        Err(Refused::Connected)
    );
    assert_eq!(catalog.unreachable(&id(1), at(1)), None);
    catalog.tick(at(1000));
    catalog.tick(at(2000));
    assert_eq!(listed(&catalog, 1), Some(true));
    assert_eq!(listed(&catalog, 2), None);
    // Once the connection is gone, the time for dialling again is left.
    catalog.disconnected(&id(1), at(2000));
    assert_eq!(catalog.tick(at(2004)), []);
    assert_eq!(catalog.tick(at(2005)).len(), 1);
    let back = catalog.connected(id(1), at(2006));
    assert!(matches!(back, Some(Change::Updated(peer)) if peer.is_live()));
}

#[test]
fn what_the_local_node_finds_is_told_once() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 0).unwrap();
    assert_eq!(catalog.unreachable(&id(0), at(1)), None, "itself");
    assert_eq!(catalog.unreachable(&id(9), at(1)), None, "unknown");
    let lost = catalog.unreachable(&id(1), at(1)).unwrap();
    assert!(matches!(lost.change, Change::Unreachable(_)));
    let signed = lost.suspicion.sign(&key(0)).unwrap();
    assert_eq!(signed, suspicion(1, 10, 0));
    assert_eq!(catalog.announce(signed.clone(), at(1)), Ok(None));
    assert_eq!(catalog.unreachable(&id(1), at(1)), None, "again");
    assert_eq!(
        gossip(&mut catalog, signed, 2),
        Err(Refused::Known),
        "its echo"
    );
}
