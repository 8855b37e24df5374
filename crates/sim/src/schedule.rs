//! A schedule: where it starts, what happens, and whether every promise held.

use pinseal_protocol::configuration::AnchorLevel;

use crate::moves::{Move, Theme};
use crate::random::Random;
use crate::scene;
use crate::violation::Violation;
use crate::world::{Counts, Setting, World};

/// What one seed makes happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Where it comes from.
    pub seed: u64,
    /// What may happen to the anchor, and what is claimed.
    pub setting: Setting,
    /// What kind of schedule it is.
    pub theme: Theme,
    /// Place of the scene it starts from.
    pub scene: usize,
    /// What happens.
    pub moves: Vec<Move>,
}

/// A schedule that broke a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The schedule.
    pub schedule: Schedule,
    /// What it broke.
    pub violation: Violation,
}

impl Schedule {
    /// The schedule of this seed, under this setting or one that the seed chooses.
    pub fn draw(seed: u64, setting: Option<Setting>) -> Self {
        let mut random = Random::new(seed);
        let drawn = random.weighted(&[
            (7, Setting::File),
            (1, Setting::FileRestored),
            (4, Setting::Witnesses),
            (3, Setting::WitnessesSplit),
            (4, Setting::Tpm),
        ]);
        let setting = setting.unwrap_or(drawn);
        let theme = random.weighted(&[
            (3, Theme::Honest),
            (3, Theme::Guesser),
            (3, Theme::Harvester),
            (3, Theme::Forker),
            (2, Theme::Restorer),
            (3, Theme::Changer),
            (3, Theme::Forgetter),
            (3, Theme::Crowd),
        ]);
        let is_owner = setting.level() == AnchorLevel::L2 && random.once_in(3);
        let theme = if is_owner { Theme::Owner } else { theme };
        // Drawn apart, so that the other schedules are the same with and without it.
        let mut apart = Random::new(!seed);
        let is_mover = match setting.level() {
            AnchorLevel::L2 => apart.once_in(3),
            AnchorLevel::L1 => apart.once_in(8),
            AnchorLevel::L0 | AnchorLevel::L4 => false,
        };
        let theme = if is_mover { Theme::Mover } else { theme };
        let scenes = scene::all(setting.level()).len();
        // The last scene is the crowd's.
        let scene = if theme == Theme::Crowd { scenes - 1 } else { random.below(scenes) };
        let moves = Move::draw_schedule(&mut random, theme, setting);
        Self { seed, setting, theme, scene, moves }
    }

    /// The name of the scene it starts from.
    pub fn scene_name(&self) -> &'static str {
        scene::all(self.setting.level()).get(self.scene).map_or("", |scene| scene.name)
    }
}

/// Plays a schedule to its end, everything checked.
///
/// # Errors
/// The first promise that broke.
pub fn run(schedule: &Schedule) -> Result<Counts, Violation> {
    let mut world = start(schedule, false);
    play(&mut world, schedule)?;
    Ok(world.counts())
}

/// The schedule as it went, a line for each move and for each thing that came of it.
pub fn trace(schedule: &Schedule) -> Vec<String> {
    let mut world = start(schedule, true);
    let verdict = play(&mut world, schedule);
    let mut lines = vec![format!(
        "{}, {:?}, from the scene \"{}\"",
        schedule.setting.name(),
        schedule.theme,
        schedule.scene_name()
    )];
    lines.extend(
        world.take_log().into_iter().map(|line| if line.starts_with('>') { line } else { format!("    {line}") }),
    );
    match verdict {
        Ok(()) => lines.push("every promise held".to_owned()),
        Err(violation) => lines.push(format!("BROKEN {violation}")),
    }
    lines
}

fn start(schedule: &Schedule, tracing: bool) -> World {
    let scenes = scene::all(schedule.setting.level());
    let mut world = World::new(&scenes[schedule.scene % scenes.len()], schedule.setting, tracing);
    world.honest = schedule.theme == Theme::Honest;
    world
}

fn play(world: &mut World, schedule: &Schedule) -> Result<(), Violation> {
    for one in &schedule.moves {
        world.play(*one)?;
    }
    world.epilogue()
}
