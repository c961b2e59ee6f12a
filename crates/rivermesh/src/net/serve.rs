//! What a peer opens on a link, handed to whom it concerns.

use std::sync::Arc;

use iroh::endpoint::ConnectionError;
use rivermesh_proto::{code::Code, limits, wire::StreamKind};
use tokio::time::timeout;
use tracing::debug;

use super::{
    link::Link,
    peers::{LinkEvent, Peers, Subscription},
    stream,
};

impl Peers {
    /// Hands what the peer opens on a link to whom it concerns, until the link is lost.
    pub(super) async fn serve(self, link: Arc<Link>) {
        if self
            .0
            .events
            .send(LinkEvent::Up(Arc::clone(&link)))
            .await
            .is_err()
        {
            return;
        }
        let error = tokio::select! {
            error = self.serve_streams(&link) => error,
            error = self.serve_uni_streams(&link) => error,
            never = self.0.desk.tell(&link) => match never {},
        };
        let graceful = matches!(
            error,
            ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed
        );
        debug!(peer = %link.peer().fmt_short(), %error, "link down");
        let last = {
            let mut links = self.map();
            let current = links
                .get(&link.peer())
                .is_some_and(|held| held.id() == link.id());
            if current {
                links.remove(&link.peer());
            }
            current
        };
        self.forget(&link);
        if last {
            let (peer, instance) = (link.peer(), link.instance());
            let code = stream::close_code(&error);
            let _ = self
                .0
                .events
                .send(LinkEvent::Down {
                    peer,
                    instance,
                    graceful,
                    code,
                })
                .await;
        }
    }

    async fn serve_streams(&self, link: &Arc<Link>) -> ConnectionError {
        loop {
            let (mut writer, mut reader) = match stream::accept(link.connection()).await {
                Ok(halves) => halves,
                Err(error) => return error,
            };
            // The kind is in the first packet of a stream, but a hostile peer may keep it back:
            // each stream waits for its own.
            let (link, inner) = (link.hold(), Arc::clone(&self.0));
            self.0.tasks.spawn("stream", async move {
                let kind = timeout(limits::HANDSHAKE_PHASE, reader.kind()).await;
                match kind {
                    Ok(Ok(Some(
                        kind @ (StreamKind::Subscribe | StreamKind::Lag | StreamKind::Explain),
                    ))) => {
                        let asked = Subscription {
                            kind,
                            link,
                            writer,
                            reader,
                        };
                        let _ = inner.subscriptions.send(asked).await;
                    }
                    Ok(Ok(Some(StreamKind::Sync))) => {
                        let event = LinkEvent::Sync(Arc::clone(&link), writer, reader);
                        let _ = inner.events.send(event).await;
                    }
                    _ => {
                        reader.stop(Code::UnknownKind);
                        writer.reset(Code::UnknownKind);
                    }
                }
            });
        }
    }

    async fn serve_uni_streams(&self, link: &Arc<Link>) -> ConnectionError {
        loop {
            let mut reader = match stream::accept_uni(link.connection()).await {
                Ok(reader) => reader,
                Err(error) => return error,
            };
            let (link, inner) = (link.hold(), Arc::clone(&self.0));
            self.0.tasks.spawn("stream", async move {
                let kind = timeout(limits::HANDSHAKE_PHASE, reader.kind()).await;
                match kind {
                    Ok(Ok(Some(StreamKind::Gossip))) => {
                        let event = LinkEvent::Gossip(Arc::clone(&link), reader);
                        let _ = inner.events.send(event).await;
                    }
                    Ok(Ok(Some(StreamKind::Revocations))) => inner.desk.hear(&link, reader).await,
                    _ => reader.stop(Code::UnknownKind),
                }
            });
        }
    }
}
