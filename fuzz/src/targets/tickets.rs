//! What entitles somebody: tickets and revocation lists, as bytes and as text.

use rivermesh_proto::{
    StreamName, limits,
    ticket::{
        Credential, Kind, Question, REVOCATIONS_PREFIX, RevocationList, Revoked, Right,
        TICKET_PREFIX, Ticket, Verifier,
    },
};

/// Bytes that should be a ticket or a list, and a text that should be one.
pub fn ticket(data: &[u8]) {
    if let Ok(ticket) = Ticket::decode(data) {
        // The bytes name the ticket, so there is one way to write it.
        assert_eq!(&ticket.as_bytes()[..], data);
        check(&ticket);
    }
    if let Ok(list) = RevocationList::decode(data) {
        assert_eq!(&list.as_bytes()[..], data);
        let peeked = RevocationList::peek(data);
        let authority = *list.authority().as_bytes();
        assert_eq!(
            peeked,
            Some((list.network(), authority, list.revoking().number))
        );
        assert_eq!(
            list.to_string().parse::<RevocationList>().as_ref(),
            Ok(&list)
        );
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(ticket) = text.parse::<Ticket>() {
            check(&ticket);
        }
        let _ = text.parse::<RevocationList>();
    }
    for prefix in [TICKET_PREFIX, REVOCATIONS_PREFIX] {
        // So that the fuzzer need not find a checksum.
        let hash = blake3::hash(data);
        let sealed = [data, &hash.as_bytes()[..4]].concat();
        let text = prefix.to_owned() + &data_encoding::BASE32_NOPAD.encode(&sealed);
        assert_eq!(
            text.parse::<Ticket>().is_ok(),
            prefix == TICKET_PREFIX && Ticket::decode(data).is_ok()
        );
    }
}

fn check(ticket: &Ticket) {
    let links = ticket.links();
    assert!((1..=limits::TICKET_LINKS).contains(&links.len()));
    assert!(ticket.as_bytes().len() <= limits::TICKET);
    assert_eq!(Credential::from(ticket).kind(), Kind::Ticket);
    assert_eq!(ticket.to_string().parse::<Ticket>().as_ref(), Ok(ticket));
    let terms = ticket.terms();
    for link in links {
        assert!(terms.pattern.is_within(&link.terms.pattern));
        assert!(terms.rights.is_within(link.terms.rights));
        assert!(terms.not_before_s >= link.terms.not_before_s);
        assert!(terms.expires_s <= link.terms.expires_s);
    }
    let Ok(stream) = StreamName::new(terms.pattern.as_str().trim_end_matches('*')) else {
        return;
    };
    let question = |audience| Question {
        network: ticket.network(),
        audience,
        stream: &stream,
        right: Right::Consume,
        now_s: terms.not_before_s,
    };
    let verifier = Verifier::new([ticket.authority()]);
    let revoked = Revoked::default();
    let holder = verifier.verify(ticket, &question(ticket.holder()), &revoked);
    if let Ok(until) = holder {
        assert_eq!(until, terms.expires_s);
        assert!(terms.rights.contains(Right::Consume));
    }
    if ticket.authority() != ticket.holder() {
        let other = verifier.verify(ticket, &question(ticket.authority()), &revoked);
        assert!(other.is_err(), "it is good for its holder alone");
    }
}
