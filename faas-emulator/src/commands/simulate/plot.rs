//! Cold starts against idle memory, a point a policy: down and to the left is better.

use std::path::{Path, PathBuf};

use faas_core::sim::Report;
use plotters::prelude::*;

use crate::error::Error;

const SIZE: (u32, u32) = (800, 500);
const FONT: &str = "sans-serif";

/// A file to draw into.
#[derive(Debug)]
pub(super) struct Target(PathBuf);

impl Target {
    /// Checks that the file's name is a picture's.
    pub(super) fn new(path: &Path) -> Result<Self, Error> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
            return Ok(Target(path.to_owned()));
        }
        Err(Error::bad_input(format!("{} is no name of a plot\nIt ends in .svg.", path.display())))
    }

    /// Draws.
    pub(super) fn draw(&self, report: &Report) -> Result<(), Error> {
        let mut text = String::new();
        chart(report, SVGBackend::with_string(&mut text, SIZE))
            .map_err(|why| Error::failed(format!("the plot cannot be drawn: {why}")))?;
        std::fs::write(&self.0, text)
            .map_err(|why| Error::failed(format!("{} cannot be written: {why}", self.0.display())))
    }
}

fn chart<B: DrawingBackend>(report: &Report, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let points: Vec<(f64, f64, &str)> = report
        .policies
        .iter()
        .map(|policy| (policy.idle_gb_s, policy.cold_share() * 100.0, policy.policy.as_str()))
        .collect();
    let beyond = |value: fn(&(f64, f64, &str)) -> f64| {
        let most = points.iter().map(value).fold(0.0, f64::max);
        if most > 0.0 { most * 1.15 } else { 1.0 }
    };
    let mut chart = ChartBuilder::on(&area)
        .caption("Cold starts against idle memory", (FONT, 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..beyond(|point| point.0), 0.0..beyond(|point| point.1))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("loaded and idle, GB-s")
        .y_desc("cold starts, % of invocations")
        .label_style((FONT, 14))
        .draw()?;
    chart.draw_series(points.iter().enumerate().map(|(n, (idle, cold, name))| {
        let colour = Palette99::pick(n).to_rgba();
        EmptyElement::at((*idle, *cold))
            + Circle::new((0, 0), 5, colour.filled())
            + Text::new((*name).to_owned(), (9, -6), (FONT, 14).into_font())
    }))?;
    area.present()
}
