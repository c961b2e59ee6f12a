//! What this node shows to be let in, and getting it anew before it ends.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use rivermesh_proto::ticket::{Credential, Kind, Ticket};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::warn;

use super::now_s;
use crate::{stream::Retry, task::Tasks};

/// How long a provider may take for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// The shortest time between two questions to a provider that answers.
const SHORTEST: Duration = Duration::from_millis(250);
/// How long until a provider is asked again where the credential does not say when it ends.
const UNKNOWN: Duration = Duration::from_secs(60);
/// The longest sleep without a look at the wall clock.
const LOOK: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<Credential, Failure>> + Send>>;

/// Where credentials come from, as a program says it.
#[derive(Clone, Default)]
pub(crate) enum Source {
    #[default]
    None,
    Fixed(Credential),
    Provider(Arc<dyn Fn() -> Answer + Send + Sync>),
}

impl Source {
    pub(crate) fn provider<F, A, E>(ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credential, E>> + Send + 'static,
        E: Into<Failure>,
    {
        Self::Provider(Arc::new(move || {
            let answer = ask();
            Box::pin(async move { answer.await.map_err(Into::into) })
        }))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed",
            Self::Provider(_) => "Provider",
        })
    }
}

/// What is there to be shown.
#[derive(Clone, Debug)]
enum Held {
    /// The provider has not answered yet.
    Asking,
    Nothing,
    Credential(Credential),
}

/// What a stream's node shows to the peers of this stream.
#[derive(Clone, Debug)]
pub(crate) struct Wallet(watch::Receiver<Held>);

impl Wallet {
    /// Asks the provider, where there is one, for as long as anybody holds the wallet and `tasks` go
    /// on.
    pub(crate) fn new(source: Source, tasks: &Tasks) -> Self {
        let (held, wallet) = watch::channel(match &source {
            Source::None => Held::Nothing,
            Source::Fixed(credential) => Held::Credential(credential.clone()),
            Source::Provider(_) => Held::Asking,
        });
        if let Source::Provider(ask) = source {
            tasks.spawn("tickets", provide(ask, held));
        }
        Self(wallet)
    }

    /// What there is to show now.
    pub(crate) fn current(&self) -> Option<Credential> {
        match &*self.0.borrow() {
            Held::Credential(credential) => Some(credential.clone()),
            Held::Asking | Held::Nothing => None,
        }
    }

    /// The wallet as one subscription sees it; waits for the provider's first answer.
    pub(crate) async fn open(&self) -> Purse {
        let mut held = self.0.clone();
        // An error means that the provider will never answer.
        let _ = held.wait_for(|held| !matches!(held, Held::Asking)).await;
        Purse(held)
    }
}

/// What one subscription shows, and then shows anew.
#[derive(Debug)]
pub(crate) struct Purse(watch::Receiver<Held>);

impl Purse {
    /// What there is to show now.
    pub(crate) fn show(&mut self) -> Option<Credential> {
        match &*self.0.borrow_and_update() {
            Held::Credential(credential) => Some(credential.clone()),
            Held::Asking | Held::Nothing => None,
        }
    }

    /// What has come since the last look.
    pub(crate) fn fresh(&mut self) -> Option<Credential> {
        if self.0.has_changed().unwrap_or(false) {
            self.show()
        } else {
            None
        }
    }

    /// Waits for something newer to show; for ever, if none will come.
    pub(crate) async fn renewed(&mut self) -> Credential {
        loop {
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(credential) = self.show() {
                return credential;
            }
        }
    }

    /// Waits until [`fresh`](Self::fresh) has something to look at; for ever, if it never will.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.mark_changed();
    }
}

async fn provide(ask: Arc<dyn Fn() -> Answer + Send + Sync>, held: watch::Sender<Held>) {
    let (mut failures, retry) = (0, Retry::default());
    loop {
        let answer = timeout(ANSWER, ask()).await;
        let error: Failure = match answer {
            Ok(Ok(credential)) => {
                failures = 0;
                let again = renew_at(&credential, now_s());
                held.send_replace(Held::Credential(credential));
                if wait(again, &held).await {
                    continue;
                }
                return;
            }
            Ok(Err(error)) => error,
            Err(elapsed) => elapsed.into(),
        };
        warn!(%error, "no ticket from the provider");
        held.send_if_modified(|held| {
            let asking = matches!(held, Held::Asking);
            if asking {
                *held = Held::Nothing;
            }
            asking
        });
        failures += 1;
        tokio::select! {
            () = held.closed() => return,
            () = sleep(retry.delay(failures).max(SHORTEST)) => {}
        }
    }
}

/// When to ask for the next one: at half of what is left.
enum Again {
    /// At this second since 1970, or after this time, whichever comes first.
    At(u64, Duration),
    After(Duration),
}

fn renew_at(credential: &Credential, now_s: u64) -> Again {
    let Some(expires_s) = expires_s(credential) else {
        return Again::After(UNKNOWN);
    };
    let half = expires_s.saturating_sub(now_s) / 2;
    let exact = Duration::from_secs(expires_s.saturating_sub(now_s)) / 2;
    Again::At(now_s.saturating_add(half.max(1)), exact.max(SHORTEST))
}

/// Waits until it is time; false when nobody holds the wallet any more.
async fn wait(again: Again, held: &watch::Sender<Held>) -> bool {
    let (at_s, mut left) = match again {
        Again::At(at_s, left) => (at_s, left),
        Again::After(left) => (u64::MAX, left),
    };
    // The wall clock goes on while the machine sleeps, and the sleep here does not.
    while !left.is_zero() && now_s() < at_s {
        let turn = left.min(LOOK);
        tokio::select! {
            () = held.closed() => return false,
            () = sleep(turn) => left -= turn,
        }
    }
    true
}

/// When a credential of this node says that it ends, in seconds since 1970.
fn expires_s(credential: &Credential) -> Option<u64> {
    match credential.kind() {
        Kind::Ticket => Some(
            Ticket::decode(credential.as_bytes())
                .ok()?
                .terms()
                .expires_s,
        ),
        #[cfg(feature = "jwt")]
        Kind::Jwt => super::jwt::expires_s(credential.as_bytes()),
        _ => None,
    }
}
