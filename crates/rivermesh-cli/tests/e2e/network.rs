//! `node`, `ls`, invites and network keys.

use std::time::Instant;

use rivermesh::{Invite, Node, Rendezvous};
use serde_json::Value;

use crate::tool::{DEADLINE, Place, Running, key};

/// Starts a node and waits for its invite.
fn node(place: &Place, args: &[&str]) -> (Running, Value) {
    let mut node = place.start(&[&["node", "--json", "--bind", "127.0.0.1:0"], args].concat());
    let up: Value = serde_json::from_str(&node.line()).unwrap();
    assert_eq!(up["event"], "up");
    (node, up)
}

#[test]
fn ls_lists_everybody_as_table_and_json() {
    let place = Place::new();
    let (mut hub, up) = node(&place, &["--name", "hub", "--tag", "eu", "--tag", "fast"]);
    let mut publisher = place.start(&["pub", "flights", "--name", "air", "--linger"]);
    publisher.write("1\n2\n");
    hub.line_with("\"flights\"");

    // Who lists listens for a while, which is short for a machine that does much else.
    let began = Instant::now();
    let list = loop {
        let list = place.run(&["ls", "--json"], "").good().lines.join("\n");
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        if list.len() == 2 && list.iter().all(|row| row["rtt_us"].is_u64()) {
            break list;
        }
        assert!(began.elapsed() < DEADLINE, "{list:?}");
    };
    assert_eq!(list[0]["name"], "air");
    assert_eq!(list[0]["streams"][0], "flights");
    assert_eq!(list[1]["id"], up["id"]);
    assert_eq!(list[1]["tags"], serde_json::json!(["eu", "fast"]));
    assert_eq!(list[1]["status"], "live");
    assert!(list[1]["rtt_us"].as_u64().unwrap() > 0);
    let address = list[1]["addresses"][0].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");

    let table = place.run(&["ls", "--wait", "4s"], "").good().lines;
    assert_eq!(table.len(), 3, "{table:?}");
    assert!(table[0].starts_with("NAME") && table[2].starts_with("hub"));
    assert!(table[2].contains("eu,fast"), "{table:?}");
}

// The test waits for lines with its thread blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_begins_after_its_node_has_joined_is_told() {
    let place = Place::new();
    let (mut hub, up) = node(&place, &[]);
    let peer = Node::builder(up["network"].as_str().unwrap())
        .bind("127.0.0.1:0".parse().unwrap())
        .join(up["invite"].as_str().unwrap().parse::<Invite>().unwrap())
        .rendezvous(Rendezvous::Off)
        .spawn()
        .await
        .unwrap();
    let joined = hub.line_with("joined");
    let joined: Value = serde_json::from_str(&joined).unwrap();
    assert_eq!(joined["peer"]["streams"], serde_json::json!([]));
    let stream = peer.producer::<String>().stream("flights").build().unwrap();
    let updated = hub.line_with("updated");
    let updated: Value = serde_json::from_str(&updated).unwrap();
    assert_eq!(updated["peer"]["id"], peer.id().to_string());
    assert_eq!(updated["peer"]["streams"], serde_json::json!(["flights"]));
    drop(stream);
    peer.shutdown().await;
}

#[test]
fn an_invite_leads_to_a_node_that_no_folder_tells_of() {
    let (here, there) = (Place::new(), Place::new());
    let (_hub, up) = node(&here, &["--network", "lab"]);
    let invite = up["invite"].as_str().unwrap();
    let file = there.file("invite", invite);
    // The invite names the network.
    let sub = there.start(&["sub", "chat", "--count", "1", "--join", &format!("@{file}")]);
    let third = Place::new();
    third
        .run(&["pub", "chat", "--join", invite], "hello\n")
        .good();
    assert_eq!(sub.finish().good().lines, ["\"hello\""]);

    let other = there.run(&["ls", "--network", "other", "--join", invite], "");
    assert_eq!(other.status.code(), Some(2));
    assert!(
        other.stderr.contains("the network \"lab\""),
        "{}",
        other.stderr
    );
}

#[test]
fn networks_on_one_machine_do_not_mix() {
    let place = Place::new();
    let (_one, _) = node(&place, &["--network", "one"]);
    let list = place
        .run(&["ls", "--network", "two", "--wait", "1500ms"], "")
        .good();
    assert!(list.lines.is_empty(), "{list:?}");
    assert!(
        list.stderr
            .contains("nobody else is in the network \"two\""),
        "{list:?}"
    );
}

#[test]
fn who_has_another_key_is_kept_out_and_told() {
    let place = Place::new();
    let mut hub = place.command(&["node", "--json"]);
    let mut hub = Running::start(hub.env("RIVERMESH_NETWORK_KEY", key('1')));
    hub.line();
    let list = |variable: Option<String>| {
        let mut ls = place.command(&["ls", "--json", "--wait", "4s"]);
        ls.envs(variable.map(|key| ("RIVERMESH_NETWORK_KEY", key)));
        let done = Running::start(&mut ls).finish().good();
        let list: Vec<Value> = serde_json::from_str(&done.lines.join("\n")).unwrap();
        (list.len(), done.stderr)
    };
    assert_eq!(list(Some(key('1'))).0, 1);
    for wrong in [Some(key('2')), None] {
        let (found, said) = list(wrong);
        assert_eq!(found, 0);
        assert!(said.contains("another network key"), "{said}");
    }
    let (_, said) = {
        let mut ls = place.command(&["ls"]);
        let done = Running::start(ls.env("RIVERMESH_NETWORK_KEY", "short")).finish();
        (assert_eq!(done.status.code(), Some(2)), done.stderr)
    };
    assert!(said.contains("RIVERMESH_NETWORK_KEY"), "{said}");
}

#[test]
fn a_key_file_makes_the_same_node_again() {
    let place = Place::new();
    let file = place.path().join("node.key");
    let file = file.to_str().unwrap();
    let (first, up) = node(&place, &["--key-file", file]);
    drop(first);
    let (_second, again) = node(&place, &["--key-file", file]);
    assert_eq!(up["id"], again["id"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place
            .run(&["completions", shell], "")
            .good()
            .lines
            .join("\n");
        assert!(
            script.contains("rivermesh") && script.contains("demo"),
            "{shell}"
        );
        assert!(!script.contains("demo-station"), "hidden: {shell}");
    }
}
