//! Invites: round trips, typos, limits, golden text.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::net::SocketAddr;

use data_encoding::BASE32_NOPAD;
use iroh_base::{EndpointAddr, SecretKey};
use proptest::prelude::*;
use rivermesh_proto::{
    NetworkId, NetworkKey,
    invite::{Invite, InviteError, NODES, PREFIX, TEXT},
    limits,
};

fn addr(node: u8, sockets: &[SocketAddr]) -> EndpointAddr {
    let id = SecretKey::from_bytes(&[node; 32]).public();
    sockets.iter().fold(EndpointAddr::new(id), |addr, socket| {
        addr.with_ip_addr(*socket)
    })
}

fn socket(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

fn invite() -> Invite {
    Invite::new(
        "weather",
        Some(NetworkKey::from_bytes([0xab; 32])),
        vec![
            addr(1, &[socket(4433), "[::1]:4433".parse().unwrap()])
                .with_relay_url("https://relay.example".parse().unwrap()),
            addr(2, &[]),
        ],
    )
    .unwrap()
}

/// An invite with this content and a right checksum.
fn seal(content: &[u8]) -> String {
    let mut bytes = content.to_vec();
    bytes.extend(&blake3::hash(content).as_bytes()[..4]);
    PREFIX.to_owned() + &BASE32_NOPAD.encode(&bytes).to_lowercase()
}

#[test]
fn golden_text() {
    let open = Invite::new("weather", None, vec![addr(1, &[socket(4433)])]).unwrap();
    assert_eq!(open.to_string(), OPEN);
    assert_eq!(invite().to_string(), KEYED);
}

const OPEN: &str = "rivermeshaedxozlborugk4qaagfiry65oqe7dfp5klns2pf2lvzmuzyjx4ozieq36n2iqanub5xvyaibaafaaaab2erj7eib74";
const KEYED: &str = "rivermeshaedxozlborugk4qbvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvov2xk5lvovqfcui4poxicprsx6vfwznhs5f24wkm4e36hmucin7g5eiag2a6324amabm2duoryhgorpf5zgk3dbpexgk6dbnvygyzjpaeaauaaaahiseaibaaaaaaaaaaaaaaaaaaaaaaaaahisfajzo4hkq7ixl5lkgvdgyngh5tglrwfjdnhog6rf35qploh4tm4uad7yyu5b";

#[test]
fn it_comes_back_as_it_went() {
    let text = invite().to_string();
    let back: Invite = text.parse().unwrap();
    assert_eq!(back, invite());
    assert_eq!(back.network(), "weather");
    assert_eq!(back.network_id(), NetworkId::of("weather"));
    assert_eq!(back.key(), Some(&NetworkKey::from_bytes([0xab; 32])));
    assert_eq!(back.nodes().len(), 2);
    assert_eq!(
        format!("\n  {} \r\n", text.to_uppercase()).parse(),
        Ok(back)
    );
}

#[test]
fn every_typo_and_every_cut_is_an_error() {
    let text = invite().to_string();
    for at in PREFIX.len()..text.len() {
        let mut typo = text.clone().into_bytes();
        typo[at] = if typo[at] == b'a' { b'b' } else { b'a' };
        let typo = String::from_utf8(typo).unwrap();
        assert_eq!(typo.parse::<Invite>(), Err(InviteError::Checksum), "{at}");
        assert_eq!(
            text[..at].parse::<Invite>(),
            Err(InviteError::Checksum),
            "cut at {at}"
        );
    }
    assert_eq!((text + "a").parse::<Invite>(), Err(InviteError::Checksum));
}

#[test]
fn other_texts_are_not_invites() {
    for text in [
        "",
        "hello",
        "rivermes",
        "rivermesh!",
        "rivermesh a",
        "riverměshaa",
        "rivermesh01",
    ] {
        assert_eq!(
            text.parse::<Invite>(),
            Err(InviteError::NotAnInvite),
            "{text}"
        );
    }
    assert_eq!("rivermesh".parse::<Invite>(), Err(InviteError::Checksum));
}

#[test]
fn content_is_checked_behind_a_right_checksum() {
    assert_eq!(seal(&[]).parse::<Invite>(), Err(InviteError::Checksum));
    assert_eq!(
        seal(&[2, 0]).parse::<Invite>(),
        Err(InviteError::Version { found: 2 })
    );
    // No content, cut content, a name of 4 GiB, trailing bytes, a count of 4 G nodes.
    for body in [
        &[1][..],
        &[1, 1],
        &[1, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 1, b'a', 0, 0, 0],
        &[1, 1, b'a', 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        let error = seal(body).parse::<Invite>().unwrap_err();
        assert!(matches!(error, InviteError::Content(_)), "{body:?}");
    }
    for name in [&[1, 0, 0, 0][..], &[1, 1, b'\n', 0, 0]] {
        assert_eq!(seal(name).parse::<Invite>(), Err(InviteError::NetworkName));
    }
    let mut many = vec![1, 1, b'a', 0, NODES as u8 + 1];
    for node in 0..=NODES as u8 {
        many.extend(SecretKey::from_bytes(&[node; 32]).public().as_bytes());
        many.push(0);
    }
    assert_eq!(
        seal(&many).parse::<Invite>().unwrap_err().to_string(),
        "the invite has 9 nodes, at most 8 are allowed"
    );
}

#[test]
fn limits_hold() {
    let too_long = "a".repeat(limits::NETWORK_NAME + 1);
    for name in ["", "a\0", &too_long] {
        assert_eq!(
            Invite::new(name, None, vec![]),
            Err(InviteError::NetworkName)
        );
    }
    let sockets: Vec<_> = (1..=9).map(socket).collect();
    assert_eq!(
        Invite::new("n", None, vec![addr(1, &sockets)]),
        Err(InviteError::TooMany {
            what: "addresses of one node",
            got: 9,
            limit: 8
        })
    );
    let text = format!("{PREFIX}{}", "a".repeat(TEXT));
    assert!(matches!(
        text.parse::<Invite>(),
        Err(InviteError::TooMany {
            what: "characters",
            limit: TEXT,
            ..
        })
    ));
}

#[test]
fn what_does_not_fit_is_left_out() {
    let v6: Vec<SocketAddr> = (1..=20)
        .map(|port| format!("[2001:db8::1234:5678:9abc:def0]:{}", 40000 + port))
        .map(|text| text.parse().unwrap())
        .collect();
    let nodes: Vec<_> = (1..=20).map(|node| addr(node, &v6)).collect();
    assert!(Invite::new("n", None, nodes[..8].to_vec()).is_err());
    let invite = Invite::fitting("n", None, nodes).unwrap();
    let text = invite.to_string();
    assert!(
        text.len() <= TEXT && text.len() > TEXT - 100,
        "{}",
        text.len()
    );
    assert!(invite.nodes().len() >= 5);
    assert_eq!(invite.nodes()[0].addrs.len(), limits::ADDRS);
    assert_eq!(text.parse(), Ok(invite));
    assert_eq!(Invite::fitting("", None, []), Err(InviteError::NetworkName));
    let small = Invite::fitting("n", None, [addr(1, &[socket(1)])]).unwrap();
    assert_eq!(small.nodes(), [addr(1, &[socket(1)])]);
}

#[test]
fn the_key_is_not_shown_by_debug() {
    let shown = format!("{:?}", invite());
    assert!(shown.contains("weather") && shown.contains("NetworkKey(…)"));
    assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
}

proptest! {
    #[test]
    fn round_trip(
        network in "[^\\p{Cc}]{1,30}",
        key: Option<[u8; 32]>,
        nodes in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<SocketAddr>(), 0..4)), 0..6),
    ) {
        // A scope or a flow label of an IPv6 address means nothing to another machine: not sent.
        let plain = |socket: SocketAddr| SocketAddr::new(socket.ip(), socket.port());
        let nodes = nodes
            .into_iter()
            .map(|(node, sockets)| addr(node, &sockets.into_iter().map(plain).collect::<Vec<_>>()))
            .collect();
        let invite = Invite::new(network, key.map(NetworkKey::from_bytes), nodes).unwrap();
        prop_assert_eq!(invite.to_string().parse::<Invite>(), Ok(invite));
    }

    #[test]
    fn garbage_is_no_panic(text: String, bytes: Vec<u8>) {
        let _ = text.parse::<Invite>();
        let _ = (PREFIX.to_owned() + &text).parse::<Invite>();
        let _ = seal(&bytes).parse::<Invite>();
    }
}
