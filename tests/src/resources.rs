//! Memory and processor time of a process, from `/proc`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Error, Result, error::Context as _};

/// Resident memory in bytes (`VmRSS`).
///
/// # Errors
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    kib(pid, "status", "VmRSS:")
}

/// The most resident memory so far, in bytes (`VmHWM`).
///
/// # Errors
/// When the process is gone.
pub fn peak_resident_bytes(pid: u32) -> Result<u64> {
    kib(pid, "status", "VmHWM:")
}

/// Memory in bytes that is its own, with its share of what it has in common with others (`Pss`):
/// of many processes of one binary the sum is what they take together.
///
/// # Errors
/// When the process is gone, or belongs to another user.
pub fn proportional_bytes(pid: u32) -> Result<u64> {
    kib(pid, "smaps_rollup", "Pss:")
}

/// Processor time used so far, user and system. Its grain is the kernel's tick, usually 10 ms.
///
/// # Errors
/// When the process is gone.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    // The command name, in parentheses, may itself hold blanks and parentheses.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    // utime and stime are fields 14 and 15 of proc(5); what follows the name starts with 3.
    let ticks = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u32>().ok())
    };
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        return Err(Error::Usage(format!(
            "/proc/{pid}/stat is not as proc(5) says"
        )));
    };
    let per_second = rustix::param::clock_ticks_per_second();
    let per_second = u32::try_from(per_second)
        .ok()
        .filter(|rate| *rate > 0)
        .unwrap_or(100);
    Ok(Duration::from_secs(1) * (user + system) / per_second)
}

/// The share of one processor that a process uses over `period` (1.0 is one processor).
///
/// # Errors
/// When the process is gone before the period's end.
pub async fn cpu_share(pid: u32, period: Duration) -> Result<f64> {
    let (start, used) = (Instant::now(), cpu_time(pid)?);
    sleep(period).await;
    let used = cpu_time(pid)?.saturating_sub(used);
    Ok(used.as_secs_f64() / start.elapsed().as_secs_f64())
}

/// Whether there is a process of this id that has not ended (a zombie has).
pub fn is_alive(pid: u32) -> bool {
    read(pid, "stat").is_ok_and(|stat| {
        stat.rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

fn kib(pid: u32, file: &str, field: &str) -> Result<u64> {
    read(pid, file)?
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| Error::Usage(format!("process {pid} has no {field} (has it ended?)")))
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).context(path)
}
