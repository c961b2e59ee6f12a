//! A delegated ticket never allows what one before it does not.

use proptest::prelude::*;

use super::*;

fn any_pattern() -> impl Strategy<Value = Pattern> {
    "[ab/]{0,3}\\*?".prop_filter_map("a pattern", |text| Pattern::new(&text).ok())
}

fn any_terms() -> impl Strategy<Value = Terms> {
    (any_pattern(), 1_u8..8, 0_u64..40, 1_u64..40, 0_u8..4).prop_map(
        |(pattern, bits, from, len, delegations)| Terms {
            audience: key(2).public(),
            pattern,
            rights: Right::ALL
                .into_iter()
                .filter(|right| bits & (1 << *right as u8) != 0)
                .collect(),
            not_before_s: NOW + from,
            expires_s: NOW + from + len,
            delegations,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Against the naive model: a chain allows what each of its links allows by itself.
    #[test]
    fn a_chain_allows_only_what_each_of_its_links_does(
        links in prop::collection::vec(any_terms(), 1..5),
        names in prop::collection::vec("[ab/]{1,4}", 1..6),
        times in prop::collection::vec(0_u64..90, 1..6),
    ) {
        let links: Vec<Terms> = links
            .into_iter()
            .zip(2_u8..)
            .map(|(terms, n)| Terms { audience: key(n).public(), ..terms })
            .collect();
        let mut ticket = Ticket::issue(network(), &key(1), stamp(1), &links[0]).unwrap();
        let mut taken = 1;
        for (terms, n) in links[1..].iter().zip(2_u8..) {
            match ticket.delegate(&key(n), stamp(n), terms) {
                Ok(on) => {
                    ticket = on;
                    taken += 1;
                }
                Err(error) => {
                    prop_assert!(matches!(
                        error,
                        IssueError::Terms(TicketError::Widens { .. })
                    ), "{error:?}");
                    break;
                }
            }
        }
        let holder = ticket.holder();
        for ((name, right), late) in names
            .iter()
            .flat_map(|name| Right::ALL.map(|right| (name, right)))
            .flat_map(|pair| times.iter().map(move |late| (pair, late)))
        {
            let name = stream(name);
            let now_s = NOW + late;
            let question = Question { network: network(), audience: holder, stream: &name, right, now_s };
            let allowed = verify(&ticket, &question);
            let each = links[..taken].iter().all(|terms| {
                terms.pattern.covers(&name)
                    && terms.rights.contains(right)
                    && terms.not_before_s <= now_s + Verifier::EARLY_S
                    && now_s < terms.expires_s
            });
            prop_assert_eq!(allowed.is_ok(), each, "{:?} {:?}", allowed, &question);
            if let Ok(until) = allowed {
                prop_assert!(links[..taken].iter().all(|terms| until <= terms.expires_s));
            }
        }
    }

    #[test]
    fn a_pattern_within_another_covers_no_more(
        inner in any_pattern(),
        outer in any_pattern(),
        name in "[ab/]{1,5}",
    ) {
        let name = stream(&name);
        if inner.is_within(&outer) && inner.covers(&name) {
            prop_assert!(outer.covers(&name));
        }
        prop_assert!(inner.is_within(&inner));
        prop_assert!(inner.is_within(&Pattern::all()));
    }

    #[test]
    fn whatever_decodes_has_one_form(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(ticket) = Ticket::decode(&bytes) {
            prop_assert_eq!(&ticket.as_bytes()[..], &bytes[..]);
        }
        let _ = RevocationList::decode(&bytes);
    }
}
