//! Numbers as people write them: `3000000`, `3_000_000`, `3M`, `2.5k`, `120.5`. Exact.

use rust_decimal::{Decimal, prelude::ToPrimitive as _};

use crate::error::Error;

/// A number that is not negative.
pub(super) fn decimal(text: &str) -> Result<Decimal, String> {
    let wrong = || format!("`{text}` is no number: write 3000000, 3_000_000, 3M or 2.5k");
    let plain = text.replace('_', "");
    let (digits, factor) = match plain.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&plain[..at], 1_000_u64),
        Some((at, 'm' | 'M')) => (&plain[..at], 1_000_000),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&plain[..at], 1_000_000_000),
        _ => (plain.as_str(), 1),
    };
    let number = Decimal::from_str_exact(digits).map_err(|why| match why {
        rust_decimal::Error::ExceedsMaximumPossibleValue | rust_decimal::Error::Underflow => {
            format!("`{text}` has more digits than can be counted exactly")
        }
        _ => wrong(),
    })?;
    if number.is_sign_negative() {
        return Err(format!("`{text}` is less than nothing"));
    }
    number.checked_mul(factor.into()).ok_or_else(|| format!("`{text}` is too large"))
}

/// A whole number.
pub(super) fn whole(text: &str) -> Result<u64, String> {
    let number = decimal(text)?;
    if !number.fract().is_zero() {
        return Err(format!("`{text}` is no whole number"));
    }
    number.to_u64().ok_or_else(|| format!("`{text}` is too large"))
}

/// `NAME=NUMBER`.
pub(super) fn named(text: &str) -> Result<(String, Decimal), String> {
    let (name, number) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=NUMBER"))?;
    Ok((name.trim().to_owned(), decimal(number.trim())?))
}

/// So many units of time, each of so many nanoseconds; parts of a nanosecond count as one.
pub(super) fn time(amount: Decimal, unit_ns: u64) -> Result<std::time::Duration, Error> {
    let ns = amount.saturating_mul(unit_ns.into()).ceil().to_u64();
    ns.map(std::time::Duration::from_nanos).ok_or_else(|| too_large(amount))
}

/// So many units of so many pieces each; parts of a piece count as one.
pub(super) fn pieces(amount: Decimal, unit: u64) -> Result<u64, Error> {
    amount.saturating_mul(unit.into()).ceil().to_u64().ok_or_else(|| too_large(amount))
}

fn too_large(amount: Decimal) -> Error {
    Error::bad_input(format!("{amount} is too large to be counted exactly"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_numbers_in_many_ways() {
        for text in ["3000000", "3_000_000", "3M", "3m", "3000k", "0.003B", "3.0M"] {
            assert_eq!(whole(text), Ok(3_000_000), "{text}");
        }
        assert_eq!(time(decimal("120.5").expect("a number"), 1_000_000).expect("short").as_micros(), 120_500);
        assert_eq!(named("R2 storage=1.5k"), Ok(("R2 storage".into(), Decimal::from(1500))));
        let told =
            ["", "three", "-1", "1.5", "99999999999999B", "1MM"].map(|text| whole(text).expect_err(text));
        insta::assert_snapshot!(told.join("\n"), @r"
        `` is no number: write 3000000, 3_000_000, 3M or 2.5k
        `three` is no number: write 3000000, 3_000_000, 3M or 2.5k
        `-1` is less than nothing
        `1.5` is no whole number
        `99999999999999B` is too large
        `1MM` is no number: write 3000000, 3_000_000, 3M or 2.5k
        ");
    }
}
