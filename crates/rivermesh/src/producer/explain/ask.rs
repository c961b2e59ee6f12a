//! The question over the network, and who may ask it.
//!
//! Who may ask is who may subscribe, by requirement and by the ticket that comes with the question, or
//! is subscribed. All others get one answer, whatever they ask: whether the stream is there, and who the
//! peer is, does not show in it, nor in how long it takes. A question may cost as many signatures as a
//! ticket that is shown; so it waits for its turn as that does.

use rivermesh_proto::{
    NodeId, StreamName,
    explain::{ExplainReply, ExplainRequest, Step},
    ticket::Credential,
    wire::StreamKind,
};
use tokio::time::{Instant, sleep_until};

use super::{For, Witness};
use crate::{
    net::{Reader, Use, Writer},
    producer::{
        question::{self, AskError},
        registry::{Producers, REFUSAL_PAUSE},
    },
};

impl Producers {
    /// Answers a peer that asks why somebody receives a stream.
    pub(crate) async fn tell_why(
        &self,
        witness: &Witness,
        (link, writer, reader): (Use, Writer, Reader),
    ) {
        let find = async |ask: ExplainRequest| {
            let _turn = link.turn().await;
            let answer = Instant::now() + REFUSAL_PAUSE;
            let reply = self.why(witness, link.peer(), &ask);
            sleep_until(answer).await;
            reply
        };
        question::answer(&link, (writer, reader), "a request to explain", find).await;
    }

    fn why(&self, witness: &Witness, asking: NodeId, ask: &ExplainRequest) -> ExplainReply {
        let snapshot = self.discovery().snapshot();
        let (Some(core), Some(peer)) = (self.get(&ask.stream), snapshot.get(&asking)) else {
            return ExplainReply::Refused;
        };
        if !core.tells_why(peer, ask.credential.as_ref()) {
            return ExplainReply::Refused;
        }
        let whom = if ask.peer == asking {
            For::Concerned
        } else {
            For::Other
        };
        ExplainReply::Steps(self.explain(witness, (ask.peer, &ask.stream), whom))
    }

    /// Asks a node, which may be this one, why a peer receives its stream, or does not.
    pub(crate) async fn ask_why(
        &self,
        witness: &Witness,
        producer: NodeId,
        (peer, stream): (NodeId, &StreamName),
        credential: Option<Credential>,
    ) -> Result<Vec<Step>, AskError> {
        let snapshot = self.discovery().snapshot();
        if snapshot.get(&producer).is_some_and(|node| node.is_local()) {
            return Ok(self.explain(witness, (peer, stream), For::Concerned));
        }
        let ask = ExplainRequest {
            stream: stream.clone(),
            peer,
            credential,
        };
        match question::ask(&witness.peers, producer, StreamKind::Explain, &ask).await? {
            ExplainReply::Steps(steps) => Ok(steps),
            ExplainReply::Refused => Err(AskError::Refused),
        }
    }
}
