#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

mod hostile;
mod narrowing;
mod revoking;

use super::*;
use crate::StreamName;

pub(super) const NOW: u64 = 1_800_000_000;

pub(super) fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

pub(super) fn network() -> NetworkId {
    NetworkId::of("lab")
}

pub(super) fn stamp(n: u8) -> Stamp {
    Stamp {
        id: TicketId([n; 16]),
        issued_s: NOW - 10,
    }
}

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

/// All of `weather/*` for the node with key `audience`, for an hour, to be passed on.
pub(super) fn terms(audience: u8) -> Terms {
    Terms {
        audience: key(audience).public(),
        pattern: Pattern::new("weather/*").unwrap(),
        rights: Rights::ALL,
        not_before_s: NOW,
        expires_s: NOW + 3600,
        delegations: 3,
    }
}

/// A ticket of authority 1 for node 2.
pub(super) fn ticket() -> Ticket {
    Ticket::issue(network(), &key(1), stamp(1), &terms(2)).unwrap()
}

/// A ticket of authority 1 for node `links + 1`, through all nodes between.
pub(super) fn chain(links: u8) -> Ticket {
    (2..=links).fold(ticket(), |ticket, n| {
        let terms = Terms {
            delegations: 4 - n,
            ..terms(n + 1)
        };
        ticket.delegate(&key(n), stamp(n), &terms).unwrap()
    })
}

pub(super) fn ask(stream: &StreamName, audience: u8) -> Question<'_> {
    Question {
        network: network(),
        audience: key(audience).public(),
        stream,
        right: Right::Consume,
        now_s: NOW + 1,
    }
}

pub(super) fn verifier() -> Verifier {
    Verifier::new([key(1).public()])
}

pub(super) fn verify(ticket: &Ticket, question: &Question<'_>) -> Result<u64, Denied> {
    verifier().verify(ticket, question, &Revoked::default())
}

#[test]
fn golden_bytes() {
    let golden: Vec<(&str, &str)> = include_str!("golden.txt")
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let revoking = Revoking {
        number: 7,
        before_s: NOW,
        ids: [TicketId([9; 16]), TicketId([8; 16])].into(),
    };
    let list = RevocationList::sign(network(), &key(1), revoking).unwrap();
    let made = [
        ("one", ticket().to_string()),
        ("two", chain(2).to_string()),
        ("four", chain(4).to_string()),
        ("revoked", list.to_string()),
    ];
    for (name, text) in &made {
        println!("{name} {text}");
    }
    for ((name, text), (expected_name, expected)) in made.iter().zip(&golden) {
        assert_eq!((*name, text.as_str()), (*expected_name, *expected));
    }
    assert_eq!(golden.len(), made.len());
    let first = data_encoding::HEXLOWER.encode(&ticket().as_bytes()[65..124]);
    assert_eq!(first, FIRST_LINK);
}

/// Id, audience, pattern, rights and issued of a link.
const FIRST_LINK: &str = "01010101010101010101010101010101\
    8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394\
    09776561746865722f2a07";

#[test]
fn a_ticket_allows_what_it_says_and_nothing_else() {
    let jfk = stream("weather/jfk");
    assert_eq!(verify(&ticket(), &ask(&jfk, 2)), Ok(NOW + 3600));
    for links in 1..=4 {
        let ticket = chain(links);
        assert_eq!(ticket.links().len(), usize::from(links));
        assert_eq!(verify(&ticket, &ask(&jfk, links + 1)), Ok(NOW + 3600));
    }
    let denied = |change: &dyn Fn(&mut Question<'_>)| {
        let mut question = ask(&jfk, 2);
        change(&mut question);
        verify(&ticket(), &question).unwrap_err()
    };
    let elsewhere = NetworkId::of("elsewhere");
    assert_eq!(denied(&|q| q.network = elsewhere), Denied::Network);
    assert_eq!(denied(&|q| q.audience = key(3).public()), Denied::Audience);
    assert_eq!(denied(&|q| q.now_s = NOW - 61), Denied::NotYet);
    assert_eq!(denied(&|q| q.now_s = 0), Denied::NotYet);
    assert_eq!(denied(&|q| q.now_s = NOW + 3600), Denied::Expired);
    assert_eq!(denied(&|q| q.now_s = u64::MAX), Denied::Expired);
    let outside = stream("weather");
    assert_eq!(verify(&ticket(), &ask(&outside, 2)), Err(Denied::Stream));
    let other = Verifier::new([key(2).public()]);
    let trusted = other.verify(&ticket(), &ask(&jfk, 2), &Revoked::default());
    assert_eq!(trusted, Err(Denied::Authority));
    let none = Verifier::default().verify(&ticket(), &ask(&jfk, 2), &Revoked::default());
    assert_eq!(none, Err(Denied::Authority));
    let only = Terms {
        rights: Right::Produce.into(),
        ..terms(2)
    };
    let produce = Ticket::issue(network(), &key(1), stamp(1), &only).unwrap();
    assert_eq!(verify(&produce, &ask(&jfk, 2)), Err(Denied::Right));
}

#[test]
fn the_allowance_for_clocks_is_at_the_beginning_only() {
    let jfk = stream("weather/jfk");
    let at = |now_s| {
        verify(
            &ticket(),
            &Question {
                now_s,
                ..ask(&jfk, 2)
            },
        )
    };
    assert_eq!(at(NOW - Verifier::EARLY_S), Ok(NOW + 3600));
    assert_eq!(at(NOW - Verifier::EARLY_S - 1), Err(Denied::NotYet));
    assert_eq!(at(NOW + 3599), Ok(NOW + 3600));
    assert_eq!(at(NOW + 3600), Err(Denied::Expired));
}

#[test]
fn the_largest_ticket_fits() {
    let long = Pattern::new(&("x".repeat(limits::STREAM_NAME) + "*")).unwrap();
    let terms = |n: u8| Terms {
        pattern: long.clone(),
        not_before_s: limits::TICKET_TIME_S - 1,
        expires_s: limits::TICKET_TIME_S,
        delegations: 5 - n,
        ..terms(n)
    };
    let stamp = Stamp {
        id: TicketId([0xff; 16]),
        issued_s: limits::TICKET_TIME_S,
    };
    let first = Ticket::issue(network(), &key(1), stamp, &terms(2)).unwrap();
    let last = (2..5).fold(first, |ticket, n| {
        ticket.delegate(&key(n), stamp, &terms(n + 1)).unwrap()
    });
    assert!(last.as_bytes().len() <= limits::TICKET);
    assert_eq!(last.to_string().parse::<Ticket>().unwrap(), last);
}

#[test]
fn texts_are_checked() {
    let text = chain(3).to_string();
    let upper = format!(" {}\n", text.to_ascii_uppercase());
    assert_eq!(upper.parse::<Ticket>().unwrap(), chain(3));
    assert_eq!(
        text[..text.len() - 1].parse::<Ticket>(),
        Err(TextError::Checksum)
    );
    let other = TextError::Other {
        prefix: TICKET_PREFIX,
    };
    for wrong in ["", "rivermesh", "rmticket1", "rmticketä"] {
        assert_eq!(wrong.parse::<Ticket>(), Err(other.clone()), "{wrong}");
    }
    let long = format!("rmticket{}", "a".repeat(100_000));
    assert_eq!(long.parse::<Ticket>(), Err(TextError::TooLong));
    let largest = format!("rmticket{}", "a".repeat(limits::TICKET * 8 / 5));
    assert_eq!(largest.parse::<Ticket>(), Err(TextError::Checksum));
}

#[test]
fn patterns() {
    for (text, error) in [
        ("", true),
        ("a b", true),
        ("a*b", true),
        ("**", true),
        ("*a", true),
        ("*", false),
        ("a", false),
        ("a*", false),
        ("weather/*", false),
    ] {
        assert_eq!(Pattern::new(text).is_err(), error, "{text:?}");
    }
    assert!(Pattern::new(&"x".repeat(129)).is_err());
    assert!(Pattern::new(&("x".repeat(129) + "*")).is_err());
    let odd = stream("a*b");
    assert_eq!(Pattern::of(&odd), Err(BadPattern::Star));
    assert!(Pattern::all().covers(&odd));
}

#[test]
fn credentials_are_bounded() {
    assert!(Credential::new(Vec::new()).is_err());
    assert!(Credential::new(vec![1; limits::TICKET + 1]).is_err());
    let largest = Credential::new(vec![1; limits::TICKET]).unwrap();
    let body = postcard::to_stdvec(&largest).unwrap();
    assert_eq!(postcard::from_bytes::<Credential>(&body).unwrap(), largest);
    for len in [0, limits::TICKET + 1] {
        let body = postcard::to_stdvec(&vec![1_u8; len]).unwrap();
        assert!(postcard::from_bytes::<Credential>(&body).is_err());
    }
    let kinds = [
        (&b"\x01"[..], Kind::Ticket),
        (b"eyJ", Kind::Jwt),
        (b"x", Kind::Unknown),
    ];
    for (bytes, kind) in kinds {
        assert_eq!(Credential::new(bytes).unwrap().kind(), kind);
    }
    assert_eq!(Credential::from(ticket()).kind(), Kind::Ticket);
    assert_eq!(format!("{largest:?}"), "Credential(2048 bytes)");
}
