//! Cold starts against idle memory, a point a policy.

use faas_core::sim::Report;

use crate::commands::plot::Scatter;

pub(super) fn of(report: &Report) -> Scatter {
    let points = report
        .policies
        .iter()
        .map(|policy| (policy.idle_gb_s, policy.cold_share() * 100.0, policy.policy.clone()))
        .collect();
    Scatter {
        caption: "Cold starts against idle memory".into(),
        x: "loaded and idle, GB-s",
        y: "cold starts, % of invocations",
        points,
        is_joined: false,
    }
}
