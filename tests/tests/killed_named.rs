//! Consumers with a name and members of groups that are killed, and producers whose log is on disk:
//! nothing that was not committed is lost.
//!
//! `RIVERMESH_KILLS` says how often; 3 by default.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;

use rivermesh::{Condition, Node, SecretKey, producer::Named};
use rivermesh_tests::{
    cluster::Cluster,
    oracle::{ConsumerEnd, ConsumerJournal, Key, Kind, NameRules, ProducerJournal, judge},
    peer::{Acks, Args, Process, Role},
    recorder::{Commits, Driver, Goal, Recorder, STREAM},
    seed::Seed,
    wait::eventually,
};
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

/// A killed node is noticed after some seconds, each time.
const PATIENCE: Duration = Duration::from_secs(60);

fn kills() -> usize {
    let kills = std::env::var("RIVERMESH_KILLS").ok();
    kills.and_then(|kills| kills.parse().ok()).unwrap_or(3)
}

fn start(args: &Args) -> Process {
    Process::start(env!("CARGO_BIN_EXE_peer"), args)
}

fn args(node: &Node, dir: &Path, name: &str, secret: [u8; 32], acks: Acks) -> Args {
    Args {
        role: Role::Consumer,
        invite: node.invite().to_string(),
        secret,
        seed: 0,
        journal: dir.join(name),
        name: name.to_owned(),
        items: 0,
        acks,
    }
}

fn driver(node: &Node, key: Key) -> Driver {
    Driver::new(node, key, |producer| {
        producer
            .online_when(Condition::always())
            .named(Named::default())
    })
}

/// The same node started anew, and a node that takes its place, each time in the middle of the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_named_consumer_that_is_killed_loses_nothing() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let mut driver = driver(&a, key);
    let dir = tempfile::tempdir().unwrap();
    let secret = SecretKey::generate().to_bytes();
    let mut lives = Vec::new();
    for life in 0..=kills() {
        // Every third life is on a node that nobody knows yet.
        let secret = match life % 3 {
            2 => SecretKey::generate().to_bytes(),
            _ => secret,
        };
        let acks = Acks::Name("billing".to_owned());
        let args = args(&a, dir.path(), &format!("life {life}"), secret, acks);
        let mut process = start(&args);
        process.says("ready").await;
        let committed = || driver.producer().named().first().map(|name| name.committed);
        eventually(PATIENCE, || committed().is_some()).await;
        let before = committed().unwrap();
        driver.send(3000).await;
        let committed = || driver.producer().named()[0].committed;
        eventually(PATIENCE, || committed() > before + 1000).await;
        if life < kills() {
            process.kill();
            lives.push(ConsumerJournal::read(&args.journal).unwrap().killed());
        } else {
            eventually(PATIENCE, || committed() == driver.goal().next).await;
            process.end().await;
            lives.push(ConsumerJournal::read(&args.journal).unwrap());
        }
    }
    let rules = NameRules {
        kind: Kind::Lives,
        start: 0,
        may_repeat: true,
    };
    let lives: Vec<&ConsumerJournal> = lives.iter().collect();
    let report = judge(&key, &[&driver.finish()], &lives, &rules);
    let report = report.unwrap_or_else(|breaches| panic!("{breaches:?}"));
    assert!(report.received >= 3000 * (kills() as u64 + 1), "{report:?}");
}

/// One member stays, the other is killed and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_member_had_goes_to_the_others() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let mut driver = driver(&a, key);
    let dir = tempfile::tempdir().unwrap();
    let member = |name: &str| {
        let secret = SecretKey::generate().to_bytes();
        let acks = Acks::Group("workers".to_owned());
        args(&a, dir.path(), name, secret, acks)
    };
    let steady = member("steady");
    let mut survivor = start(&steady);
    survivor.says("ready").await;
    driver.subscribed(1).await;
    let mut journals = Vec::new();
    for life in 0..kills() {
        let args = member(&format!("life {life}"));
        let mut process = start(&args);
        process.says("ready").await;
        eventually(PATIENCE, || driver.producer().named()[0].holders == 2).await;
        driver.send(2000).await;
        // In the middle of it, and not before it has had its part.
        let seen =
            || ConsumerJournal::read(&args.journal).map_or(0, |journal| journal.events().len());
        let began = Instant::now();
        while seen() < 20 {
            assert!(began.elapsed() < PATIENCE, "it gets nothing");
            driver.send(100).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill();
        driver.send(500).await;
        eventually(PATIENCE, || driver.producer().named()[0].holders == 1).await;
        journals.push(ConsumerJournal::read(&args.journal).unwrap().killed());
    }
    eventually(PATIENCE, || driver.producer().named()[0].items == 0).await;
    survivor.end().await;
    journals.push(ConsumerJournal::read(&steady.journal).unwrap());
    let rules = NameRules {
        kind: Kind::Members,
        start: 0,
        may_repeat: true,
    };
    let members: Vec<&ConsumerJournal> = journals.iter().collect();
    let report = judge(&key, &[&driver.finish()], &members, &rules);
    let report = report.unwrap_or_else(|breaches| panic!("{breaches:?}"));
    assert!(report.each.iter().all(|items| *items > 5), "{report:?}");
}

/// Items that each life of a producer sends, if it lives that long.
const SENT: u64 = 3000;

/// The lives of a producer whose log is on disk.
struct Lives {
    args: Args,
    process: Option<Process>,
    count: usize,
    journals: Vec<ProducerJournal>,
}

impl Lives {
    fn new(node: &Node, dir: &Path, seed: u64) -> Self {
        let secret = SecretKey::generate().to_bytes();
        let mut args = args(node, dir, "producer", secret, Acks::None);
        (args.role, args.seed, args.items) = (Role::Keeper, seed, SENT);
        Self {
            args,
            process: None,
            count: 0,
            journals: Vec::new(),
        }
    }

    async fn begin(&mut self) {
        let name = format!("producer {}", self.count);
        self.count += 1;
        self.args.journal.set_file_name(name);
        let mut process = start(&self.args);
        process.says("ready").await;
        self.process = Some(process);
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
            let journal = ProducerJournal::read(&self.args.journal).unwrap();
            self.journals.push(journal.killed());
        }
    }

    /// Waits until the last life has sent everything; what a consumer has to come to.
    async fn done(&mut self) -> Goal {
        self.process.as_mut().unwrap().says("done").await;
        let journal = ProducerJournal::read(&self.args.journal).unwrap();
        Goal {
            producer: journal.producer(),
            epoch: journal.epoch(),
            next: journal.count(),
        }
    }

    async fn end(&mut self) {
        self.process.take().unwrap().end().await;
        let journal = ProducerJournal::read(&self.args.journal).unwrap();
        self.journals.push(journal);
    }

    /// One epoch, and each life behind the last one.
    fn check(&self) {
        for pair in self.journals.windows(2) {
            assert_eq!(pair[0].epoch(), pair[1].epoch(), "a new epoch");
            assert!(pair[0].count() <= pair[1].base(), "numbers were used again");
        }
    }
}

/// Waits until everything is acknowledged under the only name, asked from another node.
async fn acknowledged(node: &Node, goal: &Goal) {
    let began = Instant::now();
    loop {
        let said = node.lag(goal.producer, STREAM).await;
        if let Ok([name]) = said.as_deref()
            && name.committed >= goal.next
        {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{goal:?}: {said:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A producer is killed, again and again, and its consumer, too: by turns it lives on, or another one
/// takes its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_outlives_the_producer_that_is_killed() {
    let seed = Seed::take().value();
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let dir = tempfile::tempdir().unwrap();
    let mut producer = Lives::new(&a, dir.path(), seed);
    let consumer = |name: &str| {
        let billing = |consumer: rivermesh::consumer::Builder<_>| consumer.durable_name("billing");
        Recorder::new(&a, name, billing).committing(Commits::Every(1))
    };
    let mut recorder = consumer("first");
    let mut journals = Vec::new();
    for life in 0..kills() {
        producer.begin().await;
        let before = recorder.items();
        let part = before + 500 + 37 * (life as u64 % 20);
        let seen = |recorder: &Recorder| recorder.items() >= part;
        recorder.until_within(PATIENCE, "a part", seen).await;
        producer.kill();
        if life % 3 == 1 {
            journals.push(recorder.finish(ConsumerEnd::Stopped));
            recorder = consumer(&format!("after life {life}"));
        }
    }
    producer.begin().await;
    let goal = {
        let mut done = std::pin::pin!(producer.done());
        loop {
            tokio::select! {
                goal = &mut done => break goal,
                more = recorder.step() => assert!(more),
            }
        }
    };
    let covered = |recorder: &Recorder| recorder.covers(&[goal]);
    recorder.until_within(PATIENCE, "the end", covered).await;
    acknowledged(&a, &goal).await;
    journals.push(recorder.finish(ConsumerEnd::Stopped));
    producer.end().await;
    producer.check();
    judge_all(seed, &producer.journals, &journals, Kind::Lives);
}

fn judge_all(seed: u64, sent: &[ProducerJournal], got: &[ConsumerJournal], kind: Kind) {
    let rules = NameRules {
        kind,
        start: 0,
        may_repeat: true,
    };
    let sent: Vec<&ProducerJournal> = sent.iter().collect();
    let got: Vec<&ConsumerJournal> = got.iter().collect();
    let report = judge(&Key::from_seed(seed), &sent, &got, &rules);
    let report = report.unwrap_or_else(|breaches| panic!("{breaches:?}"));
    assert!(
        report.received >= SENT + 500 * (sent.len() as u64 - 1),
        "{report:?}"
    );
}

/// Two members of a group live on, at a producer that is killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_outlives_the_producer_that_is_killed() {
    let seed = Seed::take().value();
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let dir = tempfile::tempdir().unwrap();
    let mut producer = Lives::new(&a, dir.path(), seed);
    let (goals, told) = watch::channel(None);
    let member = |node: &Node, name: &str| {
        let group = |consumer: rivermesh::consumer::Builder<_>| consumer.group("workers");
        let member = Recorder::new(node, name, group).committing(Commits::Each);
        (member.watch_items(), member.spawn(told.clone()))
    };
    let (one, two) = (member(&a, "one"), member(&b, "two"));
    let items = || *one.0.borrow() + *two.0.borrow();
    for life in 0..kills() {
        producer.begin().await;
        let part = items() + 500 + 37 * (life as u64 % 20);
        eventually(PATIENCE, || items() >= part).await;
        producer.kill();
    }
    producer.begin().await;
    let goal = producer.done().await;
    acknowledged(&b, &goal).await;
    goals.send_replace(Some(vec![goal]));
    let journals = [one.1.await.unwrap(), two.1.await.unwrap()];
    let journals = journals.map(|member| member.finish(ConsumerEnd::Stopped));
    producer.end().await;
    producer.check();
    judge_all(seed, &producer.journals, &journals, Kind::Members);
}
