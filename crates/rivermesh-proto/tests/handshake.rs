//! The handshake: who gets in, who does not, and what each learns.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use bytes::Bytes;
use proptest::prelude::*;
use rivermesh_proto::{
    NetworkId, NetworkKey, NodeId,
    code::Code,
    handshake::{Context, Greeting, Handshake, HandshakeError, Hello, Role},
    limits,
    wire::{self, DecodeError, EncodeError, PREFIX},
};

fn node(byte: u8) -> NodeId {
    iroh_base::SecretKey::from_bytes(&[byte; 32]).public()
}

fn key(byte: u8) -> NetworkKey {
    NetworkKey::from_bytes([byte; 32])
}

fn context(role: Role, keys: &[u8]) -> Context {
    let (local, remote) = match role {
        Role::Dialer => (node(1), node(2)),
        Role::Acceptor => (node(2), node(1)),
    };
    Context {
        role,
        network: NetworkId::of("test"),
        keys: keys.iter().map(|byte| key(*byte)).collect(),
        local,
        remote,
        exporter: [9; 32],
    }
}

fn hello(role: Role) -> Hello {
    Hello {
        instance: match role {
            Role::Dialer => 1,
            Role::Acceptor => 2,
        },
        record: Bytes::from_static(b"entry"),
    }
}

fn side(context: Context) -> Handshake {
    let hello = hello(context.role);
    Handshake::new(context, hello).unwrap()
}

fn body(frame: &[u8]) -> &[u8] {
    let (prefix, body) = frame.split_at(PREFIX);
    let len = wire::body_len(prefix.try_into().unwrap(), limits::HANDSHAKE).unwrap();
    assert_eq!(len, body.len());
    body
}

/// Which side failed, and how.
type Outcome = Result<(Hello, Hello), (Role, HandshakeError)>;

/// Runs both sides against each other: the hellos that the dialer and the acceptor got.
fn run(dialer: Context, acceptor: Context) -> Outcome {
    let (mut dialer, mut acceptor) = (side(dialer), side(acceptor));
    assert_eq!(acceptor.start(), None);
    let first = dialer.start().unwrap();
    assert_eq!(dialer.start(), None);
    let mut to_acceptor = vec![first];
    let mut to_dialer = Vec::new();
    let (mut at_dialer, mut at_acceptor) = (None, None);
    while !to_acceptor.is_empty() || !to_dialer.is_empty() {
        for frame in std::mem::take(&mut to_acceptor) {
            let body = body(&frame);
            assert!(body.len() <= acceptor.expects());
            let step = acceptor
                .on_message(body)
                .map_err(|error| (Role::Acceptor, error))?;
            to_dialer.extend(step.send);
            at_acceptor = at_acceptor.or(step.done);
        }
        for frame in std::mem::take(&mut to_dialer) {
            let body = body(&frame);
            assert!(body.len() <= dialer.expects());
            let step = dialer
                .on_message(body)
                .map_err(|error| (Role::Dialer, error))?;
            to_acceptor.extend(step.send);
            at_dialer = at_dialer.or(step.done);
        }
    }
    assert_eq!((dialer.expects(), acceptor.expects()), (0, 0));
    Ok((at_dialer.unwrap(), at_acceptor.unwrap()))
}

fn run_keys(dialer: &[u8], acceptor: &[u8]) -> Outcome {
    run(
        context(Role::Dialer, dialer),
        context(Role::Acceptor, acceptor),
    )
}

fn met() -> Outcome {
    Ok((hello(Role::Acceptor), hello(Role::Dialer)))
}

#[test]
fn members_meet() {
    assert_eq!(run_keys(&[], &[]), met());
    assert_eq!(run_keys(&[1], &[1]), met());
}

#[test]
fn keys_can_be_changed_in_steps() {
    let (old, new): (u8, u8) = (1, 2);
    let steps: [&[u8]; 4] = [&[old], &[old, new], &[new, old], &[new]];
    for pair in steps.windows(2) {
        assert_eq!(run_keys(pair[0], pair[1]), met());
        assert_eq!(run_keys(pair[1], pair[0]), met());
    }
    assert_eq!(
        run_keys(&[old], &[new]),
        Err((Role::Acceptor, HandshakeError::WrongKey))
    );
}

#[test]
fn an_outsider_is_refused_by_the_acceptor_with_a_reason() {
    let cases = [
        (&[][..], &[1][..], HandshakeError::PeerWithoutKey),
        (&[1], &[], HandshakeError::PeerWithKey),
        (&[1], &[2], HandshakeError::WrongKey),
    ];
    for (dialer, acceptor, error) in cases {
        assert_eq!(error.code(), Code::Unauthorized);
        assert_eq!(run_keys(dialer, acceptor), Err((Role::Acceptor, error)));
    }
    let mut stranger = context(Role::Dialer, &[1]);
    stranger.network = NetworkId::of("other");
    let error = HandshakeError::WrongNetwork {
        ours: NetworkId::of("test"),
        theirs: NetworkId::of("other"),
    };
    assert_eq!(error.code(), Code::Unauthorized);
    assert_eq!(
        run(stranger, context(Role::Acceptor, &[1])),
        Err((Role::Acceptor, error))
    );
}

#[test]
fn a_proof_is_bound_to_connection_and_nodes() {
    let wrong_key = Err((Role::Acceptor, HandshakeError::WrongKey));
    let acceptor = || context(Role::Acceptor, &[1]);
    for change in [
        (|c| c.exporter[31] ^= 1) as fn(&mut Context),
        |c| c.local = node(3),
        |c| c.remote = node(3),
    ] {
        let mut dialer = context(Role::Dialer, &[1]);
        change(&mut dialer);
        assert_eq!(run(dialer, acceptor()), wrong_key);
    }
}

#[test]
fn a_proof_recorded_on_one_connection_is_void_on_the_next() {
    let recorded = side(context(Role::Dialer, &[1])).start().unwrap();
    let mut next = context(Role::Acceptor, &[1]);
    next.exporter = [10; 32];
    assert_eq!(
        side(next).on_message(body(&recorded)),
        Err(HandshakeError::WrongKey)
    );
}

#[test]
fn a_proof_sent_back_is_void() {
    // An acceptor without the key echoes the dialer's own proof.
    let mut dialer = side(context(Role::Dialer, &[1]));
    let own = dialer.start().unwrap();
    assert_eq!(dialer.on_message(body(&own)), Err(HandshakeError::WrongKey));

    // A dialer without the key replays what the acceptor has once answered on this very session.
    let mut acceptor = side(context(Role::Acceptor, &[1]));
    let step = acceptor.on_message(body(&own)).unwrap();
    let mut again = side(context(Role::Acceptor, &[1]));
    assert_eq!(
        again.on_message(body(&step.send[0])),
        Err(HandshakeError::WrongKey)
    );
}

#[test]
fn the_dialer_keeps_its_hello_from_an_acceptor_without_the_key() {
    let mut dialer = side(context(Role::Dialer, &[1, 2]));
    dialer.start();
    for keys in [&[][..], &[3], &[2]] {
        let mut dialer = side(context(Role::Dialer, &[1, 2]));
        dialer.start();
        // What an acceptor with those keys would say to a dialer of its own kind.
        let greeting = side(context(Role::Dialer, keys)).start().unwrap();
        let mut pretender = side(context(Role::Acceptor, keys));
        let answer = pretender.on_message(body(&greeting)).unwrap().send;
        let error = dialer.on_message(body(&answer[0])).unwrap_err();
        assert_eq!(error.code(), Code::Unauthorized);
        // And nothing helps after that.
        assert_eq!(dialer.expects(), 0);
        assert_eq!(
            dialer.on_message(body(&answer[1])),
            Err(HandshakeError::Unexpected)
        );
    }
}

#[test]
fn the_acceptor_is_silent_until_the_dialer_is_proven() {
    let proven = side(context(Role::Dialer, &[1])).start().unwrap();
    let greeting = body(&proven);
    for at in 0..greeting.len() {
        for bit in 0..8 {
            let mut bad = greeting.to_vec();
            bad[at] ^= 1 << bit;
            // An error has no place for a message to send.
            assert!(
                side(context(Role::Acceptor, &[1]))
                    .on_message(&bad)
                    .is_err()
            );
        }
    }
}

#[test]
fn messages_out_of_turn_are_refused() {
    let mut dialer = side(context(Role::Dialer, &[]));
    assert_eq!(dialer.expects(), 0);
    assert_eq!(dialer.on_message(b"x"), Err(HandshakeError::Unexpected));
    assert_eq!(HandshakeError::Unexpected.code(), Code::Protocol);
    assert_eq!(dialer.start(), None);

    // Two hellos.
    let mut acceptor = side(context(Role::Acceptor, &[]));
    let greeting = side(context(Role::Dialer, &[])).start().unwrap();
    acceptor.on_message(body(&greeting)).unwrap();
    let frame = wire::encode(&hello(Role::Dialer), limits::HANDSHAKE).unwrap();
    assert!(acceptor.on_message(body(&frame)).unwrap().done.is_some());
    assert_eq!(
        acceptor.on_message(body(&frame)),
        Err(HandshakeError::Unexpected)
    );
}

#[test]
fn limits_hold_in_both_directions() {
    let mut acceptor = side(context(Role::Acceptor, &[1]));
    assert_eq!(acceptor.expects(), 256);
    let error = acceptor.on_message(&[0; 257]).unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
    assert_eq!(error.to_string(), "the greeting of the peer cannot be read");

    let large = Hello {
        instance: 0,
        record: vec![0; limits::ENTRY + 1].into(),
    };
    assert_eq!(
        Handshake::new(context(Role::Dialer, &[]), large.clone()).err(),
        Some(EncodeError::TooLarge {
            len: limits::ENTRY + 1,
            limit: limits::ENTRY
        })
    );
    let mut acceptor = side(context(Role::Acceptor, &[]));
    let greeting = side(context(Role::Dialer, &[])).start().unwrap();
    acceptor.on_message(body(&greeting)).unwrap();
    let frame = wire::encode(&large, limits::HANDSHAKE).unwrap();
    let error = acceptor.on_message(body(&frame)).unwrap_err();
    assert_eq!(error.code(), Code::Malformed);
}

#[test]
fn malformed_messages_are_refused() {
    for (keys, due) in [(&[1][..], "greeting"), (&[], "hello")] {
        let prepared = || {
            let mut acceptor = side(context(Role::Acceptor, keys));
            let frame = side(context(Role::Dialer, keys)).start().unwrap();
            if due == "greeting" {
                return (acceptor, frame);
            }
            acceptor.on_message(body(&frame)).unwrap();
            let frame = wire::encode(&hello(Role::Dialer), limits::HANDSHAKE).unwrap();
            (acceptor, frame)
        };
        let (_, frame) = prepared();
        let whole = body(&frame);
        for len in 0..whole.len() {
            let error = prepared().0.on_message(&whole[..len]).unwrap_err();
            assert_eq!(error.code(), Code::Malformed, "{due} cut at {len}");
        }
        let mut long = whole.to_vec();
        long.push(0);
        let error = prepared().0.on_message(&long).unwrap_err();
        assert!(matches!(
            error,
            HandshakeError::Decode {
                source: DecodeError::Trailing { extra: 1 },
                ..
            }
        ));
    }
}

#[test]
fn golden_bytes() {
    let greeting = side(context(Role::Dialer, &[])).start().unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(&greeting), GREETING_OPEN);
    let proven = side(context(Role::Dialer, &[1])).start().unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(&proven), GREETING_PROVEN);
    let mut acceptor = side(context(Role::Acceptor, &[1]));
    let answer = acceptor.on_message(body(&proven)).unwrap().send;
    let answer: Vec<String> = answer
        .iter()
        .map(|frame| data_encoding::HEXLOWER.encode(frame))
        .collect();
    assert_eq!(answer, [GREETING_ANSWER, HELLO]);
}

const GREETING_OPEN: &str =
    "21000000868115c451159da2d1e146fac84b2f41625bac8cfd189f7ba7df595a1cc4fb1000";
const GREETING_PROVEN: &str = "41000000868115c451159da2d1e146fac84b2f41625bac8cfd189f7ba7df595a1cc4fb1001934aa1478af8acf999193709fcb84346da70eb35576418d2968833f473550876";
const GREETING_ANSWER: &str = "41000000868115c451159da2d1e146fac84b2f41625bac8cfd189f7ba7df595a1cc4fb100139caa0fc3801eba903bb8b217bd2d857f2afaeb288d1697ff9a4fa63cef7a1fa";
const HELLO: &str = "070000000205656e747279";

/// The proof, put together once more by the words of the module's documentation.
#[test]
fn the_proof_is_what_the_documentation_says() {
    let mut input = b"rivermesh network key proof v1\0\0".to_vec();
    input.extend(b"rivermesh/1");
    input.extend(NetworkId::of("test").as_bytes());
    input.extend([9; 32]);
    input.extend(node(1).as_bytes());
    input.extend(node(2).as_bytes());
    input.push(0);
    let greeting = side(context(Role::Dialer, &[1])).start().unwrap();
    let greeting: Greeting = wire::decode(body(&greeting)).unwrap();
    assert_eq!(
        greeting.proof,
        Some(*blake3::keyed_hash(&[1; 32], &input).as_bytes())
    );
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", side(context(Role::Dialer, &[0xab])));
    assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
    assert!(!shown.contains("exporter"), "{shown}");
}

proptest! {
    #[test]
    fn messages_round_trip(
        name: String, proof: Option<[u8; 32]>, instance: u64,
        record in prop::collection::vec(any::<u8>(), 0..=limits::ENTRY),
    ) {
        let greeting = Greeting { network: NetworkId::of(&name), proof };
        let frame = wire::encode(&greeting, 256).unwrap();
        prop_assert_eq!(wire::decode::<Greeting>(body(&frame)).unwrap(), greeting);
        let hello = Hello { instance, record: record.into() };
        let frame = wire::encode(&hello, limits::HANDSHAKE).unwrap();
        prop_assert_eq!(wire::decode::<Hello>(body(&frame)).unwrap(), hello);
    }

    #[test]
    fn garbage_never_gets_in(messages: Vec<Vec<u8>>, dials: bool) {
        let role = if dials { Role::Dialer } else { Role::Acceptor };
        let mut side = side(context(role, &[1]));
        side.start();
        for message in messages {
            prop_assert!(side.on_message(&message).is_err());
        }
    }
}
