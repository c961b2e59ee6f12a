//! Telling peers of revocation lists, and hearing of them.
//!
//! A node tells each peer that it is connected to of every list it has, when the connection begins
//! and whenever there is a newer one. So a list reaches every node that a chain of connections
//! reaches, as long as the nodes between trust its authority or have a place for it.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use rivermesh_proto::{code::Code, limits, ticket::RevocationList, wire::StreamKind};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::Desk;
use crate::net::{Link, ReadError, Reader};

/// Lists that one stream may bring.
const LISTS: usize = 64;
/// How often a peer is told all over again: it may have had no place for what it was told.
const AGAIN: Duration = Duration::from_secs(60);

impl Desk {
    /// Tells the peer of a link what is new, for as long as the link holds.
    pub(crate) async fn tell(&self, link: &Link) -> Infallible {
        let mut changes = self.changes();
        let mut told = HashMap::new();
        loop {
            changes.borrow_and_update();
            let mut news = self.news(link.peer(), &told);
            news.truncate(LISTS);
            if !news.is_empty() && self.send(link, &news).await.is_none() {
                // Whoever serves the link sees that it is lost.
                return std::future::pending().await;
            }
            for list in &news {
                told.insert(list.authority(), list.revoking().number);
            }
            if news.len() == LISTS {
                continue;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                () = sleep(AGAIN), if !told.is_empty() => told.clear(),
            }
        }
    }

    async fn send(&self, link: &Link, news: &[RevocationList]) -> Option<()> {
        let mut writer = link.open_uni(StreamKind::Revocations).await.ok()?;
        for list in news {
            let body = list.as_bytes();
            let len = u32::try_from(body.len()).ok()?;
            writer.raw(&len.to_le_bytes()).await.ok()?;
            writer.raw(body).await.ok()?;
        }
        writer.finish();
        Some(())
    }

    /// Takes what a peer tells. One that breaks the rules loses its connection.
    pub(crate) async fn hear(&self, link: &Link, mut reader: Reader) {
        for _ in 0..LISTS {
            let body = timeout(limits::HANDSHAKE_PHASE, reader.body(limits::REVOCATIONS));
            let body = match body.await {
                Ok(Ok(Some(body))) => body,
                Ok(Ok(None)) => return,
                Ok(Err(ReadError::Message(error))) => {
                    debug!(peer = %link.peer().fmt_short(), %error, "not a revocation list");
                    return link.close(Code::Malformed);
                }
                Ok(Err(_)) => return,
                Err(_) => return reader.stop(Code::Timeout),
            };
            let wanted = RevocationList::peek(&body).is_some_and(|(network, authority, number)| {
                self.wants(network, &authority, number)
            });
            if !wanted {
                continue;
            }
            match RevocationList::decode(&body) {
                Ok(list) => {
                    debug!(peer = %link.peer().fmt_short(), ?list, "a revocation list");
                    // Refused where somebody else took the last place in between.
                    let _ = self.take(list, Some(link.peer()));
                }
                Err(error) => {
                    debug!(peer = %link.peer().fmt_short(), %error, "not a revocation list");
                    return link.close(Code::Malformed);
                }
            }
        }
        reader.stop(Code::Closed);
    }
}
