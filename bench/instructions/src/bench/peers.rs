//! What peers say to each other: entries into the catalog, the handshake, a request for a stream.

use std::{collections::BTreeSet, hint::black_box, time::Duration};

use anyhow::{Context as _, Result, ensure};
use iroh_base::SecretKey;
use rivermesh_proto::{
    NetworkId, NetworkKey,
    catalog::{Catalog, Clock, Config, Source},
    entry::{Entry, SignedRecord},
    handshake::{Context, Handshake, HandshakeError, Hello, Role},
    limits,
    subscribe::{Lag, Start, Subscribe, Superseded},
    wire,
};

use super::Group;
use crate::probe::measured;

pub(super) const ALL: Group = &[
    ("admit 50 new entries", admit_new),
    ("admit 50 known entries", admit_known),
    ("both sides of a handshake", handshake),
    ("decode 100 subscriptions", subscriptions),
];

const ENTRIES: u8 = 50;
const WALL_US: u64 = 1_750_000_000_000_000;
/// Of a message: its length.
const PREFIX: usize = 4;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn record(n: u8) -> Result<SignedRecord> {
    let entry = Entry {
        network: NetworkId::of("bench"),
        node: key(n).public(),
        name: "bench".into(),
        tags: BTreeSet::from(["eu".into(), "bench".into()]),
        addrs: Vec::new(),
        streams: Vec::new(),
        instance: 1,
        revision: WALL_US,
        refresh_s: 15,
    };
    Ok(entry.sign(&key(n))?)
}

fn records() -> Result<Vec<SignedRecord>> {
    (1..=ENTRIES).map(record).collect()
}

fn catalog() -> Catalog {
    let local = key(200).public();
    Catalog::new(local, NetworkId::of("bench"), Config::default())
}

/// How many were news.
fn admit(catalog: &mut Catalog, records: &[SignedRecord]) -> usize {
    let now = Clock {
        mono: Duration::ZERO,
        wall_us: WALL_US,
    };
    let admitted = records
        .iter()
        .map(|record| catalog.admit(record.clone(), Source::Gossip, now));
    admitted.filter(|admitted| admitted.is_ok()).count()
}

fn admit_new() -> Result<()> {
    let (mut catalog, records, mut news) = (catalog(), records()?, 0);
    measured(&mut || news = admit(&mut catalog, black_box(&records)));
    ensure!(news == records.len(), "{news} were news");
    Ok(())
}

fn admit_known() -> Result<()> {
    let (mut catalog, records, mut news) = (catalog(), records()?, 0);
    admit(&mut catalog, &records);
    measured(&mut || news = admit(&mut catalog, black_box(&records)));
    ensure!(news == 0, "{news} were news");
    Ok(())
}

fn side(role: Role, local: u8, remote: u8) -> Result<Handshake> {
    let context = Context {
        role,
        network: NetworkId::of("bench"),
        keys: vec![NetworkKey::from_bytes([9; 32])],
        local: key(local).public(),
        remote: key(remote).public(),
        exporter: [3; 32],
    };
    let hello = Hello {
        instance: 1,
        record: record(local)?.as_bytes().clone(),
    };
    Ok(Handshake::new(context, hello)?)
}

/// Passes messages to and fro until both sides are done.
fn shake(dialer: &mut Handshake, acceptor: &mut Handshake) -> Result<usize, HandshakeError> {
    let mut done = 0;
    let mut to_acceptor: Vec<_> = dialer.start().into_iter().collect();
    while !to_acceptor.is_empty() {
        let mut to_dialer = Vec::new();
        for message in std::mem::take(&mut to_acceptor) {
            let step = acceptor.on_message(&message[PREFIX..])?;
            done += usize::from(step.done.is_some());
            to_dialer.extend(step.send);
        }
        for message in to_dialer {
            let step = dialer.on_message(&message[PREFIX..])?;
            done += usize::from(step.done.is_some());
            to_acceptor.extend(step.send);
        }
    }
    Ok(done)
}

fn handshake() -> Result<()> {
    let mut dialer = side(Role::Dialer, 1, 2)?;
    let mut acceptor = side(Role::Acceptor, 2, 1)?;
    let mut done = Ok(0);
    measured(&mut || done = shake(black_box(&mut dialer), black_box(&mut acceptor)));
    ensure!(done? == 2, "a side is not done");
    Ok(())
}

fn subscriptions() -> Result<()> {
    let ask = Subscribe {
        stream: "weather/readings".parse().context("the stream's name")?,
        fingerprint: None,
        start: Start::Latest,
        lag: Lag::Skip,
        named: None,
        filter: None,
        superseded: Superseded::Send,
        credential: None,
    };
    let (message, mut last) = (wire::encode(&ask, limits::CONTROL)?, None);
    measured(&mut || {
        for _ in 0..100 {
            last = wire::decode::<Subscribe>(black_box(&message[PREFIX..])).ok();
        }
    });
    ensure!(last == Some(ask), "{last:?}");
    Ok(())
}
