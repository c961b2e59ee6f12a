//! Tickets that are stolen, foreign, widened, early, over or revoked, and producers without one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use iroh::{SecretKey, endpoint::Connection};
use rivermesh::{
    NodeId,
    admission::{Authority, Credential, Grant, Revoking, Right, Ticket},
};
use rivermesh_attacker::{
    arena::Arena,
    bait::{self, BAIT},
    victim::{Appetite, GUARDED, Settings},
};
use rivermesh_proto::{
    NetworkId,
    code::Code,
    subscribe::{Refusal, Reply, Subscribe, Update},
    ticket::{Pattern, Stamp, Terms, TicketId},
    wire::StreamKind,
};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, prefixed, request, reset_with},
};
use tokio::time::{Instant, timeout};

use crate::{admission::given_up, arena, bytes::serve_showing};

/// How often an attacker shows what is not good.
const TRIES: usize = 100;
const REFUSED: Reply = Reply::Refused(Refusal::NotAdmitted);
const HOUR: Duration = Duration::from_secs(3600);

/// A victim whose guarded stream asks for the tickets of an authority, and that authority.
async fn court() -> (Arena, Authority, SecretKey) {
    let key = SecretKey::generate();
    let arena = arena(Settings {
        authority: Some(key.public()),
        ..Settings::default()
    })
    .await;
    let authority = Authority::new(arena.network(), key.clone());
    (arena, authority, key)
}

/// The right to consume the guarded stream.
fn consume(node: NodeId) -> Grant {
    Grant::new(node, GUARDED, [Right::Consume])
}

fn id(attacker: &Attacker) -> NodeId {
    attacker.endpoint().id()
}

fn showing(credential: impl Into<Credential>) -> Subscribe {
    Subscribe {
        credential: Some(credential.into()),
        ..request(GUARDED)
    }
}

/// What the victim says to who shows this, again and again.
async fn tries(connection: &Connection, ticket: impl Into<Credential>) -> Vec<Reply> {
    let ask = showing(ticket);
    let mut replies = Vec::new();
    for _ in 0..TRIES {
        replies.push(raw::subscribe(connection, &ask).await.1);
    }
    replies.dedup();
    replies
}

/// Subscribes by a ticket, and confirms it.
async fn subscribed(connection: &Connection, ticket: impl Into<Credential>) -> raw::Pair {
    let (mut pair, reply) = raw::subscribe(connection, &showing(ticket)).await;
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    let ready = Update::Ready.encode().unwrap();
    pair.0.write_all(&ready).await.unwrap();
    pair
}

/// Lets honest items flow until nobody consumes the guarded stream any more.
async fn cut(arena: &mut Arena) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        arena.exchange(200).await;
        let report = arena.report().await;
        if report.guarded.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not cut: {report:?}");
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// A copied ticket is worth nothing, neither before nor after the victim has verified it for the one
/// whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_ticket_is_worth_nothing() {
    let (mut arena, authority, _) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let (owner, thief) = (Attacker::new().await, Attacker::new().await);
        let ticket = authority.issue(&consume(id(&owner))).unwrap();
        let thieves = thief.join(addr.clone(), &network, Vec::new()).await;
        let mut replies = tries(&thieves, &ticket).await;
        let owners = owner.join(addr, &network, Vec::new()).await;
        let held = subscribed(&owners, &ticket).await;
        replies.extend(tries(&thieves, &ticket).await);
        // As if there were no such stream.
        let nowhere = Subscribe {
            stream: request("nowhere").stream,
            ..showing(&ticket)
        };
        replies.push(raw::subscribe(&thieves, &nowhere).await.1);
        (replies, id(&owner), held, owners, owner)
    };
    let (replies, owner, ..) = arena.during(attack).await;
    assert!(replies.iter().all(|reply| *reply == REFUSED), "{replies:?}");
    let _ = arena.reports(|report| report.guarded.len() < 2).await;
    let report = arena.report().await;
    assert!(report.guarded.iter().all(|one| *one == owner), "{report:?}");
    arena.finish().await;
}

/// The same authority, the same node, the same stream, in a network of another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_from_another_network_is_worth_nothing() {
    let (mut arena, authority, key) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let attacker = Attacker::new().await;
        let grant = consume(id(&attacker));
        let elsewhere = Authority::new("elsewhere", key).issue(&grant).unwrap();
        let connection = attacker.join(addr, &network, Vec::new()).await;
        let replies = tries(&connection, &elsewhere).await;
        let here = authority.issue(&grant).unwrap();
        let _held = subscribed(&connection, &here).await;
        replies
    };
    assert_eq!(arena.during(attack).await, [REFUSED]);
    arena.finish().await;
}

/// A link behind a ticket, well signed by its holder, whatever it says: our own code makes none that
/// widens, so it is put there by hand.
fn behind(parent: &Ticket, holder: &SecretKey, terms: &Terms) -> Credential {
    // version, network, authority; then the link, then its signature of 64 bytes.
    const LINK: usize = 1 + 32 + 32;
    let stamp = Stamp {
        id: TicketId(rand::random()),
        issued_s: now_s(),
    };
    let one = Ticket::issue(parent.network(), holder, stamp, terms).unwrap();
    let one = one.as_bytes();
    let mut bytes = parent.as_bytes().to_vec();
    bytes.extend_from_slice(&one[LINK..one.len() - 64]);
    let signed = [&b"rivermesh/1 ticket\0"[..], &bytes].concat();
    bytes.extend_from_slice(&holder.sign(&signed).to_bytes());
    Credential::new(bytes).unwrap()
}

/// Whoever holds a ticket makes of it one that allows more: further streams, another right, a later
/// end, an earlier beginning, or passing on what may not be passed on.
#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_that_widens_is_worth_nothing() {
    let (mut arena, authority, _) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let (holder, other) = (Attacker::new().await, Attacker::new().await);
        let connection = other.join(addr, &network, Vec::new()).await;
        let (now, begins_s) = (SystemTime::now(), now_s());
        let terms = Terms {
            audience: id(&other),
            pattern: Pattern::new(GUARDED).unwrap(),
            rights: Right::Consume.into(),
            not_before_s: begins_s,
            expires_s: begins_s + 1800,
            delegations: 0,
        };
        // Each begins no later than what is made of it, but for the one that is about that.
        let full = consume(id(&holder)).starting(now);
        let other_than = |pattern, right| Grant::new(id(&holder), pattern, [right]).starting(now);
        let narrow = [
            other_than("elsewhere/*", Right::Consume),
            other_than(GUARDED, Right::Produce),
            full.clone()
                .starting(now - Duration::from_secs(60))
                .lasting(Duration::from_secs(30)),
            full.clone().starting(now + HOUR),
            full.clone().delegations(0),
        ];
        let mut replies = Vec::new();
        for grant in &narrow {
            let parent = authority.issue(grant).unwrap();
            let wide = behind(&parent, holder.secret(), &terms);
            replies.push(tries(&connection, wide).await);
        }
        // Well made, but not by the holder.
        let parent = authority.issue(&full).unwrap();
        let forged = behind(&parent, other.secret(), &terms);
        replies.push(tries(&connection, forged).await);
        // One that narrows, made in the same way, is good.
        let good = behind(&parent, holder.secret(), &terms);
        let _held = subscribed(&connection, good).await;
        replies
    };
    let replies = arena.during(attack).await;
    for (n, replies) in replies.iter().enumerate() {
        assert_eq!(*replies, [REFUSED], "{n}");
    }
    arena.finish().await;
}

/// A consumer that takes nothing, and shows what is not good for it, is cut when its ticket ends; the
/// ticket does not bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_ticket_is_not_kept_alive_by_not_reading() {
    let (mut arena, authority, _) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let (attacker, friend) = (Attacker::new().await, Attacker::new().await);
    let connection = attacker.join(addr, &network, Vec::new()).await;
    let short = consume(id(&attacker)).lasting(Duration::from_secs(4));
    let ticket = authority.issue(&short).unwrap();
    let (mut send, mut recv) = subscribed(&connection, &ticket).await;
    arena.reports(|report| !report.guarded.is_empty()).await;
    // More than the windows hold, so that the producer's side waits for the attacker to read.
    arena.guarded(2000).await;
    // That of somebody else, that of yesterday, its own once more.
    let stolen = authority.issue(&consume(id(&friend))).unwrap();
    let yesterday = consume(id(&attacker)).starting(SystemTime::now() - 24 * HOUR);
    let over = authority.issue(&yesterday).unwrap();
    for bad in [&stolen, &over, &ticket] {
        let renewal = Update::Credential(bad.into()).encode().unwrap();
        send.write_all(&renewal).await.unwrap();
    }
    cut(&mut arena).await;
    assert!(now_s() >= ticket.terms().expires_s, "cut before its time");
    given_up(&send).await;
    assert_eq!(reset_with(&mut recv).await, Code::Revoked);
    assert_eq!(tries(&connection, &ticket).await, [REFUSED]);
    assert_eq!(tries(&connection, &over).await, [REFUSED]);
    arena.finish().await;
}

/// A revocation that an honest node has heard of cuts who does not read. Neither an older list of the
/// authority, nor one that somebody else has signed, nor a ticket made of the revoked one helps.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_ticket_is_worth_nothing() {
    let (mut arena, authority, key) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let (attacker, friend) = (Attacker::new().await, Attacker::new().await);
    let connection = attacker.join(addr.clone(), &network, Vec::new()).await;
    let ticket = authority.issue(&consume(id(&attacker))).unwrap();
    let on = Terms {
        audience: id(&friend),
        delegations: 0,
        ..ticket.terms().clone()
    };
    let on = behind(&ticket, attacker.secret(), &on);
    let (send, mut recv) = subscribed(&connection, &ticket).await;
    arena.reports(|report| !report.guarded.is_empty()).await;
    arena.guarded(2000).await;
    let numbered = |number| Revoking {
        number,
        ..Revoking::default()
    };
    let revoking = Revoking {
        ids: [ticket.links()[0].id].into(),
        ..numbered(2)
    };
    let list = authority.revoke(revoking).unwrap();
    assert_eq!(arena.honest().revoke(list), Ok(true));
    cut(&mut arena).await;
    given_up(&send).await;
    assert_eq!(reset_with(&mut recv).await, Code::Revoked);
    let attack = async {
        // An older list of the authority; a newer one in its name, whose signature is not its own,
        // which ends the connection: both have been looked at then.
        let old = authority.revoke(numbered(1)).unwrap();
        let forged = Authority::new(&network, SecretKey::generate());
        let mut forged = forged.revoke(numbered(9)).unwrap().as_bytes().to_vec();
        forged[33..65].copy_from_slice(key.public().as_bytes());
        let mut lists = connection.open_uni().await.unwrap();
        let kind = [StreamKind::Revocations.byte()];
        let told = [&kind[..], &prefixed(old.as_bytes()), &prefixed(&forged)].concat();
        lists.write_all(&told).await.unwrap();
        let closed = raw::closed_with(&connection).await;
        let again = attacker.join(addr.clone(), &network, Vec::new()).await;
        let friends = friend.join(addr, &network, Vec::new()).await;
        let replies = [tries(&again, &ticket).await, tries(&friends, on).await];
        // Another one of the authority's still counts.
        let good = authority.issue(&consume(id(&friend))).unwrap();
        let _held = subscribed(&friends, &good).await;
        (closed, replies)
    };
    let (closed, replies) = arena.during(attack).await;
    assert_eq!(closed, Code::Malformed);
    assert_eq!(replies, [[REFUSED], [REFUSED]]);
    arena.finish().await;
}

/// A ticket counts no sooner than it says, but for the minute that clocks may differ by.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_whose_time_has_not_come_is_worth_nothing() {
    let (mut arena, authority, _) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let attacker = Attacker::new().await;
        let connection = attacker.join(addr, &network, Vec::new()).await;
        let from = |later: Duration| {
            let grant = consume(id(&attacker)).starting(SystemTime::now() + later);
            authority.issue(&grant).unwrap()
        };
        let early = from(HOUR);
        let replies = tries(&connection, &early).await;
        // Nor as what a subscription goes on by: it ends when the good one ends.
        let short = consume(id(&attacker)).lasting(Duration::from_secs(2));
        let short = authority.issue(&short).unwrap();
        let (mut send, mut recv) = subscribed(&connection, &short).await;
        let renewal = Update::Credential((&early).into()).encode().unwrap();
        send.write_all(&renewal).await.unwrap();
        let ended = timeout(DEADLINE, reset_with(&mut recv)).await;
        let _held = subscribed(&connection, &from(Duration::from_secs(20))).await;
        (replies, ended)
    };
    let (replies, ended) = arena.during(attack).await;
    assert_eq!((replies, ended), (vec![REFUSED], Ok(Code::Revoked)));
    arena.finish().await;
}

/// A producer that shows somebody else's ticket, or none, is not heard: nothing of what it sends
/// comes to the program.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_with_a_stolen_ticket_is_not_heard() {
    let key = SecretKey::generate();
    let mut arena = arena(Settings {
        bait: Appetite::Reads,
        bait_authority: Some(key.public()),
        ..Settings::default()
    })
    .await;
    let authority = Authority::new(arena.network(), key);
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let produce = |node| Grant::new(node, BAIT, [Right::Produce]);
    let attack = async {
        let (owner, thief) = (Attacker::new().await, Attacker::new().await);
        let ticket = authority.issue(&produce(id(&owner))).unwrap();
        let streams = vec![bait::advert(7)];
        let thieves = thief.join(addr.clone(), &network, streams.clone()).await;
        let item = crate::producer::one(0, 8);
        for credential in [None, Some(Credential::from(&ticket))] {
            for _ in 0..3 {
                let (mut send, _recv) = serve_showing(&thieves, 7, credential.clone()).await;
                // It may be refused before that.
                let _ = send.write_all(&item).await;
                let stopped = timeout(DEADLINE, send.stopped()).await;
                stopped.expect("not refused").unwrap();
            }
        }
        let owners = owner.join(addr, &network, streams).await;
        let (mut send, recv) = serve_showing(&owners, 7, Some((&ticket).into())).await;
        send.write_all(&item).await.unwrap();
        (owner, thief, owners, thieves, send, recv)
    };
    let _held = timeout(DEADLINE * 2, arena.during(attack)).await.unwrap();
    let report = arena.reports(|report| report.bait.items > 0).await;
    assert_eq!(
        (report.bait.items, report.bait.joined),
        (1, 1),
        "{report:?}"
    );
    arena.finish().await;
}

/// Wrong tickets that cost the most to find out as such: four links, of which the last is not signed
/// by whom it should be, each another one. They are verified no faster than 200 in a second.
#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_dear_to_verify_hold_up_nobody() {
    const STREAMS: usize = 8;
    const LEAST: Duration = Duration::from_millis(5 * (STREAMS * TRIES) as u64);
    let (mut arena, authority, _) = court().await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let attacker = Attacker::new().await;
        let connection = attacker.join(addr, &network, Vec::new()).await;
        let chain = dear(&authority, &attacker, &network);
        let ask = |_| async {
            let mut replies = Vec::new();
            for _ in 0..TRIES {
                let mut bytes = chain.as_bytes().to_vec();
                let last = bytes.len() - 64;
                bytes[last..last + 16].copy_from_slice(&rand::random::<[u8; 16]>());
                let ask = showing(Credential::new(bytes).unwrap());
                replies.push(raw::subscribe(&connection, &ask).await.1);
            }
            replies.dedup();
            replies
        };
        let begun = Instant::now();
        let replies = futures::future::join_all((0..STREAMS).map(ask)).await;
        let took = begun.elapsed();
        let _held = subscribed(&connection, &chain).await;
        (replies.concat(), took)
    };
    let (replies, took) = arena.during(attack).await;
    assert_eq!(replies, vec![REFUSED; STREAMS]);
    assert!(took >= LEAST, "{took:?}");
    arena.finish().await;
}

/// A ticket of four links for the attacker, all of whose further holders are its own.
fn dear(authority: &Authority, attacker: &Attacker, network: &str) -> Ticket {
    let keys: Vec<SecretKey> = (0..3).map(|_| SecretKey::generate()).collect();
    let mut ticket = authority.issue(&consume(keys[0].public())).unwrap();
    let next = [keys[1].public(), keys[2].public(), id(attacker)];
    for (holder, audience) in keys.iter().zip(next) {
        ticket = rivermesh::admission::delegate(&ticket, holder, &consume(audience)).unwrap();
    }
    assert_eq!(ticket.links().len(), 4);
    assert_eq!(ticket.network(), NetworkId::of(network));
    ticket
}
