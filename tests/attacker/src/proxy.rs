//! A path that is longer than loopback: a UDP relay that holds packets back.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Packets that are on their way in one direction at most.
const QUEUE: usize = 4096;

/// A relay between one client and one server. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    delay_us: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A relay to `server`. Its client reaches it by IPv6 and the server by IPv4, so that a client
    /// that has IPv6 alone cannot go around it.
    ///
    /// # Panics
    /// When no socket can be bound.
    pub async fn new(server: SocketAddr, one_way: Duration) -> Self {
        let bind = async |addr: &str| match UdpSocket::bind(addr).await {
            Ok(socket) => socket,
            Err(error) => panic!("no socket on {addr}: {error}"),
        };
        let (near, far) = (bind("[::1]:0").await, bind("127.0.0.1:0").await);
        let addr = match near.local_addr() {
            Ok(addr) => addr,
            Err(error) => panic!("a socket without an address: {error}"),
        };
        let delay_us = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(relay(near, far, server, Arc::clone(&delay_us)));
        let proxy = Self {
            addr,
            delay_us,
            task,
        };
        proxy.delay(one_way);
        proxy
    }

    /// Where the client is to send to.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Holds each packet back for so long, from now on.
    pub fn delay(&self, one_way: Duration) {
        let us = u64::try_from(one_way.as_micros()).unwrap_or(u64::MAX);
        self.delay_us.store(us, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(near: UdpSocket, far: UdpSocket, server: SocketAddr, delay_us: Arc<AtomicU64>) {
    let mut client = None;
    let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
    let (mut from_near, mut from_far) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let delay = Duration::from_micros(delay_us.load(Ordering::Relaxed));
        let due = |queue: &VecDeque<(Instant, Vec<u8>)>| queue.front().map(|(at, _)| *at);
        let (next_up, next_down) = (due(&up), due(&down));
        let later = Instant::now() + Duration::from_secs(3600);
        tokio::select! {
            Ok((len, from)) = near.recv_from(&mut from_near) => {
                client = Some(from);
                if up.len() < QUEUE {
                    up.push_back((Instant::now() + delay, from_near[..len].to_vec()));
                }
            }
            Ok((len, _)) = far.recv_from(&mut from_far) => {
                if down.len() < QUEUE {
                    down.push_back((Instant::now() + delay, from_far[..len].to_vec()));
                }
            }
            () = sleep_until(next_up.unwrap_or(later)), if next_up.is_some() => {
                if let Some((_, packet)) = up.pop_front() {
                    let _ = far.send_to(&packet, server).await;
                }
            }
            () = sleep_until(next_down.unwrap_or(later)), if next_down.is_some() => {
                if let (Some((_, packet)), Some(client)) = (down.pop_front(), client) {
                    let _ = near.send_to(&packet, client).await;
                }
            }
        }
    }
}
