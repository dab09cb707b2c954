//! The machine: what it is, which cores a process may use, how many files it may open.

use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the contenders run, and where the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    /// Of whatever is measured.
    pub(crate) measured: Option<usize>,
    /// Of what makes or takes the load.
    pub(crate) load: Option<usize>,
}

impl Cores {
    /// The first and the last that this process may use; none if there is only one.
    pub(crate) fn choose() -> Self {
        let cores = allowed_cores();
        match (cores.first(), cores.last()) {
            (Some(first), Some(last)) if first != last => Cores {
                measured: Some(*first),
                load: Some(*last),
            },
            _ => Cores {
                measured: None,
                load: None,
            },
        }
    }
}

fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Keeps this process, and every thread that it starts from now on, on one core.
pub(crate) fn stay_on(core: Option<usize>) -> anyhow::Result<()> {
    let Some(core) = core else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot stay on core {core}"))
}

/// Raises the limit of open files as far as it goes; the limit.
pub(crate) fn raise_open_files() -> anyhow::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// Processor, cores, memory, kernel and how busy it is.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim());
        value.unwrap_or("?").to_owned()
    };
    let memory_kb: f64 = field(&read("/proc/meminfo"), "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(f64::NAN);
    let cores = allowed_cores().len();
    let pinned = match Cores::choose() {
        Cores {
            measured: Some(measured),
            load: Some(load),
        } => format!("measured on core {measured}, load on core {load}; Kafka and Postgres where they like"),
        _ => "one core for all: nothing is pinned".to_owned(),
    };
    format!(
        "machine: {}, {cores} cores, {:.0} GiB, Linux {}, load average {}\n{pinned}",
        field(&read("/proc/cpuinfo"), "model name"),
        memory_kb / 1024.0 / 1024.0,
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or("?"),
    )
}
