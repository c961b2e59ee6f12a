//! What was counted beside the baseline, and what follows from it.

use std::fmt;

use crate::baseline::{Baseline, Build, Counts};

/// How to make what was counted the baseline.
const ACCEPT: &str =
    "cargo run --release --locked --manifest-path bench/Cargo.toml -p instructions -- --accept";

/// One bench.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    old: Option<u64>,
    new: Option<u64>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Same,
    Cheaper,
    Dearer,
    /// The baseline lacks it.
    New,
    /// Only the baseline has it.
    Gone,
}

/// All benches.
#[derive(Debug)]
pub(crate) struct Verdict {
    rows: Vec<Row>,
    tolerance: f64,
    /// The compilers, where they differ.
    compilers: Option<(String, String)>,
}

impl Verdict {
    /// Compares. When only `some` were counted, none is missed.
    pub(crate) fn new(old: &Baseline, build: &Build, counts: &Counts, some: bool) -> Self {
        let tolerance = old.tolerance(build);
        let mut rows: Vec<Row> = counts
            .iter()
            .map(|(name, &new)| {
                let before = old.instructions.get(name).copied();
                let outcome = before.map_or(Outcome::New, |old| outcome(old, new, tolerance));
                Row {
                    name: name.clone(),
                    old: before,
                    new: Some(new),
                    outcome,
                }
            })
            .collect();
        let gone = old.instructions.iter().filter(|_| !some);
        let gone = gone.filter(|(name, _)| !counts.contains_key(*name));
        rows.extend(gone.map(|(name, &old)| Row {
            name: name.clone(),
            old: Some(old),
            new: None,
            outcome: Outcome::Gone,
        }));
        let compilers = (old.build.rustc != build.rustc)
            .then(|| (old.build.rustc.clone(), build.rustc.clone()));
        Self {
            rows,
            tolerance,
            compilers,
        }
    }

    /// Why the guard fails, if it does.
    pub(crate) fn failure(&self) -> Option<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            match row.outcome {
                Outcome::Dearer => lines.push(format!(
                    "{}: {} instructions, the baseline has {} (× {:.3}, tolerance {} %)",
                    row.name,
                    row.new.unwrap_or_default(),
                    row.old.unwrap_or_default(),
                    row.ratio().unwrap_or_default(),
                    self.tolerance,
                )),
                Outcome::New => lines.push(format!("{}: not in the baseline", row.name)),
                Outcome::Gone => lines.push(format!("{}: only in the baseline", row.name)),
                Outcome::Same | Outcome::Cheaper => {}
            }
        }
        if lines.is_empty() {
            return None;
        }
        lines.push(format!(
            "If that is intended, accept a new baseline:\n  {ACCEPT}"
        ));
        Some(lines.join("\n"))
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        Some(self.new? as f64 / self.old?.max(1) as f64)
    }
}

fn outcome(old: u64, new: u64, tolerance: f64) -> Outcome {
    let (old, new) = (old as f64, new as f64);
    if new > old * (1.0 + tolerance / 100.0) {
        Outcome::Dearer
    } else if new < old * (1.0 - tolerance / 100.0) {
        Outcome::Cheaper
    } else {
        Outcome::Same
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((old, new)) = &self.compilers {
            writeln!(
                f,
                "the baseline is of {old}, this is {new}: compared more widely"
            )?;
        }
        writeln!(
            f,
            "{:<26} {:>13} {:>13} {:>7}",
            "bench", "baseline", "now", "ratio"
        )?;
        for row in &self.rows {
            let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
            let ratio = row
                .ratio()
                .map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"));
            let remark = match row.outcome {
                Outcome::Same => "",
                Outcome::Cheaper => "cheaper: accept a new baseline to keep it",
                Outcome::Dearer => "DEARER",
                Outcome::New => "not in the baseline",
                Outcome::Gone => "only in the baseline",
            };
            let line = format!(
                "{:<26} {:>13} {:>13} {ratio:>7}  {remark}",
                row.name,
                number(row.old),
                number(row.new),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What a new baseline changes.
pub(crate) fn accepted(old: Option<&Baseline>, new: &Baseline) -> String {
    let empty = Counts::new();
    let old = old.map_or(&empty, |old| &old.instructions);
    let lines = new
        .instructions
        .iter()
        .map(|(name, count)| match old.get(name) {
            Some(before) => format!("{name:<26} {before:>13} → {count}"),
            None => format!("{name:<26} {:>13} → {count}", "new"),
        });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::tests::baseline;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    #[test]
    fn within_the_tolerance_all_is_well() {
        let old = baseline(&[("a", 1000), ("b", 1000)]);
        let now = counts(&[("a", 1050), ("b", 950)]);
        let verdict = Verdict::new(&old, &old.build, &now, false);
        assert_eq!(verdict.failure(), None);
        assert!(!verdict.to_string().contains("cheaper"));
    }

    #[test]
    fn a_regression_names_bench_numbers_ratio_and_command() {
        let old = baseline(&[("a", 1000), ("b", 1000)]);
        let now = counts(&[("a", 1051), ("b", 1000)]);
        let failure = Verdict::new(&old, &old.build, &now, false)
            .failure()
            .unwrap();
        let (first, rest) = failure.split_once('\n').unwrap();
        assert_eq!(
            first,
            "a: 1051 instructions, the baseline has 1000 (× 1.051, tolerance 5 %)"
        );
        assert!(rest.contains("--accept") && !rest.contains("b:"));
    }

    #[test]
    fn an_improvement_is_told_and_is_no_failure() {
        let old = baseline(&[("a", 1000)]);
        let verdict = Verdict::new(&old, &old.build, &counts(&[("a", 949)]), false);
        assert_eq!(verdict.failure(), None);
        assert!(verdict.to_string().contains("0.949  cheaper"));
    }

    #[test]
    fn benches_and_baseline_must_be_the_same() {
        let old = baseline(&[("gone", 1)]);
        let now = counts(&[("new", 1)]);
        let failure = Verdict::new(&old, &old.build, &now, false)
            .failure()
            .unwrap();
        assert!(failure.contains("new: not in the baseline"));
        assert!(failure.contains("gone: only in the baseline"));
        let some = Verdict::new(&old, &old.build, &counts(&[]), true);
        assert_eq!(some.failure(), None);
    }

    #[test]
    fn another_compiler_has_more_room() {
        let old = baseline(&[("a", 1000)]);
        let mut build = old.build.clone();
        build.rustc = "rustc 2.0".into();
        let verdict = Verdict::new(&old, &build, &counts(&[("a", 1250)]), false);
        assert_eq!(verdict.failure(), None);
        assert!(verdict.to_string().contains("rustc 2.0"));
        let verdict = Verdict::new(&old, &build, &counts(&[("a", 1251)]), false);
        assert!(verdict.failure().is_some());
    }
}
