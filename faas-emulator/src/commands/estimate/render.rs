//! How an estimate looks. Pure. Dollars and quantities are strings in JSON: they are exact.

use faas_core::{
    billing::{Compared, Estimate, Invoice, Line},
    profile::Profile,
};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// A line each, the total, and what is unverified.
pub(in crate::commands) fn table(profile: &Profile, invoice: &Invoice) -> String {
    let mut rows = vec![["", "billed", "included", "", "$ each", "$"].map(String::from)];
    for line in &invoice.lines {
        let mark = if profile.is_verified(&line.source) { "" } else { " *" };
        rows.push([
            line.meter.clone(),
            thousands(line.quantity),
            if line.included.is_zero() { String::new() } else { thousands(line.included) },
            line.unit.clone(),
            format!("{}{mark}", line.unit_price_usd),
            line.amount_usd.to_string(),
        ]);
    }
    rows.push(["total", "", "", "", "", ""].map(String::from));
    if let Some(last) = rows.last_mut() {
        last[5] = invoice.total_usd.to_string();
    }
    format!(
        "{}: {}\n\n{}{}",
        profile.name,
        profile.title,
        columns(&rows, &[1, 2, 5]),
        unverified(profile, invoice)
    )
}

pub(super) fn json(profile: &Profile, estimate: &Estimate) -> String {
    format!("{}\n", value(profile, estimate))
}

/// A line of an invoice; numbers as strings, which are exact.
pub(in crate::commands) fn line_value(line: &Line) -> Value {
    json!({
        "meter": line.meter,
        "unit": line.unit,
        "quantity": line.quantity.to_string(),
        "included": line.included.to_string(),
        "unit_price_usd": line.unit_price_usd.to_string(),
        "amount_usd": line.amount_usd.to_string(),
        "exact_usd": line.exact_usd.to_string(),
    })
}

fn value(profile: &Profile, estimate: &Estimate) -> Value {
    let invoice = &estimate.invoice;
    let line = |line: &Line| {
        let mut value = line_value(line);
        value["source"] = profile.sources.get(&line.source).map(|source| source.title.as_str()).into();
        value["verified"] = profile.is_verified(&line.source).into();
        value
    };
    json!({
        "profile": profile.name,
        "title": profile.title,
        "total_usd": invoice.total_usd.to_string(),
        "exact_usd": invoice.exact_usd.to_string(),
        "lines": invoice.lines.iter().map(line).collect::<Vec<_>>(),
        "notices": estimate.notices,
    })
}

/// Cheapest first, and from how many requests on servers pay.
pub(super) fn comparison(all: &[Compared]) -> String {
    let mut rows = vec![["", "$ a month", "servers pay from"].map(String::from)];
    for one in all {
        let has_unverified = !unverified(&one.profile, &one.estimate.invoice).is_empty();
        rows.push([
            format!("{}{}", one.profile.name, if has_unverified { " *" } else { "" }),
            one.estimate.invoice.total_usd.to_string(),
            one.break_even_requests.map_or_else(String::new, |n| format!("{} requests", thousands(n.into()))),
        ]);
    }
    let note = "\n* a price in it is unverified: `faas profiles NAME` says which\n";
    format!("{}{note}", columns(&rows, &[1, 2]))
}

pub(super) fn comparison_json(all: &[Compared]) -> String {
    let list: Vec<Value> = all
        .iter()
        .map(|one| {
            let mut value = value(&one.profile, &one.estimate);
            value["break_even_requests"] = one.break_even_requests.map(|n| n.to_string()).into();
            value
        })
        .collect();
    format!("{}\n", json!({ "profiles": list }))
}

fn unverified(profile: &Profile, invoice: &Invoice) -> String {
    let mut sources: Vec<&str> = Vec::new();
    for line in &invoice.lines {
        if !profile.is_verified(&line.source) && !sources.contains(&line.source.as_str()) {
            sources.push(&line.source);
        }
    }
    sources
        .into_iter()
        .filter_map(|source| profile.sources.get(source))
        .map(|source| format!("\n* unverified: {}\n", source.title))
        .collect()
}

/// `1,234,567.5`, not more than six places.
fn thousands(number: Decimal) -> String {
    let text = number.round_dp(6).normalize().to_string();
    let (whole, part) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    part.map_or(grouped.clone(), |part| format!("{grouped}.{part}"))
}

/// Columns as wide as their widest cell; these to the right, the others to the left.
pub(in crate::commands) fn columns<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(i, cell)| {
                let width = widths[i];
                if right.contains(&i) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
            })
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
