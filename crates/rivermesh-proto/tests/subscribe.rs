//! The messages of a subscription: round trips, malformed input, golden bytes.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use bytes::Bytes;
use proptest::prelude::*;
use rivermesh_proto::{
    Epoch, Fingerprint, StreamName,
    filter::{Fault, Filter, FilterSource},
    limits,
    named::{Acknowledged, ConsumerName, Named, Share},
    subscribe::{Accepted, Lag, LagSet, Refusal, Reply, Start, Subscribe, Superseded, Update},
    ticket::Credential,
    wire::{DecodeError, PREFIX},
};

fn requests() -> Vec<(Subscribe, &'static str)> {
    let stream = StreamName::new("weather").unwrap();
    let starts = |start| Subscribe {
        stream: stream.clone(),
        fingerprint: None,
        start,
        lag: Lag::Skip,
        filter: None,
        superseded: Superseded::Send,
        named: None,
        credential: None,
    };
    vec![
        (
            Subscribe {
                stream: stream.clone(),
                fingerprint: None,
                start: Start::Latest,
                lag: Lag::Skip,
                filter: None,
                superseded: Superseded::Send,
                named: None,
                credential: None,
            },
            "0f00000007776561746865720000 0000000000",
        ),
        (
            Subscribe {
                stream: stream.clone(),
                fingerprint: Some(Fingerprint([1, 2, 3, 4, 5, 6, 7, 8])),
                start: Start::Resume {
                    epoch: Epoch(0x1234),
                    next: 300,
                },
                lag: Lag::Block,
                filter: Some(FilterSource::new("late").unwrap()),
                superseded: Superseded::LeaveOut,
                named: Some(Named {
                    name: ConsumerName::new("ab").unwrap(),
                    share: Share::Key,
                    max_in_flight: 300,
                }),
                credential: Some(credential()),
            },
            "2b000000077765617468657201010203040506070801b424ac02030104 6c617465 01 0102616202ac02 \
             0104 65794a2e",
        ),
        (
            starts(Start::Earliest),
            "0f000000077765617468657200020000000000",
        ),
        (
            starts(Start::At { seq: 300 }),
            "11000000077765617468657200 03ac020000000000",
        ),
        (
            starts(Start::Since { at_us: 300 }),
            "11000000077765617468657200 04ac020000000000",
        ),
        (
            starts(Start::Ago { us: 7 }),
            "10000000077765617468657200 05070000000000",
        ),
        (
            starts(Start::LastPerKey),
            "0f000000077765617468657200060000000000",
        ),
        (
            starts(Start::Rest {
                epoch: Epoch(0x1234),
                next: 300,
                until: 7,
            }),
            "140000000777656174686572 0007b424ac02070000000000",
        ),
    ]
}

fn updates() -> Vec<(Update, &'static str)> {
    let filter = |change, filter: Option<&str>| Update::Filter {
        change,
        filter: filter.map(|source| FilterSource::new(source).unwrap()),
    };
    vec![
        (Update::Ready, "0100000000"),
        (filter(300, Some("late")), "0900000001ac020104 6c617465"),
        (filter(0, None), "03000000010000"),
        (Update::Commit { upto: 300 }, "0300000002ac02"),
        (
            Update::Acknowledge {
                items: Acknowledged::new([(1, 2), (300, 400)]),
            },
            "08000000 03020102ac029003",
        ),
        (Update::Credential(credential()), "06000000 04 04 65794a2e"),
    ]
}

fn credential() -> Credential {
    Credential::new(&b"eyJ."[..]).unwrap()
}

fn fault() -> Fault {
    Fault::from(&Filter::parse("a >").unwrap_err())
}

fn replies() -> Vec<(Reply, &'static str)> {
    let schema = Bytes::from_static(b"shape");
    let accepted = |schema| {
        Reply::Accepted(Accepted {
            epoch: Epoch(0x1234),
            start: 300,
            lag: Lag::Newest,
            schema,
            thinned: 5,
            redelivers: 300,
            credential: None,
        })
    };
    let entitled = Accepted {
        epoch: Epoch(0x1234),
        start: 300,
        lag: Lag::Newest,
        schema: None,
        thinned: 5,
        redelivers: 300,
        credential: Some(credential()),
    };
    let allowed = LagSet::EMPTY.with(Lag::Skip).with(Lag::Block);
    vec![
        (accepted(None), "0b00000000b424ac02010500ac0200"),
        (
            Reply::Accepted(entitled),
            "1000000000b424ac02010500ac02 0104 65794a2e",
        ),
        (
            accepted(Some(schema.clone())),
            "1100000000b424ac0201050105 7368617065 ac02 00",
        ),
        (Reply::Refused(Refusal::UnknownStream), "020000000100"),
        (
            Reply::Refused(Refusal::Schema { schema }),
            "08000000010105 7368617065",
        ),
        (Reply::Refused(Refusal::Full { max: 8 }), "03000000010208"),
        (Reply::Refused(Refusal::NotAdmitted), "020000000103"),
        (
            Reply::Refused(Refusal::LagNotAllowed { allowed }),
            "03000000010409",
        ),
        (Reply::Refused(Refusal::Busy), "020000000105"),
        (Reply::Refused(Refusal::Closed), "020000000106"),
        (Reply::Refused(Refusal::Filter { fault: fault() }), FAULT),
        (Reply::Refused(Refusal::FiltersFull), "020000000108"),
        (Reply::Refused(Refusal::NotCompacted), "020000000109"),
        (Reply::Refused(Refusal::NamesNotAllowed), "02000000010a"),
        (
            Reply::Refused(Refusal::NamesFull { max: 8 }),
            "03000000010b08",
        ),
        (Reply::Refused(Refusal::NameHeld), "02000000010c"),
        (Reply::Refused(Refusal::NameDiffers), "02000000010d"),
    ]
}

/// A fault from 3 to 3, the length of its reason, the reason, and no names.
const FAULT: &str = "4300000001070303 3d 65787065637465642061206669656c642c2061206c69746572616c2c\
                     2060686173602c20602160206f72206028602c20666f756e642074686520656e64 00";

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Cut, extended and single-bit damage of a body: cut and extended must be refused, damage must
/// decode to something else, if at all.
fn check_malformed<T: PartialEq + std::fmt::Debug>(
    whole: &[u8],
    decode: fn(&[u8]) -> Result<T, DecodeError>,
) {
    let message = decode(whole).unwrap();
    for len in 0..whole.len() {
        assert!(decode(&whole[..len]).is_err(), "cut at {len}");
    }
    let mut long = whole.to_vec();
    long.push(0);
    assert_eq!(decode(&long), Err(DecodeError::Trailing { extra: 1 }));
    for at in 0..whole.len() * 8 {
        let mut bad = whole.to_vec();
        bad[at / 8] ^= 1 << (at % 8);
        if let Ok(other) = decode(&bad) {
            assert_ne!(other, message, "bit {at}");
        }
    }
}

#[test]
fn golden_bytes() {
    for (request, golden) in requests() {
        let frame = request.encode().unwrap();
        assert_eq!(hex(&frame), golden.replace(' ', ""), "{request:?}");
        assert_eq!(Subscribe::decode(&frame[PREFIX..]), Ok(request));
    }
    for (update, golden) in updates() {
        let frame = update.encode().unwrap();
        assert_eq!(hex(&frame), golden.replace(' ', ""), "{update:?}");
        assert_eq!(Update::decode(&frame[PREFIX..]), Ok(update));
    }
    for (reply, golden) in replies() {
        let frame = reply.encode().unwrap();
        assert_eq!(hex(&frame), golden.replace(' ', ""), "{reply:?}");
        assert_eq!(Reply::decode(&frame[PREFIX..]), Ok(reply));
    }
}

#[test]
fn malformed_messages_are_refused() {
    for (request, _) in requests() {
        check_malformed(&request.encode().unwrap()[PREFIX..], Subscribe::decode);
    }
    for (update, _) in updates() {
        check_malformed(&update.encode().unwrap()[PREFIX..], Update::decode);
    }
    for (reply, _) in replies() {
        check_malformed(&reply.encode().unwrap()[PREFIX..], Reply::decode);
    }
    for body in [&[2][..], &[1, 7], &[1, 4, 0x10], &[0xff; 16]] {
        assert!(Reply::decode(body).is_err(), "{body:?}");
    }
}

#[test]
fn a_bad_name_is_refused() {
    for name in ["", "a b", &"x".repeat(129)] {
        let body = postcard::to_stdvec(&(
            name, None::<u8>, 0_u8, 0_u8, None::<u8>, 0_u8, None::<u8>, None::<u8>,
        ))
        .unwrap();
        assert!(matches!(
            Subscribe::decode(&body),
            Err(DecodeError::Invalid(_))
        ));
    }
}

#[test]
fn a_schema_is_bounded() {
    for (len, fits) in [(limits::SCHEMA, true), (limits::SCHEMA + 1, false)] {
        let schema = Bytes::from(vec![7; len]);
        let refused = Reply::Refused(Refusal::Schema {
            schema: schema.clone(),
        });
        let accepted = Reply::Accepted(Accepted {
            epoch: Epoch(u64::MAX),
            start: u64::MAX,
            lag: Lag::Skip,
            schema: Some(schema),
            thinned: u64::MAX,
            redelivers: u64::MAX,
            credential: Some(Credential::new(vec![1; limits::TICKET]).unwrap()),
        });
        for reply in [refused, accepted] {
            let frame = reply.encode().unwrap();
            assert_eq!(Reply::decode(&frame[PREFIX..]).is_ok(), fits);
        }
    }
    let huge = Reply::Refused(Refusal::Schema {
        schema: vec![0; limits::CONTROL].into(),
    });
    assert!(huge.encode().is_err());
}

#[test]
fn a_filter_is_bounded_before_it_is_read() {
    for (len, fits) in [(limits::FILTER, true), (limits::FILTER + 1, false)] {
        let source = " ".repeat(len);
        let body = postcard::to_stdvec(&(
            "s",
            None::<u8>,
            0_u8,
            0_u8,
            Some(&source),
            0_u8,
            None::<u8>,
            None::<u8>,
        ))
        .unwrap();
        assert_eq!(Subscribe::decode(&body).is_ok(), fits);
        let body = postcard::to_stdvec(&(1_u8, 7_u32, Some(&source))).unwrap();
        assert_eq!(Update::decode(&body).is_ok(), fits);
    }
    // A length of 4 GiB, and nothing behind it.
    let mut body = postcard::to_stdvec(&("s", None::<u8>, 0_u8, 0_u8, 1_u8)).unwrap();
    body.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(Subscribe::decode(&body).is_err());
}

#[test]
fn lag_sets() {
    assert_eq!(LagSet::default().to_string(), "skip, newest, disconnect");
    assert_eq!(LagSet::EMPTY.to_string(), "none");
    assert!(LagSet::EMPTY.is_empty() && !LagSet::ALL.is_empty());
    assert_eq!(LagSet::ALL.iter().collect::<Vec<_>>(), Lag::ALL);
    for lag in Lag::ALL {
        let only: LagSet = [lag].into_iter().collect();
        assert!(only.contains(lag) && LagSet::ALL.contains(lag));
        assert_eq!(only.iter().collect::<Vec<_>>(), [lag]);
        assert!(only.without(lag).is_empty());
    }
    assert_eq!(Lag::default(), Lag::Skip);
}

#[test]
fn refusals_say_what_to_do() {
    let texts: Vec<(String, bool)> = replies()
        .into_iter()
        .filter_map(|(reply, _)| match reply {
            Reply::Refused(refusal) => Some((refusal.to_string(), refusal.is_retryable())),
            Reply::Accepted(_) => None,
        })
        .collect();
    let expected = [
        ("the peer does not produce this stream", true),
        (
            "the stream's items have another shape than the consumer's type",
            false,
        ),
        ("the producer has all 8 consumers it takes", true),
        (
            "the consumer is not admitted to the stream, or there is no such stream",
            true,
        ),
        (
            "the producer does not allow this lag policy; allowed: skip, block",
            false,
        ),
        ("the peer is busy", true),
        ("the producer is closing the stream", true),
        (
            "the producer refuses the filter: expected a field, a literal, `has`, `!` or `(`, found \
             the end",
            false,
        ),
        ("the producer has no room for another filter", true),
        (
            "the producer does not keep the newest item of each key",
            false,
        ),
        ("the producer does not take consumers with a name", false),
        ("the producer knows all 8 names of consumers it takes", true),
        ("another node has this consumer's name", true),
        (
            "those that have this consumer's name use it in another way or have another filter",
            true,
        ),
    ];
    assert_eq!(
        texts,
        expected.map(|(text, retry)| (text.to_owned(), retry))
    );
}

fn any_lag() -> impl Strategy<Value = Lag> {
    prop::sample::select(Lag::ALL.to_vec())
}

fn any_schema() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..600).prop_map(Bytes::from)
}

fn any_request() -> impl Strategy<Value = Subscribe> {
    let start = prop_oneof![
        Just(Start::Latest),
        (any::<u64>(), any::<u64>()).prop_map(|(epoch, next)| Start::Resume {
            epoch: Epoch(epoch),
            next
        }),
        Just(Start::Earliest),
        any::<u64>().prop_map(|seq| Start::At { seq }),
        any::<u64>().prop_map(|at_us| Start::Since { at_us }),
        any::<u64>().prop_map(|us| Start::Ago { us }),
        Just(Start::LastPerKey),
        any::<[u64; 3]>().prop_map(|[epoch, next, until]| Start::Rest {
            epoch: Epoch(epoch),
            next,
            until,
        }),
    ];
    (
        "[a-zäß/._-]{1,40}",
        any::<Option<[u8; 8]>>(),
        start,
        any_lag(),
        any_filter(),
        prop::sample::select(vec![Superseded::Send, Superseded::LeaveOut]),
        prop::option::of(any_named()),
        any_credential(),
    )
        .prop_map(
            |(stream, fingerprint, start, lag, filter, superseded, named, credential)| Subscribe {
                stream: StreamName::new(&stream).unwrap(),
                fingerprint: fingerprint.map(Fingerprint),
                start,
                lag,
                filter,
                superseded,
                named,
                credential,
            },
        )
}

fn any_named() -> impl Strategy<Value = Named> {
    let shares = prop::sample::select(vec![Share::Alone, Share::Least, Share::Key]);
    ("[a-z]{1,64}", shares, any::<u32>()).prop_map(|(name, share, max_in_flight)| Named {
        name: ConsumerName::new(&name).unwrap(),
        share,
        max_in_flight,
    })
}

fn any_credential() -> impl Strategy<Value = Option<Credential>> {
    let bytes = prop::collection::vec(any::<u8>(), 1..200);
    prop::option::of(bytes.prop_map(|bytes| Credential::new(bytes).unwrap()))
}

fn any_filter() -> impl Strategy<Value = Option<FilterSource>> {
    prop::option::of(".{0,100}".prop_map(|text| FilterSource::new(&text).unwrap()))
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let accepted = (
        any::<u64>(),
        any::<u64>(),
        any_lag(),
        prop::option::of(any_schema()),
        any::<u64>(),
        any::<u64>(),
        any_credential(),
    )
        .prop_map(
            |(epoch, start, lag, schema, thinned, redelivers, credential)| {
                Reply::Accepted(Accepted {
                    epoch: Epoch(epoch),
                    start,
                    lag,
                    schema,
                    thinned,
                    redelivers,
                    credential,
                })
            },
        );
    let refused = prop_oneof![
        any::<u32>().prop_map(|max| Refusal::Full { max }),
        any_schema().prop_map(|schema| Refusal::Schema { schema }),
        prop::collection::vec(any_lag(), 0..4).prop_map(|lags| Refusal::LagNotAllowed {
            allowed: lags.into_iter().collect()
        }),
        prop::sample::select(vec![
            Refusal::UnknownStream,
            Refusal::NotAdmitted,
            Refusal::Busy,
            Refusal::Closed,
            Refusal::FiltersFull,
            Refusal::NotCompacted,
            Refusal::Filter { fault: fault() },
            Refusal::NamesNotAllowed,
            Refusal::NameHeld,
            Refusal::NameDiffers,
            Refusal::NamesFull { max: 300 },
        ]),
    ];
    prop_oneof![accepted, refused.prop_map(Reply::Refused)]
}

proptest! {
    #[test]
    fn requests_round_trip(request in any_request()) {
        let frame = request.encode().unwrap();
        prop_assert_eq!(Subscribe::decode(&frame[PREFIX..]).unwrap(), request);
    }

    #[test]
    fn updates_round_trip(change: u32, filter in any_filter()) {
        let update = Update::Filter { change, filter };
        let frame = update.encode().unwrap();
        prop_assert_eq!(Update::decode(&frame[PREFIX..]).unwrap(), update);
    }

    #[test]
    fn acknowledgements_round_trip(ranges in prop::collection::vec((1u64..300, 1u64..300), 0..600)) {
        let mut at = 0;
        let ranges = ranges.into_iter().map(|(gap, len)| {
            let from = at + gap;
            at = from + len;
            (from, at)
        });
        let update = Update::Acknowledge { items: Acknowledged::new(ranges) };
        let frame = update.encode().unwrap();
        prop_assert_eq!(Update::decode(&frame[PREFIX..]).unwrap(), update);
    }

    #[test]
    fn replies_round_trip(reply in any_reply()) {
        let frame = reply.encode().unwrap();
        prop_assert_eq!(Reply::decode(&frame[PREFIX..]).unwrap(), reply);
    }

    #[test]
    fn garbage_is_no_panic(body: Vec<u8>) {
        let _ = Subscribe::decode(&body);
        let _ = Update::decode(&body);
        let _ = Reply::decode(&body);
    }
}
