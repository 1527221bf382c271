//! Cold starts against idle memory, a point a policy.

use clap::ValueEnum;
use faas_core::sim::{PolicyReport, Report};

use crate::commands::plot::Scatter;

/// Whose share of cold starts is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Share {
    /// All invocations', which the busiest apps decide
    #[default]
    All,
    /// What half of the apps do not exceed
    P50,
    /// What three quarters of the apps do not exceed
    P75,
}

impl Share {
    fn of(self, policy: &PolicyReport) -> f64 {
        match self {
            Share::All => policy.cold_share(),
            Share::P50 => policy.app_cold_share_p50,
            Share::P75 => policy.app_cold_share_p75,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Share::All => "cold starts, % of invocations",
            Share::P50 => "cold starts of the median app, %",
            Share::P75 => "cold starts of the third-quartile app, %",
        }
    }
}

pub(super) fn of(report: &Report, share: Share) -> Scatter {
    let points = report
        .policies
        .iter()
        .map(|policy| (policy.idle_gb_s, share.of(policy) * 100.0, policy.policy.clone()))
        .collect();
    Scatter {
        caption: "Cold starts against idle memory".into(),
        x: "loaded and idle, GB-s",
        y: share.label(),
        points,
        is_joined: false,
    }
}
