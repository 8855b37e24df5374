//! Which measures are in force, as found by trying them.

use pinseal_protocol::wire;

/// One thing the process does to itself before it reads anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// Other processes of the same user can neither trace this one nor read its memory.
    NotDumpable,
    /// A crash writes no memory to disk.
    NoCore,
    /// No program started from here could gain privileges.
    NoNewPrivileges,
    /// Every capability is given up, also when started as root.
    NoCapabilities,
    /// Nothing is open but the host's socket and the standard streams.
    ClosedDescriptors,
    /// No access to files, and to TCP and other processes where the kernel can tell.
    Landlock,
    /// Only the system calls the loop needs; any other ends the process.
    Seccomp,
    /// Small heap blocks lie in locked memory and are zeroed when freed.
    LockedArena,
    /// The stack lies in locked memory.
    LockedStack,
}

impl Measure {
    /// Every measure, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::NotDumpable,
        Self::NoCore,
        Self::NoNewPrivileges,
        Self::NoCapabilities,
        Self::ClosedDescriptors,
        Self::Landlock,
        Self::Seccomp,
        Self::LockedArena,
        Self::LockedStack,
    ];

    /// Its name on the command line, on the wire and in `pinseal status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDumpable => "not_dumpable",
            Self::NoCore => "no_core",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::NoCapabilities => "no_capabilities",
            Self::ClosedDescriptors => "closed_descriptors",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::LockedArena => "locked_arena",
            Self::LockedStack => "locked_stack",
        }
    }

    /// The measure of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// What the operator can do about its absence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NotDumpable | Self::NoCore | Self::NoNewPrivileges | Self::NoCapabilities => {
                "the kernel refused it: check the sandbox this process is started in"
            }
            Self::ClosedDescriptors => "needs Linux 5.9 and /proc mounted",
            Self::Landlock => "needs Linux 5.13 with landlock in the kernel's list of security modules (lsm=)",
            Self::Seccomp => "needs a kernel with CONFIG_SECCOMP_FILTER",
            Self::LockedArena | Self::LockedStack => {
                "raise the memory lock limit to 8 MiB (ulimit -l 8192, LimitMEMLOCK=8M)"
            }
        }
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// In force.
    Active,
    /// Not in force, or it could not be shown to be.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which measure.
    pub measure: Measure,
    /// In force or not.
    pub state: State,
    /// What the probe saw: numbers and fixed words, nothing secret.
    pub detail: String,
}

/// All findings, in the order of [`Measure::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HardeningReport {
    findings: Vec<Finding>,
}

impl HardeningReport {
    /// Enters what applying and probing a measure came to.
    pub(super) fn enter(&mut self, measure: Measure, outcome: Result<String, String>) {
        let (state, detail) = match outcome {
            Ok(detail) => (State::Active, detail),
            Err(detail) => (State::Missing, detail),
        };
        self.findings.push(Finding { measure, state, detail });
        self.findings.sort_by_key(|finding| finding.measure);
    }

    /// Takes back an entry that a later probe contradicts.
    pub(super) fn contradict(&mut self, measure: Measure, detail: &str) {
        for finding in self.findings.iter_mut().filter(|finding| finding.measure == measure) {
            if finding.state == State::Active {
                finding.state = State::Missing;
                detail.clone_into(&mut finding.detail);
            }
        }
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Findings of measures that are missing and not in `allowed`. A measure nobody entered counts as missing.
    pub fn refused(&self, allowed: &[Measure]) -> Vec<Finding> {
        let found = |measure| self.findings.iter().find(|finding| finding.measure == measure).cloned();
        Measure::ALL
            .into_iter()
            .filter(|measure| !allowed.contains(measure))
            .map(|measure| {
                found(measure).unwrap_or(Finding { measure, state: State::Missing, detail: "not tried".to_owned() })
            })
            .filter(|finding| finding.state == State::Missing)
            .collect()
    }

    /// As it travels to the host.
    pub fn to_wire(&self) -> Vec<wire::Measure> {
        let line = |finding: &Finding| wire::Measure {
            name: finding.measure.name().to_owned(),
            active: finding.state == State::Active,
            detail: finding.detail.clone(),
        };
        self.findings.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_nobody_entered_is_refused_unless_allowed() {
        let mut report = HardeningReport::default();
        assert_eq!(report.refused(&[]).len(), Measure::ALL.len());
        for measure in Measure::ALL {
            report.enter(measure, Ok("seen".to_owned()));
        }
        assert_eq!(report.refused(&[]), []);
        report.contradict(Measure::Seccomp, "gone");
        let refused = report.refused(&[Measure::Landlock]);
        assert_eq!(refused.iter().map(|finding| finding.measure).collect::<Vec<_>>(), [Measure::Seccomp]);
        assert_eq!(report.refused(&[Measure::Seccomp]), []);
    }

    #[test]
    fn names_are_unique_and_found_again() {
        for measure in Measure::ALL {
            assert_eq!(Measure::from_name(measure.name()), Some(measure));
        }
        assert_eq!(Measure::from_name("everything"), None);
    }
}
