//! How bills look. Pure. Dollars and quantities are strings in JSON: they are exact.

use faas_core::{billing::Invoice, profile::Profile};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::month::{Comparison, Month};
use crate::{
    commands::estimate::{columns, invoice_table, line_value},
    meter::session::Session,
};

fn total(functions: &[(&str, Invoice)]) -> Decimal {
    functions.iter().map(|(_, invoice)| invoice.exact_usd).sum::<Decimal>().normalize()
}

/// By function and line, exactly: a session has no cents.
pub(super) fn session(profile: &Profile, session: &Session, functions: &[(&str, Invoice)]) -> String {
    let mut rows = vec![["function", "", "billed", "", "$ each", "$"].map(String::from)];
    for (name, invoice) in functions {
        for (i, line) in invoice.lines.iter().enumerate() {
            rows.push([
                if i == 0 { (*name).to_owned() } else { String::new() },
                line.meter.clone(),
                line.quantity.round_dp(9).normalize().to_string(),
                line.unit.clone(),
                line.unit_price_usd.to_string(),
                format!("{:.9}", line.exact_usd),
            ]);
        }
    }
    let mut last = ["total", "", "", "", "", ""].map(String::from);
    last[5] = format!("{:.9}", total(functions));
    rows.push(last);
    let refused = session.load().refused;
    let note = if refused > 0 {
        format!("\n{refused} invocations were refused: not billed\n")
    } else {
        String::new()
    };
    format!(
        "{}: {}\n{} requests; nothing is taken off for what a month includes: --month does\n\n{}{note}",
        profile.name,
        profile.title,
        session.load().served,
        columns(&rows, &[2, 5]),
    )
}

fn lines(invoice: &Invoice) -> Vec<Value> {
    invoice.lines.iter().map(line_value).collect()
}

pub(super) fn session_json(profile: &Profile, session: &Session, functions: &[(&str, Invoice)]) -> String {
    let function = |(name, invoice): &(&str, Invoice)| {
        let load = session.functions.get(*name).copied().unwrap_or_default();
        json!({
            "function": name,
            "requests": load.served,
            "cold": load.cold,
            "refused": load.refused,
            "lines": lines(invoice),
            "exact_usd": invoice.exact_usd.to_string(),
        })
    };
    let value = json!({
        "profile": profile.name,
        "observed_ms": session.observed_ms,
        "peak_rps": session.peak_rps,
        "functions": functions.iter().map(function).collect::<Vec<_>>(),
        "exact_usd": total(functions).to_string(),
    });
    format!("{value}\n")
}

/// A month's invoice, each function's share of it, and how it was scaled.
pub(super) fn month(profile: &Profile, month: &Month) -> String {
    let mut rows = vec![["function", "$ before allowances"].map(String::from)];
    rows.extend(month.functions.iter().map(|(name, usd)| [name.clone(), format!("{usd:.2}")]));
    format!("{}\n{}\n{}\n", invoice_table(profile, &month.invoice), columns(&rows, &[1]), month.how)
}

pub(super) fn month_json(profile: &Profile, month: &Month) -> String {
    let functions: Vec<Value> = month
        .functions
        .iter()
        .map(|(name, usd)| json!({ "function": name, "before_allowances_usd": usd.to_string() }))
        .collect();
    let value = json!({
        "profile": profile.name,
        "total_usd": month.invoice.total_usd.to_string(),
        "exact_usd": month.invoice.exact_usd.to_string(),
        "lines": lines(&month.invoice),
        "functions": functions,
        "scaled": month.how,
    });
    format!("{value}\n")
}

pub(super) fn lines_csv(functions: &[(&str, &Invoice)]) -> String {
    let mut text =
        String::from("function,meter,unit,quantity,included,unit_price_usd,amount_usd,exact_usd\n");
    for (name, invoice) in functions {
        for line in &invoice.lines {
            let cells = [
                (*name).to_owned(),
                line.meter.clone(),
                line.unit.clone(),
                line.quantity.to_string(),
                line.included.to_string(),
                line.unit_price_usd.to_string(),
                line.amount_usd.to_string(),
                line.exact_usd.to_string(),
            ];
            text += &format!("{}\n", cells.map(quoted).join(","));
        }
    }
    text
}

/// A cell as RFC 4180 has it.
fn quoted(cell: String) -> String {
    if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

fn requests(n: Option<u64>) -> String {
    n.map_or_else(|| "-".into(), |n| n.to_string())
}

/// Cheapest first, beside servers.
pub(super) fn comparison(all: &Comparison) -> String {
    let mut rows = vec![["", "$ a month", "servers pay from (requests a month)"].map(String::from)];
    for row in &all.rows {
        let parts = row.break_even.iter().filter(|(_, n)| n.is_some());
        let parts: Vec<String> = parts.map(|(name, n)| format!("{name} {}", requests(*n))).collect();
        rows.push([row.profile.clone(), row.total_usd.to_string(), parts.join(", ")]);
    }
    let unpriced = all.unpriced.as_ref().map_or_else(String::new, |told| format!("{told}\n"));
    format!("{}\n{}\n{}\n{unpriced}", columns(&rows, &[1]), all.how, all.servers)
}

pub(super) fn comparison_json(all: &Comparison) -> String {
    let row = |row: &super::month::Row| {
        let break_even: serde_json::Map<String, Value> =
            row.break_even.iter().map(|(name, n)| (name.clone(), n.map(|n| n.to_string()).into())).collect();
        json!({
            "profile": row.profile,
            "total_usd": row.total_usd.to_string(),
            "break_even_requests": break_even,
        })
    };
    let rows: Vec<Value> = all.rows.iter().map(row).collect();
    format!(
        "{}\n",
        json!({
            "profiles": rows,
            "scaled": all.how,
            "servers": all.servers,
            "unpriced": all.unpriced,
        })
    )
}

pub(super) fn comparison_csv(all: &Comparison) -> String {
    let mut text = String::from("profile,function,total_usd,break_even_requests\n");
    for row in &all.rows {
        for (name, n) in &row.break_even {
            let total = if name == "all" { row.total_usd.to_string() } else { String::new() };
            text += &format!(
                "{},{},{total},{}\n",
                quoted(row.profile.clone()),
                quoted(name.clone()),
                n.map(|n| n.to_string()).unwrap_or_default()
            );
        }
    }
    text
}
