//! Campaigns and surges as text: `KIND,KEY=VALUE,...`.

use std::str::FromStr;

use crate::{Campaign, CampaignKind, CampaignShape, Surge, SurgeKind};

/// The most attempts of a campaign. All of them are in memory.
const MAX_ATTEMPTS: u32 = 10_000_000;

impl FromStr for Campaign {
    type Err = String;

    /// Parses a campaign, for example `botnet,attempts=10000,over=6h,start=180d`. Instead of `over`, `rate` gives the attempts per hour.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let kind = match parts.next().unwrap_or_default() {
            "botnet" => CampaignKind::Botnet,
            "spray" => CampaignKind::Spray,
            other => return Err(format!("{other:?} is not a campaign; use botnet or spray")),
        };
        let mut campaign = Campaign::new(kind);
        let (mut addresses, mut over, mut rate) = (None, None, None);
        for part in parts {
            let (key, value) = split(part)?;
            match key {
                "attempts" => campaign.attempts = number(key, value, MAX_ATTEMPTS)?,
                "start" => campaign.start = seconds(key, value)?,
                "over" => over = Some(seconds(key, value)?.max(1)),
                "rate" => rate = Some(i64::from(number(key, value, MAX_ATTEMPTS)?)),
                "addresses" => addresses = Some(number(key, value, MAX_ATTEMPTS)?),
                "unknown" => campaign.unknown = share(key, value)?,
                "success" => campaign.success = share(key, value)?,
                "agents" => campaign.agents = number(key, value, 10_000)?,
                "shape" => {
                    campaign.shape = match value {
                        "bursts" => CampaignShape::Bursts,
                        "trickle" => CampaignShape::Trickle,
                        other => return Err(format!("shape={other}: use bursts or trickle")),
                    }
                }
                other => return Err(format!("{other} is not a setting; use attempts, rate, over, start, addresses, unknown, success, agents or shape")),
            }
        }
        campaign.addresses = addresses.unwrap_or_else(|| Campaign::default_addresses(kind, campaign.attempts));
        campaign.duration = match (over, rate) {
            (Some(_), Some(_)) => return Err("give either over or rate: the other one follows from attempts".to_owned()),
            (Some(over), None) => over,
            (None, Some(rate)) => (i64::from(campaign.attempts) * 3_600 / rate).max(1),
            (None, None) => campaign.duration,
        };
        Ok(campaign)
    }
}

impl FromStr for Surge {
    type Err = String;

    /// Parses a surge, for example `email,start=200d,share=0.05`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let kind = match parts.next().unwrap_or_default() {
            "email" => SurgeKind::Email,
            "monday" => SurgeKind::Monday,
            "outage" => SurgeKind::Outage,
            "release" => SurgeKind::Release,
            other => return Err(format!("{other:?} is not a surge; use email, monday, outage or release")),
        };
        let mut surge = Surge::new(kind);
        for part in parts {
            match split(part)? {
                ("start", value) => surge.start = seconds("start", value)?,
                ("share", value) => surge.share = share("share", value)?,
                (other, _) => return Err(format!("{other} is not a setting; use start or share")),
            }
        }
        Ok(surge)
    }
}

fn split(part: &str) -> Result<(&str, &str), String> {
    part.split_once('=').ok_or_else(|| format!("{part:?} is not a setting; write KEY=VALUE"))
}

fn number(key: &str, value: &str, max: u32) -> Result<u32, String> {
    value.parse().ok().filter(|number| (1..=max).contains(number)).ok_or_else(|| format!("{key}={value}: must be a number from 1 to {max}"))
}

fn share(key: &str, value: &str) -> Result<f64, String> {
    value.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| format!("{key}={value}: must be a number from 0 to 1"))
}

fn seconds(key: &str, value: &str) -> Result<i64, String> {
    let parsed = humantime::parse_duration(value).ok().and_then(|duration| i64::try_from(duration.as_secs()).ok());
    parsed.filter(|seconds| *seconds <= 3_650 * 86_400).ok_or_else(|| format!("{key}={value}: must be a duration of at most ten years, for example 6h or 180d"))
}
