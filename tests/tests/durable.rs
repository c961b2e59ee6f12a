//! A log that is also on disk: its producer is killed, and its consumers are far behind.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    ops::Range,
    path::Path,
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use rivermesh::{
    Condition, Consumer, Datum, Durability, Event, Lag, Node, Producer, SecretKey,
    consumer::Delivery, discovery::Rendezvous,
};
use rivermesh_tests::cluster::{Cluster, DEADLINE};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

const STREAM: &str = "kept";
/// Tells this binary that it is the producer of a test, and with what.
const CHILD: &str = "RIVERMESH_DURABLE_CHILD";

/// An item: which life sent it, the how-manieth of that it is, and some bytes.
fn item(life: u64, count: u64) -> Bytes {
    let mut text = format!("{life} {count} ");
    text.extend(std::iter::repeat_n('x', (count % 200) as usize));
    Bytes::from(text)
}

fn produce(node: &Node, path: &Path) -> Producer<Bytes> {
    node.producer::<Bytes>()
        .stream(STREAM)
        .online_when(Condition::always())
        .log_bytes(64 << 10)
        .durable(path)
        .build()
        .unwrap()
}

/// What a consumer has made of a stream.
#[derive(Debug, Default)]
struct Seen {
    items: BTreeMap<u64, Bytes>,
    missed: Vec<Range<u64>>,
    joins: u32,
    resets: u32,
    /// Where the numbers begin and how far they go without a hole.
    range: Option<Range<u64>>,
}

impl Seen {
    fn took(&mut self, event: Event<Bytes>) {
        match event {
            Event::Item(delivery) => self.item(&delivery),
            Event::Missed { from, to, .. } => {
                self.passed(from..to);
                self.missed.push(from..to);
            }
            Event::Joined { seq, .. } => {
                self.joins += 1;
                self.range.get_or_insert(seq..seq);
            }
            Event::Reset { .. } => self.resets += 1,
            _ => {}
        }
    }

    fn item(&mut self, delivery: &Delivery<Bytes>) {
        let seq = delivery.seq;
        self.passed(seq..seq + 1);
        assert!(
            self.items.insert(seq, delivery.item.clone()).is_none(),
            "item {seq} came twice"
        );
    }

    /// Holds the numbers to their order: none is left out, none comes twice.
    fn passed(&mut self, now: Range<u64>) {
        let range = self.range.as_mut().expect("joined before");
        assert_eq!(range.end, now.start, "a hole, or a number again");
        range.end = now.end;
    }

    async fn until(&mut self, consumer: &mut Consumer<Bytes>, end: u64) {
        let reach = async {
            while self.range.as_ref().is_none_or(|range| range.end < end) {
                self.took(consumer.next_event().await.expect("the consumer goes on"));
            }
        };
        timeout(DEADLINE, reach)
            .await
            .expect("the items come in time");
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, Datum)]
#[datum(name = "numbered")]
struct Numbered {
    number: u64,
    mark: bool,
    text: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_the_ring_is_served_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = a
        .producer::<Numbered>()
        .log_bytes(64 << 10)
        .durable(dir.path())
        .build()
        .unwrap();
    let few = "mark";
    let mut consumers = Vec::new();
    for (node, filter) in [(&b, None), (&a, None), (&b, Some(few)), (&a, Some(few))] {
        let builder = node.consumer::<Numbered>().lag(Lag::Skip);
        let builder = match filter {
            Some(filter) => builder.filter(filter),
            None => builder,
        };
        consumers.push((builder.build().unwrap(), filter.is_some()));
    }
    let all = Condition::at_least(consumers.len());
    timeout(DEADLINE, producer.when(all)).await.unwrap();
    // Many times what the ring, the connections and the inboxes hold together.
    let count = 200_000;
    for number in 0..count {
        let text = "x".repeat(1 + (number % 400) as usize);
        let mark = number % 1000 == 999;
        producer
            .send(Numbered { number, mark, text })
            .await
            .unwrap();
    }
    assert!(producer.stats().oldest > count / 2, "the ring has it all");
    for (consumer, is_filtered) in &mut consumers {
        let (mut next, mut items) = (0, 0);
        while next < count {
            let event = timeout(DEADLINE, consumer.next_event())
                .await
                .unwrap()
                .unwrap();
            match event {
                Event::Item(item) => {
                    assert!(!*is_filtered || item.seq % 1000 == 999);
                    assert_eq!((item.seq, item.item.number), (next, next));
                    assert_eq!(item.item.text.len() as u64, 1 + next % 400);
                    next += 1;
                    items += 1;
                }
                Event::Filtered { from, to, .. } => {
                    assert!(*is_filtered && from == next);
                    next = to;
                }
                Event::Joined { seq, .. } => assert_eq!(seq, 0),
                other => panic!("{other:?} at {next}"),
            }
        }
        assert_eq!(items, if *is_filtered { count / 1000 } else { count });
    }
    a.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_closed_goes_on_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let mut epoch = None;
    for life in 0..3 {
        let node = cluster.spawn().await;
        let producer = produce(&node, dir.path());
        assert_eq!(*epoch.get_or_insert(producer.epoch()), producer.epoch());
        let found = producer.recovered().unwrap();
        assert_eq!((found.stored, found.next), (life * 100, life * 100));
        for count in 0..100 {
            let seq = producer.send(item(life, count)).await.unwrap();
            assert_eq!(seq, life * 100 + count);
        }
        node.shutdown().await;
    }
    let asked = node_of_two_streams(dir.path()).await;
    assert!(asked.contains("open already"), "{asked}");
}

/// Two producers of one folder: what the second is told.
async fn node_of_two_streams(path: &Path) -> String {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let _first = produce(&a, path);
    let second = b.producer::<Bytes>().stream(STREAM).durable(path).build();
    let error = second.expect_err("the folder is in use");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    source.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_wait_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let node = cluster.spawn().await;
    let producer = produce(&node, dir.path());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let producer = producer.clone();
        tasks.spawn(async move {
            for count in 0..20 {
                let durability = [Durability::Buffered, Durability::Synced][count % 2];
                producer
                    .send_with(item(task, count as u64), durability)
                    .await
                    .unwrap();
            }
        });
    }
    timeout(DEADLINE, tasks.join_all()).await.unwrap();
    assert_eq!(producer.stats().items, 64 * 20);
    let memory = node.producer::<Bytes>().stream("memory").build().unwrap();
    let refused = memory.send_with(item(0, 0), Durability::Synced).await;
    assert!(matches!(refused, Err(rivermesh::SaveError::NotDurable(_))));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_gets_what_is_on_disk_and_damage_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let reader = cluster.spawn().await;
    let node = cluster.spawn().await;
    let producer = produce(&node, dir.path());
    for count in 0..100 {
        producer
            .send_with(item(0, count), Durability::Buffered)
            .await
            .unwrap();
    }
    node.shutdown().await;
    let segment = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "seg"));
    let segment = segment.max().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&segment, bytes).unwrap();

    let node = cluster.spawn().await;
    let producer = produce(&node, dir.path());
    let corrupt = producer.recovered().unwrap().corrupt.clone();
    assert_eq!(corrupt.len(), 1, "{:?}", producer.recovered());
    let mut seen = Seen::default();
    let builder = reader.consumer::<Bytes>().stream(STREAM);
    let mut consumer = builder
        .start(rivermesh::consumer::Start::Earliest)
        .build()
        .unwrap();
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    producer.send(item(0, 100)).await.unwrap();
    seen.until(&mut consumer, 101).await;
    assert_eq!(seen.missed, corrupt);
    assert_eq!(
        seen.items.len() as u64,
        101 - (corrupt[0].end - corrupt[0].start)
    );
    for (seq, bytes) in &seen.items {
        assert!(*bytes == item(0, *seq));
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_to_be_synced_outlives_kill_9_of_the_producer() {
    let rounds = std::env::var("RIVERMESH_KILLS").map_or(5, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    let node = cluster.spawn().await;
    let secret = SecretKey::generate().to_bytes();
    let mut consumer = node.consumer::<Bytes>().stream(STREAM).build().unwrap();
    let mut seen = Seen::default();
    let mut synced = BTreeMap::new();
    let mut epoch = None;
    for life in 1..=rounds {
        let mut child = start(dir.path(), &node.invite().to_string(), &secret, life);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let reading = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        // Until the child has sent some that the consumer has got, and some that it has not.
        let mut saved = 0;
        while saved < 500 {
            tokio::select! {
                Some(line) = told.recv() => saved += note(&line, &mut synced, &mut epoch),
                event = consumer.next_event() => seen.took(event.unwrap()),
                () = tokio::time::sleep(DEADLINE) => panic!("life {life} has sent {saved}"),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        reading.join().unwrap();
        while let Ok(line) = told.try_recv() {
            note(&line, &mut synced, &mut epoch);
        }
    }
    let child = start(dir.path(), &node.invite().to_string(), &secret, 0);
    let last = *synced.keys().next_back().unwrap();
    seen.until(&mut consumer, last + 1).await;
    drop(Kill(child));
    assert_eq!((seen.joins, seen.resets), (1, 0), "the epoch did not go on");
    let begin = seen.range.as_ref().unwrap().start;
    for (seq, text) in synced.range(begin..) {
        let Some(got) = seen.items.get(seq) else {
            panic!("item {seq} was synced, and is missed: {:?}", seen.missed);
        };
        assert_eq!(got, text, "item {seq}");
    }
    assert!(synced.len() as u64 >= rounds * 500);
}

/// What the producer says; 1 for an item that it knows to be synced.
fn note(line: &str, synced: &mut BTreeMap<u64, Bytes>, epoch: &mut Option<String>) -> u64 {
    let Some((_, words)) = line.split_once('@') else {
        return 0;
    };
    let words: Vec<&str> = words.split(' ').collect();
    match words[..] {
        ["epoch", number] => {
            assert_eq!(epoch.get_or_insert_with(|| number.into()), number);
            0
        }
        ["synced", seq, life, count, "."] => {
            let item = item(life.parse().unwrap(), count.parse().unwrap());
            let before = synced.insert(seq.parse().unwrap(), item);
            assert!(before.is_none(), "number {seq} was given twice");
            1
        }
        // The last line of a process that was killed.
        _ => 0,
    }
}

struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(path: &Path, invite: &str, secret: &[u8; 32], life: u64) -> Child {
    let told = serde_json::to_string(&(path, invite, secret, life)).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "producer", "--nocapture", "--test-threads=1"])
        .env(CHILD, told)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The producer that is killed; nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread")]
async fn producer() {
    let Ok(told) = std::env::var(CHILD) else {
        return;
    };
    let (path, invite, secret, life): (std::path::PathBuf, String, [u8; 32], u64) =
        serde_json::from_str(&told).unwrap();
    let invite: rivermesh::Invite = invite.parse().unwrap();
    let node = Node::builder(invite.network())
        .join(invite)
        .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
        .rendezvous(Rendezvous::Off)
        .secret_key(SecretKey::from_bytes(&secret))
        .spawn()
        .await
        .unwrap();
    let producer = produce(&node, &path);
    say(&format!("@epoch {}", producer.epoch()));
    if life == 0 {
        // The last one serves what the others have left.
        std::future::pending::<()>().await;
    }
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8u64 {
        let producer = producer.clone();
        tasks.spawn(async move {
            for round in 0.. {
                let count = round * 8 + task;
                if count % 5 == 0 {
                    producer.send(item(life, count)).await.unwrap();
                    continue;
                }
                let seq = producer
                    .send_with(item(life, count), Durability::Synced)
                    .await
                    .unwrap();
                say(&format!("@synced {seq} {life} {count} ."));
            }
        });
    }
    tasks.join_all().await;
}

#[expect(clippy::print_stdout, reason = "the test reads it")]
fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}
