//! `pub` and `sub`.

use std::{
    io::Read,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::tool::{DEADLINE, Place};

#[test]
fn lines_of_text_arrive_as_json_strings() {
    let place = Place::new();
    let sub = place.start(&["sub", "chat", "--count", "3"]);
    let sent = place
        .run(&["pub", "chat"], "one\ntwo \"quoted\"\nthree\n")
        .good();
    let got = sub.finish().good();
    assert_eq!(
        got.json(),
        [json!("one"), json!("two \"quoted\""), json!("three")]
    );
    assert!(sent.stderr.contains("sent 3 items"), "{}", sent.stderr);
}

#[test]
fn rows_of_csv_arrive_as_typed_objects_in_the_order_of_the_columns() {
    let place = Place::new();
    let file = place.file(
        "f.csv",
        "origin,delay,late,note\nJFK,3,true,NA\nEWR,-2,false,x\n",
    );
    let sub = place.start(&["sub", "flights", "--count", "2"]);
    place.run(&["pub", "flights", &file], "").good();
    let got = sub.finish().good();
    assert_eq!(
        got.lines,
        [
            r#"{"origin":"JFK","delay":3,"late":true,"note":null}"#,
            r#"{"origin":"EWR","delay":-2,"late":false,"note":"x"}"#,
        ]
    );
}

#[test]
fn a_filter_takes_rows_by_their_typed_columns() {
    let place = Place::new();
    let file = place.file(
        "f.csv",
        "carrier,dep_delay,flight\nUA,61,0012\nUA,60,0013\nAA,90,0014\nUA,NA,0015\nUA,-3,0016\nUA,100,0017\n",
    );
    let filter = "carrier == \"UA\" && dep_delay > 60";
    let sub = place.start(&["sub", "flights", "--count", "2", "--filter", filter]);
    place.run(&["pub", "flights", &file], "").good();
    let got = sub.finish().good();
    assert_eq!(
        got.lines,
        [
            r#"{"carrier":"UA","dep_delay":61,"flight":"0012"}"#,
            r#"{"carrier":"UA","dep_delay":100,"flight":"0017"}"#,
        ]
    );
}

#[test]
fn a_filter_that_cannot_be_is_shown_with_the_place() {
    let place = Place::new();
    let bad = place.run(&["sub", "x", "--filter", "carrier = \"UA\""], "");
    assert_eq!(bad.status.code(), Some(2));
    let lines: Vec<&str> = bad.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: not a filter: line 1, column 9"),
        "{}",
        bad.stderr
    );
    assert_eq!(lines[1..3], ["carrier = \"UA\"", "        ^"]);
    // What only the producer can know. A stream of lines has no fields.
    let sub = place.start(&["sub", "chat", "--count", "1", "--filter", "carrier == 'UA'"]);
    let mut publisher = place.start(&["pub", "chat", "--wait-for", "0", "--linger"]);
    publisher.write("hello\n");
    let told = sub.says("^^^^^^^");
    let told: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("receiving"))
        .collect();
    assert!(
        told[0].contains("refuses the filter: line 1, column 1: "),
        "{told:?}"
    );
    assert_eq!(told[1..], ["carrier == 'UA'", "^^^^^^^"]);
    drop(publisher);
}

#[test]
fn json_arrives_as_it_was_and_a_bad_line_is_named_and_left_out() {
    let place = Place::new();
    let sub = place.start(&["sub", "log", "--count", "3", "--events"]);
    let input = "{\"z\":1,\"a\":[true,null]}\n{\"z\":\n7\n\"text\"\n";
    let sent = place.run(&["pub", "log", "--format", "json"], input).good();
    assert!(sent.stderr.contains("line 2: not JSON"), "{}", sent.stderr);
    assert!(
        sent.stderr.contains("1 bad record left out"),
        "{}",
        sent.stderr
    );
    let got = sub.finish().good();
    assert_eq!(got.lines, [r#"{"z":1,"a":[true,null]}"#, "7", "\"text\""]);
    let events: Vec<serde_json::Value> = got
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "joined");
}

#[test]
fn a_bad_line_can_end_it() {
    let place = Place::new();
    let sub = place.start(&["sub", "log", "--count", "1"]);
    let args = ["pub", "log", "--format", "json", "--on-error", "stop"];
    let sent = place.run(&args, "1\n}\n2\n");
    assert_eq!(sent.status.code(), Some(1));
    assert!(sent.stderr.contains("line 2: not JSON"), "{}", sent.stderr);
    assert_eq!(sub.finish().good().lines, ["1"]);
}

#[test]
fn only_the_named_producer_is_printed_with_where_items_are_from() {
    let place = Place::new();
    let args = [
        "sub",
        "chat",
        "--producer",
        "good",
        "--count",
        "2",
        "--meta",
    ];
    let sub = place.start(&args);
    let mut bad = place.start(&["pub", "chat", "--name", "bad", "--wait-for", "0"]);
    bad.write("no\nno\n");
    place
        .run(&["pub", "chat", "--name", "good"], "yes\nYES\n")
        .good();
    let got = sub.finish().good().json();
    let items: Vec<_> = got.iter().map(|line| &line["item"]).collect();
    assert_eq!(items, ["yes", "YES"]);
    assert_eq!((&got[0]["seq"], &got[1]["seq"]), (&json!(0), &json!(1)));
    assert_eq!(got[0]["producer"].as_str().unwrap().len(), 64);
    assert!(got[0]["sent_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn items_of_a_derived_type_are_shown_as_json() {
    let place = Place::new();
    let args = [
        "sub",
        "weather/reading",
        "--count",
        "2",
        "--tag",
        "demo-consumer",
    ];
    let sub = place.start(&args);
    // A station of the demo waits for consumers that are tagged so.
    let args = [
        "demo-station",
        "--origin=JFK",
        "--speed=max",
        "--consumers=1",
    ];
    let _station = place.start(&[&args[..], &["--first-row=0", "--end-row=2"]].concat());
    let got = sub.finish().good();
    let first = &got.json()[0];
    let fields: Vec<_> = first.as_object().unwrap().keys().collect();
    assert_eq!(fields[..5], ["station", "at_secs", "year", "month", "day"]);
    assert_eq!(first["year"], 2013);
    assert!(
        first["temp"].is_number() && first["wind_gust"].is_null(),
        "{first}"
    );
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_a_normal_end() {
    let place = Place::new();
    let mut command = place.command(&["sub", "numbers"]);
    let mut sub = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut publisher = place.start(&["pub", "numbers", "--linger"]);
    for _ in 0..2000 {
        publisher.write("a line that is long enough to fill a pipe, in the end\n");
    }
    let mut byte = [0];
    let mut stdout = sub.stdout.take().unwrap();
    stdout.read_exact(&mut byte).unwrap();
    drop(stdout);
    let deadline = Instant::now() + DEADLINE;
    let status = loop {
        publisher.write("and another line\n");
        if let Some(status) = sub.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "sub goes on without a reader");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
    let mut said = String::new();
    sub.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("error") && !said.contains("panic"), "{said}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_is_a_normal_end() {
    let place = Place::new();
    let sub = place.start(&["sub", "chat"]);
    let mut publisher = place.start(&["pub", "chat", "--linger"]);
    let mut node = place.start(&["node"]);
    publisher.write("hello\n");
    node.line_with("joined");
    node.line_with("joined");
    for process in [sub, publisher, node] {
        process.interrupt();
        process.finish().good();
    }
}

#[test]
fn what_is_kept_is_printed_to_who_comes_late() {
    let place = Place::new();
    let file = place.file("f.csv", "id,n\na,1\nb,2\na,3\nb,4\nc,5\n");
    let kept = "--wait-for 0 --linger --key id --retain 2,per-key";
    let mut args = vec!["pub", "things/state", &file];
    args.extend(kept.split(' '));
    let publisher = place.start(&args);
    publisher.says("sent 5 items");
    let other = place.start(&["pub", "things/other", &file, "--wait-for", "0", "--linger"]);
    other.says("sent 5 items");
    let numbers = |args: &[&str], count: &str| {
        let all = [&["sub", "--count", count], args].concat();
        let got = place.start(&all).finish().good().json();
        let numbers = got.iter().map(|row| row["n"].as_u64().unwrap());
        numbers.collect::<Vec<_>>()
    };
    let state = "things/state";
    assert_eq!(numbers(&[state, "--from", "last-per-key"], "3"), [3, 4, 5]);
    assert_eq!(numbers(&[state, "--from", "4"], "1"), [5]);
    assert_eq!(
        numbers(&[state, "--from", "1h", "--conflate"], "3"),
        [3, 4, 5]
    );
    assert_eq!(
        numbers(&["things/other", "--from", "earliest"], "5"),
        [1, 2, 3, 4, 5]
    );
    // Of both streams, each with its name.
    let args = ["sub", "things/*", "--from", "3", "--count", "4", "--meta"];
    let got = place.start(&args).finish().good().json();
    let mut lines: Vec<_> = got
        .iter()
        .map(|line| (line["stream"].as_str().unwrap(), &line["seq"]))
        .collect();
    lines.sort_by_key(|(stream, seq)| (*stream, seq.as_u64()));
    let expected = [
        ("things/other", 3),
        ("things/other", 4),
        (state, 3),
        (state, 4),
    ];
    assert_eq!(lines.len(), 4);
    for ((stream, seq), expected) in lines.into_iter().zip(expected) {
        assert_eq!((stream, seq.as_u64()), (expected.0, Some(expected.1)));
    }
}

#[test]
fn a_row_whose_key_was_sent_is_dropped() {
    let place = Place::new();
    let file = place.file("f.csv", "id,n\na,1\nb,2\na,3\n");
    let sub = place.start(&["sub", "things", "--count", "2"]);
    let args = ["pub", "things", &file, "--key", "id", "--dedup", "1h"];
    let sent = place.run(&args, "").good();
    assert!(
        sent.stderr.contains("1 duplicate dropped"),
        "{}",
        sent.stderr
    );
    assert_eq!(sub.finish().good().lines.len(), 2);
    let bad = place.run(&["pub", "chat", "--key", "id", "--format", "lines"], "x\n");
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn what_cannot_be_done_is_said_in_words() {
    let place = Place::new();
    let bad = place.run(&["pub", "no spaces please"], "x\n");
    assert_eq!(bad.status.code(), Some(2));
    assert!(bad.stderr.contains("not a stream name"), "{}", bad.stderr);
    let bad = place.run(&["pub", "x", "/no/such/file"], "");
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        bad.stderr.contains("cannot read /no/such/file"),
        "{}",
        bad.stderr
    );
    let bad = place.run(&["sub", "x", "--join", "nonsense"], "");
    assert_eq!(bad.status.code(), Some(2));
    assert!(bad.stderr.contains("not an invite"), "{}", bad.stderr);
}
