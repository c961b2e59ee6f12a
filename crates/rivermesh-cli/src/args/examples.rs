//! What stands below the flags in the help of each command.

pub(super) const ROOT: &str = "\
First steps:
  rivermesh demo                      see it work, in a few seconds
  rivermesh sub chat                  in one terminal: print the stream `chat`
  rivermesh pub chat                  in another: every line typed is an item
  rivermesh ls                        who is there, and what they produce

Exit codes: 0 done, 1 it failed, 2 the command line is wrong.";

pub(super) const NODE: &str = "\
Examples:
  rivermesh node                      join the network `default`, print an invite
  rivermesh node --network lab --name hub --bind 0.0.0.0:7400 --key-file hub.key
  rivermesh ls --join INVITE          on another machine: reach it by its invite";

pub(super) const PUB: &str = "\
CSV needs a header line. The type of each column (integer, number, boolean, text) is settled by
the first rows; empty fields and NA are null; a field that does not fit later is sent as text.

Examples:
  rivermesh pub chat                          each line typed is an item
  rivermesh pub flights flights.csv.gz        rows as JSON objects, types inferred
  tail -f app.jsonl | rivermesh pub logs --wait-for 0
  rivermesh pub flights flights.csv --rate 1000 --wait-for 2
  rivermesh pub state state.csv --key id --retain per-key --wait-for 0 --linger";

pub(super) const SUB: &str = "\
Items go to stdout, everything else to stderr, so that pipes stay clean.

Examples:
  rivermesh sub flights | jq .dest
  rivermesh sub flights --filter 'carrier == \"UA\" && dep_delay > 60'
  rivermesh sub weather/reading --producer JFK --count 10
  rivermesh sub flights --from 10m            what was sent in the last ten minutes, and on
  rivermesh sub 'weather/*' --from last-per-key --meta
  rivermesh sub chat --meta --events 2>events.jsonl";

pub(super) const LS: &str = "\
Examples:
  rivermesh ls
  rivermesh ls --network lab --wait 3s
  rivermesh ls --lag
  rivermesh ls --json | jq '.[].streams'";

pub(super) const EXPLAIN: &str = "\
Each producer of the stream is asked. One tells only whom it would let subscribe; of another node than
the one that asks it tells neither the filter nor the address. Ask with a key of your own: a node that
runs with the same key at the same time would lose its connections. The exit code is 1 when the node
does not receive the stream from every producer.

Examples:
  rivermesh explain bee weather/jfk
  rivermesh explain 3f9a weather/jfk --key-file ops.key --ticket @ops.ticket
  rivermesh explain bee weather/jfk --json | jq '.producers[].steps[] | select(.holds | not)'";

pub(super) const KEY: &str = "\
A key is 64 hexadecimal digits in a file of mode 0600. The same form serves as a node's key
(--key-file), as an authority's (ticket --authority) and as a network's (--network-key-file). A
secret is never an argument, and never printed.

Examples:
  rivermesh key new node.key
  rivermesh key show node.key         the id to issue tickets to";

pub(super) const TICKET: &str = "\
A ticket is no secret: only the node it was made for can use it.

Examples:
  rivermesh ticket authority authority.key
  rivermesh pub weather/jfk --require-authority ID
  rivermesh ticket issue --authority authority.key --to NODE --stream 'weather/*' \\
      --allow consume --for 8h > team.ticket
  rivermesh ticket delegate @team.ticket --key-file team.key --to NODE --stream weather/jfk \\
      --allow consume > one.ticket
  rivermesh ticket inspect @one.ticket
  rivermesh sub weather/jfk --key-file one.key --ticket @one.ticket
  rivermesh ticket revoke --authority authority.key --list revoked --ticket @team.ticket";

pub(super) const DEMO: &str = "\
Three stations (EWR, JFK, LGA) each stream their hourly weather of 2013 (8,700 readings, CC0) to
two consumers. Then they stream it again, out of order and late, to a forecaster, which groups the
hours and publishes predictions; an alert node gets those that its filter asks for. Each is a process
of its own on loopback. The exit code is 1 when a reading is neither delivered to both consumers nor
reported missed, is not in its hour nor told as late, or when an alert is missing.

Examples:
  rivermesh demo
  rivermesh demo --speed max --kill
  rivermesh demo --json | jq .latency_us";

pub(super) const BENCH: &str = "\
One process produces, another consumes, over QUIC on loopback. At full load nothing may be lost
(the producer waits for the slowest); then latency is measured at a fixed rate, from the time at
which an item was due to be sent to its arrival.

Examples:
  rivermesh bench
  rivermesh bench --consumers 1 --size 32,65536 --seconds 5
  rivermesh bench --json > bench.json";

pub(super) const COMPLETIONS: &str = "\
Examples:
  rivermesh completions bash > ~/.local/share/bash-completion/completions/rivermesh
  rivermesh completions zsh > \"${fpath[1]}/_rivermesh\"
  rivermesh completions fish > ~/.config/fish/completions/rivermesh.fish";
