//! Issuing and delegating: the clock and the dice for what `rivermesh_proto::ticket` decides.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use iroh::SecretKey;
use rivermesh_proto::{
    NetworkId, NodeId,
    ticket::{
        BadPattern, IssueError, Pattern, RevocationError, RevocationList, Revoking, Right, Rights,
        Stamp, Terms, Ticket, TicketId,
    },
};
use thiserror::Error;

use super::{now_s, seconds};

/// How long a ticket lasts if nothing else is said.
const LASTS: Duration = Duration::from_secs(3600);
/// How often a ticket may be passed on if nothing else is said.
const DELEGATIONS: u8 = 3;

/// What a ticket shall allow, and to whom.
///
/// ```
/// # use std::time::Duration;
/// # use rivermesh::{SecretKey, admission::{Grant, Right}};
/// # let node = SecretKey::generate().public();
/// let grant = Grant::new(node, "weather/*", [Right::Consume])
///     .lasting(Duration::from_secs(24 * 3600))
///     .delegations(0);
/// # let _ = grant;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Grant {
    audience: NodeId,
    pattern: String,
    rights: Rights,
    begins: Option<SystemTime>,
    lasts: Option<Duration>,
    delegations: Option<u8>,
}

/// A ticket could not be made. Nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The text is no pattern of streams.
    #[error("not a pattern of streams")]
    Pattern(#[from] BadPattern),
    /// The terms make no ticket, or not one of this holder.
    #[error("the ticket cannot be made")]
    Issue(#[from] IssueError),
}

impl Grant {
    /// Rights of a node to the streams of a pattern: a name, or the beginning of names and a star.
    pub fn new(
        audience: NodeId,
        pattern: impl Into<String>,
        rights: impl IntoIterator<Item = Right>,
    ) -> Self {
        Self {
            audience,
            pattern: pattern.into(),
            rights: rights.into_iter().collect(),
            begins: None,
            lasts: None,
            delegations: None,
        }
    }

    /// From when on. Default: now, or when the delegated ticket begins if that is later.
    pub fn starting(mut self, begins: SystemTime) -> Self {
        self.begins = Some(begins);
        self
    }

    /// For how long, in whole seconds and at most 366 days. Default: one hour; for a delegated
    /// ticket, until the one it comes from ends. The shorter, the less a revocation has to do.
    pub fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// How often the ticket may be passed on, each time to one further node; 0 to 3. Default: 3;
    /// for a delegated ticket, once less than the one it comes from.
    pub fn delegations(mut self, delegations: u8) -> Self {
        self.delegations = Some(delegations);
        self
    }

    fn terms(&self, now_s: u64, parent: Option<&Terms>) -> Result<Terms, BadPattern> {
        let begins = self.begins.map(seconds);
        let earliest = parent.map_or(0, |parent| parent.not_before_s);
        let not_before_s = begins.unwrap_or_else(|| now_s.max(earliest));
        let expires_s = match (self.lasts, parent) {
            (None, Some(parent)) => parent.expires_s,
            (lasts, _) => not_before_s.saturating_add(lasts.unwrap_or(LASTS).as_secs()),
        };
        let inherited = parent.map_or(DELEGATIONS, |parent| parent.delegations.saturating_sub(1));
        Ok(Terms {
            audience: self.audience,
            pattern: Pattern::new(&self.pattern)?,
            rights: self.rights,
            not_before_s,
            expires_s,
            delegations: self.delegations.unwrap_or(inherited),
        })
    }
}

/// Who issues tickets for a network: a key of its own, best kept away from the nodes.
#[derive(Clone)]
pub struct Authority {
    network: NetworkId,
    key: SecretKey,
}

impl Authority {
    /// The authority with this key in the network of this name.
    #[must_use]
    pub fn new(network: &str, key: SecretKey) -> Self {
        Self {
            network: NetworkId::of(network),
            key,
        }
    }

    /// What [`Verifier::trust`](super::Verifier::trust) is given.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.key.public()
    }

    /// Issues a ticket. Needs no network.
    ///
    /// # Errors
    /// When the grant makes no ticket.
    pub fn issue(&self, grant: &Grant) -> Result<Ticket, GrantError> {
        let now_s = now_s();
        let terms = grant.terms(now_s, None)?;
        Ok(Ticket::issue(
            self.network,
            &self.key,
            stamp(now_s),
            &terms,
        )?)
    }

    /// Signs a list of what is revoked. Only the list with the highest number counts, so it must
    /// name all that is revoked and has not expired. Give it to a node, by
    /// [`Node::revoke`](crate::Node::revoke).
    ///
    /// # Errors
    /// When there are more ids than fit, which is about a thousand.
    pub fn revoke(&self, revoking: Revoking) -> Result<RevocationList, RevocationError> {
        RevocationList::sign(self.network, &self.key, revoking)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("network", &self.network)
            .field("id", &self.id().fmt_short().to_string())
            .finish_non_exhaustive()
    }
}

/// Makes of a ticket one for another node that allows no more. `holder` is the key of the node that
/// the ticket was made for. Needs no network, and nobody's consent.
///
/// # Errors
/// When the key is not the holder's, or the grant goes beyond the ticket.
pub fn delegate(ticket: &Ticket, holder: &SecretKey, grant: &Grant) -> Result<Ticket, GrantError> {
    let now_s = now_s();
    let terms = grant.terms(now_s, Some(ticket.terms()))?;
    Ok(ticket.delegate(holder, stamp(now_s), &terms)?)
}

fn stamp(issued_s: u64) -> Stamp {
    Stamp {
        id: TicketId(rand::random()),
        issued_s,
    }
}
