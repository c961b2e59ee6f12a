//! The decision on a credential: what it allows now, by whose word, and until when.

use std::sync::Arc;

use rivermesh_proto::{
    NodeId, StreamName,
    ticket::{Credential, Denied, Kind, Question, Revoked, Right, Ticket},
};

use super::{Desk, Verifier, now_s, words};

/// What was verified of a credential, for ever: that it is signed by whom it says.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Ticket(Arc<Ticket>),
    #[cfg(feature = "jwt")]
    Token(Arc<super::jwt::Token>),
}

/// A peer's proof, and until when it counts if nothing changes.
#[derive(Clone, Debug)]
pub(crate) struct Entitled {
    proof: Proof,
    /// In seconds since 1970.
    pub(crate) until_s: u64,
}

impl Entitled {
    /// The proof in a line, for people.
    pub(crate) fn in_words(&self) -> String {
        match &self.proof {
            Proof::Ticket(ticket) => words::ticket(ticket),
            #[cfg(feature = "jwt")]
            Proof::Token(_) => {
                let until = words::date(self.until_s);
                format!("a token of an identity provider, until {until}")
            }
        }
    }
}

/// Asks peers of one stream for one right.
#[derive(Debug)]
pub(crate) struct Gate {
    desk: Desk,
    verifier: Verifier,
    stream: StreamName,
    right: Right,
}

impl Gate {
    pub(crate) fn new(desk: Desk, verifier: Verifier, stream: StreamName, right: Right) -> Self {
        desk.trust(verifier.tickets.authorities());
        Self {
            desk,
            verifier,
            stream,
            right,
        }
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Decides on what a peer shows.
    pub(crate) fn check(
        &self,
        shown: Option<&Credential>,
        peer: NodeId,
    ) -> Result<Entitled, Denied> {
        let shown = shown.ok_or(Denied::Missing)?;
        let question = self.question(peer);
        let key = (shown.hash(), peer);
        if let Some(proof) = self.desk.verified(&key) {
            return self.judge(proof, &question);
        }
        match shown.kind() {
            Kind::Ticket => {
                let ticket = Ticket::decode(shown.as_bytes()).map_err(|_| Denied::Unreadable)?;
                // Signatures take long, so not while the lists are locked.
                let none = Revoked::default();
                self.verifier.tickets.verify(&ticket, &question, &none)?;
                let proof = Proof::Ticket(Arc::new(ticket));
                self.desk.remember(key, proof.clone());
                self.judge(proof, &question)
            }
            #[cfg(feature = "jwt")]
            Kind::Jwt => {
                let issuers = &self.verifier.issuers;
                let (token, until_s) =
                    super::jwt::Token::verify(issuers, shown.as_bytes(), &question)?;
                let proof = Proof::Token(Arc::new(token));
                self.desk.remember(key, proof.clone());
                Ok(Entitled { proof, until_s })
            }
            _ => Err(Denied::Unreadable),
        }
    }

    /// Decides again on what was good before, because something may have changed since.
    pub(crate) fn check_again(
        &self,
        entitled: &Entitled,
        peer: NodeId,
    ) -> Result<Entitled, Denied> {
        self.judge(entitled.proof.clone(), &self.question(peer))
    }

    fn judge(&self, proof: Proof, question: &Question<'_>) -> Result<Entitled, Denied> {
        let until_s = match &proof {
            Proof::Ticket(ticket) => self.desk.revoked(|revoked| {
                let tickets = &self.verifier.tickets;
                tickets.verify_again(ticket, question, revoked)
            })?,
            #[cfg(feature = "jwt")]
            Proof::Token(token) => token.verify_again(&self.verifier.issuers, question)?,
        };
        Ok(Entitled { proof, until_s })
    }

    fn question(&self, audience: NodeId) -> Question<'_> {
        Question {
            network: self.desk.network(),
            audience,
            stream: &self.stream,
            right: self.right,
            now_s: now_s(),
        }
    }
}
