//! CPU time and memory of a process, from /proc.

use std::time::Duration;

/// Clock ticks per second in /proc/PID/stat: USER_HZ, 100 on every architecture that Rust's
/// standard library supports on Linux (proc(5), sysconf(3)).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that a process used so far, user and system, all threads and the children that it has
/// waited for; nothing where that cannot be told.
#[must_use]
pub fn cpu(pid: u32) -> Option<Duration> {
    parse_cpu(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The most memory that a process had resident at once, in bytes (`VmHWM`); nothing where that
/// cannot be told.
#[must_use]
pub fn peak_memory(pid: u32) -> Option<u64> {
    parse_memory(&status(pid)?, "VmHWM:")
}

/// The memory that a process has resident now, in bytes (`VmRSS`); nothing where that cannot be
/// told.
#[must_use]
pub fn resident_memory(pid: u32) -> Option<u64> {
    parse_memory(&status(pid)?, "VmRSS:")
}

fn status(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

/// CPU time that all programs of the machine used so far, user and system, without interrupts;
/// nothing where that cannot be told.
#[must_use]
pub fn machine_cpu() -> Option<Duration> {
    parse_machine(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The fields user, nice and system of the line `cpu` (proc_stat(5)).
fn parse_machine(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields = line.split_ascii_whitespace().take(3);
    let ticks: Option<Vec<u64>> = fields.map(|field| field.parse().ok()).collect();
    let ticks: u64 = ticks.filter(|ticks| ticks.len() == 3)?.iter().sum();
    Some(Duration::from_millis(
        ticks.checked_mul(1000 / TICKS_PER_SECOND)?,
    ))
}

/// Fields 14 to 17 (utime, stime, cutime, cstime) of proc_pid_stat(5). The second field, the
/// program's name in parentheses, may itself hold spaces and parentheses.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields = rest.split_ascii_whitespace().skip(11).take(4);
    let ticks: Option<Vec<u64>> = fields.map(|field| field.parse().ok()).collect();
    let ticks = ticks.filter(|ticks| ticks.len() == 4)?;
    let ticks: u64 = ticks.iter().sum();
    Some(Duration::from_millis(
        ticks.checked_mul(1000 / TICKS_PER_SECOND)?,
    ))
}

fn parse_memory(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_confuse_it() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 30 7 3 20 0 4 0";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(1900)));
        assert_eq!(parse_cpu("12 (x) S 1"), None);
        assert_eq!(parse_cpu(""), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 3 kB\n";
        assert_eq!(parse_memory(status, "VmHWM:"), Some(2 * 1024 * 1024));
        assert_eq!(parse_memory(status, "VmRSS:"), Some(3 * 1024));
        assert_eq!(parse_memory("Name: x", "VmHWM:"), None);
    }

    #[test]
    fn interrupts_and_idling_are_no_programs() {
        let stat = "cpu  100 20 3 999 9 9 9 0 0 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_machine(stat), Some(Duration::from_millis(1230)));
        assert_eq!(parse_machine("cpu0 1 2 3\n"), None);
    }

    #[test]
    fn this_process_uses_both() {
        let before = cpu(std::process::id()).unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        assert!(cpu(std::process::id()).unwrap() > before);
        // One after the other, so the second may be the larger one.
        assert!(peak_memory(std::process::id()).unwrap() > 100_000);
        assert!(resident_memory(std::process::id()).unwrap() > 100_000);
    }
}
