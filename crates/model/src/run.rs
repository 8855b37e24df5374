//! Exploring a setting to its end, or to the first promise it breaks.

use stateright::{Checker as _, HasDiscoveries, Model as _};

use crate::setting::Setting;

/// What an exploration without a gap found.
#[derive(Debug, Clone)]
pub struct Explored {
    /// States, each counted once.
    pub states: usize,
    /// Steps of the longest of the shortest ways to a state.
    pub depth: usize,
    /// Promises that were broken: name, and the steps to it.
    pub broken: Vec<Broken>,
    /// What can happen, of what is meant to be able to.
    pub reached: Vec<&'static str>,
    /// What cannot.
    pub unreached: Vec<&'static str>,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Which; [`crate::Promise::name`].
    pub promise: &'static str,
    /// The fewest steps to it.
    pub steps: Vec<String>,
    /// States that were looked at until then.
    pub states: usize,
}

/// Explores everything.
pub fn explore(setting: Setting, threads: usize) -> Explored {
    let checker = setting.checker().threads(threads).finish_when(HasDiscoveries::AllFailures).spawn_bfs().join();
    let mut explored = Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: Vec::new(),
        reached: Vec::new(),
        unreached: Vec::new(),
    };
    let discoveries = checker.discoveries();
    for property in setting.properties() {
        match (property.expectation, discoveries.get(property.name)) {
            (stateright::Expectation::Sometimes, Some(_)) => explored.reached.push(property.name),
            (stateright::Expectation::Sometimes, None) => explored.unreached.push(property.name),
            (_, Some(path)) => {
                let steps = path.clone().into_actions().iter().map(|action| action.to_string()).collect();
                explored.broken.push(Broken { promise: property.name, steps, states: explored.states });
            }
            (_, None) => {}
        }
    }
    explored
}

/// A promise that is broken in the fewest steps, if one is; `stateright` tells the last way it sees, not the shortest, so the depth is narrowed
/// down until one step less breaks nothing.
pub fn first_broken(setting: Setting) -> Option<Broken> {
    let mut found = broken_within(setting, usize::MAX)?;
    let mut sound = 0;
    while sound + 1 < found.steps.len() {
        let middle = sound.midpoint(found.steps.len());
        match broken_within(setting, middle) {
            Some(broken) => found = broken,
            None => sound = middle,
        }
    }
    Some(found)
}

/// What can be broken with at most so many steps.
fn broken_within(setting: Setting, steps: usize) -> Option<Broken> {
    // The start counts as one, and what is cut off is not looked at.
    let depth = steps.saturating_add(2);
    let checker = setting.checker().target_max_depth(depth).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    let failures = setting.properties().into_iter().filter(|property| property.expectation.discovery_is_failure());
    let broken = failures.filter_map(|property| {
        let path = checker.discovery(property.name)?;
        let steps = path.into_actions().iter().map(ToString::to_string).collect();
        Some(Broken { promise: property.name, steps, states })
    });
    broken.min_by_key(|broken| broken.steps.len())
}
