//! Draws what `cold_start` has measured: `book/src/cold-starts.svg`, a bar for each way to start an instance.
//!
//! `cargo bench --manifest-path faas-core/benches/peers/Cargo.toml --bench plot`, after the bench itself. Reads the medians
//! that criterion has left, and measures nothing.

use std::{error::Error, path::Path};

use plotters::{coord::combinators::IntoLogRange as _, prelude::*};

const WAYS: [&str; 6] = [
    "wasmtime on demand",
    "wasmtime pooling",
    "wasmtime best",
    "faas plain",
    "faas snapshot",
    "faas recycled",
];
const GROUPS: [&str; 4] = ["10 ms of init", "eight threads at once", "hello in Rust", "smallest guest"];
const OURS: RGBColor = RGBColor(196, 78, 30);
const THEIRS: RGBColor = RGBColor(101, 79, 240);
const SIZE: (u32, u32) = (920, 620);

/// One bar.
struct Bar {
    way: &'static str,
    median_us: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::current_exe()?;
    let target = target.ancestors().nth(3).ok_or("a bench lies in target/release/deps")?;
    let measured: Vec<_> = GROUPS.iter().map(|group| (*group, bars(&target.join("criterion"), group))).collect();
    if measured.iter().any(|(_, bars)| bars.is_empty()) {
        return Err("nothing is measured yet: run `cargo bench` with `--bench cold_start` first".into());
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../book/src/cold-starts.svg");
    draw(&page, &measured)?;
    for (group, bars) in &measured {
        for Bar { way, median_us } in bars {
            eprintln!("{group:>22}  {way:<20} {median_us:>12.2} µs");
        }
    }
    Ok(())
}

/// What criterion has measured of a group, in the order of [`WAYS`].
fn bars(criterion: &Path, group: &str) -> Vec<Bar> {
    let median_us = |way: &str| {
        let file = criterion.join(group).join(way).join("new/estimates.json");
        let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        Some(estimates["median"]["point_estimate"].as_f64()? / 1000.0)
    };
    WAYS.into_iter().filter_map(|way| Some(Bar { way, median_us: median_us(way)? })).collect()
}

fn draw(page: &Path, measured: &[(&str, Vec<Bar>)]) -> Result<(), Box<dyn Error>> {
    let rows = measured.iter().map(|(_, bars)| bars.len() + 1).sum::<usize>();
    let root = SVGBackend::new(page, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = "Start, first call and end of an instance (microseconds, logarithmic; shorter is better)";
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .margin_right(70)
        .x_label_area_size(30)
        .y_label_area_size(165)
        .build_cartesian_2d((1.0..30_000.0).log_scale(), 0.0..rows as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .x_label_formatter(&|us| format!("{us}"))
        .draw()?;
    let (left, text) = (chart.plotting_area().get_pixel_range().0.start, ("sans-serif", 13).into_font());
    let mut row = 0.2;
    for (group, bars) in measured {
        for bar in bars.iter().rev() {
            let color = if bar.way.starts_with("faas") { OURS } else { THEIRS };
            chart.draw_series([Rectangle::new([(1.0, row), (bar.median_us, row + 0.8)], color.filled())])?;
            let (_, y) = chart.backend_coord(&(1.0, row + 0.75));
            let (x, _) = chart.backend_coord(&(bar.median_us, row));
            let value = if bar.median_us < 100.0 {
                format!("{:.1}", bar.median_us)
            } else {
                format!("{:.0}", bar.median_us)
            };
            root.draw_text(&value, &text.clone().into(), (x + 5, y))?;
            root.draw_text(bar.way, &text.clone().into(), (left - 125, y))?;
            row += 1.0;
        }
        let (_, y) = chart.backend_coord(&(1.0, row + 0.75));
        root.draw_text(group, &text.clone().style(FontStyle::Bold).into(), (left - 165, y))?;
        row += 1.0;
    }
    root.present()?;
    Ok(())
}
