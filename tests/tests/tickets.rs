//! Who is entitled: tickets shown, stolen, expired, renewed, revoked and passed on, on real nodes.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rivermesh::{
    Condition, Dynamic, Event, Lag, Node, NodeId, SecretKey,
    admission::{Authority, Credential, Denied, Grant, Revoking, Right, Ticket, Verifier},
    consumer::{self, LeaveReason, SubscribeError},
    producer,
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{Key, Revocation, Rules, Run},
    recorder::{ANY_LAG, Driver, Note, Recorder, STREAM, now_us},
    seed::Seed,
    wait::eventually,
};
use tokio::time::{Instant, timeout};

/// Within which a decision against a consumer must have cut it.
const CUT: Duration = Duration::from_secs(1);

/// A cluster with an authority.
struct Court {
    cluster: Cluster,
    authority: Authority,
}

impl Court {
    fn new() -> Self {
        let cluster = Cluster::new();
        let authority = Authority::new(cluster.network(), SecretKey::generate());
        Self { cluster, authority }
    }

    async fn node(&mut self) -> Node {
        self.cluster.spawn().await
    }

    fn verifier(&self) -> Verifier {
        Verifier::new().trust(self.authority.id())
    }

    /// A producer of [`STREAM`] that asks for tickets and takes items at any time.
    fn producer(&self, builder: producer::Builder<Bytes>) -> producer::Builder<Bytes> {
        builder
            .require_ticket(self.verifier())
            .allow_lag(ANY_LAG)
            .online_when(Condition::always())
    }

    fn consume(&self, node: NodeId) -> Grant {
        Grant::new(node, STREAM, [Right::Consume])
    }

    fn ticket(&self, grant: &Grant) -> Ticket {
        self.authority.issue(grant).unwrap()
    }
}

fn seconds(ticket: &Ticket) -> Duration {
    Duration::from_secs(ticket.terms().expires_s)
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Subscribes, and gives the reason why that is refused.
async fn refused(
    node: &Node,
    setup: impl FnOnce(consumer::Builder<Bytes>) -> consumer::Builder<Bytes>,
) -> SubscribeError {
    let mut recorder = Recorder::new(node, "refused", setup);
    recorder
        .until("the refusal", |r| !r.notes().is_empty())
        .await;
    match &recorder.notes()[0] {
        Note::Refused(_, error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

fn check(run: &mut Run, rules: &Rules) {
    run.check(rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_ticket_is_served_and_nobody_else() {
    let mut court = Court::new();
    let (a, b, thief) = (court.node().await, court.node().await, court.node().await);
    let key = Key::from_seed(Seed::take().value());
    let mut driver = Driver::new(&a, key, |producer| court.producer(producer));
    let good = court.ticket(&court.consume(b.id()));
    let unknown = SubscribeError::NotAdmitted;
    // None; that of another node, local and remote; for another stream; of somebody else's; that
    // of another network; something else.
    assert_eq!(refused(&thief, |c| c).await, unknown);
    assert_eq!(refused(&a, |c| c).await, unknown);
    assert_eq!(refused(&thief, |c| c.ticket(&good)).await, unknown);
    assert_eq!(refused(&a, |c| c.ticket(&good)).await, unknown);
    let elsewhere = Grant::new(b.id(), "other/*", [Right::Consume]);
    let elsewhere = court.ticket(&elsewhere);
    assert_eq!(refused(&b, |c| c.ticket(elsewhere)).await, unknown);
    let produce = court.ticket(&Grant::new(b.id(), "*", [Right::Produce]));
    assert_eq!(refused(&b, |c| c.ticket(produce)).await, unknown);
    let own = Authority::new(court.cluster.network(), SecretKey::generate());
    let own = own.issue(&court.consume(b.id())).unwrap();
    assert_eq!(refused(&b, |c| c.ticket(own)).await, unknown);
    let garbage = Credential::new(vec![1; 300]).unwrap();
    assert_eq!(refused(&b, |c| c.ticket(garbage)).await, unknown);
    // One that is genuine and over: whoever was told of the stream may know that it is there.
    let over = SystemTime::now() - Duration::from_secs(100);
    let over = court
        .consume(b.id())
        .starting(over)
        .lasting(Duration::from_secs(50));
    let over = court.ticket(&over);
    assert_eq!(
        refused(&b, |c| c.ticket(over)).await,
        SubscribeError::NotAdmitted
    );
    assert_eq!(driver.producer().consumers(), []);
    // The ones that are entitled: remote, and on the producer's own node.
    let mine = court.ticket(&court.consume(a.id()));
    let mut remote = Recorder::new(&b, "remote", |c| c.ticket(good));
    let mut local = Recorder::new(&a, "local", |c| c.ticket(mine));
    driver.subscribed(2).await;
    for _ in 0..100 {
        driver.send(100).await;
        let goals = [driver.goal()];
        remote.cover(&goals).await;
        local.cover(&goals).await;
    }
    let mut run = Run::new(key);
    run.consumer(remote.drained()).consumer(local.drained());
    run.producer(driver.finish());
    check(&mut run, &Rules::sunny());
}

/// What a peer without a ticket is told of a stream that is there is what it is told of one that is
/// not: word for word, and for any fault in what it asks.
#[tokio::test(flavor = "multi_thread")]
async fn probing_for_streams_tells_nothing() {
    let mut court = Court::new();
    let (a, b) = (court.node().await, court.node().await);
    let closed = court.producer(a.producer().stream(STREAM).max_consumers(0));
    let _closed = closed.build().unwrap();
    let unknown = SubscribeError::NotAdmitted;
    assert_eq!(refused(&b, |c| c).await, unknown);
    assert_eq!(refused(&b, |c| c.lag(Lag::Block)).await, unknown);
    // Another shape, and a filter that does not fit.
    let mut other = b.consumer::<String>().stream(STREAM).build().unwrap();
    let event = timeout(DEADLINE, other.next_event()).await.unwrap();
    assert!(matches!(event, Some(Event::Refused { error, .. }) if error == unknown));
    let any = b.consumer::<Dynamic>().stream(STREAM);
    let mut any = any.filter("nonsense == 1").build().unwrap();
    let event = timeout(DEADLINE, any.next_event()).await.unwrap();
    assert!(matches!(event, Some(Event::Refused { error, .. }) if error == unknown));
    // Who is entitled is told what is wrong.
    let ticket = court.ticket(&court.consume(b.id()));
    let full = SubscribeError::Full { max: 0 };
    assert_eq!(refused(&b, |c| c.ticket(ticket)).await, full);
}

/// Not reading must not keep a consumer subscribed beyond its ticket.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_ends_cuts_a_consumer_that_does_not_read() {
    for (lag, local) in [(Lag::Skip, false), (Lag::Block, false), (Lag::Block, true)] {
        let key = Key::from_seed(Seed::take().value());
        let mut court = Court::new();
        let a = court.node().await;
        let b = if local { a.clone() } else { court.node().await };
        let mut driver = Driver::new(&a, key, |producer| {
            court.producer(producer).log_bytes(64 << 10)
        })
        .size(100);
        let ticket = court.ticket(&court.consume(b.id()).lasting(Duration::from_secs(4)));
        let recorder = Recorder::new(&b, "b", |consumer| {
            consumer.ticket(&ticket).lag(lag).buffer_bytes(64 << 10)
        });
        driver.subscribed(1).await;
        // Until log, transport and inbox are full, or past that.
        for _ in 0..40_000 {
            let sent = timeout(Duration::from_millis(300), driver.send_one()).await;
            if sent.is_err() {
                break;
            }
        }
        assert_eq!(driver.producer().consumers().len(), 1, "cut too early");
        eventually(DEADLINE, || driver.producer().consumers().is_empty()).await;
        let late = since_1970().checked_sub(seconds(&ticket));
        let late = late.unwrap_or_else(|| panic!("{lag} (local: {local}): cut before its time"));
        assert!(late < CUT, "{lag} (local: {local}): cut after {late:?}");
        // Nobody holds up the producer any more.
        driver.send(1000).await;
        drop(recorder);
    }
}

/// The provider gives tickets of 2 s; what flows for several of them has no break.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_renewed_without_a_break() {
    let key = Key::from_seed(Seed::take().value());
    let mut court = Court::new();
    let (a, b) = (court.node().await, court.node().await);
    let mut driver = Driver::new(&a, key, |producer| court.producer(producer));
    let asked = Arc::new(AtomicU32::new(0));
    let provider = |node: NodeId| {
        let (authority, asked) = (court.authority.clone(), Arc::clone(&asked));
        let grant = court.consume(node).lasting(Duration::from_secs(2));
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let ticket = authority.issue(&grant).unwrap();
            async move { Ok::<_, Infallible>(Credential::from(ticket)) }
        }
    };
    let mut remote = Recorder::new(&b, "remote", |c| c.ticket_provider(provider(b.id())));
    let mut local = Recorder::new(&a, "local", |c| c.ticket_provider(provider(a.id())));
    driver.subscribed(2).await;
    let begun = Instant::now();
    while asked.load(Ordering::Relaxed) < 10 || driver.goal().next < 10_000 {
        driver.send(200).await;
        let goals = [driver.goal()];
        remote.cover(&goals).await;
        local.cover(&goals).await;
        assert!(begun.elapsed() < DEADLINE, "{asked:?}");
    }
    // Several lifetimes, and never anything but the beginning.
    assert!(begun.elapsed() > Duration::from_secs(2));
    assert_eq!((remote.notes().len(), local.notes().len()), (1, 1));
    let mut run = Run::new(key);
    run.consumer(remote.drained()).consumer(local.drained());
    run.producer(driver.finish());
    check(&mut run, &Rules::sunny());
}

/// A list that is given to one node reaches the producer by others, and one that joins later, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_ticket_counts_no_more() {
    let key = Key::from_seed(Seed::take().value());
    let mut court = Court::new();
    let (a, b, c) = (court.node().await, court.node().await, court.node().await);
    let mut driver = Driver::new(&a, key, |producer| court.producer(producer));
    let first = court.ticket(&court.consume(b.id()));
    let second = court.ticket(&court.consume(c.id()));
    let mut revoked = Recorder::new(&b, "b", |consumer| consumer.ticket(&first));
    let mut other = Recorder::new(&c, "c", |consumer| consumer.ticket(&second));
    driver.subscribed(2).await;
    driver.send(10_000).await;
    let goals = [driver.goal()];
    revoked.cover(&goals).await;
    other.cover(&goals).await;
    let mut revoking = Revoking {
        number: 1,
        ids: [first.links()[0].id].into(),
        ..Revoking::default()
    };
    let list = court.authority.revoke(revoking.clone()).unwrap();
    let (from_us, at) = (now_us(), Instant::now());
    assert_eq!(a.revoke(list.clone()), Ok(true));
    assert_eq!(a.revoke(list), Ok(false));
    driver.subscribed(1).await;
    assert!(at.elapsed() < CUT, "cut after {:?}", at.elapsed());
    let left = Note::Left(a.id(), driver.goal().epoch, LeaveReason::Revoked);
    revoked
        .until("it is told", |r| {
            r.notes().contains(&left)
                && matches!(
                    r.notes().last(),
                    Some(Note::Refused(_, SubscribeError::NotAdmitted))
                )
        })
        .await;
    driver.send(1000).await;
    other.cover(&[driver.goal()]).await;
    // The other one by a list that its own node is given.
    revoking.number = 2;
    revoking.ids.insert(second.links()[0].id);
    let list = court.authority.revoke(revoking).unwrap();
    assert_eq!(c.revoke(list), Ok(true));
    driver.subscribed(0).await;
    // A node that hears of it when it joins, from a node that does not ask for tickets itself.
    let d = court.node().await;
    let late = court.producer(d.producer::<Bytes>().stream("late"));
    let late = late.build().unwrap();
    let ticket = Grant::new(b.id(), "late", [Right::Consume]);
    let ticket = court.ticket(&ticket);
    let on = Grant::new(c.id(), "late", [Right::Consume]);
    let on = b.delegate(&ticket, &on).unwrap();
    let revoke_all = Revoking {
        number: 3,
        before_s: ticket.links()[0].issued_s + 1,
        ..Revoking::default()
    };
    let revoke_all = court.authority.revoke(revoke_all).unwrap();
    assert_eq!(b.revoke(revoke_all), Ok(true));
    let consumer = c.consumer::<Bytes>().stream("late").ticket(on);
    let mut consumer = Recorder::of(consumer.build().unwrap(), "late");
    // Before or after it has heard; in the end it is refused for good.
    consumer
        .until("the refusal", |r| {
            matches!(
                r.notes().last(),
                Some(Note::Refused(_, SubscribeError::NotAdmitted))
            )
        })
        .await;
    assert_eq!(late.consumers(), []);
    let mut run = Run::new(key);
    run.revocation(Revocation {
        consumer: "b".into(),
        producer: a.id(),
        from_us,
        until_us: None,
    });
    run.consumer(revoked.finish(rivermesh_tests::oracle::ConsumerEnd::Drained));
    run.producer(driver.killed());
    check(
        &mut run,
        &Rules {
            may_miss: false,
            ..Rules::default()
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_passed_on_twice_and_never_grows() {
    let mut court = Court::new();
    let (a, lead, team, b) = (
        court.node().await,
        court.node().await,
        court.node().await,
        court.node().await,
    );
    let producer = |name: &str| {
        let producer = court.producer(a.producer::<Bytes>().stream(name));
        producer.build().unwrap()
    };
    let (jfk, ewr) = (producer("weather/jfk"), producer("weather/ewr"));
    let all = Grant::new(lead.id(), "weather/*", [Right::Consume, Right::Produce]);
    let all = court.ticket(&all);
    let some = Grant::new(team.id(), "weather/*", [Right::Consume]);
    let some = lead.delegate(&all, &some).unwrap();
    let one = Grant::new(b.id(), "weather/jfk", [Right::Consume]).delegations(0);
    let one = team.delegate(&some, &one).unwrap();
    let wide = Grant::new(b.id(), "*", [Right::Consume]);
    assert!(team.delegate(&some, &wide).is_err());
    let more = Grant::new(b.id(), "weather/jfk", [Right::Produce]);
    assert!(team.delegate(&some, &more).is_err());
    assert!(lead.delegate(&some, &one_for(&b)).is_err(), "not its own");
    assert!(b.delegate(&one, &one_for(&lead)).is_err(), "no further");
    let consume = |name: &str| b.consumer::<Bytes>().stream(name).ticket(&one);
    let mut consumer = consume("weather/jfk").build().unwrap();
    timeout(DEADLINE, jfk.when(Condition::at_least(1)))
        .await
        .unwrap();
    jfk.send(Bytes::from_static(b"21.5")).await.unwrap();
    let item = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
    assert_eq!(item[..], *b"21.5");
    let mut other = Recorder::of(consume("weather/ewr").build().unwrap(), "other");
    other.until("the refusal", |r| !r.notes().is_empty()).await;
    assert_eq!(
        other.notes(),
        [Note::Refused(a.id(), SubscribeError::NotAdmitted)]
    );
    assert_eq!(ewr.consumers(), []);
}

fn one_for(node: &Node) -> Grant {
    Grant::new(node.id(), "weather/jfk", [Right::Consume])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_asks_its_producers_for_tickets() {
    let key = Key::from_seed(Seed::take().value());
    let mut court = Court::new();
    let (a, imposter, b) = (court.node().await, court.node().await, court.node().await);
    let asked = Arc::new(AtomicU32::new(0));
    let provider = {
        let (authority, asked) = (court.authority.clone(), Arc::clone(&asked));
        let grant = Grant::new(a.id(), STREAM, [Right::Produce]).lasting(Duration::from_secs(2));
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            let ticket = authority.issue(&grant).unwrap();
            async move { Ok::<_, Infallible>(Credential::from(ticket)) }
        }
    };
    let always = |p: producer::Builder<Bytes>| p.online_when(Condition::always());
    let mut driver = Driver::new(&a, key, |p| always(p).ticket_provider(provider));
    // It has a ticket to consume, and one that somebody else may produce by.
    let stolen = court.ticket(&Grant::new(a.id(), STREAM, [Right::Produce]));
    let mut false_one = Driver::new(&imposter, key, |p| always(p).ticket(stolen));
    let mut recorder = Recorder::new(&b, "b", |c| c.require_ticket(court.verifier()));
    let mut local = Recorder::new(&a, "local", |c| c.require_ticket(court.verifier()));
    driver.subscribed(2).await;
    let begun = Instant::now();
    // For several lifetimes of the producer's ticket.
    while asked.load(Ordering::Relaxed) < 6 || driver.goal().next < 10_000 {
        driver.send(200).await;
        false_one.send(10).await;
        let goals = [driver.goal()];
        recorder.cover(&goals).await;
        local.cover(&goals).await;
        assert!(begun.elapsed() < DEADLINE, "{asked:?}");
    }
    assert!(begun.elapsed() > Duration::from_secs(2));
    let reason = Denied::Audience;
    let not_entitled = Note::Refused(imposter.id(), SubscribeError::NotEntitled { reason });
    let reason = Denied::Missing;
    let early = Note::Refused(a.id(), SubscribeError::NotEntitled { reason });
    for recorder in [&recorder, &local] {
        let joined = |note: &&Note| matches!(note, Note::Joined(node, ..) if *node == a.id());
        assert_eq!(recorder.notes().iter().filter(joined).count(), 1);
        assert!(recorder.notes().contains(&not_entitled));
        // It may have asked before the producer had its first ticket.
        let others = recorder.notes().iter().filter(|note| **note != early);
        assert_eq!(others.count(), 2, "{:?}", recorder.notes());
    }
    assert_eq!(false_one.producer().consumers(), []);
    let mut run = Run::new(key);
    run.consumer(recorder.drained()).consumer(local.drained());
    run.producer(driver.finish());
    check(
        &mut run,
        &Rules {
            may_refuse: true,
            ..Rules::sunny()
        },
    );
}

/// A producer whose ticket ends and that has no other is left, and taken up again when it has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_is_not_entitled_any_more_is_left() {
    let key = Key::from_seed(1);
    let mut court = Court::new();
    let (a, b) = (court.node().await, court.node().await);
    for node in [&a, &b] {
        let grant = Grant::new(a.id(), STREAM, [Right::Produce]).lasting(Duration::from_secs(3));
        let ticket = court.ticket(&grant);
        let driver = Driver::new(&a, key, |p| {
            p.online_when(Condition::always()).ticket(&ticket)
        });
        let mut recorder = Recorder::new(node, "b", |c| c.require_ticket(court.verifier()));
        driver.subscribed(1).await;
        let reason = Denied::Expired;
        let expected = Note::Refused(a.id(), SubscribeError::NotEntitled { reason });
        recorder
            .until("it is left", |r| r.notes().last() == Some(&expected))
            .await;
        let late = since_1970().checked_sub(seconds(&ticket)).unwrap();
        assert!(late < CUT, "left after {late:?}");
        let left = Note::Left(a.id(), driver.goal().epoch, LeaveReason::NotEligible);
        assert!(recorder.notes().contains(&left), "{:?}", recorder.notes());
        drop(driver);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_producer_asks_for_can_change() {
    let key = Key::from_seed(1);
    let mut court = Court::new();
    let (a, b) = (court.node().await, court.node().await);
    let allowed = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let asks = Arc::clone(&allowed);
    let driver = Driver::new(&a, key, |producer| {
        producer
            .require(move |_| asks.load(Ordering::Relaxed))
            .online_when(Condition::always())
    });
    let ticket = court.ticket(&court.consume(b.id()));
    let _with = Recorder::new(&b, "with", |c| c.ticket(&ticket));
    let _without = Recorder::new(&b, "without", |c| c);
    driver.subscribed(2).await;
    let cut = |at: Instant| assert!(at.elapsed() < CUT, "cut after {:?}", at.elapsed());
    let at = Instant::now();
    // The one that has shown a ticket showed it to nobody who asked: it comes back with it.
    driver.producer().require_ticket(Some(court.verifier()));
    eventually(DEADLINE, || driver.producer().consumers().len() < 2).await;
    cut(at);
    driver.subscribed(1).await;
    let at = Instant::now();
    driver.producer().require_ticket(Some(Verifier::new()));
    driver.subscribed(0).await;
    cut(at);
    driver.producer().require_ticket(None);
    driver.subscribed(2).await;
    let at = Instant::now();
    allowed.store(false, Ordering::Relaxed);
    driver.producer().review();
    driver.subscribed(0).await;
    cut(at);
}
