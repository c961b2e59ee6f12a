//! `explain`.

use serde_json::Value;

use crate::tool::{Done, Place};

fn key(place: &Place, name: &str) -> (String, String) {
    let file = place.path().join(name).to_str().unwrap().to_owned();
    let made = place.run(&["key", "new", &file], "").good();
    (file, made.lines[0].clone())
}

/// The report, which is JSON on several lines.
fn report(done: &Done) -> Value {
    serde_json::from_str(&done.lines.join("\n")).unwrap()
}

#[test]
fn a_node_without_a_ticket_is_told_apart_from_one_that_has_one() {
    let place = Place::new();
    let (authority, authority_id) = key(&place, "authority.key");
    let (guest, guest_id) = key(&place, "guest.key");
    let (ops, ops_id) = key(&place, "ops.key");
    let issue = |to: &str, file: &str| {
        let args = ["ticket", "issue", "--authority", &authority, "--to", to];
        let args = [&args[..], &["--stream", "s", "--allow", "consume"]].concat();
        let made = place.run(&args, "").good();
        format!("@{}", place.file(file, &made.lines[0]))
    };
    let (ticket, ops_ticket) = (
        issue(&guest_id, "guest.ticket"),
        issue(&ops_id, "ops.ticket"),
    );
    let input = place.file("input.json", "1\n");
    let publish = ["pub", "s", &input, "--format", "json", "--name", "air"];
    let flags = ["--linger", "--wait-for", "0", "--require-authority"];
    let publisher = place.start(&[&publish[..], &flags, &[authority_id.as_str()]].concat());
    publisher.says("Ctrl-C ends it");

    let entitled = ["--key-file", &ops, "--ticket", &ops_ticket, "--json"];
    let explain = |node: &str, flags: &[&str]| {
        let args = ["explain", node, "s", "--wait", "2s"];
        place.run(&[&args[..], flags].concat(), "")
    };
    // Who has no ticket is told nothing, and who has that of another node is told why.
    let curious = explain("air", &[]);
    assert_eq!(curious.status.code(), Some(1));
    assert!(
        curious.lines.concat().contains("it does not tell"),
        "{curious:?}"
    );
    let thief = explain("air", &["--ticket", &ticket]);
    assert_eq!(thief.status.code(), Some(2));
    assert!(thief.stderr.contains("it was made for node"), "{thief:?}");
    let nobody = explain("bee", &entitled);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(
        nobody.stderr.contains("no node of the network is called"),
        "{nobody:?}"
    );

    let without = place.start(&["sub", "s", "--name", "cat"]);
    without.says("does not admit this one");
    let told = explain("cat", &entitled);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    let told = report(&told);
    let last = told["producers"][0]["steps"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(
        (&last["part"], &last["holds"]),
        (&"ticket".into(), &false.into())
    );
    assert_eq!(last["finding"], "no ticket was shown");

    let sub = ["sub", "s", "--name", "bee", "--from", "earliest"];
    let mut with = place.start(&[&sub[..], &["--key-file", &guest, "--ticket", &ticket]].concat());
    assert_eq!(with.line(), "1");
    // By the beginning of its id.
    let told = report(&explain(&guest_id[..12], &entitled).good());
    assert_eq!(
        (&told["node"], &told["receives"]),
        (&"bee".into(), &true.into())
    );
    let text = explain("bee", &entitled[..4]).good().lines;
    assert!(text[0].starts_with("by air ("), "{text:?}");
    assert_eq!(text.len(), 11, "{text:?}");
    assert!(text[10].contains("receives s from it"), "{text:?}");
}
