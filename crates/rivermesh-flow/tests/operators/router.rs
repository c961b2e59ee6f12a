use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use futures::{
    FutureExt, Sink, SinkExt, StreamExt,
    channel::{mpsc, oneshot},
    sink, stream,
};
use proptest::prelude::*;
use rivermesh_flow::{
    Filter, Full, Router, Supervisor,
    router::{AttachError, Config, End, Outcome},
};

use crate::{Item, input, key, secs};

/// Where an output puts its items.
type Got = Arc<Mutex<Vec<Item>>>;

fn collector() -> (Got, impl Sink<Item, Error = io::Error> + Send) {
    let got = Got::default();
    let into = Arc::clone(&got);
    let sink = sink::unfold((), move |(), item: Item| {
        into.lock().unwrap().push(item);
        std::future::ready(Ok(()))
    });
    (got, sink)
}

fn item(id: u32) -> Item {
    Item {
        at: 0,
        key: (id % 4) as u8,
        id,
    }
}

/// A sink that takes nothing until it is let go.
struct Gate(Option<oneshot::Receiver<()>>, Got);

impl Sink<Item> for Gate {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(open) = &mut self.0 {
            let _ = ready!(open.poll_unpin(cx));
            self.0 = None;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, item: Item) -> io::Result<()> {
        self.1.lock().unwrap().push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Attach(Option<u8>, u32),
    Detach(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Send),
        2 => (prop::option::of(0_u8..4), 1_u32..4).prop_map(|(key, of)| Step::Attach(key, of)),
        1 => (0_usize..10).prop_map(Step::Detach),
    ];
    prop::collection::vec(step, 0..60)
}

async fn settle() {
    // In one thread, everything that can run has run after some turns.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each output gets exactly what its filter wants of what is sent while it is attached.
    #[test]
    fn gives_each_what_it_wants(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async move {
            let (mut input, items) = mpsc::channel(1000);
            let router = Router::spawn_keyed(items, key);
            let (mut live, mut all, mut sent) = (Vec::new(), Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Send => {
                        let item = item(sent);
                        sent += 1;
                        input.send(item).await.unwrap();
                        settle().await;
                        for (_, wanted, expected) in &mut live {
                            let (key, of): &(Option<u8>, u32) = wanted;
                            if key.is_none_or(|key| key == item.key) && item.id.is_multiple_of(*of) {
                                let expected: &mut Vec<Item> = expected;
                                expected.push(item);
                            }
                        }
                    }
                    Step::Attach(key, of) => {
                        let filter = key.map_or_else(Filter::all, Filter::key);
                        let filter = filter.and_item(move |item: &Item| item.id.is_multiple_of(of));
                        let (got, sink) = collector();
                        let output = router.attach(filter, sink, Config::default()).unwrap();
                        live.push(((output, got), (key, of), Vec::new()));
                        settle().await;
                    }
                    Step::Detach(at) if at < live.len() => {
                        let (output, _, expected) = live.swap_remove(at);
                        assert!(matches!(output.0.detach().await, Outcome::Detached));
                        all.push((output, expected));
                    }
                    Step::Detach(_) => {}
                }
            }
            drop(input);
            assert_eq!(router.ended().await, End::Input);
            let running = live.len();
            all.extend(live.into_iter().map(|(output, _, expected)| (output, expected)));
            let ended = router.drain(secs(10)).await;
            assert!(ended.len() <= running);
            for ((output, got), expected) in all {
                output.ended().await;
                assert_eq!(*got.lock().unwrap(), expected);
                let stats = output.stats();
                assert!(stats.is_balanced());
                assert_eq!((stats.taken, stats.emitted), (expected.len() as u64, stats.taken));
            }
            assert_eq!(router.stats().items, u64::from(sent));
        });
    }

    /// One output from several routers: all of each, each in order.
    #[test]
    fn a_supervisor_feeds_one_output_from_all_routers(inputs in prop::collection::vec(input(4), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async move {
            let supervisor = Supervisor::new();
            let (got, sink) = collector();
            let config = Config::default().full(Full::Block).capacity(3);
            let filter = Filter::keys([1_u8, 2, 1]);
            let output = supervisor.create(filter, sink, config).unwrap();
            let mut routers = Vec::new();
            for input in &inputs {
                let items: Vec<Item> = input.iter().map(|(item, _)| *item).collect();
                routers.push(supervisor.route(stream::iter(items), key));
            }
            for router in &routers {
                assert_eq!(router.ended().await, End::Input);
            }
            assert!(output.outcome().is_none(), "an output outlives the routers");
            let ended = supervisor.drain(secs(10)).await;
            assert!(matches!(ended[..], [(id, Outcome::Ended)] if id == output.id()));
            let wanted: usize = inputs.iter().flatten().filter(|(item, _)| [1, 2].contains(&item.key)).count();
            assert_eq!(got.lock().unwrap().len(), wanted);
            assert_eq!((output.stats().taken, output.stats().emitted), (wanted as u64, wanted as u64));
            assert!(matches!(supervisor.create(Filter::all(), sink::drain(), config), Err(AttachError::Ended)));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_output_is_alone_with_it() {
    for full in [
        Full::SkipOldest,
        Full::SkipNewest,
        Full::Detach,
        Full::Block,
    ] {
        let (open, gate) = oneshot::channel();
        let slow_got = Got::default();
        let (mut input, items) = mpsc::channel(1000);
        let router = Router::spawn(items);
        let config = Config::default().capacity(4).full(full);
        let gate = Gate(Some(gate), Arc::clone(&slow_got));
        let slow = router.attach(Filter::all(), gate, config).unwrap();
        let (got, sink) = collector();
        let quick = router
            .attach(Filter::all(), sink, Config::default())
            .unwrap();
        settle().await;
        for id in 0..20 {
            input.send(item(id)).await.unwrap();
        }
        settle().await;
        let ahead = if full == Full::Block { 5 } else { 20 };
        assert_eq!(got.lock().unwrap().len(), ahead, "{full:?}");
        assert_eq!(quick.stats().emitted, ahead as u64);
        let stats = slow.stats();
        assert!(
            stats.is_balanced() && stats.buffered == 4,
            "{full:?}: {stats}"
        );
        open.send(()).unwrap();
        drop(input);
        let outcome = slow.ended().await;
        let ids: Vec<u32> = slow_got
            .lock()
            .unwrap()
            .iter()
            .map(|item| item.id)
            .collect();
        match full {
            Full::SkipOldest => assert_eq!(ids, [16, 17, 18, 19]),
            Full::SkipNewest => assert_eq!(ids, [0, 1, 2, 3]),
            Full::Detach => {
                assert_eq!(ids, [0, 1, 2, 3]);
                assert!(matches!(outcome, Outcome::Lagged), "{outcome}");
            }
            Full::Block => assert_eq!(ids, (0..20).collect::<Vec<_>>()),
        }
        quick.ended().await;
        assert_eq!(got.lock().unwrap().len(), 20);
        let stats = slow.stats();
        assert!(
            stats.is_balanced() && stats.buffered == 0,
            "{full:?}: {stats}"
        );
    }
}

/// Fails or panics at its third item.
fn faulty(panics: bool) -> impl Sink<Item, Error = io::Error> + Send {
    sink::unfold(0, move |count, _: Item| async move {
        match (count, panics) {
            (2, true) => panic!("at the third item"),
            (2, false) => Err(io::Error::other("at the third item")),
            _ => Ok(count + 1),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_or_panics_takes_nothing_with_it() {
    let (mut input, items) = mpsc::channel(1000);
    let router = Router::spawn(items);
    let (got, sink) = collector();
    router
        .attach(Filter::all(), sink, Config::default())
        .unwrap();
    let fails = router
        .attach(Filter::all(), faulty(false), Config::default())
        .unwrap();
    let panics = router
        .attach(Filter::all(), faulty(true), Config::default())
        .unwrap();
    let predicate = |item: &Item| {
        assert!(item.id < 5, "the predicate");
        true
    };
    let bad = router.attach(Filter::item(predicate), sink::drain(), Config::default());
    let bad = bad.unwrap();
    settle().await;
    assert_eq!(router.outputs().len(), 4);
    for id in 0..10 {
        input.send(item(id)).await.unwrap();
        settle().await;
    }
    match (fails.ended().await, panics.ended().await, bad.ended().await) {
        (Outcome::Failed(error), Outcome::Panicked(said), Outcome::Panicked(predicate)) => {
            assert_eq!(error.to_string(), "at the third item");
            assert_eq!(said, "at the third item");
            assert_eq!(predicate, "the predicate");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(router.outputs().len(), 1, "removed at once");
    for output in [&fails, &panics, &bad] {
        assert!(output.stats().is_balanced());
    }
    assert_eq!(bad.stats().emitted, 5);
    assert_eq!(got.lock().unwrap().len(), 10);
    assert_eq!(router.stats().items, 10);
}

#[tokio::test(start_paused = true)]
async fn pulls_when_nobody_listens_and_ends_when_its_input_panics() {
    let items = stream::iter(0..1000_u32).map(|id| match id {
        999 => panic!("the input"),
        id => item(id),
    });
    let router = Router::spawn(items);
    assert_eq!(router.ended().await, End::Panicked("the input".into()));
    let stats = router.stats();
    assert_eq!(
        (stats.items, stats.unwanted, stats.deliveries),
        (999, 999, 0)
    );
    let after = router.attach(Filter::all(), sink::drain(), Config::default());
    assert!(matches!(after, Err(AttachError::Ended)));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_what_does_not_finish_in_time() {
    let (_open, gate) = oneshot::channel();
    let router = Router::spawn(stream::iter((0..3).map(item)).chain(stream::pending()));
    let gate = Gate(Some(gate), Got::default());
    let config = Config::default().capacity(1).full(Full::Block);
    let stuck = router.attach(Filter::all(), gate, config).unwrap();
    let began = tokio::time::Instant::now();
    settle().await;
    let ended = router.drain(secs(5)).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(matches!(ended[..], [(id, Outcome::Aborted)] if id == stuck.id()));
    assert!(stuck.stats().is_balanced());
    assert_eq!(router.ended().await, End::Stopped);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_everything() {
    let router = Router::spawn(stream::pending::<Item>());
    let output = router
        .attach(Filter::all(), sink::drain(), Config::default())
        .unwrap();
    let clone = router.clone();
    drop(router);
    settle().await;
    assert!(output.outcome().is_none());
    drop(clone);
    assert!(matches!(output.ended().await, Outcome::Aborted));
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_when_the_last_handle_is_dropped_counts_as_dropped() {
    let (_open, gate) = oneshot::channel();
    let router = Router::spawn(stream::iter((0..3).map(item)).chain(stream::pending()));
    let gate = Gate(Some(gate), Got::default());
    let stuck = router
        .attach(Filter::all(), gate, Config::default())
        .unwrap();
    settle().await;
    assert_eq!((stuck.stats().taken, stuck.stats().emitted), (3, 0));
    drop(router);
    assert!(matches!(stuck.ended().await, Outcome::Aborted));
    let stats = stuck.stats();
    assert!(stats.is_balanced(), "{stats}");
    assert_eq!((stats.dropped, stats.buffered), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_wants_no_key_can_be_ended_like_any_other() {
    let router = Router::spawn_keyed(stream::pending::<Item>(), key);
    let attach = || router.attach(Filter::keys([]), sink::drain(), Config::default());
    let (one, two) = (attach().unwrap(), attach().unwrap());
    settle().await;
    assert!(matches!(one.detach().await, Outcome::Detached));
    let began = tokio::time::Instant::now();
    let ended = router.drain(secs(5)).await;
    assert!(matches!(ended[..], [(id, Outcome::Ended)] if id == two.id()));
    assert!(began.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn outputs_are_bounded_in_number() {
    let supervisor = Supervisor::<Item>::with_max_outputs(2);
    let create = || supervisor.create(Filter::all(), sink::drain(), Config::default());
    let (first, _second) = (create().unwrap(), create().unwrap());
    assert!(matches!(create(), Err(AttachError::Full(2))));
    first.abort();
    assert!(matches!(first.ended().await, Outcome::Aborted));
    settle().await;
    assert!(create().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn outputs_come_and_go_under_load() {
    let supervisor = Supervisor::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let inputs = (0..2).map(|_| {
        let stopped = stopped.clone();
        stream::iter((0..).map(item)).take_while(move |_| {
            let go = !*stopped.borrow();
            async move {
                tokio::task::yield_now().await;
                go
            }
        })
    });
    let routers: Vec<_> = inputs.map(|input| supervisor.route(input, key)).collect();
    let mut checked = HashMap::new();
    for round in 0..200_u8 {
        let (got, sink) = collector();
        let config = Config::default().capacity(16).full(Full::Block);
        let output = supervisor
            .create(Filter::key(round % 4), sink, config)
            .unwrap();
        while output.stats().emitted < 10 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(output.detach().await, Outcome::Detached));
        let stats = output.stats();
        assert!(stats.is_balanced());
        assert_eq!(stats.taken, stats.emitted);
        let got = got.lock().unwrap();
        assert_eq!(stats.emitted, got.len() as u64);
        assert!(got.iter().all(|item| item.key == round % 4));
        checked.insert(output.id(), got.len());
    }
    assert_eq!(checked.len(), 200);
    stop.send(true).unwrap();
    for router in routers {
        assert_eq!(router.ended().await, End::Input);
    }
    assert!(supervisor.drain(secs(5)).await.is_empty());
}
