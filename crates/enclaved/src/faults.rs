//! Named places at which crash tests end the process. Without the feature `fault-points` every call here is nothing.
//!
//! `PINSEAL_FAULT="enclave.before_commit:2"` ends it before the second commit is sent. `before_` and `after_` go with every kind of
//! message in either direction: a received message is *before* until it was handled and *after* until anything of its outcome is
//! sent; a sent one is *before* while everything earlier is sent, and *after* once it was handed to the kernel itself.
//! `enclave.forbidden_call:1` makes a system call outside the filter when the first message arrives, `enclave.panic:1` panics then.
//! `every.stay_dumpable:1` leaves that one measure out, for tests that must read this process's memory without being root; `pinseal` obeys
//! it, too. Names of other processes are theirs to obey.
//!
//! `PINSEAL_KEEP_SECRETS` is for the tests that look for secrets in memory, which have to find some before they count: `heap` keeps
//! what passes [`pinseal_enclave`]'s keeper, `stack` leaves the stack as each step left it.

#[cfg(feature = "fault-points")]
pub(crate) use enabled::Faults;

#[cfg(not(feature = "fault-points"))]
pub(crate) use disabled::Faults;

/// On which side of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

#[cfg(not(feature = "fault-points"))]
mod disabled {
    use super::Side;

    #[derive(Debug)]
    pub(crate) struct Faults;

    impl Faults {
        pub(crate) fn from_environment() -> Self {
            Self
        }

        /// Is this where the process is to end?
        #[expect(clippy::unused_self, reason = "same shape as with the feature")]
        pub(crate) fn is_due(&mut self, _: Side, _: &'static str) -> bool {
            false
        }

        /// Is the process to stay dumpable?
        #[expect(clippy::unused_self, reason = "same shape as with the feature")]
        pub(crate) const fn stays_dumpable(&self) -> bool {
            false
        }

        /// Is the stack to be left as it is?
        #[expect(clippy::unused_self, reason = "same shape as with the feature")]
        pub(crate) const fn leaves_stack(&self) -> bool {
            false
        }
    }
}

#[cfg(feature = "fault-points")]
mod enabled {
    use pinseal_enclave::Kept;

    use super::Side;
    use crate::hardening::sys::Forbidden;
    use crate::journal::{self, Level};

    const VARIABLE: &str = "PINSEAL_FAULT";
    const KEEP_VARIABLE: &str = "PINSEAL_KEEP_SECRETS";
    const PREFIX: &str = "enclave.";
    const FORBIDDEN_CALL: &str = "forbidden_call";
    const PANIC: &str = "panic";
    const STAY_DUMPABLE: &str = "every.stay_dumpable:1";

    #[derive(Debug)]
    pub(crate) struct Faults {
        leaves_stack: bool,
        stays_dumpable: bool,
        place: Option<String>,
        /// How often the place is still to be passed; 1 means next time.
        left: u64,
    }

    impl Faults {
        /// Reads the variable; a value that means nothing ends the process, so that no crash test passes by misspelling.
        pub(crate) fn from_environment() -> Self {
            let leaves_stack = match std::env::var(KEEP_VARIABLE).as_deref() {
                Err(_) => false,
                Ok("heap") => {
                    pinseal_enclave::keep_secrets(Kept::Heap(Vec::new()));
                    false
                }
                Ok("stack") => {
                    pinseal_enclave::keep_secrets(Kept::Stack);
                    true
                }
                Ok(_) => misspelt(),
            };
            let value = std::env::var(VARIABLE).unwrap_or_default();
            let stays_dumpable = value == STAY_DUMPABLE;
            let Some(value) = value.strip_prefix(PREFIX) else {
                return Self { leaves_stack, stays_dumpable, place: None, left: 0 };
            };
            let parsed = value.split_once(':').and_then(|(place, nth)| Some((place, nth.parse::<u64>().ok()?)));
            match parsed {
                Some((place, left @ 1..)) if is_place(place) => {
                    Self { leaves_stack, stays_dumpable, place: Some(place.to_owned()), left }
                }
                _ => misspelt(),
            }
        }

        /// Is the process to stay dumpable?
        pub(crate) const fn stays_dumpable(&self) -> bool {
            self.stays_dumpable
        }

        /// Is the stack to be left as it is?
        pub(crate) const fn leaves_stack(&self) -> bool {
            self.leaves_stack
        }

        /// Is this where the process is to end?
        pub(crate) fn is_due(&mut self, side: Side, kind: &'static str) -> bool {
            let Some(place) = self.place.as_deref() else { return false };
            // A hello is sent before any message arrives.
            if kind != "hello" && place == FORBIDDEN_CALL {
                Forbidden::Socket.attempt();
                journal::write(Level::Error, "forbidden_call_survived", &[]);
                return true;
            }
            assert!(kind == "hello" || place != PANIC, "a message that might quote a secret");
            let side = match side {
                Side::Before => "before_",
                Side::After => "after_",
            };
            if place.strip_prefix(side) != Some(kind) {
                return false;
            }
            self.left = self.left.saturating_sub(1);
            self.left == 0
        }
    }

    fn misspelt() -> ! {
        journal::write(Level::Error, "fault_misspelt", &[]);
        std::process::abort()
    }

    fn is_place(place: &str) -> bool {
        let kind = place.strip_prefix("before_").or_else(|| place.strip_prefix("after_"));
        [FORBIDDEN_CALL, PANIC].contains(&place) || kind.is_some_and(|kind| crate::transport::KINDS.contains(&kind))
    }
}
