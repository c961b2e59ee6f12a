//! What becomes of a consumer whose right has ended, where nothing else happens that anybody would look at.

use std::time::Duration;

use rivermesh_proto::{catalog::Snapshot, ticket::Credential};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::{
    admission::{Authority, Entitled, Grant, LOOK, Revoking, Right, Verifier},
    producer::{explain, worker},
};

fn ask(core: &Core) -> Subscribe {
    Subscribe {
        stream: core.name.clone(),
        fingerprint: None,
        start: Start::Earliest,
        lag: Lag::Skip,
        filter: None,
        superseded: Superseded::Send,
        named: None,
        credential: None,
    }
}

fn node() -> crate::NodeId {
    SecretKey::from_bytes(&[1; 32]).public()
}

/// A process that was suspended goes on anywhere. Whatever was there to be sent is not sent, before the
/// stream's worker has run.
#[test]
fn a_feed_looks_at_the_lease_before_it_gives_anything() {
    let mut bench = Bench::new(Retention::ALL);
    let ask = ask(&bench.core);
    let entered = bench.core.enter((node(), None), &ask, None, bench.now_us);
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

/// A stream that asks for tickets, whose worker is at rest, and a consumer that was let in by one and that
/// nobody serves. Time is virtual, and nothing happens but what the test does.
struct Still {
    core: Arc<Core>,
    feed: Feed,
    authority: Authority,
    ticket: crate::admission::Ticket,
    _catalog: watch::Sender<Snapshot>,
}

impl Still {
    async fn new() -> Self {
        let core = core(None);
        let authority = Authority::new("things", SecretKey::from_bytes(&[2; 32]));
        let grant = Grant::new(node(), "things", [Right::Consume]);
        let ticket = authority.issue(&grant).unwrap();
        core.require_ticket(Some(Verifier::new().trust(authority.id())));
        let shown = Credential::from(&ticket);
        let entitled: Entitled = core.gate().unwrap().check(Some(&shown), node()).unwrap();
        let entered = core.enter((node(), Some(entitled)), &ask(&core), None, 0);
        let (feed, _) = entered.unwrap();
        let (_catalog, snapshots) = watch::channel(Snapshot::default());
        let drain = Duration::from_secs(1);
        tokio::spawn(worker::run(Arc::clone(&core), snapshots, drain));
        // Virtual time goes on when everybody waits.
        sleep(LOOK / 8).await;
        assert!(!feed.cut().is_cancelled());
        Self {
            core,
            feed,
            authority,
            ticket,
            _catalog,
        }
    }

    fn revoking(&self) -> Revoking {
        Revoking {
            number: 1,
            ids: [self.ticket.links()[0].id].into(),
            ..Revoking::default()
        }
    }

    /// How long it takes until the consumer is cut.
    async fn cut_after(&self) -> Option<Duration> {
        let begun = Instant::now();
        let cut = timeout(LOOK * 2, self.feed.cut().cancelled()).await;
        cut.ok().map(|()| begun.elapsed())
    }
}

/// The wall clock may be set forward, or may have gone on while the machine slept: then a lease ends sooner than
/// was worked out when the worker went to sleep.
#[tokio::test(start_paused = true)]
async fn the_worker_cuts_when_a_lease_ends_though_nothing_else_happens() {
    let still = Still::new().await;
    still.feed.sub().lease.set(Some(1));
    assert!(still.cut_after().await.is_some());
    assert!(still.core.subs().values().all(|sub| sub.cut.is_cancelled()));
}

/// It would look within [`LOOK`] by itself; that there is a list wakes it at once.
#[tokio::test(start_paused = true)]
async fn the_worker_cuts_at_once_when_a_ticket_is_revoked() {
    let still = Still::new().await;
    let list = still.authority.revoke(still.revoking()).unwrap();
    assert_eq!(still.core.desk.take(list, None), Ok(true));
    let after = still.cut_after().await.unwrap();
    assert!(after < LOOK / 8, "{after:?}");
}

/// Why a peer is served is worked out anew: what it was let in by may count no more, though it was not cut yet.
#[tokio::test(start_paused = true)]
async fn a_revoked_ticket_is_told_before_the_worker_has_looked() {
    let still = Still::new().await;
    let sub = Arc::clone(still.feed.sub());
    let told = || explain::entitled(&still.core, node(), Some(&sub), None);
    let (holds, finding) = told();
    assert!(holds, "{finding}");
    let list = still.authority.revoke(still.revoking()).unwrap();
    assert_eq!(still.core.desk.take(list, None), Ok(true));
    assert!(!sub.cut.is_cancelled());
    let (holds, finding) = told();
    assert!(!holds && finding.contains("revoked"), "{finding}");
}

/// Who has not confirmed that it is admitted, or was cut, is not told to receive anything.
#[tokio::test(start_paused = true)]
async fn a_subscription_is_told_of_from_when_it_is_confirmed_until_it_is_cut() {
    let still = Still::new().await;
    let own = || explain::subscriptions_of(&still.core, node()).0.len();
    assert_eq!(own(), 0);
    still.core.confirm(still.feed.sub());
    assert_eq!(own(), 1);
    still.feed.cut().cancel();
    assert_eq!(own(), 0);
}
