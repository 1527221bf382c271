//! Named points in a plane, into an SVG file: what `faas simulate` and `faas tune` draw. Each says what its points are; down
//! and to the left is better for both.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::error::Error;

const SIZE: (u32, u32) = (800, 500);
const FONT: &str = "sans-serif";

/// What is drawn.
#[derive(Debug)]
pub(super) struct Scatter {
    pub(super) caption: String,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    /// Where, and by what name.
    pub(super) points: Vec<(f64, f64, String)>,
    /// Whether a line goes from each to the next.
    pub(super) is_joined: bool,
}

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
    pub(super) fn draw(&self, scatter: &Scatter) -> Result<(), Error> {
        let mut text = String::new();
        chart(scatter, SVGBackend::with_string(&mut text, SIZE))
            .map_err(|why| Error::failed(format!("the plot cannot be drawn: {why}")))?;
        std::fs::write(&self.0, text)
            .map_err(|why| Error::failed(format!("{} cannot be written: {why}", self.0.display())))
    }
}

fn chart<B: DrawingBackend>(scatter: &Scatter, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let Scatter { caption, x, y, points, is_joined } = scatter;
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let beyond = |value: fn(&(f64, f64, String)) -> f64| {
        let most = points.iter().map(value).fold(0.0, f64::max);
        if most > 0.0 { most * 1.15 } else { 1.0 }
    };
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, (FONT, 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..beyond(|point| point.0), 0.0..beyond(|point| point.1))?;
    chart.configure_mesh().light_line_style(WHITE).x_desc(*x).y_desc(*y).label_style((FONT, 14)).draw()?;
    if *is_joined {
        let line: Vec<(f64, f64)> = points.iter().map(|(x, y, _)| (*x, *y)).collect();
        chart.draw_series([PathElement::new(line, BLACK.mix(0.3))])?;
    }
    let at: Vec<(i32, i32)> = points.iter().map(|(x, y, _)| chart.backend_coord(&(*x, *y))).collect();
    let names: Vec<&str> = points.iter().map(|(.., name)| name.as_str()).collect();
    let labels = labels(&at, &names);
    chart.draw_series(points.iter().zip(labels).enumerate().map(|(n, ((x, y, name), label))| {
        let colour = Palette99::pick(n).to_rgba();
        EmptyElement::at((*x, *y))
            + Circle::new((0, 0), 5, colour.filled())
            + Text::new(name.clone(), label, (FONT, 14).into_font())
    }))?;
    area.present()
}

/// Where the names of points at these pixels stand, from each point: to the right, as high as it takes for no other name and no
/// point to be in the way.
fn labels(points: &[(i32, i32)], names: &[&str]) -> Vec<(i32, i32)> {
    const PLACES: [(i32, i32); 6] = [(9, -6), (9, -19), (9, -32), (9, -45), (9, -58), (9, 7)];
    const HEIGHT: i32 = 13;
    const LETTER: i32 = 7;
    // the space that each takes: left, right, top, bottom
    let mut taken: Vec<[i32; 4]> = points.iter().map(|(x, y)| [x - 5, x + 5, y - 5, y + 5]).collect();
    let free = |taken: &[[i32; 4]], [left, right, top, bottom]: [i32; 4]| {
        taken.iter().all(|t| right <= t[0] || t[1] <= left || bottom <= t[2] || t[3] <= top)
    };
    let place = |((x, y), name): (&(i32, i32), &&str)| {
        let width = LETTER * i32::try_from(name.chars().count()).unwrap_or_default();
        let space = |(dx, dy): (i32, i32)| [x + dx, x + dx + width, y + dy, y + dy + HEIGHT];
        let place = PLACES.into_iter().find(|place| free(&taken, space(*place))).unwrap_or(PLACES[0]);
        taken.push(space(place));
        place
    };
    points.iter().zip(names).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::labels;

    #[test]
    fn names_keep_out_of_each_others_way() {
        let points = [(100, 100), (105, 101), (300, 100), (310, 100)];
        assert_eq!(labels(&points[..1], &["one"]), [(9, -6)], "to the right, if there is room");
        assert_eq!(labels(&points[2..], &["left", "right"])[0], (9, -19), "not over the next point");
        assert_eq!(labels(&points[..2], &["one", "other"]), [(9, -19), (9, -6)], "nor over its name");
    }
}
