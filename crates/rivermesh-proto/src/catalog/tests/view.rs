//! What a program sees of the catalog, and how often nodes announce themselves.

use super::*;

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
