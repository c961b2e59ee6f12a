//! A network with a key: only who holds it can join. An invite takes it along.

use std::error::Error;

use rivermesh::{Condition, Invite, NetworkKey, Node, Rendezvous};
use rivermesh_examples::{Result, soon};

#[tokio::main]
async fn main() -> Result {
    let key = NetworkKey::from_bytes(*b"32 secret bytes, best random one");
    let build = |name: &str| -> Result<_> {
        Ok(Node::builder("private")
            .name(name)
            .bind("127.0.0.1:0".parse()?)
            .rendezvous(Rendezvous::Off))
    };
    let member = build("member")?.network_key(key).spawn().await?;
    let producer = member.produce::<String>()?;

    // The address alone is worth nothing.
    let open: Invite = member.invite();
    assert!(open.key().is_none());
    let stranger = build("stranger")?.join(open).spawn().await?;
    let refused = stranger.sync_with(member.id()).await;
    let refused = refused.err().ok_or("let in without the key")?;
    let why = refused.source().ok_or("no reason is told")?;
    println!("without the key: {refused}: {why}");
    assert!(why.to_string().contains("not a member"), "{why}");
    assert!(member.catalog().get(&stranger.id()).is_none());

    // What a person pastes: network, addresses and key in one string. It is a secret.
    let pasted = member.invite_with_key().to_string();
    println!("an invite has {} characters", pasted.len());
    let invite: Invite = pasted.parse()?;
    let friend = build("friend")?.join(invite).spawn().await?;
    let mut consumer = friend.consume::<String>()?;
    soon("the friend", producer.when(Condition::at_least(1))).await?;
    producer.send("among members".into()).await?;
    let item = soon("an item", consumer.recv()).await?;
    println!("with the key: {item:?}");
    assert_eq!(item.as_deref(), Some("among members"));
    assert!(member.catalog().get(&stranger.id()).is_none());
    Ok(())
}
