//! The judge before seeded bugs: it must let pass what is right and catch each thing that is not.

use std::time::Duration;

use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::StdRng};
use rivermesh_proto::{Epoch, Seq, StreamName};

use super::{
    ConsumerEvent::{Joined, Left, Missed, Received},
    bugs::BUGS,
    sim::{self, Shape},
    *,
};

fn shapes() -> impl Strategy<Value = Shape> {
    (1u64..4, 1u64..4, 1u64..4, 2u64..60).prop_map(|(producers, consumers, lives, items)| Shape {
        producers,
        consumers,
        lives,
        items,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_right_passes(seed: u64, shape in shapes()) {
        let run = sim::run(seed, &shape);
        match run.check(&sim::rules()) {
            Ok(_) => {}
            // A gap may have swallowed everything.
            Err(Failure::Void(reasons)) => prop_assert!(
                matches!(reasons[..], [VoidReason::TooFewItems { got: 0, .. }]), "{:?}", reasons
            ),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn every_bug_is_caught(seed: u64, shape in shapes(), bug in prop::sample::select(BUGS)) {
        let mut run = sim::run(seed, &shape);
        let mut rng = StdRng::seed_from_u64(!seed);
        if bug.plant(&mut run, &mut rng).is_some() {
            match run.check(&sim::rules()) {
                Err(Failure::Broken(found)) => prop_assert!(
                    found.iter().any(|v| bug.named_by(&v.breach)),
                    "{:?} was taken for {}", bug, Failure::Broken(found)
                ),
                other => prop_assert!(false, "{:?} was let pass: {:?}", bug, other),
            }
        }
    }
}

/// So that the property above cannot pass by never planting a bug.
#[test]
fn every_bug_finds_its_place() {
    let shape = Shape {
        producers: 3,
        consumers: 2,
        lives: 3,
        items: 60,
    };
    for bug in BUGS {
        let planted = (0..200u64)
            .filter(|seed| {
                let mut run = sim::run(*seed, &shape);
                let planted = bug
                    .plant(&mut run, &mut StdRng::seed_from_u64(*seed))
                    .is_some();
                if planted {
                    let verdict = run.check(&sim::rules());
                    let Err(Failure::Broken(found)) = verdict else {
                        panic!("{bug:?} with seed {seed} was let pass: {verdict:?}");
                    };
                    assert!(
                        found.iter().any(|v| bug.named_by(&v.breach)),
                        "{bug:?}: {found:?}"
                    );
                }
                planted
            })
            .count();
        assert!(planted >= 50, "{bug:?} was planted only {planted} times");
    }
}

fn stream() -> StreamName {
    StreamName::new("s").unwrap()
}

fn producer(count: u64) -> ProducerJournal {
    let mut journal = ProducerJournal::new(sim::node_id(1), Epoch(1), stream());
    journal.attempt_many(count).unwrap();
    journal.accepted_many(count).unwrap();
    journal
}

/// One producer, one consumer that received all, both finished.
fn sunny(count: u64) -> (Run, ProducerJournal, ConsumerJournal) {
    let mut rng = StdRng::seed_from_u64(1);
    let key = Key::from_seed(1);
    let mut journal = producer(count);
    let mut consumer = ConsumerJournal::new("c", stream());
    let (node, epoch) = (journal.producer(), journal.epoch());
    consumer
        .push(Joined {
            producer: node,
            epoch,
            seq: 0,
        })
        .unwrap();
    for seq in 0..count {
        consumer
            .push(sim::item(&mut rng, &key, &journal, seq))
            .unwrap();
    }
    journal.finish().unwrap();
    consumer.finish(ConsumerEnd::Drained).unwrap();
    (Run::new(key), journal, consumer)
}

fn breaches(run: &Run, rules: &Rules) -> Vec<Breach> {
    match run.check(rules) {
        Err(Failure::Broken(violations)) => violations.into_iter().map(|v| v.breach).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_proves_nothing_is_void() {
    let (mut run, producer, consumer) = sunny(9_999);
    run.producer(producer).consumer(consumer);
    let Err(Failure::Void(reasons)) = run.check(&Rules::default()) else {
        panic!()
    };
    assert_eq!(
        reasons,
        [
            VoidReason::TooFewItems {
                got: 9_999,
                needed: 10_000
            },
            VoidReason::TooFewFaults { got: 0, needed: 1 },
        ]
    );
    run.fault("a link was cut");
    let fewer = Rules {
        min_items: 9_999,
        ..Rules::default()
    };
    assert_eq!(run.check(&fewer).unwrap().faults, 1);
    assert!(matches!(run.check(&Rules::sunny()), Err(Failure::Void(_))));
    assert!(matches!(
        Run::new(Key::from_seed(1)).check(&Rules::default()),
        Err(Failure::Void(_))
    ));
}

#[test]
fn a_broken_run_is_broken_even_when_it_proves_nothing_else() {
    let (mut run, producer, mut consumer) = sunny(10);
    consumer.events_mut().remove(5);
    run.producer(producer).consumer(consumer);
    assert_eq!(
        breaches(&run, &Rules::default()),
        [Breach::Hole { from: 4, to: 5 }]
    );
}

#[test]
fn a_journal_without_an_end_is_a_crash_unless_the_test_killed() {
    let (_, _, drained) = sunny(10);
    let unfinished = || ConsumerJournal::new("d", stream());
    let mut run = Run::new(Key::from_seed(1));
    run.producer(producer(10))
        .consumer(drained)
        .consumer(unfinished());
    assert_eq!(
        breaches(&run, &sim::rules()),
        [Breach::Unfinished, Breach::Unfinished]
    );

    let (mut run, _, drained) = sunny(10);
    run.producer(producer(10).killed())
        .consumer(drained)
        .consumer(unfinished().killed());
    assert_eq!(run.check(&sim::rules()).unwrap().faults, 2);
}

#[test]
fn items_in_doubt_may_arrive_after_a_kill_only() {
    let mut rng = StdRng::seed_from_u64(1);
    for killed in [true, false] {
        let (mut run, _, mut consumer) = sunny(10);
        let mut journal = producer(10);
        journal.attempt().unwrap();
        let doubtful = sim::item(&mut rng, run.key(), &journal, 10);
        consumer.events_mut().push(doubtful);
        if killed {
            run.producer(journal.killed()).consumer(consumer);
            run.check(&sim::rules()).unwrap();
        } else {
            journal.finish().unwrap();
            run.producer(journal).consumer(consumer);
            assert_eq!(
                breaches(&run, &sim::rules()),
                [Breach::NeverAccepted { seq: 10, bound: 10 }]
            );
        }
    }
}

#[test]
fn nothing_may_arrive_after_a_revocation() {
    let at = |from_us, until_us, item_us: Option<u64>| {
        let (mut run, producer, mut consumer) = sunny(10);
        let node = producer.producer();
        for event in consumer.events_mut() {
            if let Received { at_us, .. } = event {
                *at_us = item_us;
            }
        }
        run.producer(producer).consumer(consumer);
        run.revocation(Revocation {
            consumer: "c".into(),
            producer: node,
            from_us,
            until_us,
        });
        run.check(&Rules {
            revocation_grace: Duration::from_micros(100),
            ..sim::rules()
        })
    };
    assert!(at(1_000, None, Some(1_100)).is_ok());
    let Err(Failure::Broken(late)) = at(1_000, None, Some(1_101)) else {
        panic!()
    };
    assert_eq!(
        late[0].breach,
        Breach::AfterRevocation {
            seq: 0,
            late_us: 101
        }
    );
    assert!(at(1_000, Some(1_050), Some(1_101)).is_ok());
    assert!(at(1_000, Some(2_000), Some(1_101)).is_err());
    assert!(
        matches!(at(1_000, None, None), Err(Failure::Void(r)) if matches!(r[..], [VoidReason::NoTimes { .. }]))
    );
}

#[test]
fn a_refusal_that_nobody_ordered_excuses_nothing() {
    let (_, producer, _) = sunny(10);
    let (node, epoch) = (producer.producer(), producer.epoch());
    let mut run = Run::new(Key::from_seed(1));
    let mut refused = ConsumerJournal::new("refused", stream());
    refused
        .push(ConsumerEvent::Refused { producer: node })
        .unwrap();
    let mut cut = ConsumerJournal::new("cut", stream());
    cut.push(Joined {
        producer: node,
        epoch,
        seq: 3,
    })
    .unwrap();
    cut.push(Left {
        producer: node,
        epoch,
        why: Leave::Cut,
    })
    .unwrap();
    for mut journal in [refused, cut] {
        journal.finish(ConsumerEnd::Drained).unwrap();
        run.consumer(journal);
    }
    run.producer(producer);
    let rules = Rules {
        min_items: 0,
        ..sim::rules()
    };
    assert_eq!(
        breaches(&run, &rules),
        [
            Breach::NeverJoined { accepted: 10 },
            Breach::Tail { from: 3, to: 10 }
        ]
    );
    run.check(&Rules {
        may_refuse: true,
        ..rules
    })
    .unwrap();
}

#[test]
fn rules_say_what_joining_again_means() {
    // Received 0..6, lost, joined again at `again`, received `again`.. to the end.
    let verdict = |rejoin, again: Seq| {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut run, journal, mut consumer) = sunny(10);
        let (producer, epoch) = (journal.producer(), journal.epoch());
        consumer.events_mut().truncate(7);
        consumer
            .push(Left {
                producer,
                epoch,
                why: Leave::Lost,
            })
            .unwrap();
        consumer
            .push(Joined {
                producer,
                epoch,
                seq: again,
            })
            .unwrap();
        for seq in again..10 {
            consumer
                .push(sim::item(&mut rng, run.key(), &journal, seq))
                .unwrap();
        }
        run.producer(journal).consumer(consumer);
        run.check(&Rules {
            rejoin,
            ..sim::rules()
        })
    };
    assert!(verdict(Rejoin::Resumes, 6).is_ok());
    assert!(verdict(Rejoin::Resumes, 5).is_err());
    assert!(verdict(Rejoin::Resumes, 7).is_err());
    assert!(verdict(Rejoin::StartsAnew, 6).is_ok());
    assert!(verdict(Rejoin::StartsAnew, 5).is_err());
    assert!(verdict(Rejoin::StartsAnew, 8).is_ok());
    assert!(verdict(Rejoin::Redelivers, 6).is_ok());
    assert!(verdict(Rejoin::Redelivers, 2).is_ok());
    assert!(verdict(Rejoin::Redelivers, 7).is_err());
}

#[test]
fn a_lost_tail_is_excused_by_a_rule_only() {
    let (mut run, journal, mut consumer) = sunny(10);
    let (producer, epoch) = (journal.producer(), journal.epoch());
    consumer.events_mut().truncate(7);
    consumer
        .push(Left {
            producer,
            epoch,
            why: Leave::Lost,
        })
        .unwrap();
    run.producer(journal).consumer(consumer);
    assert_eq!(
        breaches(&run, &sim::rules()),
        [Breach::Tail { from: 6, to: 10 }]
    );
    run.check(&Rules {
        tail: Tail::UnlessLost,
        ..sim::rules()
    })
    .unwrap();
}

#[test]
fn stricter_rules_find_more() {
    let (mut run, journal, mut consumer) = sunny(10);
    let (producer, epoch) = (journal.producer(), journal.epoch());
    consumer.events_mut().drain(..4);
    consumer.events_mut().splice(
        0..0,
        [
            Joined {
                producer,
                epoch,
                seq: 1,
            },
            Missed {
                producer,
                epoch,
                from: 1,
                to: 3,
            },
        ],
    );
    run.producer(journal).consumer(consumer);
    run.check(&sim::rules()).unwrap();
    let strict = Rules {
        from_start: true,
        may_miss: false,
        ..sim::rules()
    };
    assert_eq!(
        breaches(&run, &strict),
        [
            Breach::LateStart { seq: 1 },
            Breach::Missed { from: 1, to: 3 }
        ]
    );
}

#[test]
fn an_epoch_serves_one_life() {
    let (mut run, first, consumer) = sunny(10);
    let (_, second, _) = sunny(10);
    run.producer(first).producer(second).consumer(consumer);
    assert_eq!(breaches(&run, &sim::rules()), [Breach::EpochReused]);
}

#[test]
fn a_failure_lists_what_and_where_but_not_everything() {
    let (_, journal, consumer) = sunny(100);
    let mut run = Run::new(Key::from_seed(2));
    run.producer(journal).consumer(consumer);
    let text = run.check(&sim::rules()).unwrap_err().to_string();
    assert!(
        text.starts_with("100 violations\n  stream s, consumer c event 1, producer "),
        "{text}"
    );
    assert!(text.ends_with("… and 80 more"), "{text}");
    assert_eq!(text.lines().count(), 22);
}

#[test]
fn events_without_items_are_judged_too() {
    let producer = sim::node_id(1);
    let (first, second, unknown) = (Epoch(1), Epoch(2), Epoch(3));
    let joined = |epoch, seq| Joined {
        producer,
        epoch,
        seq,
    };
    let reset = |old, new| ConsumerEvent::Reset { producer, old, new };
    let verdict = |events: &[ConsumerEvent]| {
        let mut run = Run::new(Key::from_seed(1));
        for epoch in [first, second] {
            let mut journal = ProducerJournal::new(producer, epoch, stream());
            journal.attempt().unwrap();
            run.producer(journal.killed());
        }
        let mut consumer = ConsumerJournal::new("c", stream());
        events
            .iter()
            .for_each(|event| consumer.push(*event).unwrap());
        consumer.finish(ConsumerEnd::Drained).unwrap();
        run.consumer(consumer);
        run.check(&Rules {
            min_items: 0,
            ..sim::rules()
        })
    };
    let found = |events: &[ConsumerEvent]| match verdict(events) {
        Err(Failure::Broken(violations)) => violations[0].breach.clone(),
        other => panic!("{other:?}"),
    };
    verdict(&[joined(first, 1), reset(first, second), joined(second, 0)]).unwrap();
    verdict(&[joined(first, 1), joined(second, 0), reset(first, second)]).unwrap();
    assert_eq!(
        found(&[joined(first, 2)]),
        Breach::NeverAccepted { seq: 2, bound: 1 }
    );
    assert_eq!(found(&[joined(unknown, 0)]), Breach::UnknownEpoch);
    assert_eq!(
        found(&[joined(first, 0), reset(first, unknown)]),
        Breach::UnknownEpoch
    );
    assert_eq!(
        found(&[joined(first, 0), reset(first, second), joined(first, 0)]),
        Breach::StaleEpoch
    );
    assert_eq!(
        found(&[joined(first, 0), reset(first, second), reset(second, first)]),
        Breach::BadReset {
            old: second,
            new: first,
            current: Some(second)
        }
    );
    assert_eq!(
        found(&[Left {
            producer,
            epoch: first,
            why: Leave::Lost
        }]),
        Breach::NotThere
    );
}
