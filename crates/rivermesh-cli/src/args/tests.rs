use std::time::Duration;

use clap::{CommandFactory, Parser, error::ErrorKind};

use super::*;

fn parse(line: &str) -> Result<Command, ErrorKind> {
    Cli::try_parse_from(line.split_whitespace())
        .map(|cli| cli.command)
        .map_err(|error| error.kind())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_each_command() {
    let mut root = Cli::command().term_width(100);
    root.build();
    insta::assert_snapshot!("help", root.render_long_help());
    for name in [
        "node",
        "pub",
        "sub",
        "ls",
        "explain",
        "key",
        "ticket",
        "demo",
        "bench",
        "completions",
    ] {
        let command = root.find_subcommand_mut(name).unwrap();
        let help = command.clone().term_width(100).render_help();
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
}

#[test]
fn help_of_each_command_of_tickets() {
    let mut root = Cli::command().term_width(100);
    root.build();
    let ticket = root.find_subcommand_mut("ticket").unwrap();
    for name in ["authority", "issue", "delegate", "inspect", "revoke"] {
        let command = ticket.find_subcommand_mut(name).unwrap();
        let help = command.clone().term_width(100).render_help();
        insta::assert_snapshot!(format!("help_ticket_{name}"), help);
    }
}

#[test]
fn the_children_of_the_demo_are_not_in_the_help() {
    let help = Cli::command().render_long_help().to_string();
    for hidden in [
        "demo-station",
        "demo-consumer",
        "demo-forecaster",
        "demo-alert",
        "bench-consumers",
    ] {
        assert!(!help.contains(hidden), "{hidden} shows");
    }
}

#[test]
fn network_flags_repeat() {
    let Ok(Command::Node(node)) = parse("rivermesh node --tag a --tag b --join x --join y") else {
        panic!("refused");
    };
    assert_eq!(node.net.tag, ["a", "b"]);
    assert_eq!(node.net.join, ["x", "y"]);
}

#[test]
fn times_and_speeds_have_units() {
    let Ok(Command::Ls(ls)) = parse("rivermesh ls --wait 1500ms") else {
        panic!("refused");
    };
    assert_eq!(ls.wait, Duration::from_millis(1500));
    let Ok(Command::Demo(demo)) = parse("rivermesh demo --speed max --timeout 2m") else {
        panic!("refused");
    };
    assert_eq!(demo.speed, Speed::Max);
    assert_eq!(demo.timeout, Duration::from_secs(120));
    for wrong in [
        "ls --wait 5",
        "ls --wait -1s",
        "demo --speed 0",
        "demo --speed fast",
    ] {
        let kind = parse(&format!("rivermesh {wrong}")).unwrap_err();
        assert!(
            matches!(
                kind,
                ErrorKind::ValueValidation | ErrorKind::UnknownArgument
            ),
            "{wrong}: {kind:?}"
        );
    }
}

#[test]
fn bench_takes_lists() {
    let Ok(Command::Bench(bench)) = parse("rivermesh bench --consumers 1,2 --size 32") else {
        panic!("refused");
    };
    assert_eq!((bench.consumers, bench.size), (vec![1, 2], vec![32]));
    assert_eq!(
        parse("rivermesh bench --size 8").unwrap_err(),
        ErrorKind::ValueValidation
    );
}

#[test]
fn a_key_is_never_an_argument() {
    assert_eq!(
        parse("rivermesh node --network-key 00").unwrap_err(),
        ErrorKind::UnknownArgument
    );
}

#[test]
fn verbosity_goes_anywhere() {
    let cli = Cli::try_parse_from(["rivermesh", "ls", "-vv"]).unwrap();
    assert_eq!(cli.verbose, 2);
}
