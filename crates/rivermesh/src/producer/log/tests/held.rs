//! What is held for consumers with a name.

use super::*;

#[test]
fn what_is_held_stays_up_to_a_bound_of_its_own() {
    let mut log = Log::new(BOUNDS);
    assert!(!log.hold(0));
    let mut sent = 0;
    while let Append::Done { .. } = append(&mut log, &[1; 40]) {
        sent += 1;
    }
    assert_eq!(append(&mut log, &[1; 40]), Append::Held);
    assert!(log.is_held() && !log.has_room());
    assert_eq!(log.oldest(), 0);
    assert!((1000..1000 + 150).contains(&log.bytes()), "{}", log.bytes());
    let lag = log.lag(0);
    assert_eq!((lag.items, lag.bytes), (sent, log.bytes() as u64));
    assert_eq!(lag.since_us, Some(7));
    // Acknowledged in part, it has room again, and whoever was refused is told.
    assert!(log.hold(sent / 2));
    assert!(matches!(append(&mut log, &[1; 40]), Append::Done { .. }));
    assert!(log.oldest() <= sent / 2, "{} is not held", log.oldest());
    assert_eq!(log.lag(sent / 2).items, sent + 1 - sent / 2);
    // Let go, it shrinks to what it keeps anyway.
    log.hold(Seq::MAX);
    for _ in 0..10 {
        assert!(matches!(append(&mut log, &[1; 40]), Append::Done { .. }));
    }
    assert!(log.bytes() <= 400 + 2 * 150, "{}", log.bytes());
    assert_eq!(log.lag(sent + 11).items, 0);
}

/// A pinned cursor refuses at the log's own bound, whatever is held.
#[test]
fn a_pin_counts_more_than_a_hold() {
    let mut log = Log::new(BOUNDS);
    log.hold(0);
    let pin = log.pin(0, None);
    while let Append::Done { .. } = append(&mut log, &[1; 40]) {}
    assert_eq!(append(&mut log, &[1; 40]), Append::Full);
    assert!(log.bytes() < 400 + 150);
    assert!(log.unpin(pin), "the hold has room yet");
    assert!(matches!(append(&mut log, &[1; 40]), Append::Done { .. }));
}

proptest! {
    /// Nothing that is held leaves, the log is bounded, and a hold that moves on makes room.
    #[test]
    fn nothing_that_is_held_leaves(
        ops in prop::collection::vec(prop_oneof![
            4 => (1usize..120).prop_map(Ok),
            1 => (0.0..=1.0f64).prop_map(Err),
        ], 1..300),
    ) {
        let mut log = Log::new(BOUNDS);
        let (mut held, mut waits) = (0, false);
        log.hold(0);
        for op in ops {
            match op {
                Ok(size) => match append(&mut log, &vec![3; size]) {
                    Append::Done { .. } => {}
                    Append::Held => {
                        waits = true;
                        prop_assert!(log.lag(held).bytes >= BOUNDS.hold_bytes as u64 - 400);
                    }
                    other => prop_assert!(false, "{:?}", other),
                },
                Err(part) => {
                    held += ((log.next() - held) as f64 * part) as Seq;
                    let told = log.hold(held);
                    prop_assert!(waits || !told);
                    waits &= !told;
                    prop_assert!(!told || log.has_room());
                }
            }
            prop_assert!(log.oldest() <= held);
            prop_assert!(log.bytes() <= BOUNDS.hold_bytes + 2 * (BOUNDS.batch_bytes + 120));
        }
        let mut cursor = log.cursor(held);
        let mut out = Vec::new();
        while matches!(log.read(&mut cursor, 1000, &mut out), Read::Frames { .. }) {}
        prop_assert_eq!(items(&out).len() as u64, log.next() - held);
    }
}
