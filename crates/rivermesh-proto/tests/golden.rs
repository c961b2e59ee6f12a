//! The bytes of what is not spelled out elsewhere. Another implementation must write these, and a
//! change of any is a change of the protocol. All that peers say to each other, and where its
//! bytes are:
//!
//! | what | test |
//! | --- | --- |
//! | framing of control messages, kinds of streams, ALPN | `wire.rs` |
//! | close and reset codes | `code.rs` |
//! | greeting, proof, hello | `tests/handshake.rs` |
//! | entry, departure, suspicion; gossip carries them as they are | `entry/golden.txt` |
//! | the seven messages of a sync | `sync/golden.txt` |
//! | request, acceptance, each refusal, what a consumer says later | `tests/subscribe.rs`, here the lag policies |
//! | how far names are, and the answer | `named.rs` |
//! | why a node receives a stream, and the answer | `explain.rs` |
//! | what is wrong with a filter | `filter/fault.rs` |
//! | batch, thinned batch, gap, end, filter, refusal | `batch/tests.rs` |
//! | schema | `schema/tests/codec.rs`, here each shape by itself |
//! | ids derived from names, fingerprints, the label of the TLS exporter | here |
//! | ticket, revocation list | `ticket/tests/golden.txt` |
//! | invite | `tests/invite.rs` |
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use rivermesh_proto::{
    Epoch, NetworkId, NetworkKey, StreamName,
    handshake::EXPORTER_LABEL,
    schema::{Field, Schema, Variant, VariantShape},
    subscribe::{Accepted, Lag, LagSet, Refusal, Reply, Start, Subscribe, Superseded},
};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn each_shape_has_its_tag() {
    use Schema::{
        Bool, Bytes, Char, F32, F64, I8, I16, I32, I64, I128, Json, Raw, String, Text, U8, U16,
        U32, U64, U128, Unit,
    };
    let scalars = [
        Unit, Bool, I8, I16, I32, I64, I128, U8, U16, U32, U64, U128, F32, F64, Char, String, Bytes,
    ];
    for (tag, scalar) in scalars.into_iter().enumerate() {
        assert_eq!(scalar.to_bytes(), [tag as u8], "{scalar}");
    }
    let name = || "N".to_owned();
    let field = || Field {
        name: "f".into(),
        schema: U8,
    };
    let variant = |name: &str, index, shape| Variant {
        name: name.into(),
        index,
        shape,
    };
    let shapes = [
        (Schema::Option(Box::new(U8)), "1107"),
        (Schema::Seq(Box::new(U8)), "1207"),
        (Schema::Map(Box::new(U8), Box::new(Bool)), "130701"),
        (Schema::Tuple(vec![U8, Bool]), "14020701"),
        (Schema::Tuple(vec![Unit; 300]), "14ac02"),
        (
            Schema::Struct {
                name: name(),
                fields: vec![field()],
            },
            "15014e01016607",
        ),
        (
            Schema::TupleStruct {
                name: name(),
                fields: vec![U8, Bool],
            },
            "16014e020701",
        ),
        (
            Schema::NewType {
                name: name(),
                inner: Box::new(U8),
            },
            "17014e07",
        ),
        (Schema::UnitStruct { name: name() }, "18014e"),
        (
            Schema::Enum {
                name: name(),
                variants: vec![
                    variant("A", 0, VariantShape::Unit),
                    variant("B", 1, VariantShape::NewType(Box::new(U8))),
                    variant("C", 2, VariantShape::Tuple(vec![U8])),
                    variant("D", 300, VariantShape::Struct(vec![field()])),
                ],
            },
            "19014e0401410000014201010701430202010701 44ac020301016607",
        ),
        (Text, "1a"),
        (Raw, "1b"),
        (Json, "1c"),
        (Schema::Opaque { name: name() }, "1d014e"),
    ];
    for (shape, golden) in shapes {
        assert_eq!(shape.validate(), Ok(()));
        let mut golden = golden.replace(' ', "");
        if shape == Schema::Tuple(vec![Unit; 300]) {
            golden += &"00".repeat(300);
        }
        assert_eq!(hex(&shape.to_bytes()), golden, "{shape}");
    }
}

#[test]
fn lag_policies_have_their_numbers() {
    for (number, lag) in [Lag::Skip, Lag::Newest, Lag::Disconnect, Lag::Block]
        .into_iter()
        .enumerate()
    {
        let request = Subscribe {
            stream: StreamName::new("s").unwrap(),
            fingerprint: None,
            start: Start::Latest,
            lag,
            filter: None,
            superseded: Superseded::Send,
            named: None,
            credential: None,
        };
        let golden = format!("09000000017300000{number}00000000");
        assert_eq!(hex(&request.encode().unwrap()), golden, "{lag}");
        let reply = Reply::Accepted(Accepted {
            epoch: Epoch(1),
            start: 2,
            lag,
            schema: None,
            thinned: 0,
            redelivers: 0,
            credential: None,
        });
        let golden = format!("080000000001020{number}00000000");
        assert_eq!(hex(&reply.encode().unwrap()), golden, "{lag}");
        let reply = Reply::Refused(Refusal::LagNotAllowed {
            allowed: LagSet::EMPTY.with(lag),
        });
        let golden = format!("030000000104{:02x}", 1 << number);
        assert_eq!(hex(&reply.encode().unwrap()), golden, "{lag}");
    }
}

#[test]
fn what_is_hashed_is_the_same_everywhere() {
    assert_eq!(EXPORTER_LABEL, b"EXPERIMENTAL rivermesh/1 handshake");
    assert_eq!(
        hex(NetworkId::of("test").as_bytes()),
        "868115c451159da2d1e146fac84b2f41625bac8cfd189f7ba7df595a1cc4fb10"
    );
    assert_eq!(
        NetworkKey::from_passphrase("correct horse").to_secret_hex(),
        "5c97013f76f4968c9a896dfc963083733f992ba92c0303e9eedb393d2e3bed44"
    );
    let fingerprints: Vec<_> = [
        Schema::Raw,
        Schema::Json,
        Schema::Opaque { name: "A".into() },
    ]
    .iter()
    .map(|schema| schema.fingerprint().to_string())
    .collect();
    assert_eq!(
        fingerprints,
        ["3e3c63e65a34e030", "0bc5ff180d8a1735", "f6336fd868f0d1d6"]
    );
}
