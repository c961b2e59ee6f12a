//! Revocation lists.

use super::*;

fn list(number: u64, before_s: u64, ids: &[u8]) -> RevocationList {
    let revoking = Revoking {
        number,
        before_s,
        ids: ids.iter().map(|n| TicketId([*n; 16])).collect(),
    };
    RevocationList::sign(network(), &key(1), revoking).unwrap()
}

fn under(list: RevocationList, ticket: &Ticket, audience: u8) -> Result<u64, Denied> {
    let mut revoked = Revoked::default();
    assert!(revoked.insert(list));
    verifier().verify(ticket, &ask(&stream("weather/jfk"), audience), &revoked)
}

#[test]
fn any_link_of_a_chain_can_be_revoked() {
    let ticket = chain(4);
    for id in 1..=4 {
        assert_eq!(
            under(list(1, 0, &[9, id]), &ticket, 5),
            Err(Denied::Revoked)
        );
    }
    assert_eq!(under(list(1, 0, &[9]), &ticket, 5), Ok(NOW + 3600));
}

#[test]
fn all_of_before_a_time_can_be_revoked() {
    let ticket = chain(2);
    assert_eq!(under(list(1, NOW - 10, &[]), &ticket, 3), Ok(NOW + 3600));
    assert_eq!(
        under(list(1, NOW - 9, &[]), &ticket, 3),
        Err(Denied::Revoked)
    );
    // A holder that claims another time for its own link does not help it.
    let later = Stamp {
        issued_s: NOW + 100,
        ..stamp(2)
    };
    let terms = Terms {
        delegations: 2,
        ..terms(3)
    };
    let sly = super::ticket().delegate(&key(2), later, &terms).unwrap();
    assert_eq!(under(list(1, NOW - 9, &[]), &sly, 3), Err(Denied::Revoked));
}

#[test]
fn the_list_of_another_authority_or_network_says_nothing() {
    let revoking = list(1, u64::MAX, &[1]).revoking().clone();
    let others = RevocationList::sign(network(), &key(2), revoking.clone()).unwrap();
    assert_eq!(under(others, &ticket(), 2), Ok(NOW + 3600));
    let elsewhere = RevocationList::sign(NetworkId::of("x"), &key(1), revoking).unwrap();
    assert_eq!(under(elsewhere, &ticket(), 2), Ok(NOW + 3600));
}

#[test]
fn the_newer_list_counts_whichever_comes_first() {
    let (old, new) = (list(1, 0, &[1]), list(2, 0, &[2]));
    for order in [[&old, &new], [&new, &old]] {
        let mut revoked = Revoked::default();
        for list in order {
            revoked.insert(list.clone());
        }
        assert_eq!(revoked.get(&key(1).public()), Some(&new));
        assert!(!revoked.insert(old.clone()) && !revoked.insert(new.clone()));
        assert_eq!(revoked.len(), 1);
    }
    assert!(list(u64::MAX, 0, &[]).revoking().number == u64::MAX);
}

#[test]
fn lists_are_read_strictly() {
    let whole = list(3, NOW, &[1, 2, 3]);
    let bytes = whole.as_bytes();
    assert_eq!(RevocationList::decode(bytes).as_ref(), Ok(&whole));
    assert_eq!(
        whole.to_string().parse::<RevocationList>(),
        Ok(whole.clone())
    );
    let peeked = RevocationList::peek(bytes).unwrap();
    assert_eq!(peeked, (network(), *key(1).public().as_bytes(), 3));
    assert_eq!(RevocationList::peek(&bytes[..80]), None);
    for len in 0..bytes.len() {
        assert!(
            RevocationList::decode(&bytes[..len]).is_err(),
            "cut at {len}"
        );
    }
    for extra in [1, 16, 64] {
        let long = [&bytes[..], &vec![0; extra]].concat();
        assert!(RevocationList::decode(&long).is_err());
    }
    for at in 0..bytes.len() * 8 {
        let mut bad = bytes.to_vec();
        bad[at / 8] ^= 1 << (at % 8);
        assert!(RevocationList::decode(&bad).is_err(), "bit {at}");
    }
    // Out of order, by an authority that signs it so.
    let mut swapped = bytes[..bytes.len() - SIGNATURE].to_vec();
    let ids = swapped.len() - 48;
    swapped[ids..ids + 16].fill(2);
    swapped[ids + 16..ids + 32].fill(1);
    let signature = key(1).sign(&[b"rivermesh/1 revocations\0", &swapped[..]].concat());
    swapped.extend_from_slice(&signature.to_bytes());
    assert_eq!(
        RevocationList::decode(&swapped),
        Err(RevocationError::Malformed("not in canonical form"))
    );
}

#[test]
fn lists_are_bounded() {
    let of = |count: u32| {
        let ids = (0..count)
            .map(|n| {
                let mut id = [0; 16];
                id[..4].copy_from_slice(&n.to_le_bytes());
                TicketId(id)
            })
            .collect();
        let revoking = Revoking {
            number: 1,
            before_s: 0,
            ids,
        };
        RevocationList::sign(network(), &key(1), revoking)
    };
    let largest = of(1014).unwrap();
    assert!(largest.as_bytes().len() <= limits::REVOCATIONS);
    assert_eq!(
        RevocationList::decode(largest.as_bytes()),
        Ok(largest.clone())
    );
    assert_eq!(largest.to_string().parse::<RevocationList>(), Ok(largest));
    assert!(matches!(of(1015), Err(RevocationError::TooLarge { .. })));
    let huge = vec![1; limits::REVOCATIONS + 1];
    assert!(RevocationList::decode(&huge).is_err());
}
