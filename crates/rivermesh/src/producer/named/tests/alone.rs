//! One consumer with a name.

use std::{collections::BTreeSet, time::Instant};

use iroh::SecretKey;
use proptest::prelude::*;
use rivermesh_proto::{NodeId, Seq};

use crate::producer::named::{Ahead, Token, alone::Alone};

fn node(number: u8) -> NodeId {
    SecretKey::from_bytes(&[number + 1; 32]).public()
}

/// What may happen to a name.
#[derive(Clone, Debug)]
enum Act {
    Attach {
        node: u8,
        max: u64,
    },
    Detach,
    /// Sends items, of which the filter leaves out those of the mask.
    Send {
        items: u64,
        left_out: u8,
    },
    Commit {
        part: f64,
    },
    /// By one that does not have the name any more.
    StaleCommit,
    CommitAhead,
    /// The process is killed, and the disk knows this part of what was committed.
    Restart {
        part: f64,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => (0u8..2, 1u64..20).prop_map(|(node, max)| Act::Attach { node, max }),
        1 => Just(Act::Detach),
        8 => (1u64..12, any::<u8>()).prop_map(|(items, left_out)| Act::Send { items, left_out }),
        6 => (0.0..=1.0f64).prop_map(|part| Act::Commit { part }),
        1 => Just(Act::StaleCommit),
        1 => Just(Act::CommitAhead),
        1 => (0.0..=1.0f64).prop_map(|part| Act::Restart { part }),
    ];
    prop::collection::vec(act, 1..80)
}

/// A consumer with a name, as a set of numbers.
#[derive(Default)]
struct Model {
    committed: Seq,
    sent: Seq,
    told: Seq,
    flight: BTreeSet<Seq>,
    holder: Option<(u8, Token, u64)>,
}

impl Model {
    fn settle(&mut self) {
        if self.flight.is_empty() {
            self.committed = self.committed.max(self.told);
        }
    }
}

fn check_alone(acts: Vec<Act>) {
    let now = Instant::now();
    let mut alone = Alone::new(0, now);
    let mut model = Model::default();
    let mut tokens = 0;
    for act in acts {
        let had = model.holder;
        let holder = had.map_or(Token(999), |(_, token, _)| token);
        match act {
            Act::Attach { node: number, max } => {
                tokens += 1;
                let token = Token(tokens);
                let got = alone.attach(node(number), token, max);
                if had.is_some_and(|(node, ..)| node != number) {
                    assert!(got.is_err(), "another node has it");
                } else {
                    assert_eq!(got.unwrap(), had.map(|(_, token, _)| token));
                    model.holder = Some((number, token, max));
                    model.flight.clear();
                    model.told = model.committed;
                }
            }
            Act::Detach => {
                assert_eq!(alone.detach(holder, now), had.is_some());
                model.holder = None;
            }
            Act::Send { items, left_out } => {
                let Some((_, token, max)) = had else {
                    assert_eq!(alone.room(holder), 0);
                    continue;
                };
                let room = max - (model.flight.len() as u64).min(max);
                assert_eq!(alone.room(token), room);
                let numbers = (model.told..model.told + items)
                    .filter(|seq| left_out >> (seq % 8) & 1 == 0)
                    .take(room as usize);
                let sent: Vec<Seq> = numbers.collect();
                let upto = match sent.last() {
                    Some(last) => last + 1,
                    None => model.told + u64::from(left_out == u8::MAX) * items,
                };
                alone.put_out(token, sent.iter().map(|seq| *seq..seq + 1), upto);
                model
                    .flight
                    .extend(sent.iter().filter(|seq| **seq >= model.committed));
                model.told = upto.max(model.told);
                model.sent = model.sent.max(upto);
                model.settle();
            }
            Act::Commit { part } => {
                let upto = (model.sent as f64 * part) as Seq;
                let moved = alone.commit(holder, upto).unwrap();
                if had.is_some() {
                    let before = model.committed;
                    model.committed = model.committed.max(upto);
                    model.flight.retain(|seq| *seq >= upto);
                    model.settle();
                    assert_eq!(moved, model.committed > before);
                }
            }
            Act::Restart { part } => {
                let committed = (model.committed as f64 * part) as Seq;
                alone = Alone::recovered(committed, model.sent, now);
                model = Model {
                    committed,
                    sent: model.sent,
                    ..Model::default()
                };
            }
            Act::StaleCommit => assert_eq!(alone.commit(Token(0), model.sent), Ok(false)),
            Act::CommitAhead => {
                let said = alone.commit(holder, model.sent + 1);
                assert_eq!(said, if had.is_some() { Err(Ahead) } else { Ok(false) });
            }
        }
        assert_eq!(alone.committed(), model.committed);
        assert_eq!(alone.sent(), model.sent);
        assert_eq!(alone.in_flight(), model.flight.len() as u64);
        assert_eq!(alone.away().is_some(), model.holder.is_none());
        let lowest = model.flight.first().copied().unwrap_or(Seq::MAX);
        assert!(
            alone.committed() <= lowest,
            "what is in flight is not committed"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_name_is_where_its_model_is(acts in acts()) {
        check_alone(acts);
    }
}
