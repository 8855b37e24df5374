//! Amounts and times as text.

use alloy_primitives::U256;
use pinseal_protocol::intent::{ChainId, EvmAddress};

use super::{Context, Native, text};
use crate::evm::checksum;

const NO_DEADLINE: &str = "no deadline";

/// `value / 10^decimals`, exactly, without trailing zeros.
pub(super) fn decimal(value: U256, decimals: u8) -> String {
    let digits = value.to_string();
    let places = usize::from(decimals);
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

pub(super) fn native(value: U256, native: &Native) -> String {
    format!("{} {}", decimal(value, native.decimals), text::escape(&native.symbol))
}

/// An amount of the token at `address`: with its symbol where known, else in raw units.
pub(super) fn token(value: U256, chain: ChainId, address: &EvmAddress, context: &Context<'_>) -> String {
    match context.token(chain, address) {
        Some(token) => format!("{} {}", decimal(value, token.decimals), text::escape(&token.symbol)),
        None => format!("{value} units of token {}", checksum(address)),
    }
}

/// As [`token`], for an allowance.
pub(super) fn allowance(value: U256, chain: ChainId, address: &EvmAddress, context: &Context<'_>) -> String {
    if !is_unlimited(value) {
        return format!("up to {}", token(value, chain, address, context));
    }
    match context.token(chain, address) {
        Some(token) => format!("unlimited {}", text::escape(&token.symbol)),
        None => format!("unlimited token {}", checksum(address)),
    }
}

/// Beyond every supply: from 2^120 on (10^18 whole tokens of 18 decimals; the largest supplies in use lie below 2^110), or all ones in a whole
/// number of at least 12 bytes, as contracts with narrower counters write it.
pub(super) fn is_unlimited(value: U256) -> bool {
    let bits = value.bit_len();
    bits > 120 || (bits >= 96 && bits.is_multiple_of(8) && value.count_ones() == bits)
}

/// A deadline in seconds since 1970, as RFC 3339 where it is a date.
pub(super) fn deadline(seconds: U256) -> String {
    /// 9999-12-31T23:59:59Z.
    const SECONDS_MAX: u64 = 253_402_300_799;
    match u64::try_from(seconds) {
        Ok(seconds) if seconds <= SECONDS_MAX => utc(seconds),
        _ => NO_DEADLINE.to_owned(),
    }
}

/// [`deadline`] within a sentence.
pub(super) fn until(seconds: U256) -> String {
    match deadline(seconds).as_str() {
        NO_DEADLINE => "without a deadline".to_owned(),
        date => format!("until {date}"),
    }
}

/// Seconds since 1970 in the proleptic Gregorian calendar.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, so that the leap day is the last of its year.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let wei = U256::from(1_500_000_000_000_000_000_u64);
        assert_eq!(decimal(wei, 18), "1.5");
        assert_eq!(decimal(U256::from(1), 18), "0.000000000000000001");
        assert_eq!(decimal(U256::ZERO, 18), "0");
        assert_eq!(decimal(U256::from(100), 2), "1");
        assert_eq!(decimal(U256::from(1200), 0), "1200");
        assert_eq!(
            decimal(U256::MAX, 77),
            "1.15792089237316195423570985008687907853269984665640564039457584007913129639935"
        );
        assert!(decimal(U256::from(5), 255).ends_with("05"));
    }

    #[test]
    fn unlimited_is_beyond_every_supply() {
        for bits in [96_usize, 128, 160, 256] {
            assert!(is_unlimited(U256::MAX >> (256 - bits)), "{bits}");
        }
        assert!(is_unlimited(U256::ONE << 120));
        assert!(is_unlimited((U256::MAX >> 96) - U256::ONE), "one less than all ones");
        assert!(!is_unlimited((U256::ONE << 120) - U256::from(2)));
        assert!(!is_unlimited((U256::MAX >> 160) - U256::ONE));
        assert!(!is_unlimited(U256::from(u64::MAX)));
    }

    #[test]
    fn deadlines_are_dates() {
        assert_eq!(deadline(U256::ZERO), "1970-01-01T00:00:00Z");
        assert_eq!(deadline(U256::from(951_782_399)), "2000-02-28T23:59:59Z");
        assert_eq!(deadline(U256::from(951_782_400)), "2000-02-29T00:00:00Z");
        assert_eq!(deadline(U256::from(1_735_689_599)), "2024-12-31T23:59:59Z");
        assert_eq!(deadline(U256::from(4_107_542_400_u64)), "2100-03-01T00:00:00Z");
        assert_eq!(deadline(U256::from(253_402_300_799_u64)), "9999-12-31T23:59:59Z");
        assert_eq!(deadline(U256::from(253_402_300_800_u64)), "no deadline");
        assert_eq!(deadline(U256::MAX), "no deadline");
    }
}
