//! Waiting for a condition with a deadline, never for a time.

use std::{fmt, future::Future, panic::Location, time::Duration};

use thiserror::Error;
use tokio::time::{Instant, sleep};

/// The first pause between two looks; doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// What a condition may return: `bool`, `Option<T>`, or `Result<T, E>` whose error says what is
/// still missing (the best choice: the failure message then shows it).
pub trait Outcome {
    /// What the wait hands out once the condition holds.
    type Value;
    /// The value, or why the condition does not hold yet.
    ///
    /// # Errors
    /// The state that was seen, as text.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl Outcome for bool {
    type Value = ();
    fn outcome(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".into()) }
    }
}

impl<T> Outcome for Option<T> {
    type Value = T;
    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "none".into())
    }
}

impl<T, E: fmt::Display> Outcome for Result<T, E> {
    type Value = T;
    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// A condition did not come to hold in time.
#[derive(Debug, Error)]
#[error("{place}: not within {deadline:?} ({looks} looks); the last one saw: {last}")]
pub struct TimedOut {
    /// Where the wait stands.
    pub place: &'static Location<'static>,
    /// The time that was given.
    pub deadline: Duration,
    /// How many times the condition was evaluated.
    pub looks: u32,
    /// What the last look saw.
    pub last: String,
}

/// Waits until the condition holds; looks once more when the deadline has passed.
///
/// # Panics
/// When it does not hold by then, at the caller's line, with what was seen last.
#[track_caller]
pub fn eventually<C: Outcome>(
    deadline: Duration,
    condition: impl FnMut() -> C,
) -> impl Future<Output = C::Value> {
    let wait = try_eventually(deadline, condition);
    async move {
        match wait.await {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Like [`eventually`], but the caller handles the failure.
///
/// # Errors
/// When the condition does not hold by the deadline.
#[track_caller]
pub fn try_eventually<C: Outcome>(
    deadline: Duration,
    mut condition: impl FnMut() -> C,
) -> impl Future<Output = Result<C::Value, TimedOut>> {
    poll(Location::caller(), deadline, async move || condition())
}

/// Like [`eventually`], for a condition that itself awaits (a request, a lock). The deadline does
/// not interrupt a look that is under way, so a look must not wait for ever.
///
/// # Panics
/// When the condition does not hold by the deadline.
#[track_caller]
pub fn eventually_async<C: Outcome>(
    deadline: Duration,
    condition: impl AsyncFnMut() -> C,
) -> impl Future<Output = C::Value> {
    let wait = poll(Location::caller(), deadline, condition);
    async move {
        match wait.await {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn poll<C: Outcome>(
    place: &'static Location<'static>,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> C,
) -> Result<C::Value, TimedOut> {
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    let mut looks = 0;
    loop {
        // Read before the look, so that a look at or after the deadline always takes place.
        let now = Instant::now();
        looks += 1;
        let last = match condition().await.outcome() {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if now >= end {
            return Err(TimedOut {
                place,
                deadline,
                looks,
                last,
            });
        }
        sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hands_out_the_value_once_it_is_there() {
        let mut looks = 0;
        let value = eventually(Duration::from_secs(1), || {
            looks += 1;
            (looks == 5).then_some("there")
        })
        .await;
        assert_eq!(value, "there");
    }

    #[tokio::test(start_paused = true)]
    async fn looks_once_more_at_the_deadline() {
        let start = Instant::now();
        let deadline = Duration::from_millis(333);
        try_eventually(deadline, || start.elapsed() >= deadline)
            .await
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_says_where_and_what_was_seen() {
        let mut peers = 0;
        let error = try_eventually(Duration::from_millis(200), || {
            peers = 3;
            Err::<(), _>(format!("{peers} of 4 peers"))
        })
        .await
        .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("wait.rs"), "{text}");
        assert!(text.contains("within 200ms"), "{text}");
        assert!(text.ends_with("saw: 3 of 4 peers"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "the last one saw: false")]
    async fn panics_when_it_never_holds() {
        eventually_async(Duration::from_millis(10), async || false).await;
    }
}
