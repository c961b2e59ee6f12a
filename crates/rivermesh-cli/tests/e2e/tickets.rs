//! `key`, `ticket`, `--require-authority` and `--ticket`.

use crate::tool::Place;

/// An id or a ticket that the program prints.
fn printed(place: &Place, args: &[&str]) -> String {
    let done = place.run(args, "").good();
    assert_eq!(done.lines.len(), 1, "{done:?}");
    done.lines[0].clone()
}

fn path(place: &Place, name: &str) -> String {
    place.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn keys_are_made_once_kept_private_and_never_shown() {
    let place = Place::new();
    let file = path(&place, "node.key");
    let id = printed(&place, &["key", "new", &file]);
    assert_eq!(id.len(), 64);
    assert_eq!(printed(&place, &["key", "show", &file]), id);
    assert_eq!(printed(&place, &["ticket", "authority", &file]), id);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert_ne!(secret.trim(), id);
    let again = place.run(&["key", "new", &file], "");
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        permit(&file, 0o644);
        let exposed = place.run(&["key", "show", &file], "");
        assert!(exposed.stderr.contains("chmod 600"), "{exposed:?}");
    }
}

#[cfg(unix)]
fn permit(file: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_networks_key_that_others_can_read_is_refused() {
    let place = Place::new();
    let file = place.file("network.key", &crate::tool::key('1'));
    let args = ["ls", "--network-key-file", &file, "--wait", "100ms"];
    for mode in [0o644, 0o640] {
        permit(&file, mode);
        let refused = place.run(&args, "");
        assert_eq!(refused.status.code(), Some(1));
        let said = format!("permissions {mode:04o} of {file}");
        assert!(refused.stderr.contains(&said), "{refused:?}");
        assert!(refused.stderr.contains("chmod 600"), "{refused:?}");
    }
    permit(&file, 0o600);
    place.run(&args, "").good();
}

#[test]
fn an_invite_with_the_key_is_no_argument() {
    let place = Place::new();
    let key = rivermesh::NetworkKey::from_bytes([7; 32]);
    let invite = rivermesh::Invite::new("lab", Some(key), Vec::new()).unwrap();
    let invite = invite.to_string();
    let refused = place.run(&["ls", "--join", &invite], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("@FILE"), "{refused:?}");
    assert!(!refused.stderr.contains(&invite), "{refused:?}");
    let file = place.file("invite", &invite);
    let args = ["ls", "--join", &format!("@{file}"), "--wait", "100ms"];
    #[cfg(unix)]
    {
        permit(&file, 0o644);
        let exposed = place.run(&args, "");
        assert_eq!(exposed.status.code(), Some(1));
        assert!(exposed.stderr.contains("chmod 600"), "{exposed:?}");
        permit(&file, 0o600);
    }
    place.run(&args, "").good();
}

#[test]
fn tickets_from_issue_to_revocation() {
    let place = Place::new();
    let (authority, team, guest) = (
        path(&place, "authority.key"),
        path(&place, "team.key"),
        path(&place, "guest.key"),
    );
    let authority_id = printed(&place, &["ticket", "authority", &authority]);
    let team_id = printed(&place, &["key", "new", &team]);
    let guest_id = printed(&place, &["key", "new", &guest]);
    let all = [
        &["ticket", "issue", "--authority", &authority][..],
        &["--to", &team_id, "--stream", "weather/*"],
        &["--allow", "consume,produce", "--for", "8h"],
    ]
    .concat();
    let all = place.file("team.ticket", &printed(&place, &all));
    let of_team = format!("@{all}");
    let delegate = |stream: &'static str, allow: &'static str| {
        [
            &["ticket", "delegate", &of_team, "--key-file", &team][..],
            &["--to", &guest_id, "--stream", stream, "--allow", allow],
        ]
        .concat()
    };
    let one = printed(&place, &delegate("weather/jfk", "consume"));
    let wide = place.run(&delegate("*", "consume"), "");
    assert_eq!(wide.status.code(), Some(2));
    assert!(wide.stderr.contains("further streams"), "{wide:?}");

    let said = place.run(&["ticket", "inspect", &one, "--network", "default"], "");
    let said = said.good().lines.join("\n");
    assert!(said.contains("to consume the stream weather/jfk"), "{said}");
    assert!(said.contains(&guest_id) && said.contains(&authority_id));
    let other = place.run(&["ticket", "inspect", &one, "--network", "lab"], "");
    assert_eq!(other.status.code(), Some(1));

    let kept = path(&place, "kept");
    let publish = [
        &["pub", "weather/jfk", "--require-authority", &authority_id][..],
        &["--keep-revoked", &kept],
    ]
    .concat();
    let publish = [&publish[..], &["--linger", "--wait-for", "1"]].concat();
    let mut publisher = place.start(&publish);
    publisher.write("21.5\n");
    publisher.says("waiting for 1 consumer");
    let without = place.start(&["sub", "weather/jfk", "--key-file", &guest]);
    without.says("does not admit this one");
    drop(without);
    let sub = ["sub", "weather/jfk", "--ticket", &one];
    // Stolen, it is worth nothing.
    let thief = place.start(&sub);
    thief.says("it was made for node");
    thief.says("does not admit this one");
    drop(thief);
    let new = path(&place, "new");
    let nothing = ["ticket", "revoke", "--authority", &authority];
    let nothing = [&nothing[..], &["--list", &new, "--offline"]].concat();
    let nothing = place.run(&nothing, "");
    assert_eq!(nothing.status.code(), Some(2));
    assert!(nothing.stderr.contains("nothing to revoke"), "{nothing:?}");
    let mut with = place.start(&[&sub[..], &["--key-file", &guest]].concat());
    assert_eq!(with.line(), "\"21.5\"");

    let list = path(&place, "revoked");
    let revoke = [
        &["ticket", "revoke", "--authority", &authority][..],
        &["--list", &list, "--ticket", &of_team],
    ]
    .concat();
    let revoked = place.run(&revoke, "").good();
    assert!(revoked.stderr.contains("in the network"), "{revoked:?}");
    with.says("left");
    with.says("does not admit this one");
    let said = place.run(&["ticket", "inspect", &format!("@{list}")], "");
    let said = said.good().lines.join("\n");
    assert!(said.contains("number   1"), "{said}");
    let said = place.run(&["ticket", "inspect", &one, "--revoked", &list], "");
    assert_eq!(said.status.code(), Some(1));
    assert!(said.lines.concat().contains("BY LIST 1"), "{said:?}");
    let same = std::fs::read_to_string(&list).unwrap();
    let deadline = std::time::Instant::now() + crate::tool::DEADLINE;
    while std::fs::read_to_string(&kept).unwrap() != same {
        assert!(
            std::time::Instant::now() < deadline,
            "the publisher keeps nothing"
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Told again, to nobody: the list is as it was, and the exit code says so.
    let alone = Place::new();
    let again = [
        "ticket",
        "revoke",
        "--authority",
        &authority,
        "--list",
        &list,
    ];
    let again = alone.run(&[&again[..], &["--wait", "100ms"]].concat(), "");
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("NOBODY WAS TOLD"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), same);
    // A list goes on from the one before, also without the network.
    let all = [
        &["ticket", "revoke", "--authority", &authority][..],
        &["--list", &list, "--all", "--offline"],
    ]
    .concat();
    place.run(&all, "").good();
    let said = place.run(&["ticket", "inspect", &format!("@{list}")], "");
    let said = said.good().lines.join("\n");
    assert!(said.contains("number   2") && said.contains("issued before"));
}
