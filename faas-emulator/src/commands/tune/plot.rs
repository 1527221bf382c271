//! Time against cost, a point a memory.

use rust_decimal::prelude::ToPrimitive as _;

use super::verdict::Tuned;
use crate::commands::plot::Scatter;

pub(super) fn of(tuned: &Tuned) -> Scatter {
    let points = tuned
        .tries
        .iter()
        .filter_map(|one| {
            let figures = one.figures()?;
            let usd = figures.usd_per_million.to_f64()?;
            Some((usd, figures.duration.as_secs_f64() * 1e3, format!("{} MiB", one.memory_mib)))
        })
        .collect();
    Scatter {
        caption: format!("{} as {}: time against cost", tuned.function, tuned.profile),
        x: "dollars for a million requests",
        y: "duration, ms (median)",
        points,
        is_joined: true,
    }
}
