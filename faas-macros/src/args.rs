//! The attribute's arguments: parsed and checked, every mistake kept.

use proc_macro2::{Span, TokenStream};
use syn::{
    Expr, ExprLit, ExprPath, Lit, LitInt, LitStr, Meta, Token, parse::Parser as _, punctuated::Punctuated,
    spanned::Spanned as _,
};

/// Mistakes found so far, each on its span.
#[derive(Default)]
pub(crate) struct Mistakes(Option<syn::Error>);

impl Mistakes {
    pub(crate) fn add(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            none => *none = Some(error),
        }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn into_error(self) -> Option<syn::Error> {
        self.0
    }
}

/// What the attribute says.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) name: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) concurrency: Option<u64>,
    pub(crate) schedule: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) isolation: Option<String>,
    /// What runs before the first invocation.
    pub(crate) init: Option<ExprPath>,
}

const KEYS: [&str; 9] =
    ["name", "route", "memory", "timeout", "concurrency", "schedule", "queue", "isolation", "init"];

impl Args {
    pub(crate) fn parse(attribute: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut args = Args::default();
        let metas = match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(attribute) {
            Ok(metas) => metas,
            Err(error) => {
                mistakes.push(error);
                return args;
            }
        };
        let mut seen = Vec::new();
        for meta in metas {
            let key = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
            if !KEYS.contains(&key.as_str()) {
                mistakes.add(meta.path().span(), unknown(&key));
                continue;
            }
            if seen.contains(&key) {
                mistakes.add(meta.path().span(), format_args!("`{key}` is given twice"));
                continue;
            }
            let result = match &meta {
                Meta::NameValue(pair) => args.set(&key, &pair.value),
                other => Err(syn::Error::new(
                    other.span(),
                    format_args!("`{key}` needs a value: {key} = {}", example(&key)),
                )),
            };
            if let Err(error) = result {
                mistakes.push(error);
            }
            seen.push(key);
        }
        args.check_together(mistakes);
        args
    }

    /// What only two arguments together get wrong.
    fn check_together(&self, mistakes: &mut Mistakes) {
        if self.isolation.as_deref() == Some("request") && self.concurrency.is_some_and(|n| n > 1) {
            mistakes.add(
                Span::call_site(),
                "an instance that is for one request serves one at a time: leave out `concurrency`, or `isolation`",
            );
        }
    }

    fn set(&mut self, key: &str, value: &Expr) -> syn::Result<()> {
        match key {
            "name" => self.name = Some(checked(text(key, value)?, name)?),
            "route" => {
                let (method, path) = checked(text(key, value)?, route)?;
                (self.method, self.route) = (method, Some(path));
            }
            "memory" => self.memory_mib = Some(memory(value)?),
            "timeout" => self.timeout_ms = Some(checked(text(key, value)?, duration_ms)?),
            "concurrency" => self.concurrency = Some(whole(key, value, 1, 1000)?),
            "schedule" => self.schedule = Some(checked(text(key, value)?, cron)?),
            "queue" => self.queue = Some(checked(text(key, value)?, name)?),
            "isolation" => self.isolation = Some(checked(text(key, value)?, isolation)?),
            "init" => self.init = Some(path(key, value)?),
            _ => {}
        }
        Ok(())
    }
}

fn unknown(key: &str) -> String {
    let nearest = KEYS.iter().map(|known| (distance(key, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 2 => {
            format!("`{key}` is not an argument of #[function]: did you mean `{known}`?")
        }
        _ => format!("`{key}` is not an argument of #[function], which takes {}", KEYS.join(", ")),
    }
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn example(key: &str) -> &'static str {
    match key {
        "name" => "\"hello\"",
        "route" => "\"GET /users/{id}\"",
        "memory" => "128",
        "timeout" => "\"10s\"",
        "concurrency" => "8",
        "schedule" => "\"*/5 * * * *\"",
        "isolation" => "\"request\"",
        "init" => "load",
        _ => "\"orders\"",
    }
}

fn text<'v>(key: &str, value: &'v Expr) -> syn::Result<&'v LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text),
        other => {
            Err(syn::Error::new(other.span(), format_args!("`{key}` is a string: {key} = {}", example(key))))
        }
    }
}

fn path(key: &str, value: &Expr) -> syn::Result<ExprPath> {
    match value {
        Expr::Path(path) => Ok(path.clone()),
        other => Err(syn::Error::new(
            other.span(),
            format_args!("`{key}` names a function: {key} = {}", example(key)),
        )),
    }
}

fn isolation(text: &str) -> Result<String, String> {
    match text {
        "request" | "instance" => Ok(text.into()),
        _ => Err(format!(
            "`{text}` is not an isolation: \"instance\" (an instance serves one request after another) or \"request\" \
             (each gets an instance of its own)"
        )),
    }
}

fn checked<T>(text: &LitStr, check: impl FnOnce(&str) -> Result<T, String>) -> syn::Result<T> {
    check(&text.value()).map_err(|message| syn::Error::new(text.span(), message))
}

fn number(literal: &LitInt) -> syn::Result<u64> {
    if literal.suffix().is_empty() {
        literal.base10_parse()
    } else {
        Err(syn::Error::new(literal.span(), "a plain number, without a suffix"))
    }
}

fn whole(key: &str, value: &Expr, min: u64, max: u64) -> syn::Result<u64> {
    let Expr::Lit(ExprLit { lit: Lit::Int(literal), .. }) = value else {
        return Err(syn::Error::new(
            value.span(),
            format_args!("`{key}` is a number: {key} = {}", example(key)),
        ));
    };
    let n = number(literal)?;
    if (min..=max).contains(&n) {
        Ok(n)
    } else {
        Err(syn::Error::new(literal.span(), format_args!("`{key}` is from {min} to {max}")))
    }
}

/// What 32-bit wasm can address.
const MAX_MEMORY_MIB: u64 = 4096;

fn memory(value: &Expr) -> syn::Result<u64> {
    let Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) = value else {
        return whole("memory", value, 1, MAX_MEMORY_MIB);
    };
    checked(literal, |text| {
        let (digits, unit) = split_number(text);
        let factor = match unit {
            "MiB" => 1,
            "GiB" => 1024,
            _ => {
                return Err(format!(
                    "`{text}` is not a size: write \"256 MiB\", \"1 GiB\", or a number of MiB"
                ));
            }
        };
        let mib = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
        mib.filter(|mib| (1..=MAX_MEMORY_MIB).contains(mib)).ok_or_else(|| {
            format!("`memory` is from 1 to {MAX_MEMORY_MIB} MiB, which is what 32-bit wasm can address")
        })
    })
}

/// `250 ms` as `250` and `ms`.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let (digits, unit) = split_number(text);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{text}` is not a duration: write \"500ms\", \"10s\" or \"2m\"")),
    };
    match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)) {
        Some(0) | None => Err(format!("`{text}` is not a duration that an invocation can take")),
        Some(ms) => Ok(ms),
    }
}

// Mirrors faas_core::abi::manifest::is_name, which checks it again: the two crates do not depend on each other.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=64).contains(&text.len()) && text.bytes().all(is_good) {
        Ok(text.into())
    } else {
        Err(format!("`{text}` is not a name: letters, digits, `-` and `_`, from 1 to 64 of them"))
    }
}

fn route(text: &str) -> Result<(Option<String>, String), String> {
    let (method, path) = match text.split_once(char::is_whitespace) {
        Some((method, path)) => (Some(method), path.trim_start()),
        None => (None, text),
    };
    if let Some(method) = method
        && (method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()))
    {
        return Err(format!(
            "`{method}` is not a method: write \"GET /path\", or \"/path\" for every method"
        ));
    }
    if !path.starts_with('/') {
        return Err(format!("`{path}` is not a path: it begins with a slash, \"/{path}\""));
    }
    if let Some(bad) = path.chars().find(|c| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) {
        return Err(format!("a path pattern has no {bad:?}"));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let Some(inner) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
            if segment.contains(['{', '}']) {
                return Err(format!(
                    "`{segment}` is half a parameter: a whole segment is one, like `{{id}}`"
                ));
            }
            continue;
        };
        let parameter = inner.strip_prefix('*').unwrap_or(inner);
        if parameter.is_empty() || !parameter.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("`{segment}` needs a name of letters, digits and `_`, like `{{id}}`"));
        }
        if inner.starts_with('*') && segments.peek().is_some() {
            return Err(format!("`{segment}` takes all that follows, so nothing can follow it"));
        }
        if names.contains(&parameter) {
            return Err(format!("the path has two parameters named `{parameter}`"));
        }
        names.push(parameter);
    }
    Ok((method.map(Into::into), path.into()))
}

/// Five fields of what cron allows; which combinations make sense is for whoever runs it.
fn cron(text: &str) -> Result<String, String> {
    const FIELDS: [(&str, u32, u32); 5] = [
        ("minute", 0, 59),
        ("hour", 0, 23),
        ("day of the month", 1, 31),
        ("month", 1, 12),
        ("day of the week", 0, 7),
    ];
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "a schedule has five fields (minute, hour, day of the month, month, day of the week), this one has {}",
            fields.len()
        ));
    }
    for (field, (what, min, max)) in fields.iter().zip(FIELDS) {
        for part in field.split(',') {
            let (range, step) =
                part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            let in_range = |n: &str| n.parse::<u32>().is_ok_and(|n| (min..=max).contains(&n));
            let is_name = |n: &str| {
                n.len() == 3
                    && max != 59
                    && max != 23
                    && max != 31
                    && n.bytes().all(|b| b.is_ascii_alphabetic())
            };
            let is_value = |n: &str| in_range(n) || is_name(n);
            let is_range = range == "*"
                || is_value(range)
                || range.split_once('-').is_some_and(|(from, to)| is_value(from) && is_value(to));
            let is_step = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|n| n > 0));
            if !is_range || !is_step {
                return Err(format!(
                    "`{part}` is not a {what}: from {min} to {max}, `*`, ranges a-b and steps */n"
                ));
            }
        }
    }
    Ok(fields.join(" "))
}
