//! What a replay found, and how it is told: a table for people, CSV and JSON for machines.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{
    measure::Counted,
    replay::Options,
    shard::{Outcome, share_of_apps},
    trace::Trace,
};
use crate::{
    billing::Quantities,
    policy::PolicyKind,
    profile::{Counts, Profile},
};

/// What one policy made of the trace.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyReport {
    /// The policy, as it was named.
    pub policy: String,
    /// Invocations that arrived.
    pub invocations: u64,
    /// Those that found no instance ready, and waited for one to be started.
    pub cold_starts: u64,
    /// Those of them that ran in another instance all the same, which became free before theirs was ready. The live scheduler
    /// calls these warm, and no start is billed to them.
    pub rescued: u64,
    /// Those that were turned away.
    pub refused: u64,
    /// Instances that were started, whether or not somebody waited for them.
    pub instances_started: u64,
    /// Memory that was loaded and served nobody, in GB-seconds; a GB is 1024 MiB.
    pub idle_gb_s: f64,
    /// The share of cold starts that half of the apps do not exceed, 0 to 1; each app counts once.
    pub app_cold_share_p50: f64,
    /// The share that three quarters do not exceed.
    pub app_cold_share_p75: f64,
    /// The share that 99 of 100 do not exceed.
    pub app_cold_share_p99: f64,
    /// How long half of all invocations waited at most, in milliseconds, to within 1.6 %.
    pub delay_ms_p50: f64,
    /// How long 99 of 100 waited at most.
    pub delay_ms_p99: f64,
    /// What the provider would bill for requests and time, before allowances and plans; exact.
    pub cost_usd: Decimal,
}

impl PolicyReport {
    pub(super) fn of<'a>(
        policy: PolicyKind,
        profile: &Profile,
        outcomes: impl Iterator<Item = Outcome<'a>>,
    ) -> Self {
        let (mut counted, mut billed) = (Counted::default(), Quantities::default());
        let mut apps = Vec::new();
        for outcome in outcomes {
            counted.merge(outcome.counted);
            billed += outcome.billed;
            apps.extend(outcome.apps);
        }
        let invocations = apps.iter().map(|(invocations, _)| *invocations).sum::<u64>();
        let [p50, p75, p99] = share_of_apps(&apps, [50, 75, 99]);
        let waited = counted.delays.count();
        counted.delays.add_zeros(invocations - counted.refused - waited);
        let ms = |percent| counted.delays.percentile_ns(percent) as f64 / 1e6;
        PolicyReport {
            policy: policy.to_string(),
            invocations,
            cold_starts: counted.cold_starts,
            rescued: counted.rescued,
            refused: counted.refused,
            instances_started: counted.instances_started,
            idle_gb_s: counted.idle_mib_ns as f64 / 1024.0 / 1e9,
            app_cold_share_p50: p50,
            app_cold_share_p75: p75,
            app_cold_share_p99: p99,
            delay_ms_p50: ms(50),
            delay_ms_p99: ms(99),
            cost_usd: profile.billing.amount_usd(&billed),
        }
    }

    /// The share of invocations that started cold, 0 to 1.
    pub fn cold_share(&self) -> f64 {
        if self.invocations == 0 { 0.0 } else { self.cold_starts as f64 / self.invocations as f64 }
    }
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Each policy, in the order in which they were asked for.
    pub policies: Vec<PolicyReport>,
    /// What the trace lacked, and what was done about it.
    pub notes: Vec<String>,
    choices: Vec<(&'static str, Value)>,
}

impl Report {
    pub(super) fn new(trace: &Trace, options: &Options, end: u64, policies: Vec<PolicyReport>) -> Self {
        let spread = if trace.is_counted() { options.spread.as_str() } else { "as recorded" };
        let mut choices = vec![
            ("trace", trace.format().into()),
            ("apps", trace.catalog.apps.len().into()),
            ("functions", trace.catalog.functions.len().into()),
            ("seconds", (end as f64 / 1e9).into()),
            ("arrivals", spread.into()),
            ("seed", options.seed.into()),
            ("cold_start_ms", options.cold_start.to_string().into()),
            ("billed_init_ms", (options.billed_init.as_secs_f64() * 1e3).into()),
            ("instance_concurrency", options.instance_concurrency.into()),
            ("memory_mib", options.memory_mib.map_or_else(|| "unlimited".into(), Value::from)),
            ("profile", options.profile.name.clone().into()),
        ];
        let mut notes: Vec<String> = trace.notes.lines().collect();
        if options.min_instances > 0 {
            choices.push(("min_instances", options.min_instances.into()));
            if options.profile.billing.provisioned.is_none() {
                let name = &options.profile.name;
                notes.push(format!(
                    "no price of `{name}` for instances that are kept ready is known: they cost nothing here"
                ));
            }
        }
        if options
            .profile
            .billing
            .meters
            .iter()
            .any(|meter| matches!(meter.counts, Counts::CpuMs | Counts::CpuHours))
        {
            notes.push(
                "traces have no CPU time: whole durations are billed as such, the most it can be".into(),
            );
        }
        let unlimited: Vec<String> = options
            .policies
            .iter()
            .filter(|policy| {
                matches!(policy, PolicyKind::None | PolicyKind::GreedyDual | PolicyKind::GreedyDualSize)
            })
            .map(PolicyKind::to_string)
            .collect();
        if options.memory_mib.is_none() && !unlimited.is_empty() {
            notes.push(format!(
                "without a limit on the host's memory nothing is ever evicted: {}",
                unlimited.join(", ")
            ));
        }
        Report { policies, notes, choices }
    }

    /// For people: what was chosen, a line a policy, and what is to be known about it.
    pub fn to_table(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.choices {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let separator = if text.is_empty() { "" } else { " · " };
            text += &format!("{separator}{} {value}", name.replace('_', " "));
        }
        text += "\n\n";
        let head = [
            "policy",
            "invocations",
            "cold starts",
            "cold %",
            "app p50 %",
            "app p75 %",
            "idle GB-s",
            "delay p50 ms",
            "p99 ms",
            "refused",
            "dollars",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for policy in &self.policies {
            let percent = |share: f64| format!("{:.3}", share * 100.0);
            rows.push([
                policy.policy.clone(),
                policy.invocations.to_string(),
                policy.cold_starts.to_string(),
                percent(policy.cold_share()),
                percent(policy.app_cold_share_p50),
                percent(policy.app_cold_share_p75),
                format!("{:.1}", policy.idle_gb_s),
                format!("{:.1}", policy.delay_ms_p50),
                format!("{:.1}", policy.delay_ms_p99),
                policy.refused.to_string(),
                policy.cost_usd.round_dp(6).normalize().to_string(),
            ]);
        }
        text += &aligned(&rows);
        for note in &self.notes {
            text += &format!("\nnote: {note}");
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text
    }

    /// For spreadsheets: a header, a line a policy.
    pub fn to_csv(&self) -> String {
        let mut text = String::new();
        for (n, policy) in self.policies.iter().enumerate() {
            let fields = policy.fields();
            if n == 0 {
                text += &fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",");
                text.push('\n');
            }
            let values = fields
                .iter()
                .map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            text += &values.collect::<Vec<_>>().join(",");
            text.push('\n');
        }
        text
    }

    /// For programs: an object with `policies`, what was chosen, and `notes`.
    pub fn to_json(&self) -> Value {
        let policies: Vec<Value> = self
            .policies
            .iter()
            .map(|policy| {
                policy.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()
            })
            .collect();
        let choices: Value =
            self.choices.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        json!({ "policies": policies, "choices": choices, "notes": self.notes })
    }
}

impl PolicyReport {
    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("policy", self.policy.clone().into()),
            ("invocations", self.invocations.into()),
            ("cold_starts", self.cold_starts.into()),
            ("cold_share", self.cold_share().into()),
            ("rescued", self.rescued.into()),
            ("refused", self.refused.into()),
            ("instances_started", self.instances_started.into()),
            ("idle_gb_s", self.idle_gb_s.into()),
            ("app_cold_share_p50", self.app_cold_share_p50.into()),
            ("app_cold_share_p75", self.app_cold_share_p75.into()),
            ("app_cold_share_p99", self.app_cold_share_p99.into()),
            ("delay_ms_p50", self.delay_ms_p50.into()),
            ("delay_ms_p99", self.delay_ms_p99.into()),
            // a string: exact, as everywhere
            ("cost_usd", self.cost_usd.to_string().into()),
        ]
    }
}

/// Columns: names to the left, numbers to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(n, (cell, width))| {
            if n == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
