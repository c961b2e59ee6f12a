//! Running a program under callgrind.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
};

use thiserror::Error;

use crate::probe;

/// A bench could not be counted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum CallgrindError {
    /// Valgrind is not there.
    #[error("cannot run valgrind (on Debian: apt-get install valgrind)")]
    Valgrind(#[source] io::Error),
    /// The program failed.
    #[error("{0} failed under valgrind:\n{1}")]
    Program(String, String),
    /// Valgrind did not say how many instructions it counted, or it counted none.
    #[error("valgrind counted nothing in {0}:\n{1}")]
    Nothing(String, String),
}

/// How many instructions the program takes within [`probe::measured`].
pub(crate) fn count(program: &Path, args: &[&str]) -> Result<u64, CallgrindError> {
    let name = args.join(" ");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={}", probe::PATTERN))
        .arg(program)
        .args(args)
        // The C library copies memory by other instructions on other processors. Without these it
        // takes those that all of them have. A version that does not know a name ignores it.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-ERMS,-FSRM",
        )
        .stdin(Stdio::null())
        .output()
        .map_err(CallgrindError::Valgrind)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(CallgrindError::Program(name, said));
    }
    match parse(&said) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(CallgrindError::Nothing(name, said)),
    }
}

/// The line `==PID== Collected : COUNT`, which callgrind ends with (valgrind manual, section 6.2.1).
fn parse(said: &str) -> Option<u64> {
    let mut lines = said
        .lines()
        .filter_map(|line| line.split_once("Collected :"));
    lines.next_back()?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_what_callgrind_ends_with() {
        let said = "==12== Callgrind, a call-graph generating cache profiler\n==12== \n\
                    ==12== Events    : Ir\n==12== Collected : 123456\n==12== \n\
                    ==12== I   refs:      123,456\n";
        assert_eq!(parse(said), Some(123_456));
        assert_eq!(parse("==12== Collected : none"), None);
        assert_eq!(parse(""), None);
    }
}
