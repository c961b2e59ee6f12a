//! What people see while the demo runs: a table in place on a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often plain lines say where things stand.
const PLAIN_EVERY: Duration = Duration::from_secs(1);

/// The view.
pub(super) struct Live {
    kind: Kind,
    to_stderr: bool,
}

enum Kind {
    Table {
        all: MultiProgress,
        rows: Vec<ProgressBar>,
    },
    Plain {
        last: Instant,
    },
}

impl Live {
    /// A view on stdout, or on stderr where stdout is for machines.
    pub(super) fn new(to_stderr: bool) -> Self {
        let (terminal, target): (bool, fn() -> ProgressDrawTarget) = if to_stderr {
            (io::stderr().is_terminal(), ProgressDrawTarget::stderr)
        } else {
            (io::stdout().is_terminal(), ProgressDrawTarget::stdout)
        };
        let kind = if terminal {
            let all = MultiProgress::with_draw_target(target());
            Kind::Table {
                all,
                rows: Vec::new(),
            }
        } else {
            Kind::Plain {
                last: Instant::now(),
            }
        };
        Self { kind, to_stderr }
    }

    /// Tells something that happened.
    pub(super) fn tell(&self, news: &str) {
        match &self.kind {
            Kind::Table { all, .. } => drop(all.println(news)),
            Kind::Plain { .. } => self.line(news),
        }
    }

    /// Shows where things stand.
    pub(super) fn show(&mut self, lines: &[String]) {
        match &mut self.kind {
            Kind::Table { all, rows } => {
                for row in rows.drain(lines.len().min(rows.len())..) {
                    all.remove(&row);
                }
                while rows.len() < lines.len() {
                    let row = ProgressBar::new_spinner();
                    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                        row.set_style(style);
                    }
                    rows.push(all.add(row));
                }
                for (row, line) in rows.iter().zip(lines) {
                    row.set_message(line.clone());
                    row.tick();
                }
            }
            Kind::Plain { last } => {
                if last.elapsed() < PLAIN_EVERY {
                    return;
                }
                *last = Instant::now();
                for line in lines {
                    self.line(&format!("  {line}"));
                }
            }
        }
    }

    /// Leaves the state of a table standing, before another one is shown.
    pub(super) fn keep(&self, lines: &[String]) {
        for line in lines {
            self.tell(&format!("  {line}"));
        }
    }

    /// Leaves the last state of the table standing.
    pub(super) fn finish(self) {
        if let Kind::Table { rows, .. } = &self.kind {
            rows.iter().for_each(ProgressBar::abandon);
            // The cursor is left at the end of the last row.
            self.line("");
        }
    }

    fn line(&self, line: &str) {
        // Who no longer looks does not stop the run.
        let _ = if self.to_stderr {
            writeln!(io::stderr(), "{line}")
        } else {
            writeln!(io::stdout(), "{line}")
        };
    }
}
