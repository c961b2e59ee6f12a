//! How fast something goes.

/// A speed, from a count that is looked at now and then.
#[derive(Debug, Default)]
pub(super) struct Rate {
    seen: Option<(u64, u64)>,
    per_second: f64,
}

impl Rate {
    /// Looks at the count.
    pub(super) fn update(&mut self, count: u64, now_us: u64) {
        match self.seen {
            Some((then, before)) if now_us >= then + 400_000 => {
                let seconds = (now_us - then) as f64 / 1e6;
                self.per_second = count.saturating_sub(before) as f64 / seconds;
                self.seen = Some((now_us, count));
            }
            Some(_) => {}
            None => self.seen = Some((now_us, count)),
        }
    }

    /// The speed, a second.
    pub(super) fn per_second(&self) -> u64 {
        self.per_second as u64
    }
}
