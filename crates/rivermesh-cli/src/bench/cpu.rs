//! CPU time of a process, user and system (Linux only: it is read from /proc).

use std::time::Duration;

/// Clock ticks per second in /proc/<pid>/stat: USER_HZ, 100 on every architecture that Rust's
/// standard library supports on Linux (proc(5), sysconf(3)).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that a process used so far; nothing where that cannot be told.
pub(super) fn used(pid: u32) -> Option<Duration> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 14 (utime) and 15 (stime) of proc_pid_stat(5). The second field, the program's name in
/// parentheses, may itself hold spaces and parentheses.
fn parse(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system).checked_mul(1000 / TICKS_PER_SECOND)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_confuse_it() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 30 0 0 20 0 4 0";
        assert_eq!(parse(stat), Some(Duration::from_millis(1800)));
        assert_eq!(parse("12 (x) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_time() {
        let before = used(std::process::id()).unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        assert!(used(std::process::id()).unwrap() > before);
    }
}
