//! What an admission by ticket costs: reading it, checking its signatures, and asking again what was
//! checked before.
//!
//! `cargo bench -p rivermesh-proto --bench ticket`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use iroh_base::SecretKey;
use rivermesh_proto::{
    NetworkId, StreamName,
    ticket::{Pattern, Question, Revoked, Right, Stamp, Terms, Ticket, TicketId, Verifier},
};

const NOW: u64 = 1_800_000_000;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

/// A ticket of authority 1 for node `links + 1`.
#[expect(clippy::unwrap_used, reason = "terms that are known to make a ticket")]
fn chain(links: u8) -> Ticket {
    let terms = |n: u8| Terms {
        audience: key(n).public(),
        pattern: Pattern::new("weather/*").unwrap(),
        rights: Right::Consume.into(),
        not_before_s: NOW,
        expires_s: NOW + 3600,
        delegations: 5 - n,
    };
    let stamp = |n| Stamp {
        id: TicketId([n; 16]),
        issued_s: NOW,
    };
    let first = Ticket::issue(NetworkId::of("lab"), &key(1), stamp(1), &terms(2)).unwrap();
    (2..=links).fold(first, |ticket, n| {
        ticket.delegate(&key(n), stamp(n), &terms(n + 1)).unwrap()
    })
}

fn tickets(c: &mut Criterion) {
    let Ok(stream) = StreamName::new("weather/jfk") else {
        unreachable!("it is a name");
    };
    let (verifier, revoked) = (Verifier::new([key(1).public()]), Revoked::default());
    for links in [1, 4] {
        let ticket = chain(links);
        let question = Question {
            network: NetworkId::of("lab"),
            audience: key(links + 1).public(),
            stream: &stream,
            right: Right::Consume,
            now_s: NOW,
        };
        c.bench_function(&format!("read and verify, {links} links"), |b| {
            b.iter(|| {
                let ticket = Ticket::decode(black_box(ticket.as_bytes()));
                ticket.map(|ticket| verifier.verify(&ticket, &question, &revoked))
            });
        });
        c.bench_function(&format!("ask again, {links} links"), |b| {
            b.iter(|| verifier.verify_again(black_box(&ticket), &question, &revoked));
        });
    }
}

criterion_group!(benches, tickets);
criterion_main!(benches);
