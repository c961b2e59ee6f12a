//! Who is entitled to what: tickets, who issues them, and who asks for them.
//!
//! A producer that [requires a ticket](crate::producer::Builder::require_ticket) takes only
//! consumers that show one by an authority it trusts; a consumer can ask the same of its producers.
//! Tickets are issued by an [`Authority`], which need not run anywhere: it is a key. Who holds a
//! ticket can pass on less than it has, to another node, without asking ([`Node::delegate`]).
//!
//! ```
//! use rivermesh::{
//!     SecretKey,
//!     admission::{Authority, Grant, Right, Verifier},
//! };
//!
//! let authority = Authority::new("lab", SecretKey::generate());
//! // What producers are given.
//! let verifier = Verifier::new().trust(authority.id());
//! // What a consumer is given, for its node and nobody else's.
//! let consumer = SecretKey::generate();
//! let ticket = authority
//!     .issue(&Grant::new(consumer.public(), "weather/*", [Right::Consume]))
//!     .unwrap();
//! println!("{ticket}");
//! # let _ = verifier;
//! ```
//!
//! What happens on a stream never looks at a ticket: it is verified when a subscription begins, and
//! has a deadline from then on. A consumer shows a fresh one while the subscription goes on.
//!
//! | file | story |
//! | --- | --- |
//! | `authority` | issuing and delegating |
//! | `verifier` | whose word counts |
//! | `gate` | the decision on a credential, with what was decided before |
//! | `jwt` | tokens of identity providers in place of tickets |
//! | `lease` | a deadline by two clocks |
//! | `wallet` | what this node shows, and getting it anew |
//! | `desk` | what a node knows of revoked tickets, and what it has verified |
//! | `shelf` | the file in which a node keeps revocation lists |
//! | `spread` | telling peers of revocation lists, and hearing of them |
//! | `warrant` | a producer's credential, as its consumer watches it |
//! | `words` | credentials and their times as people read them |
//!
//! [`Node::delegate`]: crate::Node::delegate

mod authority;
mod desk;
mod gate;
#[cfg(feature = "jwt")]
pub mod jwt;
mod lease;
mod shelf;
mod spread;
mod verifier;
mod wallet;
mod warrant;
pub(crate) mod words;

pub use rivermesh_proto::ticket::{
    BadCredential, BadPattern, BadRights, Credential, Denied, IssueError, Link, Pattern,
    RevocationError, RevocationList, Revoking, Right, Rights, Terms, TextError, Ticket,
    TicketError, TicketId, Widening,
};

pub use self::{
    authority::{Authority, Grant, GrantError, delegate},
    desk::RevokeError,
    shelf::ShelfError,
    verifier::Verifier,
    words::{date, span},
};
pub(crate) use self::{
    desk::Desk,
    gate::{Entitled, Gate},
    lease::Lease,
    shelf::Shelf,
    wallet::{Purse, Source, Wallet},
    warrant::Warrant,
};

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a clock may have jumped, or the process been suspended, before somebody looks: well
/// within the second in which a decision must take effect.
pub(crate) const LOOK: Duration = Duration::from_millis(400);

/// The wall clock in seconds since 1970.
pub(crate) fn now_s() -> u64 {
    seconds(SystemTime::now())
}

/// Seconds since 1970; 0 for what is before.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
