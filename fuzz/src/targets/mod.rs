//! One function per decoder: any bytes go in, and an assertion fails if an invariant does not hold.
//!
//! The fuzzer calls them through the binaries of this package; `cargo test` of the main workspace
//! includes this file and replays `seeds/` through them (`fuzz_replay.rs` of rivermesh-proto).
//! What members say of each other is in `members`, what a producer says of items in `items`, what
//! a consumer asks of them in `filters`, what entitles somebody in `tickets`, the rest is here.
//!
//! To add a decoder: a function and a line in [`ALL`], a binary in `fuzz_targets/` with its
//! entry in `Cargo.toml`, and valid and hostile examples in `seeds/<name>/`.

mod filters;
mod items;
mod members;
mod tickets;

use std::{fmt::Debug, sync::LazyLock};

use bytes::Bytes;
use iroh_base::SecretKey;
use rivermesh_proto::{
    NetworkId, NetworkKey, NodeId,
    explain::{ExplainReply, ExplainRequest},
    handshake::{Context, GREETING, Greeting, Handshake, Hello, Role},
    invite::{self, Invite, TEXT},
    limits,
    named::{LagReply, LagRequest},
    subscribe::{Reply, Subscribe, Update},
    wire::{self, DecodeError, EncodeError, PREFIX},
};

pub use filters::filter;
pub use items::{batch, json, schema};
pub use members::{entry, sync};
pub use tickets::ticket;

/// A target: its name, which is also that of its seeds' folder, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[
    ("control", control),
    ("handshake", handshake),
    ("invite", invite),
    ("entry", entry),
    ("sync", sync),
    ("schema", schema),
    ("json", json),
    ("batch", batch),
    ("filter", filter),
    ("ticket", ticket),
];

/// A framed control message. The first byte chooses which: 3 is a request for lag, 4 its answer; 5 is a
/// request to explain, 6 its answer; of others the remainder by 3 is 0 for a subscription, 1 for a reply to
/// one, 2 for an update. Then come length prefix and body.
pub fn control(data: &[u8]) {
    let Some((kind, frame)) = data.split_first() else {
        return;
    };
    let Some(body) = unframe(frame, limits::CONTROL) else {
        return;
    };
    match kind {
        3 => return stable(body, LagRequest::decode, LagRequest::encode),
        4 => return stable(body, LagReply::decode, LagReply::encode),
        5 => return stable(body, ExplainRequest::decode, ExplainRequest::encode),
        6 => return stable(body, ExplainReply::decode, ExplainReply::encode),
        _ => {}
    }
    match kind % 3 {
        0 => stable(body, Subscribe::decode, Subscribe::encode),
        1 => stable(body, Reply::decode, Reply::encode),
        _ => stable(body, Update::decode, Update::encode),
    }
}

/// Everything a peer may say in a handshake. Bit 0 of the first byte is the side of this node, bit
/// 1 whether it has a key; then come framed messages.
pub fn handshake(data: &[u8]) {
    let Some((setup, mut rest)) = data.split_first() else {
        return;
    };
    let role = if setup & 1 == 0 {
        Role::Dialer
    } else {
        Role::Acceptor
    };
    let keyed = setup & 2 != 0;
    // Made once: a public key costs more than all the rest of a run.
    static NODES: LazyLock<[NodeId; 2]> =
        LazyLock::new(|| [1, 2].map(|byte| SecretKey::from_bytes(&[byte; 32]).public()));
    let own = Hello {
        instance: 1,
        record: Bytes::from_static(b"the node's own entry"),
    };
    let context = Context {
        role,
        network: NetworkId::of("fuzz"),
        // The key is not one that an input of the corpus could have been made with by chance.
        keys: keyed
            .then(|| NetworkKey::from_passphrase("a key that no seed knows"))
            .into_iter()
            .collect(),
        local: NODES[0],
        remote: NODES[1],
        exporter: [3; 32],
    };
    let Ok(mut side) = Handshake::new(context, own) else {
        unreachable!("the entry is small");
    };
    assert_eq!(side.start().is_some(), role == Role::Dialer);
    loop {
        let limit = side.expects();
        assert!(limit <= limits::HANDSHAKE);
        let Some(body) = unframe(rest, limit) else {
            return;
        };
        rest = &rest[PREFIX + body.len()..];
        if limit == GREETING {
            stable(body, wire::decode::<Greeting>, |greeting| {
                wire::encode(greeting, GREETING)
            });
        } else {
            stable(body, wire::decode::<Hello>, |hello| {
                wire::encode(hello, limits::HANDSHAKE)
            });
        }
        match side.on_message(body) {
            Ok(step) => {
                assert!(!keyed, "nobody proves a key that nobody has");
                assert!(
                    step.done
                        .is_none_or(|hello| hello.record.len() <= limits::ENTRY)
                );
            }
            // It is over then, and nothing more is taken.
            Err(_) => assert_eq!(side.expects(), 0),
        }
    }
}

/// A text that should be an invite, and bytes as the content of one with a right checksum.
pub fn invite(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_invite(text);
    }
    check_invite(&sealed_invite(data));
}

fn check_invite(text: &str) {
    let Ok(invite) = text.parse::<Invite>() else {
        return;
    };
    let again = invite.to_string();
    assert!(again.len() <= TEXT);
    assert!(
        invite
            .nodes()
            .iter()
            .all(|node| node.addrs.len() <= limits::ADDRS)
    );
    match again.parse::<Invite>() {
        Ok(back) => assert_eq!(back, invite),
        Err(error) => panic!("an invite does not read its own text {again}: {error}"),
    }
}

/// An invite whose content is `data`, so that the fuzzer need not find a checksum.
fn sealed_invite(data: &[u8]) -> String {
    let mut bytes = data[..data.len().min(TEXT / 2)].to_vec();
    let sum = blake3::hash(&bytes);
    bytes.extend(&sum.as_bytes()[..4]);
    invite::PREFIX.to_owned() + &data_encoding::BASE32_NOPAD.encode(&bytes)
}

/// The body of the frame that `bytes` begins with, if its length is allowed and all of it is there.
fn unframe(bytes: &[u8], limit: usize) -> Option<&[u8]> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    match wire::body_len(*prefix, limit) {
        Ok(len) => {
            assert!((1..=limit).contains(&len));
            rest.get(..len)
        }
        Err(_) => None,
    }
}

/// Whatever decodes is encoded again to something no longer, which decodes to the same value.
/// (Not always the same bytes: a number has more than one encoding as a varint.)
fn stable<T: PartialEq + Debug>(
    body: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> Result<Vec<u8>, EncodeError>,
) {
    let Ok(value) = decode(body) else {
        return;
    };
    match encode(&value) {
        Ok(frame) => {
            let again = &frame[PREFIX..];
            assert!(again.len() <= body.len());
            assert_eq!(decode(again).as_ref(), Ok(&value));
        }
        Err(error) => panic!("{value:?} was read and cannot be written: {error}"),
    }
}
