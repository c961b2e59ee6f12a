//! Consumers with a name and members of groups that are killed: nothing that they had not committed is
//! lost.
//!
//! `RIVERMESH_KILLS` says how often; 3 by default.

use std::path::Path;

use rivermesh::{Condition, Node, SecretKey, producer::Named};
use rivermesh_tests::{
    cluster::Cluster,
    oracle::{ConsumerJournal, Key, Kind, NameRules, judge},
    peer::{Acks, Args, Process, Role},
    recorder::Driver,
    seed::Seed,
    wait::eventually,
};
use tokio::time::{Duration, Instant};

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
