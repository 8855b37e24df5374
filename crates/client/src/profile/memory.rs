//! A profile in memory: for tests and for hosts that keep it elsewhere.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Profile, ProfileError, ProfileLock, ProfileStore};

/// A profile that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryProfile(Arc<Mutex<Option<Profile>>>);

impl MemoryProfile {
    /// A store that holds `profile`.
    pub fn holding(profile: Profile) -> Self {
        Self(Arc::new(Mutex::new(Some(profile))))
    }
}

impl ProfileStore for MemoryProfile {
    fn lock(self: Arc<Self>) -> Result<Box<dyn ProfileLock>, ProfileError> {
        Ok(Box::new(Guard(Arc::clone(&self.0).blocking_lock_owned())))
    }
}

struct Guard(OwnedMutexGuard<Option<Profile>>);

impl ProfileLock for Guard {
    fn load(&self) -> Result<Option<Profile>, ProfileError> {
        Ok(self.0.as_ref().map(Profile::duplicate))
    }

    fn save(&mut self, profile: &Profile) -> Result<(), ProfileError> {
        *self.0 = Some(profile.duplicate());
        Ok(())
    }
}
