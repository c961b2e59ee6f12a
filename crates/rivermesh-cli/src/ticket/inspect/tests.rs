use std::time::{Duration, UNIX_EPOCH};

use rivermesh::{
    SecretKey,
    admission::{Authority, Grant, Revoking, Right, TicketId, delegate},
};

use super::*;

const NOW: u64 = 1_800_000_000;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn ticket() -> Ticket {
    let authority = Authority::new("lab", key(1));
    let begins = UNIX_EPOCH + Duration::from_secs(NOW);
    let all = Grant::new(
        key(2).public(),
        "weather/*",
        [Right::Consume, Right::Produce],
    )
    .starting(begins)
    .lasting(Duration::from_secs(3 * 86_400));
    let all = authority.issue(&all).unwrap();
    let one = Grant::new(key(3).public(), "weather/jfk", [Right::Consume])
        .starting(begins)
        .lasting(Duration::from_secs(7200));
    delegate(&all, &key(2), &one).unwrap()
}

/// Ids and the time of issue are drawn and read when a ticket is made.
fn stable(text: &str) -> String {
    let steady = |line: &str| match line.trim_start().strip_prefix("id ") {
        Some(_) if line.starts_with(' ') => "     id ID, made DATE".to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(steady).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_ticket_in_plain_words() {
    let text = ticket().to_string();
    let (said, good) = describe(&text, (Some("lab"), &[]), NOW + 60).unwrap();
    assert!(good);
    insta::assert_snapshot!("ticket", stable(&said));
    let bad = |network, now_s| {
        let (said, good) = describe(&text, (network, &[]), now_s).unwrap();
        assert!(!good, "{said}");
        said
    };
    assert!(bad(Some("other"), NOW + 60).contains("ANOTHER network"));
    assert!(bad(None, NOW + 7200).contains("over for 0 s"));
    assert!(bad(None, NOW - 60).contains("begins in 1 min"));
}

#[test]
fn a_forged_ticket_is_called_so() {
    let good = ticket();
    let mut bytes = good.as_bytes().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = Ticket::decode(&bytes).unwrap();
    let (said, good) = describe(&forged.to_string(), (None, &[]), NOW).unwrap();
    assert!(said.contains("WRONGLY") && !good, "{said}");
    assert!(describe("rmticketaaaa", (None, &[]), NOW).is_err());
}

#[test]
fn a_revocation_list_in_plain_words() {
    let authority = Authority::new("lab", key(1));
    let revoking = Revoking {
        number: 4,
        before_s: NOW,
        ids: [TicketId([7; 16])].into(),
    };
    let list = authority.revoke(revoking).unwrap();
    let (said, good) = describe(&list.to_string(), (Some("lab"), &[]), NOW).unwrap();
    assert!(good);
    insta::assert_snapshot!("list", said);
}

#[test]
fn a_ticket_that_is_on_a_list_is_called_so() {
    let ticket = ticket();
    let revoked = |key_of: u8, ids: Vec<TicketId>| {
        let revoking = Revoking {
            number: 4,
            before_s: 0,
            ids: ids.into_iter().collect(),
        };
        let list = Authority::new("lab", key(key_of)).revoke(revoking).unwrap();
        let lists = [list];
        describe(&ticket.to_string(), (None, &lists), NOW + 60).unwrap()
    };
    // The link that it was made of is enough.
    let (said, good) = revoked(1, vec![ticket.links()[0].id]);
    assert!(said.contains("revoked  BY LIST 4") && !good, "{said}");
    for (authority, ids) in [(1, Vec::new()), (9, vec![ticket.links()[0].id])] {
        let (said, good) = revoked(authority, ids);
        assert!(!said.contains("revoked") && good, "{said}");
    }
}

#[test]
fn the_default_network_is_named_though_nobody_names_it() {
    let grant = Grant::new(key(3).public(), "s", [Right::Consume]);
    let ticket = Authority::new("default", key(1)).issue(&grant).unwrap();
    let (said, _) = describe(&ticket.to_string(), (None, &[]), NOW).unwrap();
    assert!(said.contains("in       the network \"default\""), "{said}");
}
