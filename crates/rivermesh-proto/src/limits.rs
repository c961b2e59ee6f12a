//! Every bound a peer is held to, in one place.
//!
//! These are the wire's hard limits: a message over one of them is refused before memory is taken
//! for it, whatever the configuration says. Knobs of the runtime may be stricter, never laxer.

use std::time::Duration;

/// Bytes of one handshake message.
pub const HANDSHAKE: usize = 16 * 1024;
/// Bytes of one signed record (entry, departure or suspicion) as it travels: an entry with all its
/// streams, where their names have up to some 24 bytes.
pub const ENTRY: usize = 12 * 1024;
/// Bytes of an entry for each place that it takes in a catalog: one of the largest takes four.
pub const ENTRY_PLACE: usize = 3 * 1024;
/// Tags of one entry.
pub const TAGS: usize = 64;
/// Bytes of one tag.
pub const TAG: usize = 64;
/// Bytes of a node's human name.
pub const NODE_NAME: usize = 64;
/// Streams of one entry.
pub const STREAMS: usize = 256;
/// Bytes of a stream's name.
pub const STREAM_NAME: usize = 128;
/// Bytes of a consumer's name.
pub const CONSUMER_NAME: usize = 64;
/// Names of consumers that one stream of a producer knows.
pub const CONSUMERS_NAMED: usize = 100;
/// Ranges of one acknowledgement.
pub const ACKNOWLEDGED: usize = 512;
/// Bytes of a network's name.
pub const NETWORK_NAME: usize = 128;
/// Transport addresses of one entry or invite.
pub const ADDRS: usize = 8;
/// Bytes of one page of a catalog sync.
pub const SYNC_PAGE: usize = 256 * 1024;
/// Entries a catalog holds, if each has at most [`ENTRY_PLACE`] bytes; larger ones count for several.
pub const CATALOG: usize = 10_000;
/// Bytes of one encoded item.
pub const ITEM: usize = 1024 * 1024;
/// Bytes of one batch of more than one item; a larger item travels alone.
pub const BATCH: usize = 64 * 1024;
/// Bytes that a data frame may take: one item of the largest size and the frame's own words.
pub const FRAME: usize = ITEM + 64;
/// Bytes of a control message on a subscription.
pub const CONTROL: usize = 16 * 1024;
/// Bytes of an encoded schema.
pub const SCHEMA: usize = 12 * 1024;
/// Nesting depth of a schema.
pub const SCHEMA_DEPTH: usize = 32;
/// Bytes of a filter's source.
pub const FILTER: usize = 4 * 1024;
/// How deep parentheses and negations of a filter may be nested, and names in one of its paths.
pub const FILTER_DEPTH: usize = 32;
/// Parts of a filter: fields, literals, lists, comparisons, calls, negations, and chains of `&&` or
/// `||`. Elements of lists are counted by themselves.
pub const FILTER_NODES: usize = 512;
/// Elements of all lists of a filter.
pub const FILTER_ELEMENTS: usize = 1024;
/// Parts of a filter that look through a whole text, list or map: `contains`, `glob`, and `in` with
/// a field to the right. They alone cost time in proportion to the size of an item.
pub const FILTER_SCANS: usize = 16;
/// Characters of a glob pattern that is not a mere prefix, suffix, part or whole.
pub const FILTER_GLOB: usize = 120;
/// Bytes of a ticket, or of another credential in its place.
pub const TICKET: usize = 2 * 1024;
/// Links of a ticket.
pub const TICKET_LINKS: usize = 4;
/// Seconds between beginning and end of a ticket.
pub const TICKET_LIFETIME_S: u64 = 366 * 24 * 60 * 60;
/// The last second, since 1970, that a ticket may speak of: the end of the year 9999.
pub const TICKET_TIME_S: u64 = 253_402_300_799;
/// Bytes of a list of revoked tickets.
pub const REVOCATIONS: usize = 16 * 1024;
/// Steps of an answer to why a node receives a stream.
pub const STEPS: usize = 16;
/// Bytes of what one of them says in words.
pub const FINDING: usize = 512;
/// Bytes of one gossip message: one record, and what gossip says about it.
pub const GOSSIP: usize = ENTRY + 1024;
/// Time for each phase of a handshake.
pub const HANDSHAKE_PHASE: Duration = Duration::from_secs(5);
/// How far ahead of the local clock a revision may lie.
pub const CLOCK_SKEW: Duration = Duration::from_secs(24 * 60 * 60);
