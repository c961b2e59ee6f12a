//! What is revoked counts after a restart, also on a node that is alone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::path::Path;

use bytes::Bytes;
use rivermesh::{
    Condition, Node, SecretKey,
    admission::{Authority, Grant, Revoking, Right, Ticket, Verifier},
    consumer::SubscribeError,
    node::SpawnError,
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    recorder::{Note, Recorder},
    wait::eventually,
};

const STREAM: &str = "s";

/// A producer's node that is restarted, and a consumer with a ticket that was revoked.
struct Court {
    network: String,
    authority: Authority,
    consumer: SecretKey,
    ticket: Ticket,
}

impl Court {
    fn new() -> Self {
        let network = Cluster::new().network().to_owned();
        let authority = Authority::new(&network, SecretKey::generate());
        let consumer = SecretKey::generate();
        let grant = Grant::new(consumer.public(), STREAM, [Right::Consume]);
        let ticket = authority.issue(&grant).unwrap();
        Self {
            network,
            authority,
            consumer,
            ticket,
        }
    }

    /// A node that nobody but a later consumer is connected to.
    async fn verifier(&self, kept: Option<&Path>) -> Node {
        let builder = self.builder();
        let builder = match kept {
            Some(path) => builder.revocations(path),
            None => builder,
        };
        builder.spawn().await.unwrap()
    }

    fn builder(&self) -> rivermesh::node::Builder {
        Node::builder(&self.network)
            .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
            .rendezvous(rivermesh::Rendezvous::Off)
    }

    /// Whether the node takes a consumer that shows the ticket.
    async fn admits(&self, node: &Node) -> bool {
        let trust = Verifier::new().trust(self.authority.id());
        let producer = node
            .producer::<Bytes>()
            .stream(STREAM)
            .require_ticket(trust);
        let producer = producer.online_when(Condition::always()).build().unwrap();
        let builder = self.builder().secret_key(self.consumer.clone());
        let guest = builder.bootstrap(node.addr()).spawn().await.unwrap();
        let consumer = guest.consumer::<Bytes>().stream(STREAM);
        let consumer = consumer.ticket(&self.ticket).build().unwrap();
        let mut consumer = Recorder::of(consumer, "guest");
        consumer.until("an answer", |r| !r.notes().is_empty()).await;
        let admitted = match &consumer.notes()[0] {
            Note::Joined(..) => true,
            Note::Refused(_, SubscribeError::NotAdmitted) => false,
            other => panic!("{other:?}"),
        };
        drop(producer);
        guest.shutdown().await;
        admitted
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_was_restarted_alone_admits_nothing_that_was_revoked() {
    let court = Court::new();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("revoked");
    let revoking = Revoking {
        number: 1,
        ids: [court.ticket.links()[0].id].into(),
        ..Revoking::default()
    };
    let list = court.authority.revoke(revoking).unwrap();

    let first = court.verifier(Some(&kept)).await;
    assert!(court.admits(&first).await);
    first.revoke(list.clone()).unwrap();
    assert!(!court.admits(&first).await);
    // At once: what is not written yet is written by the shutdown.
    first.shutdown().await;
    let second = court.verifier(Some(&kept)).await;
    assert!(!court.admits(&second).await);
    second.shutdown().await;
    // Whoever does not ask for it has forgotten.
    let forgetful = court.verifier(None).await;
    assert!(court.admits(&forgetful).await);
    forgetful.shutdown().await;

    // A list that a peer tells of, on a node that dies without a word.
    let heard = folder.path().join("heard");
    let third = court.verifier(Some(&heard)).await;
    assert!(court.admits(&third).await);
    let peer = court
        .builder()
        .bootstrap(third.addr())
        .spawn()
        .await
        .unwrap();
    peer.revoke(list).unwrap();
    let written = || std::fs::read_to_string(&heard).is_ok_and(|text| !text.is_empty());
    eventually(DEADLINE, written).await;
    peer.shutdown().await;
    drop(third);
    let fourth = court.verifier(Some(&heard)).await;
    assert!(!court.admits(&fourth).await);
    fourth.shutdown().await;
}

#[tokio::test]
async fn a_node_does_not_start_without_what_it_has_kept() {
    let court = Court::new();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("revoked");
    std::fs::write(&kept, "rmrevokedabc\n").unwrap();
    let refused = court.builder().revocations(&kept).spawn().await;
    assert!(
        matches!(refused, Err(SpawnError::Revocations(_))),
        "{refused:?}"
    );
}
