//! Who came near which limit, and how often: each is told once, and counted. Pure.

use std::{collections::BTreeMap, sync::Arc};

use faas_core::{
    invocation::Record,
    limits::{Limit, NEAR_PERCENT, Near},
};

/// What has been seen, by function and limit.
#[derive(Debug, Default)]
pub(super) struct Nearness {
    seen: BTreeMap<(Arc<str>, Limit), Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The last generation that was told of.
    generation: u64,
    count: u64,
    stopped: u64,
}

impl Nearness {
    /// Counts an invocation that came near a limit; the words to say if it is the first of its generation. Who was stopped
    /// there has an error that says so.
    pub(super) fn see(&mut self, record: &Record, near: &Near) -> Option<String> {
        let generation = record.spec.as_ref().map_or(0, |spec| spec.generation);
        let seen = self.seen.entry((record.function.clone(), near.limit)).or_default();
        seen.count += 1;
        seen.stopped += u64::from(near.is_over);
        if near.is_over || generation <= seen.generation {
            return None;
        }
        seen.generation = generation;
        Some(format!("`{}` used {near}", record.function))
    }

    /// A line for each function and limit.
    pub(super) fn summary(&self) -> Vec<String> {
        let told = |((function, limit), seen): (&(Arc<str>, Limit), &Seen)| {
            let Seen { count, stopped, .. } = seen;
            let stopped =
                if *stopped > 0 { format!(", {stopped} of them stopped there") } else { String::new() };
            format!(
                "{count} invocations of `{function}` used {NEAR_PERCENT} % or more of its {}{stopped}",
                limit.as_str()
            )
        };
        self.seen.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use faas_core::{
        invocation::{End, ErrorKind, FunctionSpec, InvocationError},
        limits,
    };

    use super::*;
    use crate::console::tests::invoked;

    fn see(nearness: &mut Nearness, record: &Record) -> Vec<String> {
        limits::near(record).filter_map(|near| nearness.see(record, &near)).collect()
    }

    #[test]
    fn each_limit_is_told_once_a_generation_and_counted() {
        let mut nearness = Nearness::default();
        let mut record = invoked().record;
        assert_eq!(see(&mut nearness, &record), [""; 0]);
        record.usage.memory_peak_bytes = 120 << 20;
        record.usage.handler_wall = std::time::Duration::from_millis(2_700);
        insta::assert_snapshot!(see(&mut nearness, &record).join("\n"), @"
        `hello` used 2.700 s of its timeout of 3.000 s (90 %)
        `hello` used 120.0 MiB of its memory of 128.0 MiB (93 %)
        ");
        assert_eq!(see(&mut nearness, &record), [""; 0], "and once");
        record.end = End::Failed(InvocationError::new(ErrorKind::OutOfMemory, "no"));
        assert_eq!(see(&mut nearness, &record), [""; 0]);
        record.spec = Some(Arc::new(FunctionSpec { generation: 4, ..FunctionSpec::new("hello") }));
        record.usage.handler_wall = std::time::Duration::ZERO;
        record.end = invoked().record.end;
        insta::assert_snapshot!(see(&mut nearness, &record).join("\n"), @"`hello` used 120.0 MiB of its memory of 128.0 MiB (93 %)");
        insta::assert_snapshot!(nearness.summary().join("\n"), @"
        3 invocations of `hello` used 80 % or more of its timeout
        4 invocations of `hello` used 80 % or more of its memory, 1 of them stopped there
        ");
    }
}
