//! The rules, one test each; `merge` has the algebra, `hostile` what members try.

mod hostile;
mod merge;

use std::time::Duration;

use super::*;
use crate::entry::{
    Departure, Record,
    fixture::{WALL, advert, departure, entry, id, key, large, network, plain, suspicion},
};

pub(super) const S: u64 = 1_000_000;

/// `seconds` after the start of the test.
pub(super) fn at(seconds: u64) -> Clock {
    Clock {
        mono: Duration::from_secs(1000 + seconds),
        wall_us: WALL + seconds * S,
    }
}

pub(super) fn hello(n: u16) -> Source {
    Source::Handshake { peer: id(n) }
}

pub(super) const FRESH: Source = Source::Sync {
    age: Duration::ZERO,
};

/// The catalog of node 0, which has announced itself at revision 0.
pub(super) fn catalog() -> Catalog {
    catalog_with(Config::default())
}

pub(super) fn catalog_with(config: Config) -> Catalog {
    let mut catalog = Catalog::new(id(0), network(), config);
    let joined = catalog.announce(entry(0, 0), at(0)).unwrap();
    assert!(matches!(joined, Some(Change::Joined(peer)) if peer.is_local()));
    catalog
}

fn gossip(catalog: &mut Catalog, record: SignedRecord, seconds: u64) -> Result<Admitted, Refused> {
    catalog.admit(record, Source::Gossip, at(seconds))
}

fn change(admitted: Result<Admitted, Refused>) -> Change {
    admitted.unwrap().change.unwrap()
}

fn listed(catalog: &Catalog, n: u16) -> Option<bool> {
    catalog.view().get(&id(n)).map(|peer| peer.is_live())
}

#[test]
fn an_entry_joins_then_refreshes_then_updates() {
    let mut catalog = catalog();
    let joined = gossip(&mut catalog, entry(1, 10), 1).unwrap();
    assert!(joined.forward);
    assert!(matches!(joined.change, Some(Change::Joined(peer)) if peer.id() == id(1)));
    assert_eq!(
        gossip(&mut catalog, entry(1, 10), 1),
        Err(Refused::Known),
        "the same again"
    );
    assert!(matches!(
        change(gossip(&mut catalog, entry(1, 11), 2)),
        Change::Refreshed(peer) if peer.revision() == WALL + 11
    ));
    let mut other = plain(1, WALL + 12);
    other.tags.insert("new".to_owned());
    let other = other.sign(&key(1)).unwrap();
    assert!(matches!(
        change(gossip(&mut catalog, other, 2)),
        Change::Updated(peer) if peer.has_tag("new")
    ));
    assert_eq!(
        gossip(&mut catalog, entry(1, 11), 2),
        Err(Refused::Older { known: WALL + 12 })
    );
    assert_eq!(catalog.view().len(), 2);
}

#[test]
fn a_record_of_another_network_is_refused() {
    let mut catalog = catalog();
    let mut foreign = plain(1, WALL);
    foreign.network = NetworkId::of("other");
    let foreign = foreign.sign(&key(1)).unwrap();
    let refused = gossip(&mut catalog, foreign.clone(), 1).unwrap_err();
    assert_eq!(refused, Refused::Network);
    assert!(refused.is_fault());
    assert_eq!(catalog.announce(foreign, at(1)), Err(Refused::Network));
}

#[test]
fn a_handshake_brings_the_peers_own_records_only() {
    let mut catalog = catalog();
    let refused = catalog.admit(entry(1, 1), hello(2), at(1)).unwrap_err();
    assert_eq!(refused, Refused::NotOwn);
    assert!(catalog.admit(entry(1, 1), hello(1), at(1)).is_ok());
    assert!(catalog.admit(entry(2, 1), hello(2), at(1)).is_ok());
    assert_eq!(
        catalog.admit(suspicion(1, 1, 2), hello(1), at(1)),
        Err(Refused::NotOwn)
    );
    assert!(catalog.admit(suspicion(1, 1, 2), hello(2), at(1)).is_ok());
}

#[test]
fn revisions_are_held_to_the_clock() {
    let mut catalog = catalog();
    let day = limits::CLOCK_SKEW.as_secs() * S;
    let mut said = plain(1, WALL + day);
    let mut say = |revision: u64| {
        said.revision = revision;
        catalog.admit(said.sign(&key(1)).unwrap(), Source::Gossip, at(0))
    };
    assert_eq!(
        say(WALL + day + 1),
        Err(Refused::AheadOfClock {
            by: limits::CLOCK_SKEW + Duration::from_micros(1)
        })
    );
    assert!(matches!(say(u64::MAX), Err(Refused::AheadOfClock { .. })));
    let age = micros(MAX_AGE);
    assert_eq!(
        say(WALL - age - 1),
        Err(Refused::TooOld {
            by: MAX_AGE + Duration::from_micros(1)
        })
    );
    assert!(matches!(say(0), Err(Refused::TooOld { .. })));
    assert!(say(WALL - age).is_ok());
    assert!(say(WALL + day).is_ok());
    // A clock at the end of time does not overflow.
    let end = Clock {
        mono: Duration::ZERO,
        wall_us: u64::MAX,
    };
    assert!(catalog.admit(entry(2, 0), Source::Gossip, end).is_err());
}

#[test]
fn a_departure_is_final_for_its_revision_and_all_before() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 10), 1).unwrap();
    assert!(matches!(
        change(gossip(&mut catalog, departure(1, 20), 2)),
        Change::Left(peer) if peer.id() == id(1)
    ));
    assert_eq!(listed(&catalog, 1), None);
    for source in [Source::Gossip, FRESH, hello(1)] {
        assert_eq!(
            catalog.admit(entry(1, 19), source, at(3)),
            Err(Refused::Older { known: WALL + 20 })
        );
        assert_eq!(
            catalog.admit(entry(1, 20), source, at(3)),
            Err(Refused::Departed)
        );
    }
    assert_eq!(
        gossip(&mut catalog, departure(1, 20), 3),
        Err(Refused::Known)
    );
    assert!(matches!(
        change(gossip(&mut catalog, entry(1, 21), 3)),
        Change::Joined(_)
    ));
    assert_eq!(catalog.tombstones(), (0, 0));
    assert_eq!(
        gossip(&mut catalog, departure(1, 20), 3),
        Err(Refused::Older { known: WALL + 21 }),
        "an old goodbye, replayed"
    );
}

#[test]
fn a_departure_may_come_before_the_entry() {
    let mut catalog = catalog();
    let admitted = gossip(&mut catalog, departure(1, 20), 1).unwrap();
    assert_eq!((admitted.change, admitted.forward), (None, true));
    assert_eq!(
        gossip(&mut catalog, entry(1, 10), 1),
        Err(Refused::Older { known: WALL + 20 })
    );
}

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

#[test]
fn the_local_node_is_told_when_it_must_raise_its_revision() {
    let mut catalog = catalog();
    assert_eq!(gossip(&mut catalog, entry(0, 0), 1), Err(Refused::Known));
    // A former life, with a clock that was ahead of the catalog's bound even.
    let former = plain(0, WALL + 2 * micros(limits::CLOCK_SKEW));
    let former = former.sign(&key(0)).unwrap();
    let shown = gossip(&mut catalog, former.clone(), 1).unwrap();
    assert_eq!(shown.refute, Some(former.revision()));
    assert_eq!((shown.change, shown.forward), (None, false));
    let goodbye = gossip(&mut catalog, departure(0, 7), 1).unwrap();
    assert_eq!(goodbye.refute, Some(WALL + 7));
    // Another process with the same key, at the same revision.
    let mut twin = plain(0, WALL);
    twin.instance = 8;
    let twin = gossip(&mut catalog, twin.sign(&key(0)).unwrap(), 1).unwrap();
    assert_eq!(twin.refute, Some(WALL));
    // It raises its revision, and none of them matters any more.
    catalog.announce(entry(0, 8), at(2)).unwrap();
    assert_eq!(
        gossip(&mut catalog, departure(0, 7), 2),
        Err(Refused::Older { known: WALL + 8 })
    );
    assert_eq!(catalog.announce(entry(0, 8), at(2)), Err(Refused::Known));
    assert_eq!(
        catalog.announce(entry(0, 7), at(2)),
        Err(Refused::Older { known: WALL + 8 })
    );
    assert!(catalog.announce(entry(1, 8), at(2)).is_err(), "not its own");
}

#[test]
fn a_suspicion_of_the_local_node_is_refuted_when_it_names_what_was_said() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(2, 10), 0).unwrap();
    let suspected = gossip(&mut catalog, suspicion(0, 0, 2), 1).unwrap();
    assert_eq!(suspected.refute, Some(WALL));
    assert_eq!(suspected.change, None);
    assert_eq!(listed(&catalog, 0), Some(true));
    assert_eq!(
        gossip(&mut catalog, suspicion(0, 1, 2), 1),
        Err(Refused::Unproven),
        "else a liar could push its revision to the bound of the clock"
    );
    catalog.announce(entry(0, 5), at(2)).unwrap();
    assert_eq!(
        gossip(&mut catalog, suspicion(0, 0, 2), 2),
        Err(Refused::Older { known: WALL + 5 })
    );
}

#[test]
fn a_departing_node_leaves_its_own_list() {
    let mut catalog = catalog();
    let goodbye = Departure {
        network: network(),
        node: id(0),
        revision: WALL + 1,
    };
    let goodbye = goodbye.sign(&key(0)).unwrap();
    let left = catalog.announce(goodbye, at(1)).unwrap();
    assert!(matches!(left, Some(Change::Left(peer)) if peer.is_local()));
    assert!(catalog.view().is_empty());
}

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
    let gone: Vec<_> = admitted
        .displaced
        .iter()
        .map(|left| left.peer().id())
        .collect();
    assert_eq!(gone, [id(1), id(2), id(3)]);

    // The places of who leaves are free.
    gossip(&mut catalog, departure(5, 2), 5).unwrap();
    assert!(gossip(&mut catalog, large(6, 1), 5).is_ok());
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

#[test]
fn a_snapshot_stays_as_it_is_and_answers_queries() {
    let mut catalog = catalog();
    let mut one = plain(1, WALL + 1);
    one.streams = vec![advert("b"), advert("a")];
    one.tags = ["gpu".to_owned()].into();
    one.name = "one".to_owned();
    let admit = |catalog: &mut Catalog, entry: &crate::entry::Entry| {
        let record = entry.sign(&key(1)).unwrap();
        catalog.admit(record, Source::Gossip, at(0)).unwrap();
    };
    admit(&mut catalog, &one);
    let before = catalog.snapshot();
    let ids = |peers: Vec<&Arc<Peer>>| -> Vec<NodeId> { peers.iter().map(|p| p.id()).collect() };
    assert_eq!(ids(before.producers_of("a").collect()), [id(1)]);
    assert_eq!(ids(before.producers_of("weather/JFK").collect()), [id(0)]);
    assert_eq!(before.producers_of("none").count(), 0);
    assert_eq!(before.producers_of("not a name").count(), 0);
    assert_eq!(ids(before.with_tag("gpu").collect()), [id(1)]);
    assert_eq!(ids(before.named("one").collect()), [id(1)]);
    assert_eq!(before.iter().count(), 2);
    let peer = before.get(&id(1)).unwrap();
    assert!(peer.produces("a").is_some() && peer.produces("c").is_none());
    assert!(peer.has_tag("gpu") && !peer.has_tag("eu") && !peer.is_local());

    one.revision += 1;
    one.streams = vec![advert("b"), advert("c")];
    admit(&mut catalog, &one);
    let after = catalog.snapshot();
    assert!(after.version() > before.version());
    assert_eq!(after.producers_of("a").count(), 0);
    assert_eq!(after.producers_of("b").count(), 1);
    assert_eq!(after.producers_of("c").count(), 1);
    assert_eq!(before.producers_of("a").count(), 1);

    catalog.unreachable(&id(1), at(1)).unwrap();
    assert_eq!(ids(catalog.view().live().collect()), [id(0)]);
    assert_eq!(catalog.view().producers_of("b").count(), 1);
    gossip(&mut catalog, departure(1, 50), 1).unwrap();
    assert_eq!(catalog.view().producers_of("b").count(), 0);
    assert_eq!(after.producers_of("b").count(), 1);
}

#[test]
fn the_round_trip_time_is_known_or_does_not_satisfy() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 1), 0).unwrap();
    gossip(&mut catalog, entry(2, 1), 0).unwrap();
    let rtt = Rtt {
        smoothed: Duration::from_millis(20),
        min: Duration::from_millis(18),
        variance: Duration::from_millis(1),
    };
    let before = catalog.snapshot();
    assert!(catalog.set_rtt(&id(1), rtt));
    assert!(!catalog.set_rtt(&id(9), rtt));
    let after = catalog.snapshot();
    assert!(after.version() > before.version());
    assert!(Arc::ptr_eq(
        before.get(&id(2)).unwrap(),
        after.get(&id(2)).unwrap()
    ));
    let within = |ms| after.within_rtt(Duration::from_millis(ms)).count();
    assert_eq!((within(20), within(19)), (1, 0));
    gossip(&mut catalog, entry(1, 2), 0).unwrap();
    assert_eq!(catalog.view().get(&id(1)).unwrap().rtt(), Some(rtt));
}

#[test]
fn the_load_of_announcements_does_not_grow_with_the_network() {
    assert_eq!(announce_interval(0), Duration::from_secs(30));
    assert_eq!(announce_interval(30), Duration::from_secs(30));
    assert_eq!(announce_interval(300), Duration::from_secs(300));
    assert_eq!(announce_interval(10_000), Duration::from_secs(3600));
    assert_eq!(announce_interval(usize::MAX), Duration::from_secs(3600));
    for members in [30, 300, 3000, 3600] {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let rate = members as f64 / announce_interval(members).as_secs_f64();
        assert!(rate <= 1.0, "{members} members: {rate} a second");
    }
}

#[test]
fn an_entry_says_what_it_was_signed_to_say() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 1), 0).unwrap();
    let peer = Arc::clone(catalog.view().get(&id(1)).unwrap());
    assert_eq!(
        entry(1, 1).verify(),
        Ok(Record::Entry(crate::entry::Entry::clone(peer.entry())))
    );
}
