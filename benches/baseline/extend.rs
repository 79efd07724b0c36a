//! EXTEND: the variant of Freeman by Wiefling et al. with its published weights, in closed form.

use super::{AllUsers, Baseline, Login, UserCounts};

/// The EXTEND model: two features, each a weighted chain of subfeatures.
pub struct Extend;

/// The chain of the IP address: feature indexes with weights, the full value first, and the number of subvalues of a full value.
const IP: ([(usize, f64); 3], f64) = ([(0, 0.6), (2, 0.3), (1, 0.1)], 3.0);

/// The chain of the user agent, in the same form.
const UA: ([(usize, f64); 4], f64) =
    ([(3, 0.538_665_384_055_138_4), (4, 0.268_045_149_862_566_6), (5, 0.188_182_951_001_095_36), (6, 0.005_106_515_081_202_152)], 4.0);

impl Baseline for Extend {
    fn name(&self) -> &'static str {
        "EXTEND (das-group)"
    }

    fn score(&self, login: &Login, own: &UserCounts, all: &AllUsers) -> f64 {
        let likelihoods = log_ratio(&IP.0, IP.1, login, own, all) + log_ratio(&UA.0, UA.1, login, own, all);
        let (users, successes) = (f64::from(all.users.max(1)), f64::from(all.successes.max(1)));
        likelihoods - users.ln() - (f64::from(own.successes) / successes).ln()
    }
}

/// Returns the natural logarithm of the ratio of global to user likelihood for one chain.
fn log_ratio(chain: &[(usize, f64)], subvalues: f64, login: &Login, own: &UserCounts, all: &AllUsers) -> f64 {
    let (n_own, n) = (f64::from(own.successes.max(1)), f64::from(all.successes.max(1)));
    let distinct: f64 = chain[1..].iter().map(|(feature, _)| all.counts[*feature].len() as f64).sum::<f64>() + 1.0;
    let full = all.count(login, chain[0].0);
    let smooth = if full > 0.0 { full / n * (1.0 - distinct / (n + distinct)) } else { 1.0 / (n + distinct) };
    let quotient = if full > 0.0 { full / (full + subvalues) } else { 1.0 };
    let global = chain[0].1 * quotient * smooth + chain[1..].iter().map(|(feature, weight)| weight * all.count(login, *feature) / n).sum::<f64>();
    let local: f64 = chain.iter().map(|(feature, weight)| weight * own.count(login, *feature) / n_own).sum();
    // If nothing matches, the ratio is fixed at 4.
    if local > 0.0 { (global / local).ln() } else { 4.0_f64.ln() }
}
