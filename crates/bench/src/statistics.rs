//! Medians, quantiles and ranges.

/// The value below which `share` of the ascending `sorted` lies; 0 of nothing.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is an index")]
    let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// A median with the least and the greatest value it is the median of.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// Of values in any order; `None` of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Self { median: f64::midpoint(*low, *high), least, greatest })
    }
}

/// An estimate with the bounds between which 95 of 100 repetitions would lie.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Confidence {
    pub(crate) estimate: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1_000;

/// Ratio of the medians of the first and the second members, with its confidence interval by resampling the pairs (Efron's bootstrap,
/// percentiles 2.5 and 97.5). A median, because single requests are held up by whatever else the machine does.
pub(crate) fn paired_ratio(pairs: &[(f64, f64)]) -> Option<Confidence> {
    let ratio = |pairs: &[(f64, f64)]| {
        let over = Spread::of(pairs.iter().map(|(over, _)| *over).collect())?;
        let under = Spread::of(pairs.iter().map(|(_, under)| *under).collect())?;
        Some(over.median / under.median)
    };
    let estimate = ratio(pairs)?;
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let mut resampled = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let sample: Vec<(f64, f64)> =
            (0..pairs.len()).filter_map(|_| pairs.get(random.below(pairs.len())).copied()).collect();
        resampled.extend(ratio(&sample));
    }
    resampled.sort_by(f64::total_cmp);
    Some(Confidence { estimate, low: quantile(&resampled, 0.025), high: quantile(&resampled, 0.975) })
}

/// Marsaglia's xorshift64: the same interval from the same samples.
pub(crate) struct Xorshift(pub(crate) u64);

impl Xorshift {
    /// A number below `end`, near enough to uniform for what is drawn here.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 2.5, least: 1.0, greatest: 4.0 });
        assert_eq!(Spread::of(vec![7.0]).unwrap().median, 7.0);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&sorted, share)), [0.0, 50.0, 99.0, 100.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn an_interval_holds_the_true_ratio_and_shrinks_with_more_pairs() {
        let mut random = Xorshift(1);
        let mut noisy = |base: f64| base * (1.0 + f64::from(u32::try_from(random.below(1_000)).unwrap()) / 5_000.0);
        let pairs: Vec<(f64, f64)> = (0..4_000).map(|_| (noisy(1.10), noisy(1.0))).collect();
        let all = paired_ratio(&pairs).unwrap();
        let few = paired_ratio(&pairs[..100]).unwrap();
        assert!(all.low < 1.10 && 1.10 < all.high, "{all:?}");
        assert!(all.high - all.low < few.high - few.low, "{all:?} {few:?}");
        assert_eq!(paired_ratio(&[]), None);
    }
}
