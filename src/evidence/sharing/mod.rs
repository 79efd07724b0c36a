//! Values that many users share although each user should have their own: a caller's own address, a device id that every device reports.
//!
//! Each process judges by the sign-ins that it sees, in bounded memory, and by keyed hashes only.

use std::sync::Arc;

use crate::event::{IgnoredInput, SignIn};

mod addresses;

mod devices;

pub use self::{
    addresses::{AddressFault, SharedAddresses},
    devices::SharedDevices,
};

/// What the sign-ins of a process have in common.
#[derive(Debug, Default)]
pub struct Sharing {
    /// Addresses, by app client.
    pub addresses: SharedAddresses,
    /// Device ids.
    pub devices: SharedDevices,
}

impl Sharing {
    /// Counts a sign-in. A device id that too many users share is marked: it is no evidence of familiarity.
    ///
    /// Only believed claims count: a stranger must not be able to make values look shared. Names that the pool does not know count too, since
    /// they have to be treated like those that it knows.
    pub fn observe(&self, sign_in: &mut Arc<SignIn>) {
        let (context, user) = (&sign_in.context, sign_in.person.key());
        if !context.is_believed() || user.is_empty() {
            return;
        }
        self.addresses.observe(&sign_in.client, user, context.ip);
        let is_shared = context.device_id.as_ref().is_some_and(|id| self.devices.observe(id.expose(), user));
        if is_shared {
            Arc::make_mut(sign_in).context.ignored.insert(IgnoredInput::SharedDeviceId);
        }
    }
}
