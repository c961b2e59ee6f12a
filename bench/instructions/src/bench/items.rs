//! The path of an item: encoded and appended to the open batch, sealed, and out of its frame again.
//!
//! What the log does beyond that it does once per batch.

use std::hint::black_box;

use anyhow::{Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use rivermesh_proto::{
    batch::{Builder, Frame, HEADER, Header},
    encode::{EncodeError, Encoder},
    limits, wire,
};

use super::{Group, Reading};
use crate::probe::measured;

pub(super) const ALL: Group = &[
    ("encode 1,000 × 32 B", || encode_bytes(32)),
    ("encode 1,000 × 256 B", || encode_bytes(256)),
    ("encode 1,000 structs", encode_structs),
    ("decode 1,000 × 32 B", || decode_bytes(32)),
    ("decode 1,000 × 256 B", || decode_bytes(256)),
    ("decode 1,000 structs", decode_structs),
];

const ITEMS: u32 = 1000;
/// The default size of a batch.
const BATCH_BYTES: usize = 16 * 1024;

/// Batches, as the log makes them.
struct Frames {
    sealed: Vec<Bytes>,
    open: Builder,
    next: u64,
}

impl Frames {
    fn new() -> Self {
        Self {
            sealed: Vec::with_capacity(64),
            open: Builder::new(64 * 1024),
            next: 0,
        }
    }

    fn push(&mut self, encode: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>) {
        let encode = |buf: &mut BytesMut| encode(&mut Encoder::new(buf, limits::ITEM));
        // An item that failed is missed by the check at the end.
        let _ = self.open.push(encode);
        if self.open.bytes() >= BATCH_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let count = u64::from(self.open.count());
        self.sealed.extend(self.open.seal(self.next, 1));
        self.next += count;
    }

    fn done(mut self) -> Vec<Bytes> {
        self.seal();
        self.sealed
    }
}

fn of_bytes(len: usize) -> Vec<Bytes> {
    let (item, mut frames) = (Bytes::from(vec![7; len]), Frames::new());
    (0..ITEMS).for_each(|_| frames.push(|to| to.extend(&item)));
    frames.done()
}

fn of_structs(readings: &[Reading]) -> Vec<Bytes> {
    let mut frames = Frames::new();
    readings
        .iter()
        .for_each(|reading| frames.push(|to| to.serialize(reading)));
    frames.done()
}

fn readings() -> Vec<Reading> {
    (0..ITEMS).map(Reading::of).collect()
}

/// Calls `item` with the bytes of each item, as they come off the wire, checks included.
fn walk(frames: &[Bytes], mut item: impl FnMut(&[u8])) -> Result<()> {
    for frame in frames {
        let mut head = [0; HEADER];
        head.copy_from_slice(&frame[..HEADER]);
        let header = Header::parse(head)?;
        let Frame::Batch(batch) = Frame::parse(header.kind, frame.slice(HEADER..))? else {
            bail!("not a batch");
        };
        let mut position = batch.start();
        while let Some((_, data)) = batch.next(&mut position) {
            item(data);
        }
    }
    Ok(())
}

fn check(frames: &[Bytes]) -> Result<()> {
    let mut items = 0;
    walk(frames, |_| items += 1)?;
    ensure!(items == ITEMS, "{items} items");
    Ok(())
}

fn encode_bytes(len: usize) -> Result<()> {
    let mut frames = Vec::new();
    measured(&mut || frames = of_bytes(black_box(len)));
    check(&frames)
}

fn encode_structs() -> Result<()> {
    let (readings, mut frames) = (readings(), Vec::new());
    measured(&mut || frames = of_structs(black_box(&readings)));
    check(&frames)
}

fn decode_bytes(len: usize) -> Result<()> {
    let (frames, mut bytes) = (of_bytes(len), 0);
    let mut walked = Ok(());
    measured(&mut || walked = walk(black_box(&frames), |data| bytes += black_box(data).len()));
    walked?;
    ensure!(bytes == len * ITEMS as usize, "{bytes} bytes");
    Ok(())
}

fn decode_structs() -> Result<()> {
    let (frames, mut last) = (of_structs(&readings()), None);
    let mut walked = Ok(());
    measured(&mut || {
        walked = walk(black_box(&frames), |data| {
            last = wire::decode::<Reading>(data).ok();
        });
    });
    walked?;
    ensure!(last == Some(Reading::of(ITEMS - 1)), "{last:?}");
    Ok(())
}
