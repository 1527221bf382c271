//! What no type can say of a profile: entries that contradict each other, or need one that is not there. Tells the first.

use std::fmt::Display;

use super::{
    Profile,
    events::Events,
    prices::{Billing, Counts, Meter},
    schema::{ColdStart, Cpu, Limits, Part, Range, Scaling, Sourced, Step},
};

/// A contradiction, and the way to it through the file: keys, and places in lists.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) what: String,
}

type Checked = Result<(), Wrong>;

fn wrong<T>(path: impl Into<String>, what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { path: path.into(), what: what.into() })
}

pub(super) fn check(profile: &Profile) -> Checked {
    limits(&profile.limits)?;
    scaling(&profile.scaling)?;
    cpu(&profile.cpu)?;
    events(&profile.events)?;
    for (i, start) in profile.cold_starts.iter().enumerate() {
        cold_start(i, start)?;
        parts(i, start, &profile.cold_starts[..i])?;
    }
    for (i, meter) in profile.billing.meters.iter().enumerate() {
        prices(i, meter)?;
        if profile.billing.meters[..i].iter().any(|before| before.name == meter.name) {
            return wrong(
                format!("billing.meters.{i}.name"),
                format!("there are two meters `{}`: give each a name of its own", meter.name),
            );
        }
        needs(i, meter, profile)?;
    }
    rules(&profile.billing)
}

/// What nothing could run without any of.
fn some_at_least(all: &[(&str, Option<u64>)]) -> Checked {
    match all.iter().find(|(_, most)| *most == Some(0)) {
        Some((path, _)) => wrong(*path, "with none nothing could ever run: write how many, or leave it out"),
        None => Ok(()),
    }
}

fn limits(limits: &Limits) -> Checked {
    let default = |of: &Option<Range<u64>>| of.as_ref().map(|range| range.default.value);
    some_at_least(&[
        ("limits.requests_per_day", limits.requests_per_day.as_ref().map(|most| most.value)),
        ("limits.requests_per_minute", limits.requests_per_minute.as_ref().map(|most| most.value)),
        ("limits.memory_mib.default", Some(limits.memory_mib.default.value.into())),
        ("limits.timeout_ms.default", default(&limits.timeout_ms)),
        ("limits.cpu_ms.default", default(&limits.cpu_ms)),
        ("limits.init_ms.default", default(&limits.init_ms)),
    ])?;
    range("limits.memory_mib", Some(&limits.memory_mib))?;
    range("limits.scratch_mib", limits.scratch_mib.as_ref())?;
    let ranges = [
        ("timeout_ms", &limits.timeout_ms),
        ("cpu_ms", &limits.cpu_ms),
        ("init_ms", &limits.init_ms),
        ("request_bytes", &limits.request_bytes),
        ("reply_bytes", &limits.reply_bytes),
        ("stream_reply_bytes", &limits.stream_reply_bytes),
        ("event_bytes", &limits.event_bytes),
    ];
    ranges.into_iter().try_for_each(|(name, of)| range(&format!("limits.{name}"), of.as_ref()))
}

fn range<T: Copy + PartialOrd + Display>(path: &str, of: Option<&Range<T>>) -> Checked {
    let Some(of) = of else { return Ok(()) };
    let default = of.default.value;
    if let (Some(min), Some(max)) = (&of.min, &of.max)
        && min.value > max.value
    {
        return wrong(
            format!("{path}.min"),
            format!("min is {}, which is more than max, {}", min.value, max.value),
        );
    }
    match (&of.min, &of.max) {
        (Some(min), _) if default < min.value => wrong(
            format!("{path}.default"),
            format!("default is {default}, which is less than min, {}", min.value),
        ),
        (_, Some(max)) if default > max.value => wrong(
            format!("{path}.default"),
            format!("default is {default}, which is more than max, {}", max.value),
        ),
        _ => Ok(()),
    }
}

fn scaling(scaling: &Scaling) -> Checked {
    let of = |most: &Option<Sourced<u32>>| most.as_ref().map(|most| most.value.into());
    some_at_least(&[
        ("scaling.instance_concurrency", of(&scaling.instance_concurrency)),
        ("scaling.max_instances", of(&scaling.max_instances)),
        ("scaling.max_running", of(&scaling.max_running)),
        ("scaling.max_function_instances", of(&scaling.max_function_instances)),
    ])?;
    let no_more = |of: &str, than: &str, less: Option<u64>, more: Option<u64>| match (less, more) {
        (Some(less), Some(more)) if less > more => {
            wrong(format!("scaling.{of}"), format!("{of} is {less}, which is more than {than}, {more}"))
        }
        _ => Ok(()),
    };
    let of = |n: &Option<Sourced<u32>>| n.as_ref().map(|n| u64::from(n.value));
    let ms = |n: &Option<Sourced<u64>>| n.as_ref().map(|n| n.value);
    no_more(
        "default_concurrency",
        "instance_concurrency",
        of(&scaling.default_concurrency),
        of(&scaling.instance_concurrency),
    )?;
    no_more(
        "keep_alive_ms",
        "keep_alive_max_ms",
        ms(&scaling.keep_alive_ms),
        ms(&scaling.keep_alive_max_ms),
    )?;
    if let Some(share) = &scaling.target_utilization_percent
        && !(1..=100).contains(&share.value)
    {
        return wrong(
            "scaling.target_utilization_percent",
            format!("{} is no share: write 1 to 100", share.value),
        );
    }
    match (&scaling.burst_instances, &scaling.burst_window_ms) {
        (Some(_), None) => {
            wrong("scaling.burst_instances", "burst_instances needs burst_window_ms beside it")
        }
        (None, Some(_)) => {
            wrong("scaling.burst_window_ms", "burst_window_ms needs burst_instances beside it")
        }
        _ => Ok(()),
    }
}

fn cpu(cpu: &Cpu) -> Checked {
    let ascend = |name: &str, steps: &Option<Sourced<Vec<Step>>>| {
        let steps = steps.as_ref().map_or(&[][..], |steps| &steps.value);
        match steps.windows(2).find(|pair| pair[0].memory_mib >= pair[1].memory_mib) {
            Some(pair) => wrong(
                format!("cpu.{name}"),
                format!(
                    "{} MiB stands before {} MiB: sort by memory",
                    pair[0].memory_mib, pair[1].memory_mib
                ),
            ),
            None => Ok(()),
        }
    };
    if let Some(per) = &cpu.mib_per_vcpu
        && per.value == 0
    {
        return wrong("cpu.mib_per_vcpu", "no memory cannot have a CPU: write the MiB that have one");
    }
    if let Some(period) = &cpu.period_ms
        && period.value == 0
    {
        return wrong("cpu.period_ms", "a period has a length: write 100, Linux's own, or leave it out");
    }
    ascend("milli_vcpus", &cpu.milli_vcpus)?;
    ascend("mhz", &cpu.mhz)
}

/// Distances without an end to them, or of nothing where nothing else ends them.
fn events(events: &Events) -> Checked {
    range("events.max_age_ms", events.max_age_ms.as_ref())?;
    for (name, first, max) in [
        ("retry", &events.retry_ms, &events.retry_max_ms),
        ("unserved", &events.unserved_ms, &events.unserved_max_ms),
    ] {
        if let (Some(first), Some(max)) = (first, max)
            && first.value > max.value
        {
            return wrong(
                format!("events.{name}_ms"),
                format!("{name}_ms is {}, which is more than {name}_max_ms, {}", first.value, max.value),
            );
        }
    }
    let is_zero = |of: &Option<Sourced<u64>>| of.as_ref().is_some_and(|ms| ms.value == 0);
    if is_zero(&events.unserved_ms) {
        return wrong(
            "events.unserved_ms",
            "throttled events would come back at once, for ever: wait a little",
        );
    }
    if is_zero(&events.retry_ms) && events.max_retries.as_ref().is_some_and(|most| most.value < 0) {
        return wrong("events.retry_ms", "retries without number need a distance: wait a little");
    }
    Ok(())
}

fn cold_start(i: usize, start: &ColdStart) -> Checked {
    if let Some(min) = &start.min_us
        && min.value > start.p50_us.value
    {
        return wrong(
            format!("cold_starts.{i}.min_us"),
            format!("min_us is {}, which is more than p50_us, {}", min.value, start.p50_us.value),
        );
    }
    if start.p50_us.value == 0 {
        return wrong(format!("cold_starts.{i}.p50_us"), "no start takes no time: write microseconds");
    }
    let mut below = ("p50_us", start.p50_us.value);
    for (name, of) in [("p90_us", &start.p90_us), ("p99_us", &start.p99_us), ("max_us", &start.max_us)] {
        let Some(of) = of else { continue };
        if of.value < below.1 {
            return wrong(
                format!("cold_starts.{i}.{name}"),
                format!("{name} is {}, which is less than {}, {}", of.value, below.0, below.1),
            );
        }
        below = (name, of.value);
    }
    Ok(())
}

/// What one entry says beside those before it.
fn parts(i: usize, start: &ColdStart, before: &[ColdStart]) -> Checked {
    if before.iter().any(|other| other.part == start.part && other.memory_mib == start.memory_mib) {
        return wrong(
            format!("cold_starts.{i}.part"),
            "there is one before of the same part and memory_mib: keep one of them",
        );
    }
    let other = |part| before.iter().find(|other| other.part == part);
    match start.part {
        Part::Whole | Part::Platform if other(Part::Whole).or(other(Part::Platform)).is_some() => wrong(
            format!("cold_starts.{i}.part"),
            "how long starts take in whole and without init follow from each other: keep one of them",
        ),
        part => {
            let (init, whole) = match part {
                Part::Init => (Some(start), other(Part::Whole)),
                Part::Whole => (other(Part::Init), Some(start)),
                Part::Platform => (None, None),
            };
            match (init, whole) {
                (Some(init), Some(whole)) if init.p50_us.value > whole.p50_us.value => wrong(
                    format!("cold_starts.{i}.p50_us"),
                    format!(
                        "init takes {}, which is more than the {} that the whole start takes",
                        init.p50_us.value, whole.p50_us.value
                    ),
                ),
                _ => Ok(()),
            }
        }
    }
}

fn prices(i: usize, meter: &Meter) -> Checked {
    let path = format!("billing.meters.{i}");
    let name = &meter.name;
    if meter.per == 0 {
        return wrong(format!("{path}.per"), "a price is for one or more: write `per = 1`, or leave it out");
    }
    if meter.unit.is_none() && meter.counts.unit().is_none() {
        return wrong(path, format!("meter `{name}` does not say what it counts: add `unit = \"…\"`"));
    }
    match (&meter.usd, meter.tiers.as_slice()) {
        (Some(_), []) => return Ok(()),
        (Some(_), _) => {
            return wrong(
                format!("{path}.usd"),
                format!("meter `{name}` has a price and tiers: keep one of them"),
            );
        }
        (None, []) => return wrong(path, format!("meter `{name}` has no price: add usd, or tiers")),
        (None, _) => {}
    }
    let mut below = 0;
    for (t, tier) in meter.tiers.iter().enumerate() {
        let is_last = t + 1 == meter.tiers.len();
        let path = format!("{path}.tiers.{t}");
        match &tier.up_to {
            None if !is_last => {
                return wrong(path, "a tier without up_to has no end: only the last may have none");
            }
            Some(up_to) if is_last => {
                return wrong(
                    format!("{path}.up_to"),
                    format!("nothing says what is paid beyond {}: the last tier has no up_to", up_to.value),
                );
            }
            Some(up_to) if up_to.value <= below => {
                return wrong(
                    format!("{path}.up_to"),
                    format!("tiers ascend: up_to is {}, and must be more than {below}", up_to.value),
                );
            }
            Some(up_to) => below = up_to.value,
            None => {}
        }
    }
    Ok(())
}

/// A meter and the rule without which it could count nothing.
fn needs(i: usize, meter: &Meter, profile: &Profile) -> Checked {
    let Profile { billing, cpu, .. } = profile;
    let (there, needed) = match meter.counts {
        Counts::GbSeconds | Counts::GbHours => (billing.time.is_some(), "[billing.time]"),
        Counts::VcpuSeconds => (
            billing.time.is_some() && (cpu.milli_vcpus.is_some() || cpu.mib_per_vcpu.is_some()),
            "[billing.time], and milli_vcpus or mib_per_vcpu in [cpu]",
        ),
        Counts::GhzSeconds => {
            (billing.time.is_some() && cpu.mhz.is_some(), "[billing.time], and mhz in [cpu]")
        }
        Counts::ScratchGbSeconds => {
            (billing.time.is_some() && billing.scratch.is_some(), "[billing.time] and [billing.scratch]")
        }
        Counts::StreamGb => (billing.stream.is_some(), "[billing.stream]"),
        Counts::ProvisionedGbSeconds | Counts::ProvisionedUseGbSeconds => {
            (billing.provisioned.is_some(), "[billing.provisioned]")
        }
        Counts::ProvisionedVcpuSeconds => (
            billing.provisioned.is_some() && (cpu.milli_vcpus.is_some() || cpu.mib_per_vcpu.is_some()),
            "[billing.provisioned], and milli_vcpus or mib_per_vcpu in [cpu]",
        ),
        Counts::SnapshotGbSeconds | Counts::SnapshotRestoreGb => {
            (billing.snapshots.is_some(), "[billing.snapshots]")
        }
        Counts::ServerHours => (billing.servers.is_some(), "[billing.servers]"),
        Counts::QueueOperations => (billing.queue.is_some(), "[billing.queue]"),
        _ => (true, ""),
    };
    if there {
        return Ok(());
    }
    wrong(format!("billing.meters.{i}.counts"), format!("meter `{}` needs {needed}", meter.name))
}

/// Rules that no meter follows, and steps of nothing.
fn rules(billing: &Billing) -> Checked {
    let counted = |counts: &[Counts]| billing.meters.iter().any(|meter| counts.contains(&meter.counts));
    let followed: [(&str, bool, &[Counts]); 6] = [
        ("scratch", billing.scratch.is_some(), &[Counts::ScratchGbSeconds]),
        ("stream", billing.stream.is_some(), &[Counts::StreamGb]),
        (
            "provisioned",
            billing.provisioned.is_some(),
            &[Counts::ProvisionedGbSeconds, Counts::ProvisionedVcpuSeconds],
        ),
        ("snapshots", billing.snapshots.is_some(), &[Counts::SnapshotGbSeconds, Counts::SnapshotRestoreGb]),
        ("queue", billing.queue.is_some(), &[Counts::QueueOperations]),
        ("servers", billing.servers.is_some(), &[Counts::ServerHours]),
    ];
    for (name, is_there, counts) in followed {
        if is_there && !counted(counts) {
            return wrong(
                format!("billing.{name}"),
                format!("no meter follows this rule: add one that counts what [billing.{name}] is about"),
            );
        }
    }
    let time = billing.time.as_ref();
    let memory = billing.memory.as_ref();
    let provisioned = billing.provisioned.as_ref();
    for (path, step) in [
        ("billing.time.round_up_ms", time.and_then(|t| t.round_up_ms.as_ref())),
        ("billing.memory.round_up_mib", memory.and_then(|m| m.round_up_mib.as_ref())),
        ("billing.provisioned.round_up_ms", provisioned.and_then(|p| p.round_up_ms.as_ref())),
    ] {
        if step.is_some_and(|step| step.value == 0) {
            return wrong(path, "nothing can be rounded up to steps of 0: leave it out");
        }
    }
    if let Some(idle_only) = provisioned.and_then(|p| p.idle_only.as_ref())
        && idle_only.value
        && counted(&[Counts::ProvisionedUseGbSeconds])
    {
        return wrong(
            "billing.provisioned.idle_only",
            "what serves is billed as any other, and there is a meter that counts it apart: keep one of them",
        );
    }
    if billing.events.as_ref().is_some_and(|e| e.further_bytes.value == 0) {
        return wrong("billing.events.further_bytes", "a step of 0 bytes would be without end");
    }
    if billing.queue.as_ref().is_some_and(|q| q.chunk_bytes.value == 0) {
        return wrong("billing.queue.chunk_bytes", "a chunk of 0 bytes would be without end");
    }
    if billing.servers.as_ref().is_some_and(|s| s.vcpus.value == 0 || s.memory_mib.value == 0) {
        return wrong("billing.servers", "a server has a CPU and memory");
    }
    if let Some(sizes) = memory.and_then(|m| m.sizes_mib.as_ref())
        && !sizes.value.is_sorted_by(|a, b| a < b)
    {
        return wrong("billing.memory.sizes_mib", "sizes ascend");
    }
    Ok(())
}
