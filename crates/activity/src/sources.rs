//! Where an attack comes from: the AS with far more suspicious sign-ins than before it.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use crate::{
    activity::Activity,
    attack::{Attack, Source, Sources},
    detector::Usual,
    row::Row,
};

/// An AS takes part if its attempts exceed the usual ones by this factor and by so many standard deviations.
const MIN_RATIO: f64 = 3.0;
const MIN_DEVIATIONS: f64 = 2.0;

/// The fewest attempts of an AS whose other sign-ins are more.
const MIN_ATTEMPTS: u32 = 8;

/// The fewest attempts of any AS that takes part.
const MIN_FEW: u32 = 2;

/// If sign-ins of the named AS are not at least this part of the suspicious ones, the attack comes from anywhere.
const MIN_PART: f64 = 0.5;

/// The fewest other accounts with attempts from a network or an AS, so that a success from there is a taken account.
const MIN_ACCOUNTS: usize = 3;

/// Attempts at one account from an AS, so that a success from there is a guessed password.
const MIN_GUESSES: u32 = 3;

/// The counts of an AS.
#[derive(Default)]
struct Counts {
    attempts: u32,
    total: u32,
}

/// The attempts of an attack by account, network and AS: what a success from the same place means.
#[derive(Default)]
pub(crate) struct Targets<'a> {
    nets: HashMap<&'a SmolStr, HashSet<&'a SmolStr>>,
    asns: HashMap<u32, HashSet<&'a SmolStr>>,
    guesses: HashMap<(u32, &'a SmolStr), u32>,
}

impl Sources {
    /// The sources of an attack, by the rows in its time.
    pub(crate) fn find(activity: &Activity, attack: &Attack, usual: &Usual) -> Self {
        let mut asns: HashMap<u32, Counts> = HashMap::new();
        let (mut suspicious, mut newest) = (0_u32, attack.from);
        for row in activity.rows_of(attack).filter(|row| !row.is_session) {
            let is_suspicious = row.is_suspicious(activity.reporting);
            suspicious += u32::from(is_suspicious);
            newest = newest.max(row.at.div_euclid(1000));
            if let Some(asn) = row.asn {
                let counts = asns.entry(asn).or_default();
                counts.total += 1;
                counts.attempts += u32::from(is_suspicious);
            }
        }
        let seconds = attack.to.unwrap_or(newest + 1) - attack.from;
        let mut found: Vec<Source> = asns
            .into_iter()
            .filter_map(|(asn, Counts { attempts, total })| {
                let usual = usual.of_asn(asn, seconds.max(60));
                let count = f64::from(attempts);
                let is_unusual = count >= MIN_RATIO * usual && count - usual >= MIN_DEVIATIONS * (usual + 0.5).sqrt();
                let has_enough = attempts >= MIN_ATTEMPTS || attempts >= MIN_FEW && attempts * 2 > total;
                (is_unusual && has_enough).then_some(Source { asn, attempts, usual })
            })
            .collect();
        found.sort_unstable_by(|a, b| (b.attempts, a.asn).cmp(&(a.attempts, b.asn)));
        let named: u32 = found.iter().map(|source| source.attempts).sum();
        if f64::from(named) < MIN_PART * f64::from(suspicious) {
            return Sources::default();
        }
        Sources::new(found)
    }
}

impl<'a> Targets<'a> {
    /// Adds an attempt.
    pub(crate) fn add(&mut self, row: &'a Row) {
        let Some(user) = &row.user else { return };
        if let Some(net) = &row.net {
            self.nets.entry(net).or_default().insert(user);
        }
        if let Some(asn) = row.asn {
            self.asns.entry(asn).or_default().insert(user);
            *self.guesses.entry((asn, user)).or_default() += 1;
        }
    }

    /// Why a success is by the attack; `None` if nothing connects it. Its AS connects it only if the sign-in is unlike the owner's.
    pub(crate) fn connection(&self, row: &Row, sources: &Sources, is_unlike_owner: bool) -> Option<String> {
        let user = row.user.as_ref()?;
        let others = |users: Option<&HashSet<&SmolStr>>| users.map_or(0, |users| users.len() - usize::from(users.contains(user)));
        let of_net = others(row.net.as_ref().and_then(|net| self.nets.get(net)));
        if of_net >= MIN_ACCOUNTS {
            return Some(format!("from a network with attempts at {of_net} other accounts"));
        }
        let asn = row.asn?;
        let guesses = self.guesses.get(&(asn, user)).copied().unwrap_or_default();
        if guesses >= MIN_GUESSES {
            return Some(format!("after {guesses} attempts at this account from AS{asn}"));
        }
        let of_asn = others(self.asns.get(&asn));
        (is_unlike_owner && of_asn >= MIN_ACCOUNTS && sources.has(asn))
            .then(|| format!("from AS{asn}, with attempts at {of_asn} other accounts, on a device and network that are new to the account"))
    }
}
