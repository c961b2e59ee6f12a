//! Records for tests, made of small numbers.

use iroh_base::SecretKey;

use super::{Departure, Entry, SignedRecord, Suspicion};
use crate::{Epoch, Fingerprint, NetworkId, NodeId, StreamName, entry::StreamAdvert, limits};

/// The wall clock of tests, in microseconds: 2026-11-01.
pub(crate) const WALL: u64 = 1_793_491_200_000_000;

pub(crate) fn network() -> NetworkId {
    NetworkId::of("test")
}

pub(crate) fn key(n: u16) -> SecretKey {
    let mut bytes = [1; 32];
    bytes[..2].copy_from_slice(&n.to_le_bytes());
    SecretKey::from_bytes(&bytes)
}

pub(crate) fn id(n: u16) -> NodeId {
    key(n).public()
}

pub(crate) fn plain(n: u16, revision: u64) -> Entry {
    Entry {
        network: network(),
        node: id(n),
        name: format!("node-{n}"),
        tags: ["eu".to_owned(), format!("rack-{}", n % 3)].into(),
        addrs: vec![iroh_base::TransportAddr::Ip(
            ([192, 0, 2, 1], 4000 + n).into(),
        )],
        streams: vec![advert("weather/JFK")],
        instance: 7,
        revision,
        refresh_s: 15,
    }
}

pub(crate) fn advert(name: &str) -> StreamAdvert {
    StreamAdvert {
        name: StreamName::new(name).unwrap(),
        fingerprint: Fingerprint(*b"abcdefgh"),
        epoch: Epoch(3),
    }
}

/// A signed entry of node `n` at `WALL + revision`.
pub(crate) fn entry(n: u16, revision: u64) -> SignedRecord {
    plain(n, WALL + revision).sign(&key(n)).unwrap()
}

/// As [`entry`], with so many streams that it takes four places in a catalog.
pub(crate) fn large(n: u16, revision: u64) -> SignedRecord {
    let mut entry = plain(n, WALL + revision);
    entry.streams = (0..250).map(|i| advert(&format!("{i:0>30}"))).collect();
    let record = entry.sign(&key(n)).unwrap();
    assert_eq!(record.as_bytes().len().div_ceil(limits::ENTRY_PLACE), 4);
    record
}

/// As [`entry`], for a departure.
pub(crate) fn departure(n: u16, revision: u64) -> SignedRecord {
    let departure = Departure {
        network: network(),
        node: id(n),
        revision: WALL + revision,
    };
    departure.sign(&key(n)).unwrap()
}

/// As [`entry`], for a suspicion of `n` by `reporter`.
pub(crate) fn suspicion(n: u16, revision: u64, reporter: u16) -> SignedRecord {
    let suspicion = Suspicion {
        network: network(),
        node: id(n),
        revision: WALL + revision,
        reporter: id(reporter),
    };
    suspicion.sign(&key(reporter)).unwrap()
}
