//! What was found, for people and for programs. Pure.

use std::time::Duration;

use faas_core::invocation::ErrorKind;
use serde_json::{Value, json};

use super::{
    super::estimate::columns,
    verdict::{Outcome, Try, Tuned},
};

pub(super) fn text(tuned: &Tuned) -> String {
    let requests = tuned.tries.iter().filter_map(Try::figures).map(|figures| figures.requests).max();
    let mut text = format!("{} as {}", tuned.function, tuned.profile);
    if let Some(requests) = requests {
        text += &format!(": medians of {requests} requests with each memory, starts not counted");
    }
    text.push('\n');
    if let Some(told) = tuned.events.told() {
        text += &format!("{told}\n");
    }
    text.push('\n');
    let head = ["memory", "CPU", "CPU time", "duration", "billed", "used", "a million", ""];
    let mut rows = vec![head.map(String::from)];
    rows.extend(tuned.tries.iter().map(|one| row(tuned, one)));
    text += &columns(&rows, &[0, 1, 2, 3, 4, 5, 6]);
    let failed = tuned.tries.iter().filter_map(|one| Some(format!("{}\n", reason(one)?)));
    let reasons: String = failed.collect();
    if !reasons.is_empty() {
        text += &format!("\n{reasons}");
    }
    text += "\nThe memory was enforced.";
    if tuned.is_shared {
        text += " What less than a whole CPU slows down was computed from the CPU time, and not waited for.";
    }
    text + "\n"
}

fn row(tuned: &Tuned, one: &Try) -> [String; 8] {
    let memory = format!("{} MiB", one.memory_mib);
    let cpu = one.milli_vcpus.map_or_else(String::new, |milli| format!("{:.1} %", f64::from(milli) / 10.0));
    let Some(figures) = one.figures() else {
        let [a, b, c, d, e] = [const { String::new() }; 5];
        return [memory, cpu, a, b, c, d, e, "not enough".to_owned()];
    };
    let marks = [(tuned.cheapest, "the cheapest"), (tuned.fastest_per_dollar, "the fastest for its price")];
    let marks: Vec<&str> =
        marks.iter().filter(|(of, _)| *of == Some(one.memory_mib)).map(|(_, mark)| *mark).collect();
    [
        memory,
        cpu,
        ms(figures.cpu),
        ms(figures.duration),
        ms(figures.billed),
        mib(figures.memory_peak_bytes),
        format!("${:.3}", figures.usd_per_million),
        if marks.is_empty() { "enough".to_owned() } else { marks.join(", ") },
    ]
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Why a memory is not enough.
fn reason(one: &Try) -> Option<String> {
    let Outcome::Failed { kind, why, memory_peak_bytes, after } = &one.outcome else { return None };
    let memory_mib = one.memory_mib;
    Some(match kind {
        Some(ErrorKind::OutOfMemory) => format!(
            "would be killed at {memory_mib} MiB because it had {} and wanted more: {why}",
            mib(*memory_peak_bytes)
        ),
        Some(ErrorKind::TimedOut | ErrorKind::CpuExceeded) => {
            format!("would be killed at {memory_mib} MiB because its time was up after {}: {why}", ms(*after))
        }
        Some(kind) => format!("fails at {memory_mib} MiB ({}): {why}", kind.as_str()),
        None => format!("fails at {memory_mib} MiB: {why}"),
    })
}

pub(super) fn json(tuned: &Tuned) -> Value {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let tries = tuned.tries.iter().map(|one| {
        let mut value = json!({
            "memory_mib": one.memory_mib,
            "milli_vcpus": one.milli_vcpus,
            "is_enough": one.figures().is_some(),
        });
        match &one.outcome {
            Outcome::Enough(figures) => {
                value["requests"] = figures.requests.into();
                value["cpu_ms_p50"] = ms(figures.cpu).into();
                value["duration_ms_p50"] = ms(figures.duration).into();
                value["billed_ms_p50"] = ms(figures.billed).into();
                value["memory_peak_bytes"] = figures.memory_peak_bytes.into();
                value["usd_per_million"] = figures.usd_per_million.normalize().to_string().into();
            }
            Outcome::Failed { kind, memory_peak_bytes, .. } => {
                value["error"] = kind.map(ErrorKind::as_str).into();
                value["memory_peak_bytes"] = (*memory_peak_bytes).into();
                value["reason"] = reason(one).into();
            }
        }
        value
    });
    json!({
        "function": tuned.function,
        "profile": tuned.profile,
        "events": tuned.events.json(),
        "cpu_share": if tuned.is_shared { "computed" } else { "none" },
        "memories": tries.collect::<Vec<_>>(),
        "cheapest_mib": tuned.cheapest,
        "fastest_per_dollar_mib": tuned.fastest_per_dollar,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::verdict::tests::tuned, *};

    #[test]
    fn people_get_a_table_with_the_reasons_under_it() {
        insta::assert_snapshot!(text(&tuned()), @"
        f as aws-lambda: medians of 3 requests with each memory, starts not counted

          memory      CPU  CPU time  duration    billed       used  a million
         128 MiB    7.2 %                                                      not enough
         256 MiB   14.4 %  10.00 ms  61.00 ms  61.00 ms  100.0 MiB     $0.456  enough
         512 MiB   28.9 %  10.00 ms  30.00 ms  30.00 ms  100.0 MiB     $0.427  enough
        1024 MiB   57.8 %  10.00 ms  12.00 ms  12.00 ms  100.0 MiB     $0.400  the cheapest, the fastest for its price
        1769 MiB  100.0 %  10.00 ms  10.00 ms  10.00 ms  100.0 MiB     $0.487  enough
        3538 MiB  200.0 %  10.00 ms  10.00 ms  10.00 ms  100.0 MiB     $0.775  enough

        would be killed at 128 MiB because it had 100.0 MiB and wanted more: the guest could not get the memory that it wanted

        The memory was enforced. What less than a whole CPU slows down was computed from the CPU time, and not waited for.
        ");
    }

    #[test]
    fn programs_get_one_object() {
        insta::assert_snapshot!(format!("{:#}", json(&tuned())));
    }
}
