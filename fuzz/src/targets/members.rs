//! What members say of themselves and of each other: signed records, and syncs of catalogs.
//!
//! No fuzzer finds a signature. A record in which nothing but the signature is wrong is signed here
//! as a hostile member would: by one of [`KEYS`], if it is about that node.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use iroh_base::SecretKey;
use rivermesh_proto::{
    NetworkId, NodeId,
    catalog::{Catalog, Clock, Config, Digest, Source},
    entry::{
        Departure, Entry, EntryError, Kind, MAX_REFRESH_S, MIN_REFRESH_S, Record, SignedRecord,
    },
    limits,
    sync::{Initiator, MESSAGES, Message, Output, Party, Responder, SyncError},
    wire::PREFIX,
};

use super::unframe;

/// Bytes of a signature, which a record begins with.
const SIGNATURE: usize = 64;

/// The members: the first is the local node, the second the one it syncs with.
static KEYS: LazyLock<[(NodeId, SecretKey); 4]> = LazyLock::new(|| {
    [1, 2, 3, 4].map(|n| {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&[n, 0]);
        let key = SecretKey::from_bytes(&bytes);
        (key.public(), key)
    })
});

const NOW: Clock = Clock {
    mono: Duration::from_secs(1000),
    // 2026-11-01
    wall_us: 1_793_491_200_000_000,
};

/// A signed record.
pub fn entry(data: &[u8]) {
    let record = match SignedRecord::decode(Bytes::copy_from_slice(data)) {
        Ok(record) => record,
        Err(error) => {
            assert_eq!(SignedRecord::copy_from_slice(data), Err(error));
            return;
        }
    };
    assert!(data.len() <= limits::ENTRY);
    assert_eq!(record.as_bytes(), data);
    let Some(record) = signed(record) else {
        return;
    };
    let again = match record.verify() {
        Ok(Record::Entry(entry)) => {
            check_entry(&entry);
            key_of(&record).map(|key| entry.sign(key))
        }
        Ok(Record::Departure(departure)) => key_of(&record).map(|key| departure.sign(key)),
        Ok(Record::Suspicion(suspicion)) => key_of(&record).map(|key| suspicion.sign(key)),
        Err(error) => panic!("nothing but the signature was wrong, and now: {error}"),
    };
    // The bytes identify the record, so there is one way to write it.
    assert_eq!(again, Some(Ok(record)));
}

fn check_entry(entry: &Entry) {
    assert!(entry.name.len() <= limits::NODE_NAME);
    assert!(entry.tags.len() <= limits::TAGS);
    assert!(
        entry
            .tags
            .iter()
            .all(|tag| (1..=limits::TAG).contains(&tag.len()))
    );
    assert!(entry.addrs.len() <= limits::ADDRS);
    assert!(entry.streams.len() <= limits::STREAMS);
    let mut names = entry.streams.iter().map(|stream| &stream.name);
    assert!(
        names
            .clone()
            .zip(names.by_ref().skip(1))
            .all(|(a, b)| a < b)
    );
    let refresh = entry.refresh().as_secs();
    assert!((MIN_REFRESH_S.into()..=MAX_REFRESH_S.into()).contains(&refresh));
    assert!(entry.same_content(entry));
}

/// The record with a signature that fits, if it is a valid one of a member.
fn signed(record: SignedRecord) -> Option<SignedRecord> {
    match record.verify() {
        Ok(_) => Some(record),
        Err(EntryError::Signature) => {
            let tag: &[u8] = match record.kind() {
                Kind::Entry => b"rivermesh/1 entry\0",
                Kind::Departure => b"rivermesh/1 departure\0",
                Kind::Suspicion => b"rivermesh/1 suspicion\0",
            };
            let body = &record.as_bytes()[SIGNATURE..];
            let signature = key_of(&record)?.sign(&[tag, body].concat()).to_bytes();
            SignedRecord::copy_from_slice(&[&signature, body].concat()).ok()
        }
        Err(_) => None,
    }
}

fn key_of(record: &SignedRecord) -> Option<&'static SecretKey> {
    let signer = record.signer_bytes();
    let member = KEYS.iter().find(|(node, _)| **node == signer);
    member.map(|(_, key)| key)
}

/// One side of a sync. Bit 0 of the first byte is the side of the local node (0 answers); then come
/// framed messages of the other side.
pub fn sync(data: &[u8]) {
    let Some((setup, mut rest)) = data.split_first() else {
        return;
    };
    // Catalogs cost more than all the rest, and are of no use to what is not a message.
    let Some(first) = unframe(rest, limits::SYNC_PAGE) else {
        return;
    };
    if Message::decode(first).is_err() {
        return;
    }
    let mut catalog = catalog();
    let mut side = if setup & 1 == 0 {
        Side::Responder(Responder::new(KEYS[1].0))
    } else {
        let (initiator, open) = Initiator::start(KEYS[1].0, &catalog);
        check_message(&open);
        Side::Initiator(initiator)
    };
    let mut over = false;
    let mut messages = 0;
    while let Some(body) = unframe(rest, limits::SYNC_PAGE) {
        rest = &rest[PREFIX + body.len()..];
        messages += 1;
        let before = catalog.digest().clone();
        let output = side.handle(&hostile(body), &mut catalog);
        assert!(messages <= MESSAGES || output.is_err());
        match output {
            Ok(output) => {
                assert!(!over, "it goes on after its end");
                check_output(&output, &catalog);
                over = output.done;
            }
            Err(_) => {
                // What was taken before a fault stays; but after the end nothing is taken.
                assert!(!over || *catalog.digest() == before);
                over = true;
            }
        }
    }
    // In a day without news all others become unreachable, in a second one they are forgotten, and
    // in a third one they do not count in the digest any more: nothing of the peer's is left in it.
    for days in 1..=3 {
        let mono = NOW.mono + Duration::from_secs(days * 24 * 60 * 60);
        catalog.tick(Clock { mono, ..NOW });
    }
    assert!(catalog.snapshot().iter().all(|peer| peer.is_local()));
    static BEFORE: LazyLock<Digest> = LazyLock::new(|| alone().digest().clone());
    assert_eq!(*catalog.digest(), *BEFORE);
}

enum Side {
    Initiator(Initiator),
    Responder(Responder),
}

impl Side {
    fn handle(&mut self, bytes: &[u8], catalog: &mut Catalog) -> Result<Output, SyncError> {
        match self {
            Self::Initiator(side) => side.handle(bytes, catalog, NOW),
            Self::Responder(side) => side.handle(bytes, catalog, NOW),
        }
    }
}

fn check_message(message: &Message) {
    let bytes = message.encode();
    assert!(bytes.len() <= limits::SYNC_PAGE);
    match Message::decode(&bytes) {
        Ok(back) => assert_eq!(back, *message),
        Err(error) => panic!("{message:?} is not read: {error}"),
    }
}

fn check_output(output: &Output, catalog: &Catalog) {
    if let Some(message) = &output.send {
        check_message(message);
    }
    assert!(
        output.send.is_some() || output.done,
        "neither says anything"
    );
    for record in &output.news {
        assert!(record.verify().is_ok());
        assert_eq!(record.network_bytes(), *network().as_bytes());
    }
    for change in &output.changes {
        let peer = change.peer();
        let record = catalog.record(&peer.id());
        assert!(record.is_some_and(|record| record.revision() >= peer.revision()));
    }
}

/// The message with signatures that fit; other bytes as they are.
fn hostile(body: &[u8]) -> Vec<u8> {
    let Ok(mut message) = Message::decode(body) else {
        return body.to_vec();
    };
    let again = message.encode();
    assert!(again.len() <= body.len());
    check_message(&message);
    if let Message::Delta { records, .. } | Message::Push { records, .. } = &mut message {
        for carried in records {
            if let Some(record) = signed(carried.record.clone()) {
                carried.record = record;
            }
        }
    }
    message.encode()
}

fn network() -> NetworkId {
    NetworkId::of("test")
}

/// The local node's catalog before it hears of others.
fn alone() -> Catalog {
    static OWN: LazyLock<SignedRecord> = LazyLock::new(|| about(0));
    let mut catalog = Catalog::new(KEYS[0].0, network(), Config::default());
    assert!(catalog.announce(OWN.clone(), NOW).is_ok());
    catalog
}

/// The local node's catalog: itself, the third node, and the departure of the fourth.
fn catalog() -> Catalog {
    static RECORDS: LazyLock<[SignedRecord; 2]> = LazyLock::new(|| {
        let departure = Departure {
            network: network(),
            node: KEYS[3].0,
            revision: NOW.wall_us,
        };
        let departure = departure.sign(&KEYS[3].1);
        [
            about(2),
            departure.unwrap_or_else(|error| panic!("{error}")),
        ]
    });
    let mut catalog = alone();
    for record in &*RECORDS {
        assert!(catalog.admit(record.clone(), Source::Gossip, NOW).is_ok());
    }
    catalog
}

fn about(n: usize) -> SignedRecord {
    let entry = Entry {
        network: network(),
        node: KEYS[n].0,
        name: format!("node-{n}"),
        tags: [].into(),
        addrs: Vec::new(),
        streams: Vec::new(),
        instance: 7,
        revision: NOW.wall_us,
        refresh_s: 15,
    };
    let signed = entry.sign(&KEYS[n].1);
    signed.unwrap_or_else(|error| panic!("{error}"))
}
