//! A whole conversation: a host that is honest, crashes, replays, reorders, lies about time and puts old disks back, and the people
//! whose requests it carries.

mod disks;
mod play;
mod rules;
mod wallet;

use arbitrary::{Result, Unstructured};

use play::Play;

/// Moves in one conversation.
const MOVES_MAX: usize = 40;

/// Any sequence of moves. Never a panic; verdicts are true; nothing is answered before its receipt; every write has one size and every
/// reply the size its request decides; wrong PINs answered obey the caps in every history.
pub fn conversation(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut play = Play::new();
    for _ in 0..MOVES_MAX {
        if u.is_empty() || play.one_move(&mut u).is_err() {
            break;
        }
    }
    play.end();
}

impl Play {
    fn one_move(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31)? {
            0..=9 => self.ask(u),
            10..=15 => self.settle(u),
            16 | 17 => self.keep(u),
            18 | 19 => self.submit_kept(u),
            20 | 21 => self.tell_time(u),
            22 => self.restart(),
            23 => self.put_database_back(u),
            24 => self.put_everything_back(u),
            25 => self.boot_on_changed_state(u),
            26 => self.bring_foreign_receipt(u),
            27 => self.break_order(u),
            28 => self.ask_evidence(u),
            29 => self.begin_with_bad_token(u),
            30 => self.submit_with_wrong_company(u),
            _ => self.guess(u),
        }
    }
}
