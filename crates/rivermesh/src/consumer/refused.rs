//! When there is no subscription: what a receiver tells its program, and whether it asks again.

use std::sync::atomic::Ordering;

use rivermesh_proto::{
    schema::{self, Schema},
    subscribe::{Accepted, Refusal},
};
use tracing::warn;

use super::{
    event::{LeaveReason, SubscribeError},
    inbox::Message,
    receiver::{End, Outcome, Receiver},
    wanted::Wanted,
};
use crate::admission::Warrant;

impl Receiver {
    /// Tells the program that a producer refuses, and decides whether asking again can help.
    pub(super) async fn refused(
        &self,
        refusal: &Refusal,
        wanted: &Wanted,
        last: &mut Option<SubscribeError>,
    ) -> End {
        let difference = match (refusal, &self.wish.schema) {
            (Refusal::Schema { schema: theirs }, Some(ours)) => Schema::from_bytes(theirs)
                .ok()
                .and_then(|theirs| schema::diff(ours, &theirs)),
            _ => None,
        };
        let (stream, filter) = (self.wish.stream.as_str(), wanted.filter.as_deref());
        let error = SubscribeError::of(refusal, stream, difference, filter);
        if let Err(end) = self.report(error, last).await {
            return end;
        }
        if refusal.is_retryable() {
            End::Lost
        } else {
            let change = wanted.change;
            End::Outcome(Outcome::Hopeless { change })
        }
    }

    /// Tells the program why there is no subscription, unless it was the last it was told.
    async fn report(
        &self,
        error: SubscribeError,
        last: &mut Option<SubscribeError>,
    ) -> Result<(), End> {
        if last.as_ref() != Some(&error) {
            warn!(producer = %self.producer.fmt_short(), %error, "subscription refused");
            self.tell(Message::Refused {
                producer: self.producer,
                stream: self.wish.stream.clone(),
                error: error.clone(),
            })
            .await?;
            *last = Some(error);
        }
        Ok(())
    }

    /// Checks what the producer shows, where this consumer asks for it. A producer that is not
    /// entitled is left; it is asked again, in case that changes.
    pub(super) async fn warrant(
        &mut self,
        accepted: &Accepted,
        last: &mut Option<SubscribeError>,
    ) -> Result<Warrant, End> {
        let shown = accepted.credential.as_ref();
        match Warrant::new(self.wish.gate.as_ref(), shown, self.producer) {
            Ok(warrant) => Ok(warrant),
            Err(reason) => {
                if let Some(place) = self.place {
                    let left = self.left(LeaveReason::NotEligible).await;
                    left.map_err(|dropped| End::Outcome(dropped.into()))?;
                    self.start = place.again(self.start, LeaveReason::NotEligible);
                    self.place = None;
                    self.progress.joined.store(false, Ordering::Relaxed);
                }
                self.report(SubscribeError::NotEntitled { reason }, last)
                    .await?;
                Err(End::Lost)
            }
        }
    }
}
