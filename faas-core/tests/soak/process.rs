//! What this process holds, as the kernel counts it.

use std::fmt;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Memory that is this process's own.
    pub(crate) rss_bytes: u64,
    pub(crate) descriptors: usize,
    pub(crate) mappings: usize,
    pub(crate) threads: u64,
}

impl Held {
    pub(crate) fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
            line.trim_matches([':', '\t', ' '])
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a number")
        };
        Held {
            rss_bytes: field("RssAnon") << 10,
            descriptors: std::fs::read_dir("/proc/self/fd").expect("Linux").count(),
            mappings: std::fs::read_to_string("/proc/self/maps").expect("Linux").lines().count(),
            threads: field("Threads"),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held { rss_bytes, descriptors, mappings, threads } = self;
        let mib = *rss_bytes as f64 / f64::from(1 << 20);
        write!(f, "{mib:8.1} MiB, {descriptors:4} descriptors, {mappings:5} mappings, {threads:3} threads")
    }
}
