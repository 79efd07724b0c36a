//! A share with its 95 % interval.
//!
//! The interval is Jeffreys': the quantiles of Beta(count + 1/2, rest + 1/2), with 0 and 1 as the ends if nothing or everything was counted
//! (Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", 2001). Counts that fade are not whole numbers. Their interval is
//! wider than necessary, because old sign-ins count for more evidence than their weight.

/// Half of what the interval leaves out.
const TAIL: f64 = 0.025;

/// Steps of the search for a quantile. Each halves its range.
const STEPS: usize = 40;

/// The most terms of the continued fraction.
const TERMS: u32 = 2_000;

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The share, 0 to 1.
    pub share: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// The share of `count` in `all`. Both are at least 0.
    pub fn new(count: f64, all: f64) -> Self {
        let all = all.max(count);
        if all <= 0.0 {
            return Rate { share: 0.0, low: 0.0, high: 1.0 };
        }
        let share = count / all;
        let (a, b) = (count + 0.5, all - count + 0.5);
        let low = if count > 0.0 { quantile(TAIL, a, b, 0.0, share) } else { 0.0 };
        let high = if count < all { quantile(1.0 - TAIL, a, b, share, 1.0) } else { 1.0 };
        Rate { share, low, high }
    }

    /// Whether the interval overlaps a factor around a promised share.
    pub fn overlaps(&self, promised: f64, factor: f64) -> bool {
        self.low <= promised * factor && self.high >= promised / factor
    }
}

/// The quantile of a beta distribution, which is between two shares.
fn quantile(probability: f64, a: f64, b: f64, low: f64, high: f64) -> f64 {
    let scale = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let (mut low, mut high) = (low, high);
    for _ in 0..STEPS {
        // Most shares are small, so the middle is the geometric one as soon as there is a lower end.
        let middle = if low > 0.0 { (low * high).sqrt() } else { high / 4.0 };
        if cumulative(middle, a, b, scale) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function (DLMF 8.17.22). `scale` is the logarithm of 1 / B(a, b).
fn cumulative(x: f64, a: f64, b: f64, scale: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let front = (scale + a * x.ln() + b * (-x).ln_1p()).exp();
    // The continued fraction converges quickly on this side of the mean.
    if x < (a + 1.0) / (a + b + 2.0) { front * fraction(x, a, b) / a } else { 1.0 - front * fraction(1.0 - x, b, a) / b }
}

/// The continued fraction of the incomplete beta function, by the modified method of Lentz.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < 1e-30 { 1e-30 } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut result = d;
    for term in 1..TERMS {
        let m = f64::from(term);
        for numerator in [m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)), -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))] {
            d = 1.0 / away_from_zero(1.0 + numerator * d);
            c = away_from_zero(1.0 + numerator / c);
            result *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-12 {
            break;
        }
    }
    result
}

fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: f64, all: f64, low: f64, high: f64) {
        let rate = Rate::new(count, all);
        assert!((rate.low - low).abs() < 2e-4 * low.max(1e-3) && (rate.high - high).abs() < 2e-4 * high.max(1e-3), "{count} of {all}: {rate:?}");
    }

    #[test]
    fn intervals_are_those_of_the_beta_distribution() {
        // Computed by numerical integration of the density.
        check(0.0, 10.0, 0.0, 0.2171963);
        check(1.0, 20.0, 0.005449033, 0.2108186);
        check(5.0, 20.0, 0.1023985, 0.4641946);
        check(12.0, 40000.0, 0.0001640066, 0.0005080248);
        check(300.0, 30000.0, 0.008920805, 0.01117372);
        check(0.7, 1500.3, 3.419559e-05, 0.002727488);
    }

    #[test]
    fn without_sign_ins_every_rate_is_possible() {
        assert_eq!(Rate::new(0.0, 0.0), Rate { share: 0.0, low: 0.0, high: 1.0 });
        assert!(Rate::new(5.0, 5.0).high >= 1.0 && Rate::new(5.0, 5.0).low > 0.5);
    }

    #[test]
    fn a_rate_is_compared_with_a_promise() {
        let rate = Rate::new(30.0, 1_000.0);
        assert!(rate.overlaps(0.03, 2.0) && rate.overlaps(0.02, 2.0) && !rate.overlaps(0.01, 2.0) && !rate.overlaps(0.1, 2.0));
    }
}
