//! One user: sign-ins newest first, and the devices, places and hours that the stored rows show.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::activity::Activity;

/// Sign-ins that a timeline lists.
const MAX_SIGN_INS: usize = 200;

/// Devices and places that are listed.
const MAX_PLACES: usize = 20;

/// Country, AS and network of a sign-in.
type Place<'a> = (Option<&'a str>, Option<u32>, Option<&'a str>);

impl Activity {
    /// The timeline of a user by pseudonym; `None` when no row is of this user.
    pub fn user(&self, user: &str) -> Option<Value> {
        let (mut sign_ins, mut count, mut got_in, mut stopped) = (Vec::new(), 0_u32, 0_u32, 0_u32);
        let mut hours = [0_u32; 24];
        let mut devices: BTreeMap<&str, (u32, i64)> = BTreeMap::new();
        let mut places: BTreeMap<Place<'_>, (u32, i64)> = BTreeMap::new();
        for row in self.rows.iter().rev().filter(|row| row.user.as_deref() == Some(user)) {
            count += 1;
            got_in += u32::from(row.got_in());
            stopped += u32::from(row.is_stopped());
            if sign_ins.len() < MAX_SIGN_INS {
                sign_ins.push(row.to_json(&self.codes));
            }
            if !row.got_in() {
                continue;
            }
            if let Some(hour) = usize::try_from(row.at.div_euclid(3_600_000).rem_euclid(24)).ok().and_then(|hour| hours.get_mut(hour)) {
                *hour += 1;
            }
            if let Some(device) = &row.device {
                add(devices.entry(device).or_insert((0, row.at)), row.at);
            }
            let place = (row.country.map(|code| self.codes.text(code)), row.asn, row.net.as_deref());
            add(places.entry(place).or_insert((0, row.at)), row.at);
        }
        (count > 0).then(|| {
            let mut devices: Vec<_> = devices.into_iter().collect();
            devices.sort_unstable_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
            let mut places: Vec<_> = places.into_iter().collect();
            places.sort_unstable_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
            let devices: Vec<Value> =
                devices.into_iter().take(MAX_PLACES).map(|(device, (count, last))| json!({ "device": device, "count": count, "last": last })).collect();
            let places: Vec<Value> = places
                .into_iter()
                .take(MAX_PLACES)
                .map(|((country, asn, net), (count, last))| json!({ "country": country, "asn": asn, "net": net, "count": count, "last": last }))
                .collect();
            json!({
                "user": user, "total": count, "got_in": got_in, "stopped": stopped, "sign_ins": sign_ins, "devices": devices, "places": places, "hours": hours,
            })
        })
    }
}

fn add(entry: &mut (u32, i64), at: i64) {
    *entry = (entry.0 + 1, entry.1.max(at));
}
