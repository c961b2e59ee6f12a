//! Processes that are killed, and what the others make of it.

use std::time::Duration;

use rivermesh::{Condition, Lag, SecretKey};
use rivermesh_proto::code::Code;
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{ConsumerJournal, Key, ProducerJournal, Rules, Run},
    peer::{Acks, Args, Process, Role},
    process::Usage,
    recorder::{ANY_LAG, Driver, Goal, Note, Recorder},
    seed::Seed,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

fn start(args: &Args) -> Process {
    Process::start(env!("CARGO_BIN_EXE_peer"), args)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_is_killed_is_consumed_again_within_five_seconds() {
    let seed = Seed::take();
    let mut cluster = Cluster::new();
    let b = cluster.spawn().await;
    let mut recorder = Recorder::new(&b, "survivor", |consumer| consumer.lag(Lag::Block));
    let dir = tempfile::tempdir().unwrap();
    let mut args = Args {
        role: Role::Producer,
        invite: b.invite().to_string(),
        secret: SecretKey::generate().to_bytes(),
        seed: seed.value(),
        journal: dir.path().join("0"),
        name: String::new(),
        items: u64::MAX,
        acks: Acks::None,
    };
    let mut run = Run::new(Key::from_seed(seed.value()));
    for life in 0..4 {
        args.journal = dir.path().join(life.to_string());
        if life == 3 {
            args.items = 4000;
        }
        let began = Instant::now();
        let mut process = start(&args);
        process.says("ready").await;
        let joins = move |r: &Recorder| {
            let joined = r
                .notes()
                .iter()
                .filter(|note| matches!(note, Note::Joined(..)));
            joined.count() == life + 1
        };
        let left = Duration::from_secs(5).saturating_sub(began.elapsed());
        recorder.until_within(left, "the new life", joins).await;
        let items = recorder.items() + 3000;
        recorder.until("items of it", |r| r.items() >= items).await;
        if life < 3 {
            process.kill();
            run.producer(ProducerJournal::read(&args.journal).unwrap().killed());
        } else {
            process.says("done").await;
            let journal = ProducerJournal::read(&args.journal).unwrap();
            let goal = Goal {
                producer: journal.producer(),
                epoch: journal.epoch(),
                next: journal.count(),
            };
            recorder.cover(&[goal]).await;
            process.end().await;
            run.producer(journal);
        }
    }
    run.consumer(recorder.drained());
    let rules = Rules {
        min_faults: 3,
        may_miss: false,
        ..Rules::default()
    };
    let report = run
        .check(&rules)
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((report.joins, report.resets), (4, 3), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_killed_is_gone_within_ten_seconds() {
    let seed = Seed::take();
    let key = Key::from_seed(seed.value());
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut driver = Driver::new(&a, key, |producer| producer.allow_lag(ANY_LAG));
    let (tell, told) = watch::channel(None);
    let healthy = Recorder::new(&b, "healthy", |consumer| consumer.lag(Lag::Block)).spawn(told);
    driver.subscribed(1).await;
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::new(key);
    let secret = SecretKey::generate().to_bytes();
    for life in 0..2 {
        let args = Args {
            role: Role::Consumer,
            invite: a.invite().to_string(),
            secret,
            seed: seed.value(),
            journal: dir.path().join(life.to_string()),
            name: format!("life {life}"),
            items: 0,
            acks: Acks::None,
        };
        let mut process = start(&args);
        process.says("ready").await;
        driver.subscribed(2).await;
        driver.send(3000).await;
        if life == 0 {
            let at = Instant::now();
            process.kill();
            // The others go on meanwhile.
            while driver.producer().consumers().len() == 2 {
                driver.send(10).await;
                assert!(at.elapsed() < Duration::from_secs(10), "not noticed");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            run.consumer(ConsumerJournal::read(&args.journal).unwrap().killed());
        } else {
            process.end().await;
            run.consumer(ConsumerJournal::read(&args.journal).unwrap());
        }
    }
    driver.send(3000).await;
    tell.send_replace(Some(vec![driver.goal()]));
    run.consumer(healthy.await.unwrap().drained());
    run.producer(driver.finish());
    run.check(&Rules::default())
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// A thousand connections that are opened by another process and then say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_cost_an_honest_pair_nothing() {
    let seed = Seed::take();
    let key = Key::from_seed(seed.value());
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut driver = Driver::new(&a, key, |producer| producer);
    let mut recorder = Recorder::new(&b, "honest", |consumer| consumer);
    driver.subscribed(1).await;
    for _ in 0..20 {
        driver.send(100).await;
        recorder.cover(&[driver.goal()]).await;
    }
    let before = Usage::own().unwrap();
    let args = Args {
        role: Role::Silent,
        invite: a.invite().to_string(),
        secret: [0; 32],
        seed: 0,
        journal: "/nowhere".into(),
        name: String::new(),
        items: 1000,
        acks: Acks::None,
    };
    let mut attacker = start(&args);
    attacker.says("ready").await;
    let opened = loop {
        driver.send(100).await;
        recorder.cover(&[driver.goal()]).await;
        match timeout(Duration::from_millis(10), attacker.line()).await {
            Ok(line) => break line,
            Err(_) => assert!(driver.goal().next < 1_000_000, "it does not get on"),
        }
    };
    // A third party joins in the midst of it.
    let late = cluster.spawn().await;
    let late = Recorder::new(&late, "late", |consumer| consumer);
    timeout(DEADLINE, driver.producer().when(Condition::at_least(2)))
        .await
        .unwrap();
    drop(late);
    let words: Vec<&str> = opened.split(' ').collect();
    let ["opened", open, "refused", refused] = words[..] else {
        panic!("{opened}");
    };
    assert_eq!(
        open.parse::<u32>().unwrap() + refused.parse::<u32>().unwrap(),
        1000
    );
    let after = Usage::own().unwrap();
    assert!(
        after.rss_bytes < before.rss_bytes + (32 << 20),
        "{before} grew to {after}"
    );
    // All of them are closed in the end, with a code that says why.
    loop {
        let line = attacker.line().await;
        if line == "done" {
            break;
        }
        let code = line
            .strip_prefix("code ")
            .and_then(|number| number.parse().ok());
        let code = code.and_then(Code::from_number);
        assert!(matches!(code, Some(Code::Timeout | Code::Busy)), "{line}");
    }
    for _ in 0..100 {
        driver.send(100).await;
        recorder.cover(&[driver.goal()]).await;
    }
    let mut run = Run::new(key);
    run.consumer(recorder.drained());
    run.producer(driver.finish());
    run.check(&Rules::sunny())
        .unwrap_or_else(|failure| panic!("{failure}"));
}
