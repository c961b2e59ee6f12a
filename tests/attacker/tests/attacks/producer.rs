//! Producers that do not keep to the framing: endless, oversized, in no order.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rivermesh_attacker::{
    arena::{Arena, MEMORY},
    bait,
    victim::{Appetite, Settings},
};
use rivermesh_proto::{
    batch::{self, Builder},
    code::Code,
    limits,
};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{Attacker, message},
};
use tokio::time::timeout;

use crate::{arena, bytes::serve};

/// A batch of one item of about this size, which is an item of the bait.
pub(crate) fn one(first: u64, bytes: usize) -> Bytes {
    let len = [bytes | 0x80, bytes >> 7 | 0x80, bytes >> 14].map(|part| part as u8);
    let item = [&len[..], &vec![0; bytes], &[0]].concat();
    let mut builder = Builder::new(1 << 16);
    let push = |buf: &mut BytesMut| -> Result<(), std::convert::Infallible> {
        buf.extend_from_slice(&item);
        Ok(())
    };
    builder.push(push).unwrap();
    builder.seal(first, 0).unwrap()
}

/// Sends items without end until nothing is taken for a while, or as much as this many bytes was;
/// gives how many were.
async fn endless(arena: &mut Arena, most: u64) -> u64 {
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let attacker = Attacker::new().await;
        let connection = attacker.join(addr, &network, vec![bait::advert(7)]).await;
        let (mut send, mut recv) = serve(&connection, 7).await;
        message(&mut recv).await;
        let (mut seq, mut sent) = (0, 0);
        while sent < most {
            let frame = one(seq, 60_000);
            if timeout(Duration::from_secs(2), send.write_all(&frame))
                .await
                .is_err()
            {
                break;
            }
            seq += 1;
            sent += frame.len() as u64;
        }
        (sent, attacker, connection, send, recv)
    };
    let held = arena.during(attack).await;
    held.0
}

/// A producer that never ends fills the consumer's buffer, and then waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_endless_producer_fills_a_buffer_and_no_more() {
    let mut arena = arena(Settings {
        bait: Appetite::Stuck,
        ..Settings::default()
    })
    .await;
    let sent = endless(&mut arena, 3 * MEMORY).await;
    assert!(sent < MEMORY, "{sent} bytes were taken");
    arena.finish().await;
}

/// The same with a buffer that is as good as none: the memory goes.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_buffer_s_bound_it_takes_the_memory() {
    let mut arena = arena(Settings {
        bait: Appetite::Stuck,
        bait_bytes: Some(1 << 30),
        ..Settings::default()
    })
    .await;
    let sent = endless(&mut arena, 2 * MEMORY).await;
    let growth = arena.growth();
    assert!(
        growth > MEMORY,
        "{sent} bytes were taken, memory grew by {growth}"
    );
    arena.judge().await;
}

/// Frames that are too large, or not where the last one ended, end the subscription, and nothing of
/// them is handed to the program.
#[tokio::test(flavor = "multi_thread")]
async fn frames_out_of_size_or_order_end_the_subscription() {
    let mut arena = arena(Settings {
        bait: Appetite::Reads,
        ..Settings::default()
    })
    .await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let head = |kind: u8, len: usize| {
        let len = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        [&[kind][..], &len].concat()
    };
    let bad: Vec<Vec<u8>> = vec![
        head(1, usize::MAX),
        head(1, limits::FRAME),
        head(2, limits::FRAME),
        head(9, 20),
        // An item that is longer than its frame.
        [
            head(1, 23),
            [&[0; 8][..], &[1, 0, 0, 0], &[0; 8], &[0xff, 0xff, 0x3f]].concat(),
        ]
        .concat(),
        // Ahead, and then again what has been.
        one(5, 8).to_vec(),
        [one(0, 8), one(0, 8)].concat(),
        [one(0, 8), one(2, 8)].concat(),
        [batch::gap(0, u64::MAX), one(0, 8)].concat(),
        batch::gap(3, 3).to_vec(),
        batch::gap(1, 2).to_vec(),
        // Numbers that run over.
        [batch::gap(0, u64::MAX), one(u64::MAX, 8), one(0, 8)].concat(),
        // The same numbers, left out by a filter that nobody asked for.
        [batch::filtered(0..u64::MAX), one(0, 8)].concat(),
        [batch::filtered(0..u64::MAX), one(0, 8)].concat(),
        batch::filter(1, 9).to_vec(),
    ];
    let attack = async {
        let attacker = Attacker::new().await;
        let connection = attacker.join(addr, &network, vec![bait::advert(7)]).await;
        for (n, frames) in (0..).zip(&bad) {
            // Another life each time, else it would be held to where it was before.
            let (mut send, _recv) = serve(&connection, n).await;
            // It may be refused half way.
            let _ = send.write_all(frames).await;
            let stopped = timeout(DEADLINE, send.stopped()).await;
            let code = stopped.expect("not refused").unwrap();
            let code = code.and_then(|code| Code::from_number(code.into_inner()));
            assert_eq!(
                code,
                Some(Code::BadFrame),
                "{:?}",
                &frames[..frames.len().min(40)]
            );
        }
        // The program goes on, and takes what is good.
        let (mut send, recv) = serve(&connection, 1000).await;
        send.write_all(&one(0, 8)).await.unwrap();
        (attacker, connection, send, recv)
    };
    let _held = timeout(DEADLINE * 2, arena.during(attack)).await.unwrap();
    // Besides, one good item in each of the two that begin with one.
    arena.reports(|report| report.bait.items == 3).await;
    arena.finish().await;
}
