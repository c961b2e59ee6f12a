//! Peers that do not keep to the protocol: closed with a code of the one table, at the cost of
//! nobody else.

use std::time::Duration;

use iroh::endpoint::{RecvStream, SendStream};
use rivermesh::{Condition, Epoch, NetworkId, NetworkKey, Node, StreamAdvert, producer};
use rivermesh_proto::{
    code::Code,
    limits,
    named::{Acknowledged, ConsumerName, Named, Share},
    schema::Schema,
    subscribe::{Accepted, Lag, Reply, Start, Subscribe, Superseded, Update},
    wire,
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{Key, Rules, Run},
    process::Usage,
    raw::{Attacker, closed_with, message, request},
    recorder::{Driver, Recorder, stream},
    seed::Seed,
};
use tokio::{sync::watch, time::timeout};

/// A pair that minds its own business while others attack.
struct Honest {
    driver: Driver,
    recorder: Recorder,
    key: Key,
    nodes: [Node; 2],
}

impl Honest {
    async fn new(cluster: &mut Cluster) -> Self {
        let key = Key::from_seed(Seed::take().value());
        let nodes = [cluster.spawn().await, cluster.spawn().await];
        let driver = Driver::new(&nodes[0], key, |producer| producer);
        let recorder = Recorder::new(&nodes[1], "honest", |consumer| consumer);
        driver.subscribed(1).await;
        Self {
            driver,
            recorder,
            key,
            nodes,
        }
    }

    async fn exchange(&mut self, items: u64) {
        for _ in 0..items.div_ceil(100) {
            self.driver.send(100).await;
            self.recorder.cover(&[self.driver.goal()]).await;
        }
    }

    fn judge(self, rules: &Rules) {
        let mut run = Run::new(self.key);
        run.consumer(self.recorder.drained());
        run.producer(self.driver.finish());
        run.check(rules)
            .unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_handshake_is_closed_with_a_code() {
    let mut cluster = Cluster::new();
    let mut honest = Honest::new(&mut cluster).await;
    let victim = honest.nodes[0].addr();
    let attacker = Attacker::new().await;
    let huge = [0xff; 64];
    let over = ((limits::HANDSHAKE + 1) as u32).to_le_bytes();
    let mut trailing = 100u32.to_le_bytes().to_vec();
    trailing.extend([0; 100]);
    for (bytes, code) in [
        (&huge[..], Code::TooLarge),
        (&over[..], Code::TooLarge),
        (&[0; 4][..], Code::Malformed),
        (&trailing[..], Code::Malformed),
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Code::TooLarge),
    ] {
        let connection = attacker.connect(victim.clone()).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        assert_eq!(closed_with(&connection).await, code, "{bytes:?}");
        honest.exchange(2000).await;
    }
    // Ends the stream in the middle of the first message.
    let connection = attacker.connect(victim.clone()).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[9, 0, 0, 0, 1]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(closed_with(&connection).await, Code::Protocol);
    assert_eq!(honest.nodes[0].catalog().len(), 2);
    honest.judge(&Rules::sunny());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_key_is_told_so_and_nothing_else() {
    let mut cluster = Cluster::new();
    let node = cluster
        .spawn_with(|node| node.network_key(NetworkKey::from_bytes([3; 32])))
        .await;
    let attacker = Attacker::new().await;
    let network = NetworkId::of(cluster.network());
    for proof in [None, Some([0; 32])] {
        let connection = attacker.connect(node.addr()).await;
        let greeting = rivermesh_proto::handshake::Greeting { network, proof };
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&wire::encode(&greeting, 256).unwrap())
            .await
            .unwrap();
        let mut heard = [0; 1];
        assert!(
            recv.read_exact(&mut heard).await.is_err(),
            "it was answered"
        );
        assert_eq!(closed_with(&connection).await, Code::Unauthorized);
    }
    assert_eq!(node.catalog().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_sends_garbage_harms_its_own_streams() {
    let mut cluster = Cluster::new();
    let mut honest = Honest::new(&mut cluster).await;
    let attacker = Attacker::new().await;
    let victim = honest.nodes[0].addr();
    let connection = attacker.join(victim, cluster.network(), Vec::new()).await;
    let subscribe = |prefix: [u8; 4]| [&[3][..], &prefix, &[0xff; 40]].concat();
    for (bytes, code) in [
        (subscribe([0xff; 4]), Code::BadFrame),
        (subscribe([0; 4]), Code::BadFrame),
        (subscribe([40, 0, 0, 0]), Code::BadFrame),
        (vec![0xee; 100], Code::UnknownKind),
    ] {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        let reset = timeout(DEADLINE, recv.read_to_end(100)).await.unwrap();
        let text = format!("{reset:?}");
        let number = code.number().to_string();
        assert!(
            text.contains("Reset") && text.contains(&number),
            "{code}: {text}"
        );
    }
    // What does not exist, and what it may not have, is refused in words.
    let ask = request("nothing");
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[3]).await.unwrap();
    send.write_all(&ask.encode().unwrap()).await.unwrap();
    let reply = Reply::decode(&message(&mut recv).await).unwrap();
    assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    honest.exchange(10_000).await;
    assert!(connection.close_reason().is_none());
    honest.judge(&Rules::sunny());
}

/// A producer that accepts the subscription and then breaks the framing.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_sends_broken_frames_is_asked_again_only_now_and_then() {
    let mut cluster = Cluster::new();
    let mut honest = Honest::new(&mut cluster).await;
    let victim = honest.nodes[1].clone();
    let attacker = Attacker::new().await;
    let schema = Schema::Raw;
    let advert = StreamAdvert {
        name: stream(),
        fingerprint: schema.fingerprint(),
        epoch: Epoch(7),
    };
    let before = Usage::own().unwrap();
    let network = cluster.network().to_owned();
    let connection = attacker.join(victim.addr(), &network, vec![advert]).await;
    let huge = [1, 0xff, 0xff, 0xff, 0xff];
    let large = [
        &[1][..],
        &((limits::FRAME - 5) as u32).to_le_bytes(),
        &[0; 100],
    ]
    .concat();
    let frames = [&huge[..], &large[..], &[0xee; 5], &b""[..]];
    let mut asked = 0;
    let start = tokio::time::Instant::now();
    let serve = async {
        loop {
            let (mut send, mut recv): (SendStream, RecvStream) =
                connection.accept_bi().await.unwrap();
            let mut kind = [0; 1];
            if recv.read_exact(&mut kind).await.is_err() || kind != [3] {
                continue;
            }
            Subscribe::decode(&message(&mut recv).await).unwrap();
            let accepted = Reply::Accepted(Accepted {
                thinned: 0,
                epoch: Epoch(7),
                start: 0,
                lag: Lag::Skip,
                schema: None,
                redelivers: 0,
                credential: None,
            });
            let _ = send.write_all(&accepted.encode().unwrap()).await;
            let _ = send.write_all(frames[asked % frames.len()]).await;
            let _ = send.finish();
            asked += 1;
            if start.elapsed() > Duration::from_secs(4) {
                return;
            }
        }
    };
    let work = async {
        honest.exchange(10_000).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = timeout(DEADLINE, serve) => served.unwrap(),
        () = work => {}
    }
    assert!(asked >= 4, "asked only {asked} times");
    assert!(asked <= 60, "asked {asked} times in {:?}", start.elapsed());
    let after = Usage::own().unwrap();
    assert!(
        after.rss_bytes < before.rss_bytes + (32 << 20),
        "{before} grew to {after}"
    );
    let (_tell, told) = watch::channel(Some(vec![honest.driver.goal()]));
    let mut recorder = honest.recorder.spawn(told).await.unwrap();
    honest.driver.send(100).await;
    recorder.cover(&[honest.driver.goal()]).await;
}

/// A consumer that acknowledges what it never got, in every way: it is cut, and nothing counts.
#[tokio::test(flavor = "multi_thread")]
async fn who_acknowledges_what_it_never_got_is_cut() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let key = Key::from_seed(Seed::take().value());
    let mut driver = Driver::new(&a, key, |producer| {
        producer
            .online_when(Condition::always())
            .named(producer::Named::default())
    });
    driver.send(1000).await;
    let attacker = Attacker::new().await;
    let connection = attacker.join(a.addr(), cluster.network(), Vec::new()).await;
    let items = |from, to| Update::Acknowledge {
        items: Acknowledged::new([(from, to)]),
    };
    let cases = [
        ("alone", Some(Share::Alone), Update::Commit { upto: 1001 }),
        (
            "alone",
            Some(Share::Alone),
            Update::Commit { upto: u64::MAX },
        ),
        ("alone", Some(Share::Alone), items(0, 1)),
        ("group", Some(Share::Least), items(1000, 1001)),
        ("group", Some(Share::Least), items(0, u64::MAX)),
        ("group", Some(Share::Least), Update::Commit { upto: 1 }),
        ("none", None, Update::Commit { upto: 0 }),
    ];
    for (name, share, update) in cases {
        let named = share.map(|share| Named {
            name: ConsumerName::new(name).unwrap(),
            share,
            max_in_flight: 1,
        });
        let ask = Subscribe {
            stream: stream(),
            fingerprint: None,
            start: Start::Latest,
            lag: Lag::Skip,
            filter: None,
            superseded: Superseded::Send,
            named,
            credential: None,
        };
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&[3]).await.unwrap();
        send.write_all(&ask.encode().unwrap()).await.unwrap();
        let reply = Reply::decode(&message(&mut recv).await).unwrap();
        assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
        send.write_all(&Update::Ready.encode().unwrap())
            .await
            .unwrap();
        send.write_all(&update.encode().unwrap()).await.unwrap();
        let reset = timeout(DEADLINE, recv.read_to_end(1 << 20)).await.unwrap();
        let number = Code::Revoked.number().to_string();
        let text = format!("{reset:?}");
        assert!(
            text.contains("Reset") && text.contains(&number),
            "{update:?}: {text}"
        );
        driver.subscribed(0).await;
    }
    // What was sent to nobody is there for who has the names, and nobody has got on.
    driver.send(10).await;
    let names = driver.producer().named();
    let committed: Vec<_> = names
        .iter()
        .map(|name| (name.committed, name.items))
        .collect();
    assert_eq!(committed, [(1000, 10), (1000, 10)]);
}
