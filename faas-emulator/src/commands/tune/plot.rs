//! Time against cost, a point a memory: down and to the left is better.

use std::path::{Path, PathBuf};

use plotters::prelude::*;
use rust_decimal::prelude::ToPrimitive as _;

use super::verdict::Tuned;
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
    pub(super) fn draw(&self, tuned: &Tuned) -> Result<(), Error> {
        let mut text = String::new();
        chart(tuned, SVGBackend::with_string(&mut text, SIZE))
            .map_err(|why| Error::failed(format!("the plot cannot be drawn: {why}")))?;
        std::fs::write(&self.0, text)
            .map_err(|why| Error::failed(format!("{} cannot be written: {why}", self.0.display())))
    }
}

fn chart<B: DrawingBackend>(tuned: &Tuned, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let points: Vec<(f64, f64, String)> = tuned
        .tries
        .iter()
        .filter_map(|one| {
            let figures = one.figures()?;
            let usd = figures.usd_per_million.to_f64()?;
            Some((usd, figures.duration.as_secs_f64() * 1e3, format!("{} MiB", one.memory_mib)))
        })
        .collect();
    let beyond = |value: fn(&(f64, f64, String)) -> f64| {
        let most = points.iter().map(value).fold(0.0, f64::max);
        if most > 0.0 { most * 1.15 } else { 1.0 }
    };
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{} as {}: time against cost", tuned.function, tuned.profile), (FONT, 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..beyond(|point| point.0), 0.0..beyond(|point| point.1))?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("dollars for a million requests")
        .y_desc("duration, ms (median)")
        .label_style((FONT, 14))
        .draw()?;
    let line: Vec<(f64, f64)> = points.iter().map(|(usd, ms, _)| (*usd, *ms)).collect();
    chart.draw_series([PathElement::new(line, BLACK.mix(0.3))])?;
    chart.draw_series(points.iter().enumerate().map(|(n, (usd, ms, name))| {
        let colour = Palette99::pick(n).to_rgba();
        EmptyElement::at((*usd, *ms))
            + Circle::new((0, 0), 5, colour.filled())
            + Text::new(name.clone(), (9, -6), (FONT, 14).into_font())
    }))?;
    area.present()
}
