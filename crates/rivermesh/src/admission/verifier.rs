//! Whose word counts.

use rivermesh_proto::{NodeId, ticket};

/// Whom a producer or a consumer believes when a peer shows what entitles it.
///
/// A new one believes nobody, and so admits nobody.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Verifier {
    pub(super) tickets: ticket::Verifier,
    #[cfg(feature = "jwt")]
    pub(super) issuers: Vec<super::jwt::Issuer>,
}

impl Verifier {
    /// A verifier that trusts nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the tickets of this authority. Repeatable.
    pub fn trust(mut self, authority: NodeId) -> Self {
        self.tickets = self.tickets.trust(authority);
        self
    }

    /// Trusts the tokens of this identity provider. Repeatable.
    #[cfg(feature = "jwt")]
    pub fn trust_issuer(mut self, issuer: super::jwt::Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }
}
