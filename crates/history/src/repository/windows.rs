//! The windows of an address and its network: which accounts were seen there in the last hour.

use std::net::IpAddr;

use smallvec::SmallVec;
use smol_str::{SmolStr, ToSmolStr};

use crate::repository::HistoryRepository;
use riskgate_engine::{
    client_ip::{host_of, network_of},
    encoding::hash_field_name,
    evidence::{FailureReason, history::Velocity},
    sign_in::SignIn,
    velocity,
};
use riskgate_store::{EntriesByWindow, EntryTime, MissingWindow, Store, WindowEntry};

/// The keys of the windows of a network and of an address.
pub(super) type WindowKeys = [SmolStr; 2];

impl HistoryRepository {
    /// Counts the accounts seen from the address and its network. Entries are added under every key, so a key rotation resets no count.
    pub(super) async fn count_velocity(
        &self,
        windows: &[(WindowKeys, WindowEntry)],
        missing: MissingWindow,
        time: EntryTime,
    ) -> (Velocity, Option<FailureReason>) {
        let count_one = async |(windows, own_entry): &(WindowKeys, WindowEntry)| match self.add_to_windows(windows, *own_entry, missing, time).await {
            Ok(entries) => {
                let of_window = |index: usize| entries.windows.get(index).map_or(&[][..], |entries| entries.as_slice());
                let cause = (entries.unreadable > 0).then_some(FailureReason::BadAnswer);
                (velocity::accounts(*own_entry, of_window(0), of_window(1)), cause)
            }
            Err(cause) => (Velocity::default(), Some(cause)),
        };
        match windows {
            [] => (Velocity::default(), None),
            [one] => count_one(one).await,
            several => {
                let counted = futures_util::future::join_all(several.iter().map(count_one)).await.into_iter();
                counted.reduce(|(first, reason), (second, other_reason)| (first.max(second), reason.or(other_reason))).unwrap_or_default()
            }
        }
    }

    /// Adds the entry to the windows in the store. Windows that are missing there and may not be created are in this process.
    async fn add_to_windows(
        &self,
        windows: &WindowKeys,
        own_entry: WindowEntry,
        missing: MissingWindow,
        time: EntryTime,
    ) -> Result<EntriesByWindow, FailureReason> {
        let entry = WindowEntry { host: 0, ..own_entry };
        let mut entries = self.store.add_to_window(windows, entry, missing, time).await?;
        if missing == MissingWindow::Skip {
            for (window, entries) in windows.iter().zip(&mut entries.windows).filter(|(_, entries)| entries.is_empty()) {
                let in_process = self.in_process.add_to_window(std::slice::from_ref(window), entry, MissingWindow::Create, time).await?;
                *entries = in_process.windows.into_iter().next().unwrap_or_default();
            }
        }
        Ok(entries)
    }

    /// The windows of the network and of the address, and the entry of this sign-in, under every key. Trusted and claimed addresses are counted
    /// separately, because anyone can claim any address.
    pub(super) fn window_entries(&self, sign_in: &SignIn) -> SmallVec<[(WindowKeys, WindowEntry); 1]> {
        let Some(ip) = sign_in.context.ip.public() else { return SmallVec::new() };
        let (network, host) = (format_ip(network_of(ip)), format_ip(host_of(ip)));
        let purpose = if sign_in.context.is_trusted() { "network" } else { "claimed network" };
        let keys = self.pseudonyms.records(purpose, &[network.as_bytes()]);
        let accounts = self.pseudonyms.account_hashes(&sign_in.pool, &sign_in.user);
        let hosts = self.pseudonyms.short_hashes("host", &[host.as_bytes()]);
        let entries = accounts.into_iter().zip(hosts).map(|(account, host)| WindowEntry { account, host });
        keys.iter().zip(entries).map(|(key, entry)| (window_keys(key, entry.host), entry)).collect()
    }
}

/// The keys of the windows of a network and of an address in it.
fn window_keys(network: &str, host: u32) -> WindowKeys {
    let host = hash_field_name('#', host);
    let address = ["n#", network, &host].concat();
    [address[..address.len() - host.len()].into(), address.into()]
}

/// Formats an address. IPv4 addresses are the most frequent, and this code is several times faster than the standard formatter.
pub(super) fn format_ip(ip: IpAddr) -> SmolStr {
    let IpAddr::V4(v4) = ip else { return ip.to_smolstr() };
    let (mut text, mut end) = ([b'.'; 16], 0);
    for octet in v4.octets() {
        for (minimum, unit) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= minimum {
                text[end] = b'0' + octet / unit % 10;
                end += 1;
            }
        }
        // The buffer already contains the dot.
        end += 1;
    }
    std::str::from_utf8(&text[..end - 1]).expect("digits and dots").into()
}
