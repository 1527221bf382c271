//! In what the emulator is as slow as a provider: what was chosen, and what that means under a profile, in words.
//!
//! Everything is off unless asked for. Waiting half a second after each save is no way to work, and what is slow by choice
//! should be what somebody has chosen.

use faas_core::{
    profile::{Part, Profile},
    sandbox::{mimic::ColdStarts, wasmer::Starts},
};

/// What is as slow as the provider's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mimicry {
    /// Cold starts, and how; ours alone when absent.
    pub cold_starts: Option<ColdStarts>,
    /// Handlers, by their memory's share of a CPU.
    pub cpu_share: bool,
    /// Whether each invocation gets a fresh instance.
    pub always_cold: bool,
}

/// How somebody chooses.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Add the provider's cold starts to ours: drawn from their distribution, the median, or the 99th percentile
    #[arg(long, value_enum, default_value = "off", value_name = "WHICH")]
    cold_starts: Which,
    /// What `--cold-starts real` draws from; printed, so that it can be had again
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Let handlers compute with their memory's share of a CPU, as the provider does; init has a whole one
    #[arg(long, value_enum, default_value = "off", value_name = "WHETHER")]
    cpu_share: Switch,
    /// Start a fresh instance for each invocation
    #[arg(long)]
    cold: bool,
}

/// Whose cold starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Ours alone
    Off,
    /// Drawn from the provider's distribution
    Real,
    /// The provider's median
    Typical,
    /// One that 99 of 100 are quicker than
    P99,
}

/// Whether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

impl Options {
    /// What was chosen; a seed that was not is drawn here.
    pub fn chosen(&self, rng: &mut fastrand::Rng) -> Mimicry {
        let cold_starts = match self.cold_starts {
            Which::Off => None,
            Which::Typical => Some(ColdStarts::Typical),
            Which::P99 => Some(ColdStarts::P99),
            // short enough to be typed
            Which::Real => Some(ColdStarts::Real { seed: self.seed.unwrap_or_else(|| rng.u64(..1_000_000)) }),
        };
        Mimicry { cold_starts, cpu_share: self.cpu_share == Switch::On, always_cold: self.cold }
    }
}

impl Mimicry {
    /// How our own sandbox starts instances: with the provider's starts, init runs each time, as it does there.
    pub fn sandbox_starts(&self) -> Starts {
        if self.cold_starts.is_some() { Starts::Plain } else { Starts::default() }
    }

    /// What that means under this profile: a line each.
    pub fn told(&self, profile: &Profile) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.cold_starts.map(|starts| told_starts(starts, profile)));
        if self.cpu_share {
            lines.push(told_share(profile));
        }
        if self.always_cold {
            lines.push("each invocation gets a fresh instance".to_owned());
        }
        lines
    }
}

fn told_starts(starts: ColdStarts, profile: &Profile) -> String {
    let name = &profile.name;
    if profile.cold_starts.is_empty() {
        return format!("nobody has published how long cold starts take on {name}: none are injected");
    }
    let quantile = if starts == ColdStarts::P99 { 0.99 } else { 0.5 };
    let typical = profile.cold_start(profile.limits.memory_mib.default.value, quantile);
    let has = |part| profile.cold_starts.iter().any(|start| start.part == part);
    let is_billed =
        profile.billing.time.as_ref().is_some_and(|time| time.init.as_ref().is_some_and(|i| i.value));
    let ms = |time: std::time::Duration| time.as_micros().div_ceil(1000);
    let parts = match (has(Part::Init), has(Part::Whole) || has(Part::Platform)) {
        (true, true) if is_billed => format!(", of which {} ms are init, and billed", ms(typical.init)),
        (true, true) => format!(", of which {} ms are init", ms(typical.init)),
        (true, false) if is_billed => {
            ", all of it init, and billed; what is before that nobody has published".to_owned()
        }
        (true, false) => ", all of it init; what is before that nobody has published".to_owned(),
        _ => ", none of it billed: how much is init nobody has published".to_owned(),
    };
    let whole = ms(typical.start());
    match starts {
        ColdStarts::Typical => format!("cold starts take the median of {name}, {whole} ms{parts}"),
        ColdStarts::P99 => format!("cold starts take the 99th percentile of {name}, {whole} ms{parts}"),
        ColdStarts::Real { seed } => {
            format!(
                "cold starts are drawn as on {name}, half of them take {whole} ms{parts}; again with --seed {seed}"
            )
        }
    }
}

fn told_share(profile: &Profile) -> String {
    let name = &profile.name;
    let default_mib = profile.limits.memory_mib.default.value;
    match profile.cpu_share(default_mib) {
        Some(share) => format!(
            "handlers have their memory's share of a CPU as on {name}, {:.1} % at {default_mib} MiB, in periods of {} ms",
            f64::from(share.milli_vcpus) / 10.0,
            share.period.as_millis()
        ),
        None if profile.cpu.milli_vcpus(default_mib) == 0 => {
            format!("nobody has published how much CPU a function has on {name}: handlers run at full speed")
        }
        None => format!("a function has a whole CPU on {name} from {default_mib} MiB on: less has its share"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, starts: ColdStarts) -> String {
        let mimicry = Mimicry { cold_starts: Some(starts), cpu_share: true, always_cold: false };
        mimicry.told(&Profile::named(name).expect("built in")).join("\n")
    }

    #[test]
    fn what_is_mimicked_is_told_with_what_is_not_known() {
        insta::assert_snapshot!(told("aws-lambda", ColdStarts::Typical), @"
        cold starts take the median of aws-lambda, 448 ms, of which 16 ms are init, and billed
        handlers have their memory's share of a CPU as on aws-lambda, 7.2 % at 128 MiB, in periods of 20 ms
        ");
        insta::assert_snapshot!(told("aws-lambda-arm", ColdStarts::P99), @"
        cold starts take the 99th percentile of aws-lambda-arm, 44 ms, all of it init, and billed; what is before that nobody has published
        handlers have their memory's share of a CPU as on aws-lambda-arm, 7.2 % at 128 MiB, in periods of 20 ms
        ");
        insta::assert_snapshot!(told("google-cloud-run-functions", ColdStarts::Real { seed: 7 }), @"
        cold starts are drawn as on google-cloud-run-functions, half of them take 870 ms, none of it billed: how much is init nobody has published; again with --seed 7
        handlers have their memory's share of a CPU as on google-cloud-run-functions, 16.7 % at 256 MiB, in periods of 100 ms
        ");
        insta::assert_snapshot!(told("azure-functions", ColdStarts::Typical), @"
        cold starts take the median of azure-functions, 1401 ms, none of it billed: how much is init nobody has published
        a function has a whole CPU on azure-functions from 1536 MiB on: less has its share
        ");
        insta::assert_snapshot!(told("cloudflare-workers", ColdStarts::Typical), @"
        cold starts take the median of cloudflare-workers, 5 ms, none of it billed: how much is init nobody has published
        nobody has published how much CPU a function has on cloudflare-workers: handlers run at full speed
        ");
        insta::assert_snapshot!(told("deno-deploy", ColdStarts::Typical), @"
        nobody has published how long cold starts take on deno-deploy: none are injected
        nobody has published how much CPU a function has on deno-deploy: handlers run at full speed
        ");
    }
}
