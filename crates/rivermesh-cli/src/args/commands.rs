//! The flags of each command.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Args, ValueEnum};

use super::{
    EntitleArgs, NetworkArgs,
    keep::{Begin, Retain},
};

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Put the network's secret key into the printed invite: who has it can join
    #[arg(long)]
    pub(crate) invite_with_key: bool,
    /// Print JSON lines instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

/// How the input of `pub` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Each line is a text item
    Lines,
    /// Each line is a JSON value
    Json,
    /// The first line names the columns, each further row is a JSON object
    Csv,
}

/// What to do about a record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Report it and go on
    Skip,
    /// Report it and end with exit code 1
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct PubArgs {
    /// Stream to publish
    pub(crate) stream: String,
    /// File to read, gzip'ed or not [default: stdin]
    pub(crate) file: Option<PathBuf>,
    /// Format of the input [default: by the file's extension, else by its first lines]
    #[arg(long, value_enum)]
    pub(crate) format: Option<InputFormat>,
    /// Rows of CSV to read before the columns' types are settled
    #[arg(long, value_name = "ROWS", default_value = "1000")]
    pub(crate) sample: NonZeroU64,
    /// Send at most N items per second [default: as fast as they are taken]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// Wait until N consumers are there; 0 sends at once, to whoever is there
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) wait_for: usize,
    /// Stay after the end of the input, so that consumers can fetch what is kept, until Ctrl-C
    #[arg(long)]
    pub(crate) linger: bool,
    /// What to keep for consumers that come later: a number of items, bytes such as 64MiB, a time such
    /// as 10m, per-key, or several of these; or none [default: what the log holds]
    #[arg(long, value_name = "WHAT,…", value_delimiter = ',')]
    pub(crate) retain: Vec<Retain>,
    /// The field of JSON objects, or the column, that is an item's key
    #[arg(long, value_name = "FIELD")]
    pub(crate) key: Option<String>,
    /// Drop an item whose key was sent within this time, such as 10s
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "key")]
    pub(crate) dedup: Option<Duration>,
    /// What to do about a record that cannot be read
    #[arg(long, value_enum, default_value = "skip")]
    pub(crate) on_error: OnError,
    #[command(flatten)]
    pub(crate) entitle: EntitleArgs,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

impl std::fmt::Display for LagPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Skip => "skip",
            Self::Newest => "newest",
            Self::Disconnect => "disconnect",
            Self::Block => "block",
        })
    }
}

/// What a producer does when this consumer is too slow for what the producer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LagPolicy {
    /// Leave out the oldest items; each gap is reported
    Skip,
    /// Go on with the newest item; the gap is reported
    Newest,
    /// End the subscription
    Disconnect,
    /// Make the producer wait, where it allows that
    Block,
}

#[derive(Debug, Args)]
pub(crate) struct SubArgs {
    /// Stream to print; with * and ? in it, all streams whose names follow the pattern
    pub(crate) stream: String,
    /// Only items for which this holds, such as 'carrier == "UA" && dep_delay > 60'; the producers
    /// send nothing else
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    /// Only from this producer: its name, or the beginning of its id
    #[arg(long, value_name = "NODE")]
    pub(crate) producer: Option<String>,
    /// Where to begin: latest, earliest, a number of an item, a time ago such as 10m, or last-per-key
    #[arg(long, value_name = "START", default_value = "latest")]
    pub(crate) from: Begin,
    /// While behind, leave out items that a newer one of their key has superseded
    #[arg(long)]
    pub(crate) conflate: bool,
    /// End after N items [default: at Ctrl-C]
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// Print {"producer","epoch","seq","sent_at","item"} instead of the item alone
    #[arg(long)]
    pub(crate) meta: bool,
    /// Print events (joined, left, missed, reset, refused) as JSON on stderr, not as text
    #[arg(long)]
    pub(crate) events: bool,
    /// What to do when this consumer falls too far behind
    #[arg(long, value_enum, default_value = "skip")]
    pub(crate) lag: LagPolicy,
    #[command(flatten)]
    pub(crate) entitle: EntitleArgs,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// List the consumers with a name at each stream, and how far behind they are
    #[arg(long)]
    pub(crate) lag: bool,
    /// How long to listen before listing, such as 500ms, 1s, 2m; peers whose round-trip time is not
    /// known by then are asked for at most 3 s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) wait: Duration,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Node that it is about: its name, or the beginning of its id
    pub(crate) node: String,
    /// Stream
    pub(crate) stream: String,
    /// Ticket of who asks, or @FILE, where the producers ask for one; it goes with --key-file
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<String>,
    /// How long to listen for nodes before asking, such as 500ms, 1s, 2m
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) wait: Duration,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

/// How fast a station of the demo produces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// As fast as items are taken.
    Max,
    /// Items per second.
    PerSecond(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        positive(text)
            .map(Self::PerSecond)
            .map_err(|_| "give a number of readings per second above 0, or max".to_owned())
    }
}

impl std::fmt::Display for Speed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::PerSecond(rate) => write!(f, "{rate}"),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Readings per second of each station, or max
    #[arg(long, value_name = "N|max", default_value = "2000")]
    pub(crate) speed: Speed,
    /// Use only the first N readings of each station
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<NonZeroU64>,
    /// Kill one station half way and start it again
    #[arg(long)]
    pub(crate) kill: bool,
    /// Print one JSON object to stdout at the end; what happens goes to stderr
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up after this time, such as 90s or 2m
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DemoStationArgs {
    /// Station of the weather file
    #[arg(long)]
    pub(crate) origin: String,
    #[arg(long)]
    pub(crate) speed: Speed,
    /// First row to send
    #[arg(long)]
    pub(crate) first_row: u64,
    /// Row before which to stop
    #[arg(long)]
    pub(crate) end_row: u64,
    /// Row before which to wait for ever
    #[arg(long)]
    pub(crate) hold_row: Option<u64>,
    /// Consumers to wait for
    #[arg(long)]
    pub(crate) consumers: usize,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoForecasterArgs {
    /// That of the stations, by which their silence is judged
    #[arg(long)]
    pub(crate) speed: Speed,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoAlertArgs {
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoConsumerArgs {
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Numbers of consumers, each a node of its own
    #[arg(
        long,
        value_name = "N,…",
        default_value = "1,8,64",
        value_delimiter = ','
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) consumers: Vec<u32>,
    /// Sizes of an item in bytes
    #[arg(
        long,
        value_name = "BYTES,…",
        default_value = "32,256,4096,65536",
        value_delimiter = ','
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub(crate) size: Vec<u32>,
    /// Length of each measurement in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = positive)]
    pub(crate) seconds: f64,
    /// Items per second when latency is measured; at most half of what was reached at full load
    #[arg(long, value_name = "N", default_value = "5000", value_parser = positive)]
    pub(crate) rate: f64,
    /// Print JSON instead of a Markdown table
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads of each of the two processes [default: one for each core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Further consumers that subscribe and never read; they are not counted
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) stalled: u32,
    /// Leave latency out
    #[arg(long, hide = true)]
    pub(crate) only_throughput: bool,
    /// What happens to consumers that fall behind at full load
    #[arg(long, hide = true, value_enum, default_value = "block")]
    pub(crate) lag: LagPolicy,
}

#[derive(Debug, Args)]
pub(crate) struct BenchConsumersArgs {
    /// Consumers to run, each on a node of its own
    #[arg(long)]
    pub(crate) consumers: u32,
    /// Consumers that never read
    #[arg(long, default_value = "0")]
    pub(crate) stalled: u32,
    #[arg(long)]
    pub(crate) threads: Option<NonZeroUsize>,
    #[arg(long, value_enum)]
    pub(crate) lag: LagPolicy,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("give a number above 0".to_owned()),
    }
}

/// A time with a unit: `500ms`, `1.5s`, `2m`, `8h`, `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("give a time with a unit, such as 500ms, 1s, 2m, 8h or 7d".to_owned()),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| format!("{digits:?} is not a number"))?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}
