//! L0: memory. Holds against nothing; for tests.

use std::sync::{Arc, Mutex, PoisonError};

use pinseal_protocol::configuration::AnchorLevel;

use crate::{AdvanceError, Anchor, LoadError, Receipt};

/// A checkpoint in memory; clones are handles on the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryAnchor {
    held: Arc<Mutex<Vec<u8>>>,
}

impl Anchor for MemoryAnchor {
    fn level(&self) -> AnchorLevel {
        AnchorLevel::L0
    }

    fn load(&self) -> Result<Option<Vec<u8>>, LoadError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(if held.is_empty() { None } else { Some(held) })
    }

    fn advance(&mut self, previous: &[u8], next: &[u8]) -> Result<Receipt, AdvanceError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != next {
            if *held != previous {
                return Err(AdvanceError::Lost { holds: held.clone() });
            }
            next.clone_into(&mut held);
        }
        Ok(Receipt(held.clone()))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_conforms() {
        crate::conformance::check(|| {
            let anchor = super::MemoryAnchor::default();
            move || Box::new(anchor.clone()) as Box<dyn crate::Anchor>
        });
    }
}
