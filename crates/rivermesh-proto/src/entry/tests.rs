use bytes::Bytes;
use iroh_base::TransportAddr;
use proptest::prelude::*;

use super::{fixture::*, *};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn rich() -> Entry {
    let mut entry = plain(1, WALL);
    entry
        .addrs
        .push(TransportAddr::Ip("[2001:db8::1]:5000".parse().unwrap()));
    entry.addrs.push(TransportAddr::Relay(
        "https://relay.example.com./".parse().unwrap(),
    ));
    entry.streams.push(advert("z"));
    entry
}

/// Replaces what follows the header and signs again, as a hostile member can.
fn forge(kind: Kind, rest: &[u8]) -> Result<Record, EntryError> {
    SignedRecord::sign(kind, &network(), &id(1), WALL, rest, (&id(1), &key(1)))?.verify()
}

#[test]
fn records_come_back_as_they_were_signed() {
    let signed = rich().sign(&key(1)).unwrap();
    let again = SignedRecord::decode(signed.as_bytes().clone()).unwrap();
    assert_eq!(again, signed);
    assert_eq!(again.verify(), Ok(Record::Entry(rich())));
    assert_eq!(again.kind(), Kind::Entry);
    assert_eq!(again.revision(), WALL);
    assert_eq!(again.node_bytes(), *id(1));
    assert_eq!(again.network_bytes(), *network().as_bytes());
    let Record::Suspicion(said) = suspicion(1, 5, 2).verify().unwrap() else {
        panic!("a suspicion");
    };
    assert_eq!((said.node, said.reporter), (id(1), id(2)));
    assert_eq!(suspicion(1, 5, 2).signer_bytes(), *id(2));
    assert!(matches!(
        departure(1, 5).verify(),
        Ok(Record::Departure(Departure { revision, .. })) if revision == WALL + 5
    ));
    let bytes = postcard::to_stdvec(&signed).unwrap();
    assert_eq!(
        postcard::from_bytes::<SignedRecord>(&bytes).unwrap(),
        signed
    );
}

#[test]
fn the_order_of_streams_does_not_change_the_bytes() {
    let mut turned = rich();
    turned.streams.reverse();
    assert_eq!(turned.sign(&key(1)), rich().sign(&key(1)));
}

// The bytes of another implementation must be these; a change of any is a change of the protocol.
#[test]
fn golden_bytes() {
    let records = [
        ("entry", rich().sign(&key(1)).unwrap()),
        ("departure", departure(1, 1)),
        ("suspicion", suspicion(1, 1, 2)),
    ];
    let text: String = records
        .iter()
        .map(|(name, record)| format!("{name} {}\n", hex(record.as_bytes())))
        .collect();
    assert_eq!(text, include_str!("golden.txt"));
}

#[test]
fn two_hundred_streams_with_plain_names_fit() {
    let mut entry = plain(1, WALL);
    let advert = |i: u8| {
        let name = format!("plant-7/line-12/sensor-{i:0>3}");
        // Real ones are random: as long as they get.
        let epoch = Epoch(u64::MAX);
        StreamAdvert {
            epoch,
            ..advert(&name)
        }
    };
    entry.streams = (0..200).map(advert).collect();
    let record = entry.sign(&key(1)).unwrap();
    assert_eq!(record.verify().unwrap(), Record::Entry(entry));
}

#[test]
fn a_local_entry_over_a_limit_is_an_error_that_names_it() {
    let mut entry = plain(1, WALL);
    entry.tags = (0..65).map(|i| format!("t{i}")).collect();
    assert_eq!(
        entry.sign(&key(1)).unwrap_err().to_string(),
        "65 tags, the limit is 64"
    );
    let mut entry = plain(1, WALL);
    entry.addrs = (0..9)
        .map(|i| TransportAddr::Ip(([192, 0, 2, i], 1).into()))
        .collect();
    assert_eq!(
        entry.sign(&key(1)).unwrap_err().to_string(),
        "9 addresses, the limit is 8"
    );
    let mut entry = plain(1, WALL);
    entry.streams = (0..257).map(|i| advert(&format!("s{i}"))).collect();
    assert_eq!(
        entry.sign(&key(1)).unwrap_err().to_string(),
        "257 streams, the limit is 256"
    );
    entry.streams = (0..256).map(|i| advert(&format!("{i:0>100}"))).collect();
    assert!(matches!(
        entry.sign(&key(1)),
        Err(EntryError::TooLarge { got }) if got > limits::ENTRY
    ));
    let mut entry = plain(1, WALL);
    entry.name = "x".repeat(65);
    assert_eq!(
        entry.sign(&key(1)).unwrap_err().to_string(),
        "a name of 65 bytes, the limit is 64"
    );
    entry.name = "evil\x1b[2J".to_owned();
    assert!(matches!(
        entry.sign(&key(1)),
        Err(EntryError::BadText { .. })
    ));
    let mut entry = plain(1, WALL);
    entry.tags.insert(String::new());
    assert!(matches!(
        entry.sign(&key(1)),
        Err(EntryError::BadText { .. })
    ));
    let mut entry = plain(1, WALL);
    entry.streams = vec![advert("a"), advert("b"), advert("a")];
    assert!(matches!(
        entry.sign(&key(1)),
        Err(EntryError::DuplicateStream(name)) if name.as_str() == "a"
    ));
    let mut entry = plain(1, WALL);
    let custom = iroh_base::CustomAddr::from_parts(7, b"abc");
    entry.addrs = vec![TransportAddr::Custom(custom)];
    assert!(matches!(
        entry.sign(&key(1)),
        Err(EntryError::UnsupportedAddr(_))
    ));
}

#[test]
fn only_the_speaker_signs() {
    assert_eq!(plain(1, WALL).sign(&key(2)), Err(EntryError::WrongKey));
    let said = Suspicion {
        network: network(),
        node: id(1),
        revision: WALL,
        reporter: id(2),
    };
    assert_eq!(said.sign(&key(1)), Err(EntryError::WrongKey));
    let of_itself = Suspicion {
        reporter: id(1),
        ..said
    };
    assert_eq!(of_itself.sign(&key(1)), Err(EntryError::SelfSuspicion));
    assert_eq!(
        forge(Kind::Suspicion, id(1).as_bytes()),
        Err(EntryError::SelfSuspicion)
    );
}

#[test]
fn truncated_trailing_and_flipped_bytes_are_refused() {
    for record in [
        rich().sign(&key(1)).unwrap(),
        departure(1, 1),
        suspicion(1, 1, 2),
    ] {
        let bytes = record.as_bytes();
        let read = |bytes: &[u8]| {
            SignedRecord::decode(Bytes::copy_from_slice(bytes)).and_then(|record| record.verify())
        };
        assert!(read(bytes).is_ok());
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len} bytes of {record:?}");
        }
        assert!(read(&[bytes, &[0][..]].concat()).is_err());
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << (at % 8);
            assert!(read(&flipped).is_err(), "byte {at} of {record:?}");
        }
    }
}

#[test]
fn a_signature_for_one_kind_serves_no_other() {
    let bytes = departure(1, 1);
    let mut body = bytes.as_bytes()[64..].to_vec();
    let mut signed = b"rivermesh/1 entry\0".to_vec();
    signed.extend_from_slice(&body);
    body.splice(0..0, key(1).sign(&signed).to_bytes());
    let record = SignedRecord::decode(body.into()).unwrap();
    assert_eq!(record.verify(), Err(EntryError::Signature));
}

#[test]
fn only_the_canonical_form_is_taken() {
    let rest = body::encode_entry(&plain(1, WALL)).unwrap();
    assert!(forge(Kind::Entry, &rest).is_ok());
    // The last number, 15, written in two bytes instead of one.
    let mut long = rest;
    assert_eq!(long.pop(), Some(15));
    long.extend_from_slice(&[0x8f, 0x00]);
    assert_eq!(
        forge(Kind::Entry, &long),
        Err(EntryError::Malformed("not canonical"))
    );
    // Tags in another order, and one twice.
    for tags in [&["b", "a"][..], &["a", "a"]] {
        let bytes = postcard::to_stdvec(&("", tags, 0u8, 0u8, 0u64, 15u16)).unwrap();
        assert_eq!(
            forge(Kind::Entry, &bytes),
            Err(EntryError::Malformed("tags out of order"))
        );
    }
    for streams in [["b", "a"], ["a", "a"]] {
        let streams = streams.map(advert);
        let none: [u8; 0] = [];
        let bytes = postcard::to_stdvec(&("", &none[..], &none[..], &streams[..], 0u64, 15u16));
        assert!(forge(Kind::Entry, &bytes.unwrap()).is_err(), "{streams:?}");
    }
    // A relay's URL that is read as another one.
    let none: [u8; 0] = [];
    for (url, ok) in [("https://r.example/", true), ("HTTPS://r.example", false)] {
        let addrs = [(0u8, url)];
        let bytes = postcard::to_stdvec(&("", &none[..], &addrs[..], &none[..], 0u64, 15u16));
        assert_eq!(forge(Kind::Entry, &bytes.unwrap()).is_ok(), ok, "{url}");
    }
    // Nine addresses, where the count alone is over the limit.
    let addrs = [(1u8, [1u8; 4], 1u16); 9];
    let bytes = postcard::to_stdvec(&("", &none[..], &addrs[..], &none[..], 0u64, 15u16));
    assert!(forge(Kind::Entry, &bytes.unwrap()).is_err());
    // A length that would take all memory, were it believed.
    assert!(forge(Kind::Entry, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
}

#[test]
fn a_record_over_the_limit_is_refused_before_anything_else() {
    let bytes = vec![0; limits::ENTRY + 1];
    assert_eq!(
        SignedRecord::copy_from_slice(&bytes),
        Err(EntryError::TooLarge {
            got: limits::ENTRY + 1
        })
    );
}

#[test]
fn a_refresh_is_held_to_its_range() {
    let mut entry = plain(1, WALL);
    for (said, taken) in [(0, 5), (5, 5), (77, 77), (3600, 3600), (u16::MAX, 3600)] {
        entry.refresh_s = said;
        assert_eq!(entry.refresh(), Duration::from_secs(taken));
    }
}

#[test]
fn revisions_only_grow() {
    let mut revisions = Revisions::new();
    assert_eq!(revisions.next(100), 100);
    assert_eq!(revisions.next(100), 101);
    assert_eq!(revisions.next(50), 102, "the clock went back");
    assert_eq!(revisions.above(500, 200), 501);
    assert_eq!(revisions.above(3, 200), 502);
    assert_eq!(revisions.above(u64::MAX, 0), u64::MAX);
    assert_eq!(revisions.next(0), u64::MAX);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(rest in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = forge(Kind::Entry, &rest);
        let _ = SignedRecord::decode(rest.into()).and_then(|record| record.verify());
    }

    #[test]
    fn entries_round_trip(
        name in "[a-z]{0,64}",
        tags in prop::collection::btree_set("[a-z]{1,10}", 0..20),
        streams in prop::collection::btree_set("[a-z/]{1,20}", 0..20),
        instance in any::<u64>(),
        revision in any::<u64>(),
        refresh_s in any::<u16>(),
    ) {
        let streams = streams.iter().map(|name| advert(name)).collect();
        let entry = Entry { name, tags, streams, instance, revision, refresh_s, ..plain(1, 0) };
        let signed = entry.sign(&key(1)).unwrap();
        prop_assert_eq!(signed.verify(), Ok(Record::Entry(entry)));
    }
}
