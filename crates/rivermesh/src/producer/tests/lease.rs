//! What is sent when a right has ended and nobody has looked yet.

use super::*;

/// A process that was suspended goes on anywhere. Whatever was there to be sent is not sent, before the
/// stream's worker has run.
#[test]
fn a_feed_looks_at_the_lease_before_it_gives_anything() {
    let mut bench = Bench::new(Retention::ALL);
    let node = SecretKey::from_bytes(&[1; 32]).public();
    let ask = Subscribe {
        stream: bench.core.name.clone(),
        fingerprint: None,
        start: Start::Earliest,
        lag: Lag::Skip,
        filter: None,
        superseded: Superseded::Send,
        named: None,
        credential: None,
    };
    let entered = bench.core.enter((node, None), &ask, None, bench.now_us);
    let (mut feed, _) = entered.unwrap();
    bench.append(None, false);
    let mut frames = Vec::new();
    feed.sub().lease.set(Some(u64::MAX));
    assert_eq!(feed.pull(&mut frames), Pull::Frames);
    assert_eq!(frames.len(), 1);
    bench.append(None, false);
    frames.clear();
    feed.sub().lease.set(Some(1));
    assert!(!feed.cut().is_cancelled());
    assert_eq!(feed.pull(&mut frames), Pull::Nothing);
    assert!(frames.is_empty());
    assert!(feed.cut().is_cancelled());
}
