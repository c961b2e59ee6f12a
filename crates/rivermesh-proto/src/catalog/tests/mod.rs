//! The rules, one test each. Here are those of what is taken; `liveness` has who is live, `room` how much
//! there may be, `view` what a program sees, `merge` the algebra, `hostile` what members try.

mod hostile;
mod liveness;
mod merge;
mod room;
mod view;

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
fn an_entry_says_what_it_was_signed_to_say() {
    let mut catalog = catalog();
    gossip(&mut catalog, entry(1, 1), 0).unwrap();
    let peer = Arc::clone(catalog.view().get(&id(1)).unwrap());
    assert_eq!(
        entry(1, 1).verify(),
        Ok(Record::Entry(crate::entry::Entry::clone(peer.entry())))
    );
}
