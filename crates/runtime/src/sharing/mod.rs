//! Detection of values that many users share although they should differ between users: a backend's own address instead of the user's,
//! or a device id that is the same on every device.
//!
//! Each process counts its own sign-ins, in bounded memory. Users, addresses and device ids are stored as keyed hashes only.

use std::sync::Arc;

use riskgate_engine::{ignored::IgnoredInput, sign_in::SignIn};

mod addresses;

mod devices;

pub use crate::sharing::{
    addresses::{AddressProblem, SharedAddresses},
    devices::SharedDevices,
};

/// The detectors of shared values of a process.
#[derive(Debug, Default)]
pub struct SharedValues {
    /// Shared addresses, by app client.
    pub addresses: SharedAddresses,
    /// Shared device ids.
    pub devices: SharedDevices,
}

impl SharedValues {
    /// Counts a sign-in. If too many users share its device id, the sign-in is updated to ignore the id as evidence of familiarity.
    ///
    /// Only trusted contexts count; otherwise an attacker could make values look shared. Unknown users count too, because they must be
    /// treated like known ones.
    pub fn observe(&self, sign_in: &mut Arc<SignIn>) {
        let (context, user) = (&sign_in.context, sign_in.user.key());
        if !context.is_trusted() || user.is_empty() {
            return;
        }
        self.addresses.observe(&sign_in.client, user, context.ip);
        let is_shared = context.device_id.as_ref().is_some_and(|id| self.devices.observe(id.expose(), user));
        if is_shared {
            Arc::make_mut(sign_in).context.ignored.insert(IgnoredInput::SharedDeviceId);
        }
    }
}
