use super::*;

fn up(at_us: u64) -> Report {
    Report::Up {
        node: format!("node-{at_us}"),
        at_us,
    }
}

fn started(node: &str, epoch: &str) -> Report {
    Report::Started {
        node: node.into(),
        epoch: epoch.into(),
    }
}

fn tick(node: &str, epoch: &str, next: u64) -> Report {
    let (node, epoch) = (node.into(), epoch.into());
    let position = Position {
        node,
        epoch,
        next,
        received: next,
        missed: 0,
    };
    Report::Tick {
        sources: vec![position],
        last_us: 0,
        latency: None,
    }
}

fn board() -> Board {
    Board::new(&[("EWR", 100)], &["alpha", "beta"])
}

#[test]
fn discovery_is_timed_from_when_both_were_up() {
    let mut board = board();
    let found = |name: &str, at_us| Report::Found {
        name: name.into(),
        at_us,
    };
    board.handle("EWR", up(1_000_000));
    // The report that alpha is up may arrive after the report that it was found.
    assert!(board.handle("EWR", found("alpha", 1_030_000)).is_empty());
    let news = board.handle("alpha", up(1_020_000));
    assert_eq!(news.len(), 1, "not all are up: {news:?}");
    board.handle("beta", up(1_025_000));
    let news = board.handle("EWR", found("beta", 1_031_000));
    assert_eq!(news, ["EWR found alpha 10.0 ms, beta 6.0 ms"]);
    for (who, name) in [("alpha", "EWR"), ("alpha", "beta"), ("beta", "EWR")] {
        board.handle(who, found(name, 1_031_000));
    }
    assert_eq!(board.discovery_us(), None);
    let news = board.handle("beta", found("alpha", 1_045_000));
    assert_eq!(board.discovery_us(), Some(20_000));
    assert_eq!(
        news[1],
        "all 3 nodes know each other, 20.0 ms after the last was up"
    );
    board.handle("beta", found("alpha", 9_000_000));
    assert_eq!(
        board.discovery_us(),
        Some(20_000),
        "a later meeting changes nothing"
    );
}

#[test]
fn complete_when_all_is_sent_and_heard_of() {
    let mut board = board();
    board.handle("EWR", started("n", "a"));
    board.handle(
        "EWR",
        Report::Accepted {
            count: 100,
            done: true,
        },
    );
    assert!(board.is_sent() && !board.is_complete());
    board.handle("alpha", tick("n", "a", 100));
    board.handle("beta", tick("n", "a", 99));
    assert!(!board.is_complete());
    board.handle("beta", tick("n", "a", 100));
    assert!(board.is_complete());
    assert_eq!(board.progress(), 300);
}

#[test]
fn a_killed_station_goes_on_where_the_slowest_consumer_is() {
    let mut board = board();
    board.handle("EWR", up(10));
    board.handle("EWR", started("n", "a"));
    board.handle(
        "EWR",
        Report::Accepted {
            count: 60,
            done: false,
        },
    );
    board.handle("alpha", tick("n", "a", 58));
    board.handle("beta", tick("n", "a", 55));
    board.killed("EWR", 1_000);
    assert_eq!(board.lines()[0].split_whitespace().last(), Some("killed"));
    assert_eq!(board.resume("EWR"), 55);

    board.handle("EWR", up(2_000));
    board.handle("EWR", started("n", "b"));
    assert_eq!(board.lives()[1].first_row, 55);
    let first = |epoch: &str, at_us| Report::First {
        node: "n".into(),
        epoch: epoch.into(),
        at_us,
    };
    board.handle("beta", first("a", 1));
    let news = board.handle("alpha", first("b", 5_000));
    assert_eq!(news, ["alpha receives EWR again, 3.0 ms after it was up"]);
    let kill = board.kill().unwrap();
    assert_eq!((kill.accepted, kill.resumed_row), (60, 55));
    assert_eq!(kill.first_us.len(), 1);

    // Killed again before anybody heard of the new life, it does not go back to its beginning.
    assert_eq!(board.resume("EWR"), 55);
    board.handle(
        "EWR",
        Report::Accepted {
            count: 45,
            done: true,
        },
    );
    for consumer in ["alpha", "beta"] {
        board.handle(consumer, tick("n", "b", 45));
    }
    assert!(board.is_complete());
}

#[test]
fn nobody_heard_of_it_so_it_starts_over() {
    let mut board = board();
    board.handle("EWR", started("n", "a"));
    board.handle("alpha", tick("n", "a", 5));
    board.killed("EWR", 0);
    assert_eq!(board.resume("EWR"), 0);
}

#[test]
fn rates_are_per_second() {
    let mut board = board();
    board.handle("EWR", started("n", "a"));
    board.clock(0);
    board.handle(
        "EWR",
        Report::Accepted {
            count: 50,
            done: false,
        },
    );
    board.clock(100_000);
    board.clock(500_000);
    assert!(board.lines()[0].contains("100/s"), "{:?}", board.lines());
}

#[test]
fn a_member_that_is_not_ours_is_ignored() {
    let mut board = board();
    board.handle("EWR", up(1));
    board.handle(
        "EWR",
        Report::Found {
            name: "someone".into(),
            at_us: 2,
        },
    );
    assert!(
        board
            .handle("EWR", Report::Rtt { peers: vec![] })
            .is_empty()
    );
}

#[test]
fn other_members_are_nodes_and_no_consumers() {
    let board = board().with_members(&["forecaster", "alert"]);
    assert_eq!((board.nodes(), board.consumers().count()), (5, 2));
    assert_eq!(board.lines().len(), 3);
}
