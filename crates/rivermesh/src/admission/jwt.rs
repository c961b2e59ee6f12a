//! Tokens of identity providers in place of tickets: JSON Web Tokens (RFC 7519), signed with EdDSA
//! (RFC 8037), with the cargo feature `jwt`.
//!
//! What a token must say:
//!
//! | claim | |
//! | --- | --- |
//! | `iss` | the [`Issuer`]'s name |
//! | `aud` | the network's name, or a list with it |
//! | `sub` | the node's id, as hexadecimal digits |
//! | `exp` | when it ends, in seconds since 1970; within 366 days |
//! | `scope` | words of the form `consume:weather/*`; other words are skipped |
//! | `nbf` | when it begins; may be left out |
//!
//! The header has `alg`, which must be `EdDSA`, and may have `typ` and `kid`. Anything else in it is
//! refused: no key, and no place to fetch one from, is ever taken from a token. A claim that is there
//! twice is refused, too, for which of the two counts is a matter of taste.
//!
//! There is no delegation, and no list of revoked tokens: let them be short-lived.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

use data_encoding::BASE64URL_NOPAD;
use iroh_base::Signature;
use jsonwebtoken::{Algorithm, Header, dangerous, decode_header};
use rivermesh_proto::{
    NetworkId, NodeId, limits,
    ticket::{self, BadCredential, Credential, Denied, Pattern, Question, Right},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

/// Networks that one token may name.
const AUDIENCES: usize = 16;
/// Rights that one token may have.
const SCOPES: usize = 64;

/// An identity provider: its name, and the keys that it signs with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Issuer {
    name: String,
    keys: BTreeSet<Key>,
}

/// A key, and its name where tokens must name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    id: Option<String>,
    key: NodeId,
}

impl Issuer {
    /// An issuer whose tokens have this `iss`. It has no key yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            keys: BTreeSet::new(),
        }
    }

    /// Takes tokens that are signed with this Ed25519 key and name no key. Repeatable.
    pub fn key(mut self, key: NodeId) -> Self {
        self.keys.insert(Key { id: None, key });
        self
    }

    /// Takes tokens that are signed with this Ed25519 key and name it by this `kid`. Repeatable.
    pub fn named_key(mut self, id: impl Into<String>, key: NodeId) -> Self {
        let id = Some(id.into());
        self.keys.insert(Key { id, key });
        self
    }
}

/// A credential of a token in its compact form, as a provider gives it.
///
/// # Errors
/// When it is longer than 2 KiB, or empty.
pub fn credential(token: &str) -> Result<Credential, BadCredential> {
    Credential::new(token.trim().as_bytes().to_vec())
}

/// What a token says, whose signature is right.
#[derive(Clone, Debug)]
pub(super) struct Token {
    claims: Claims,
    key: Key,
}

impl Token {
    /// Reads a token and checks everything that one question needs, the signature last but for time.
    pub(super) fn verify(
        issuers: &[Issuer],
        token: &[u8],
        question: &Question<'_>,
    ) -> Result<(Self, u64), Denied> {
        let header = header(token)?;
        // Not believed before the signature is checked.
        let claims: Claims =
            dangerous::insecure_decode_claims(token).map_err(|_| Denied::Unreadable)?;
        let issuer = issuers.iter().find(|issuer| issuer.name == claims.issuer);
        let keys = issuer.map(|issuer| &issuer.keys).ok_or(Denied::Authority)?;
        let named: Vec<&Key> = keys.iter().filter(|key| key.id == header.kid).collect();
        if named.is_empty() {
            return Err(Denied::Authority);
        }
        claims.scope(question)?;
        let key = named.into_iter().find(|key| is_signed(token, &key.key));
        let token = Self {
            key: key.ok_or(Denied::Signature)?.clone(),
            claims,
        };
        let until_s = token.claims.time(question.now_s)?;
        Ok((token, until_s))
    }

    /// As [`verify`](Self::verify), of a token that was verified before.
    pub(super) fn verify_again(
        &self,
        issuers: &[Issuer],
        question: &Question<'_>,
    ) -> Result<u64, Denied> {
        let is_trusted =
            |issuer: &Issuer| issuer.name == self.claims.issuer && issuer.keys.contains(&self.key);
        if !issuers.iter().any(is_trusted) {
            return Err(Denied::Authority);
        }
        self.claims.scope(question)?;
        self.claims.time(question.now_s)
    }
}

/// When a token of this node says that it ends.
pub(super) fn expires_s(token: &[u8]) -> Option<u64> {
    let claims: Claims = dangerous::insecure_decode_claims(token).ok()?;
    Some(claims.expires_s)
}

fn header(token: &[u8]) -> Result<Header, Denied> {
    // One with `none`, or with something that is no algorithm, is no header for the crate.
    let header = decode_header(token).map_err(|_| Denied::Unreadable)?;
    let plain = Header {
        typ: header.typ.clone(),
        kid: header.kid.clone(),
        ..Header::new(Algorithm::EdDSA)
    };
    if header != plain {
        return Err(Denied::Unreadable);
    }
    Ok(header)
}

fn is_signed(token: &[u8], key: &NodeId) -> bool {
    let Some(dot) = token.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let signature = BASE64URL_NOPAD.decode(&token[dot + 1..]);
    let Ok(Ok(signature)) = signature.map(<[u8; 64]>::try_from) else {
        return false;
    };
    key.verify(&token[..dot], &Signature::from_bytes(&signature))
        .is_ok()
}

#[derive(Clone, Debug)]
struct Claims {
    issuer: String,
    networks: Vec<NetworkId>,
    subject: NodeId,
    expires_s: u64,
    not_before_s: u64,
    scopes: Vec<(Right, Pattern)>,
}

impl Claims {
    fn scope(&self, question: &Question<'_>) -> Result<(), Denied> {
        if !self.networks.contains(&question.network) {
            return Err(Denied::Network);
        }
        if self.subject != question.audience {
            return Err(Denied::Audience);
        }
        let mut covering = self
            .scopes
            .iter()
            .filter(|(_, pattern)| pattern.covers(question.stream))
            .peekable();
        if covering.peek().is_none() {
            return Err(Denied::Stream);
        }
        if !covering.any(|(right, _)| *right == question.right) {
            return Err(Denied::Right);
        }
        Ok(())
    }

    fn time(&self, now_s: u64) -> Result<u64, Denied> {
        if now_s.saturating_add(ticket::Verifier::EARLY_S) < self.not_before_s {
            return Err(Denied::NotYet);
        }
        if now_s >= self.expires_s {
            return Err(Denied::Expired);
        }
        if self.expires_s - now_s > limits::TICKET_LIFETIME_S {
            return Err(Denied::Unreadable);
        }
        Ok(self.expires_s)
    }
}

/// The claims as they are written; each at most once.
#[derive(Default)]
struct Written {
    iss: Option<String>,
    aud: Option<Audience>,
    sub: Option<String>,
    exp: Option<u64>,
    nbf: Option<u64>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;

        impl<'de> Visitor<'de> for Map {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the claims of a token")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut seen = HashSet::new();
                let mut written = Written::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "iss" => written.iss = Some(map.next_value()?),
                        "aud" => written.aud = Some(map.next_value()?),
                        "sub" => written.sub = Some(map.next_value()?),
                        "exp" => written.exp = Some(map.next_value()?),
                        "nbf" => written.nbf = Some(map.next_value()?),
                        "scope" => written.scope = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                    if !seen.insert(name) {
                        return Err(de::Error::custom("a claim is there twice"));
                    }
                }
                written.check().map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_map(Map)
    }
}

impl Written {
    fn check(self) -> Result<Claims, &'static str> {
        let networks = match self.aud.ok_or("no `aud`")? {
            Audience::One(name) => vec![name],
            Audience::Several(names) => names,
        };
        if networks.len() > AUDIENCES {
            return Err("too many audiences");
        }
        let subject = self.sub.ok_or("no `sub`")?;
        let scope = self.scope.unwrap_or_default();
        let scopes: Vec<_> = scope.split(' ').filter_map(read_scope).collect();
        if scopes.len() > SCOPES {
            return Err("too many rights");
        }
        Ok(Claims {
            issuer: self.iss.ok_or("no `iss`")?,
            networks: networks.iter().map(|name| NetworkId::of(name)).collect(),
            subject: subject.parse().map_err(|_| "`sub` is no node")?,
            expires_s: self.exp.ok_or("no `exp`")?,
            not_before_s: self.nbf.unwrap_or(0),
            scopes,
        })
    }
}

fn read_scope(word: &str) -> Option<(Right, Pattern)> {
    let (right, pattern) = word.split_once(':')?;
    Some((right.parse().ok()?, Pattern::new(pattern).ok()?))
}

#[cfg(test)]
mod tests;
