//! A group.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rivermesh_proto::{Seq, named::Acknowledged};

use crate::producer::named::{
    Ahead, Token,
    group::{Group, Limits},
};

/// What may happen to a group.
#[derive(Clone, Debug)]
enum Step {
    Join {
        items: usize,
        bytes: usize,
    },
    /// Which of the members.
    Leave(usize),
    Offer {
        count: u8,
        left_out: u8,
    },
    Take {
        member: usize,
        bytes: usize,
    },
    /// Which of the items that a member was sent.
    Acknowledge {
        member: usize,
        mask: u16,
    },
    AcknowledgeAhead(usize),
    /// The log on disk is damaged.
    Lose(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (1usize..12, 1usize..200).prop_map(|(items, bytes)| Step::Join { items, bytes }),
        1 => any::<usize>().prop_map(Step::Leave),
        8 => (1u8..16, any::<u8>()).prop_map(|(count, left_out)| Step::Offer { count, left_out }),
        8 => (any::<usize>(), 1usize..100).prop_map(|(member, bytes)| Step::Take { member, bytes }),
        8 => (any::<usize>(), any::<u16>())
            .prop_map(|(member, mask)| Step::Acknowledge { member, mask }),
        1 => any::<usize>().prop_map(Step::AcknowledgeAhead),
        1 => (1u8..16).prop_map(Step::Lose),
    ];
    prop::collection::vec(step, 1..120)
}

/// What a member has been sent and has not acknowledged, and where its part of the stream stands.
#[derive(Default)]
struct Has {
    items: BTreeSet<Seq>,
    /// What is gone, and it was not told.
    gone: VecDeque<Range<Seq>>,
    told: Seq,
    limit: usize,
}

struct Watch {
    group: Group<Seq>,
    by_key: bool,
    members: BTreeMap<Token, Has>,
    tokens: u64,
    /// Items that are for somebody and were not acknowledged.
    owed: BTreeSet<Seq>,
    sent: BTreeSet<Seq>,
    next: Seq,
    now: Instant,
}

/// Items are of few keys, and of few sizes.
fn key(seq: Seq) -> u64 {
    seq % 5
}

fn size(seq: Seq) -> usize {
    (seq % 7) as usize * 5
}

impl Watch {
    fn new(by_key: bool) -> Self {
        let now = Instant::now();
        Self {
            group: Group::new(by_key, 0, now),
            by_key,
            members: BTreeMap::new(),
            tokens: 0,
            owed: BTreeSet::new(),
            sent: BTreeSet::new(),
            next: 0,
            now,
        }
    }

    fn pick(&self, which: usize) -> Option<Token> {
        let tokens: Vec<Token> = self.members.keys().copied().collect();
        (!tokens.is_empty()).then(|| tokens[which % tokens.len()])
    }

    fn join(&mut self, items: usize, bytes: usize) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let told = self.group.join(token, Limits { items, bytes });
        assert_eq!(told, self.next);
        let has = Has {
            told,
            limit: items,
            ..Has::default()
        };
        self.members.insert(token, has);
    }

    fn offer(&mut self, count: u8, left_out: u8) {
        for _ in 0..count {
            let seq = self.next;
            if left_out >> (seq % 8) & 1 == 1 {
                self.group.skip(seq + 1);
            } else if !self.group.wants() || !self.group.offer(seq, size(seq), key(seq), seq) {
                return;
            } else {
                self.owed.insert(seq);
            }
            self.next += 1;
        }
    }

    fn lose(&mut self, count: u8) {
        let gone = self.next..self.next + Seq::from(count);
        self.group.lose(gone.clone());
        self.next = gone.end;
        for has in self.members.values_mut() {
            has.gone.push_back(gone.clone());
        }
    }

    fn take(&mut self, token: Token, bytes: usize) {
        self.group.deal_returned();
        let (items, upto) = self.group.take(token, bytes);
        let has = self.members.get_mut(&token).unwrap();
        for item in items {
            assert_eq!(item.place, item.seq);
            assert!(self.owed.contains(&item.seq), "acknowledged and sent again");
            assert!(has.items.insert(item.seq), "{} twice", item.seq);
            if item.is_returned {
                assert!(self.tokens > 1, "nobody else can have had it");
            } else {
                assert!(item.seq >= has.told, "{} after {}", item.seq, has.told);
                assert!(self.sent.insert(item.seq), "another one had it");
                has.told = item.seq + 1;
            }
        }
        assert!(upto >= has.told);
        has.told = upto;
        let stop = has.gone.front().map_or(Seq::MAX, |gone| gone.start);
        assert!(upto <= stop, "what is gone counts as for others");
        if let Some(gap) = self.group.gap(token) {
            assert_eq!(has.gone.pop_front(), Some(gap.clone()));
            assert_eq!(gap.start, has.told);
            has.told = gap.end;
            assert!(has.told <= self.group.told(token));
        }
        assert!(has.items.len() <= has.limit);
        if self.by_key {
            self.check_keys();
        }
    }

    /// The items of a key that somebody has are all with the same member.
    fn check_keys(&self) {
        let mut owners: BTreeMap<u64, Token> = BTreeMap::new();
        for (token, has) in &self.members {
            for seq in &has.items {
                assert_eq!(*owners.entry(key(*seq)).or_insert(*token), *token);
            }
        }
    }

    fn acknowledge(&mut self, token: Token, mask: u16) {
        let has = self.members.get_mut(&token).unwrap();
        let chosen = |n: usize| mask >> (n % 16) & 1 == 1;
        let numbered = has.items.iter().copied().enumerate();
        let done: Vec<Seq> = numbered
            .filter(|(n, _)| chosen(*n))
            .map(|(_, seq)| seq)
            .collect();
        let mut ranges: Vec<(Seq, Seq)> = Vec::new();
        for seq in &done {
            match ranges.last_mut() {
                Some(last) if last.1 == *seq => last.1 += 1,
                _ => ranges.push((*seq, seq + 1)),
            }
        }
        let said = Acknowledged::new(ranges);
        assert_eq!(self.group.acknowledge(token, &said), Ok(done.len()));
        for seq in done {
            has.items.remove(&seq);
            assert!(self.owed.remove(&seq), "acknowledged twice");
        }
        // Said again, and by somebody else, it means nothing.
        assert_eq!(self.group.acknowledge(token, &said), Ok(0));
        assert_eq!(self.group.acknowledge(Token(0), &said), Ok(0));
    }

    fn check(&self) {
        let lowest = self.owed.first().copied().unwrap_or(self.next);
        assert_eq!(self.group.committed(), lowest);
        assert_eq!(self.group.members(), self.members.len());
        assert_eq!(self.group.away().is_some(), self.members.is_empty());
    }

    /// In the end everything comes to somebody, and is acknowledged.
    fn drain(&mut self) {
        self.join(1_000_000, 1_000_000);
        for _ in 0..10_000 {
            for token in self.members.keys().copied().collect::<Vec<_>>() {
                self.take(token, 1000);
                self.acknowledge(token, u16::MAX);
            }
            let told = |has: &Has| has.gone.is_empty();
            if self.owed.is_empty() && self.members.values().all(told) {
                break;
            }
        }
        assert!(self.owed.is_empty(), "lost: {:?}", self.owed);
        assert_eq!(self.group.committed(), self.next);
        assert!(self.group.loads().iter().all(|items| *items == 0));
        for has in self.members.values() {
            assert!(has.gone.is_empty(), "not told: {:?}", has.gone);
        }
    }
}

fn check_group(by_key: bool, steps: Vec<Step>) {
    let mut watch = Watch::new(by_key);
    for step in steps {
        match step {
            Step::Join { items, bytes } => watch.join(items, bytes),
            Step::Leave(which) => {
                if let Some(token) = watch.pick(which) {
                    assert!(watch.group.leave(token, watch.now));
                    watch.members.remove(&token);
                }
            }
            Step::Offer { count, left_out } => watch.offer(count, left_out),
            Step::Take { member, bytes } => {
                if let Some(token) = watch.pick(member) {
                    watch.take(token, bytes);
                }
            }
            Step::Acknowledge { member, mask } => {
                if let Some(token) = watch.pick(member) {
                    watch.acknowledge(token, mask);
                }
            }
            Step::AcknowledgeAhead(which) => {
                if let Some(token) = watch.pick(which) {
                    let said = Acknowledged::new([(0, watch.next + 1)]);
                    assert_eq!(watch.group.acknowledge(token, &said), Err(Ahead));
                }
            }
            Step::Lose(count) => watch.lose(count),
        }
        watch.check();
    }
    watch.drain();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_group_loses_nothing_and_gives_nothing_twice(by_key: bool, steps in steps()) {
        check_group(by_key, steps);
    }
}

#[test]
fn items_are_spread_by_least_lag() {
    let mut group = Group::new(false, 0, Instant::now());
    let limits = Limits {
        items: 10,
        bytes: 1000,
    };
    let (a, b) = (Token(1), Token(2));
    group.join(a, limits);
    group.join(b, limits);
    for seq in 0..8 {
        assert!(group.offer(seq, 1, 0, ()));
    }
    assert_eq!(group.loads(), [4, 4]);
    // The one that acknowledges gets what comes next.
    let (items, _) = group.take(a, 1000);
    let done = items.iter().map(|item| (item.seq, item.seq + 1));
    group.acknowledge(a, &Acknowledged::new(done)).unwrap();
    for seq in 8..12 {
        assert!(group.offer(seq, 1, 0, ()));
    }
    assert_eq!(group.loads(), [4, 4]);
    // One that has all it may have gets no more, and in the end nobody does.
    let more = (12..100)
        .take_while(|seq| group.offer(*seq, 1, 0, ()))
        .count();
    assert_eq!(more, 12);
    assert!(!group.wants());
}

#[test]
fn a_member_that_leaves_leaves_its_items_to_the_others() {
    let now = Instant::now();
    let mut group = Group::new(false, 0, now);
    let limits = Limits {
        items: 10,
        bytes: 1000,
    };
    let (a, b) = (Token(1), Token(2));
    group.join(a, limits);
    for seq in 0..4 {
        assert!(group.offer(seq, 1, 0, seq));
    }
    group.take(a, 1000);
    assert!(group.leave(a, now) && !group.leave(a, now));
    assert_eq!(group.committed(), 0);
    assert!(
        group
            .away()
            .is_some_and(|away| away - now < Duration::from_secs(1))
    );
    assert_eq!(group.join(b, limits), 4);
    assert!(!group.wants(), "first what is returned");
    group.deal_returned();
    let (items, told) = group.take(b, 1000);
    let seqs: Vec<Seq> = items.iter().map(|item| item.seq).collect();
    assert_eq!((seqs, told), (vec![0, 1, 2, 3], 4));
    assert!(items.iter().all(|item| item.is_returned));
}
