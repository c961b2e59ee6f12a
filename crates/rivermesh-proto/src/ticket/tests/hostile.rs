//! What is not a ticket, and tickets that somebody has tampered with.

use super::*;

fn widened(change: impl FnOnce(&mut Terms)) -> TicketError {
    let mut wide = Terms {
        delegations: 2,
        ..terms(3)
    };
    change(&mut wide);
    match ticket().delegate(&key(2), stamp(2), &wide) {
        Err(IssueError::Terms(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_delegation_that_widens_is_no_ticket() {
    let widens = |what| TicketError::Widens { link: 2, what };
    let all = Pattern::all();
    assert_eq!(widened(|t| t.pattern = all), widens(Widening::Pattern));
    assert_eq!(
        widened(|t| t.not_before_s -= 1),
        widens(Widening::NotBefore)
    );
    assert_eq!(widened(|t| t.expires_s += 1), widens(Widening::Expires));
    assert_eq!(
        widened(|t| t.delegations = 3),
        widens(Widening::Delegations)
    );
    let only = Terms {
        rights: Right::Consume.into(),
        ..terms(2)
    };
    let narrow = Ticket::issue(network(), &key(1), stamp(1), &only).unwrap();
    let wide = Terms {
        delegations: 2,
        ..terms(3)
    };
    let more = narrow.delegate(&key(2), stamp(2), &wide);
    assert_eq!(more, Err(IssueError::Terms(widens(Widening::Rights))));
    // One that may not be passed on.
    let last = Terms {
        delegations: 0,
        ..terms(2)
    };
    let last = Ticket::issue(network(), &key(1), stamp(1), &last).unwrap();
    let on = Terms {
        delegations: 0,
        ..terms(3)
    };
    let on = last.delegate(&key(2), stamp(2), &on);
    assert_eq!(on, Err(IssueError::Terms(widens(Widening::Delegations))));
}

/// The attacker does not use our code: the link is put behind the ticket by hand, well signed.
#[test]
fn a_link_that_widens_is_refused_however_well_it_is_signed() {
    let wide = Link::new(
        stamp(2),
        &Terms {
            pattern: Pattern::all(),
            delegations: 2,
            ..terms(3)
        },
    );
    let mut bytes = wide.write(ticket().as_bytes().to_vec()).unwrap();
    form::sign(TAG, &key(2), &mut bytes);
    assert_eq!(
        Ticket::decode(&bytes),
        Err(TicketError::Widens {
            link: 2,
            what: Widening::Pattern
        })
    );
}

#[test]
fn only_the_holder_delegates() {
    let terms = Terms {
        delegations: 2,
        ..terms(3)
    };
    let holder = key(2).public();
    let by_another = ticket().delegate(&key(4), stamp(2), &terms);
    assert_eq!(by_another, Err(IssueError::NotHolder { holder }));
    // By hand, signed by somebody else: the form is right, the signature is not.
    let link = Link::new(stamp(2), &terms);
    let mut bytes = link.write(ticket().as_bytes().to_vec()).unwrap();
    form::sign(TAG, &key(4), &mut bytes);
    let forged = Ticket::decode(&bytes).unwrap();
    let jfk = stream("weather/jfk");
    assert_eq!(verify(&forged, &ask(&jfk, 3)), Err(Denied::Signature));
}

#[test]
fn a_chain_of_five_links_is_refused() {
    let mut bytes = chain(4).as_bytes().to_vec();
    // Even if a link could be passed on further.
    let link = Link::new(
        stamp(5),
        &Terms {
            delegations: 0,
            ..terms(6)
        },
    );
    bytes = link.write(bytes).unwrap();
    form::sign(TAG, &key(5), &mut bytes);
    assert_eq!(Ticket::decode(&bytes), Err(TicketError::TooManyLinks));
    let endless = Terms {
        delegations: 4,
        ..terms(2)
    };
    let endless = Ticket::issue(network(), &key(1), stamp(1), &endless);
    assert_eq!(endless, Err(IssueError::Terms(TicketError::TooManyLinks)));
}

/// A link of one chain behind another's: both are signed by node 2, for what stood before.
#[test]
fn a_link_counts_in_its_own_chain_only() {
    let narrow = Ticket::issue(
        network(),
        &key(1),
        stamp(7),
        &Terms {
            rights: Right::Consume.into(),
            ..terms(2)
        },
    )
    .unwrap();
    let on = Terms {
        rights: Right::Consume.into(),
        delegations: 2,
        ..terms(3)
    };
    let long = narrow.delegate(&key(2), stamp(2), &on).unwrap();
    let tail = &long.as_bytes()[narrow.as_bytes().len()..];
    let spliced = [&ticket().as_bytes()[..], tail].concat();
    let spliced = Ticket::decode(&spliced).unwrap();
    let jfk = stream("weather/jfk");
    assert_eq!(verify(&long, &ask(&jfk, 3)), Ok(NOW + 3600));
    assert_eq!(verify(&spliced, &ask(&jfk, 3)), Err(Denied::Signature));
}

#[test]
fn no_changed_byte_verifies() {
    let jfk = stream("weather/jfk");
    let ticket = chain(2);
    let question = ask(&jfk, 3);
    assert_eq!(verify(&ticket, &question), Ok(NOW + 3600));
    let whole = ticket.as_bytes();
    for len in 0..whole.len() {
        // The first link alone is a ticket, for another node.
        let cut = Ticket::decode(&whole[..len]);
        if let Ok(cut) = cut {
            assert_eq!(verify(&cut, &question), Err(Denied::Audience));
        }
    }
    for extra in [&[0][..], &[0; 64], &[0; 200], whole] {
        assert!(Ticket::decode(&[whole, extra].concat()).is_err());
    }
    for at in 0..whole.len() * 8 {
        let mut bad = whole.to_vec();
        bad[at / 8] ^= 1 << (at % 8);
        if let Ok(bad) = Ticket::decode(&bad) {
            assert!(verify(&bad, &question).is_err(), "bit {at}");
        }
    }
}

#[test]
fn times_have_limits() {
    let made = |not_before_s, expires_s| {
        let terms = Terms {
            not_before_s,
            expires_s,
            ..terms(2)
        };
        Ticket::issue(network(), &key(1), stamp(1), &terms)
    };
    let times = Err(IssueError::Terms(TicketError::Times));
    for (from, to) in [
        (NOW, NOW),
        (NOW, NOW - 1),
        (0, u64::MAX),
        (u64::MAX, u64::MAX),
        (u64::MAX, 0),
        (u64::MAX - 1, u64::MAX),
        (NOW, NOW + limits::TICKET_LIFETIME_S + 1),
        (limits::TICKET_TIME_S, limits::TICKET_TIME_S + 1),
    ] {
        assert_eq!(made(from, to), times, "{from} to {to}");
    }
    assert!(made(0, 1).is_ok());
    assert!(made(NOW, NOW + limits::TICKET_LIFETIME_S).is_ok());
    let late = Stamp {
        issued_s: u64::MAX,
        ..stamp(1)
    };
    assert_eq!(Ticket::issue(network(), &key(1), late, &terms(2)), times);
}

#[test]
fn other_forms_are_refused() {
    let whole = ticket().as_bytes().to_vec();
    let mut newer = whole.clone();
    newer[0] = 2;
    assert_eq!(
        Ticket::decode(&newer),
        Err(TicketError::Version { found: 2 })
    );
    assert_eq!(Ticket::decode(&[]), Err(TicketError::Malformed("empty")));
    let huge = vec![1; limits::TICKET + 1];
    assert_eq!(
        Ticket::decode(&huge),
        Err(TicketError::TooLarge { got: 2049 })
    );
    // A pattern that claims 4 GiB.
    let mut claims = whole[..Head::LEN + 48].to_vec();
    claims.extend([0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(Ticket::decode(&claims).is_err());
    // The length of the pattern, 9, in two bytes.
    let at = Head::LEN + 48;
    assert_eq!(whole[at], 9);
    let mut long = whole.clone();
    long.splice(at..=at, [0x89, 0x00]);
    assert_eq!(
        Ticket::decode(&long),
        Err(TicketError::Malformed("not in canonical form"))
    );
    // No rights, and one that there is not.
    let rights = at + 1 + 9;
    assert_eq!(whole[rights], 7);
    for (bits, error) in [
        (0, TicketError::NoRights),
        (8, TicketError::Malformed("a link cannot be read")),
    ] {
        let mut changed = whole.clone();
        changed[rights] = bits;
        assert_eq!(Ticket::decode(&changed), Err(error));
    }
}

/// A key of small order verifies signatures that nobody made, where verification is not strict.
#[test]
fn weak_keys_verify_nothing() {
    // The neutral element.
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut bytes = ticket().as_bytes().to_vec();
    bytes[Head::LEN - 32..Head::LEN].copy_from_slice(&weak);
    let at = bytes.len() - SIGNATURE;
    bytes[at..].fill(0);
    bytes[at] = 1;
    if let Ok(ticket) = Ticket::decode(&bytes) {
        assert!(!ticket.is_signed());
    }
}
