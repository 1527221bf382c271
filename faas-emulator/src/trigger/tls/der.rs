//! When a certificate ends: the one thing that is read out of one here. Pure.
//!
//! Whether it is good is for a verifier to say; this walks to the date and checks no more than it must on the way.

use faas_core::clock::Time;
use time::{Date, Month, OffsetDateTime};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity (RFC 5280, 4.1); `None` if it is no certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<Time> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (tbs, _) = expect(certificate, SEQUENCE)?;
    let (_, rest) = expect(tbs, VERSION)?;
    let (_, rest) = expect(rest, INTEGER)?;
    let (_signature, rest) = expect(rest, SEQUENCE)?;
    let (_issuer, rest) = expect(rest, SEQUENCE)?;
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (_, _not_before, rest) = element(validity)?;
    let (tag, not_after, _) = element(rest)?;
    time(tag, not_after)
}

/// The content of an element of this tag, and what comes after.
fn expect(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    element(input).filter(|(found, ..)| *found == tag).map(|(_, content, rest)| (content, rest))
}

/// Tag, content, and what comes after.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // no certificate of ours needs more than three bytes
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<Time> {
    let (digits, zone) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if zone != b"Z" || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_i32, |n, byte| n * 10 + i32::from(byte - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        // from 50 on it is the last century (RFC 5280, 4.1.2.5.1)
        (UTC_TIME, 12) => (number(&digits[..2]) + if digits[0] < b'5' { 2000 } else { 1900 }, &digits[2..]),
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let part = |n: usize| u8::try_from(number(&rest[2 * n..][..2])).ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(1)?).ok()?;
    let at = OffsetDateTime::new_utc(date, time::Time::from_hms(part(2)?, part(3)?, part(4)?).ok()?);
    let nanos = u64::try_from(at.unix_timestamp()).ok()?.checked_mul(1_000_000_000)?;
    Some(Time::from_unix_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_date_are_read() {
        let secs = |tag, text: &str| time(tag, text.as_bytes()).map(|at| at.unix_millis() / 1000);
        assert_eq!(secs(UTC_TIME, "270115080000Z"), Some(1_800_000_000));
        assert_eq!(secs(GENERALIZED_TIME, "20270115080000Z"), Some(1_800_000_000));
        assert_eq!(secs(UTC_TIME, "700101000000Z"), Some(0));
        for wrong in
            ["", "Z", "270115080000", "271315080000Z", "2701150800Z", "27011508000xZ", "20270115080000Z"]
        {
            assert_eq!(secs(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = super::super::authority::Authority::create(Time::from_unix_nanos(1 << 60)).expect("one");
        let whole = whole.certificate().to_vec();
        assert!(not_after(&whole).is_some());
        for n in 0..whole.len() {
            assert_eq!(not_after(&whole[..n]), None, "its first {n} bytes");
        }
        // an element that says it is longer than all there is
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), None);
    }
}
