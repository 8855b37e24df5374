//! Moves in words.

use core::fmt;

use super::Move;
use crate::anchor::Weather;
use crate::carry::{Claim, Stage};
use crate::people::{Company, What};
use crate::scene::NAMES;

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pin = |right: &bool| if *right { "the right PIN" } else { "a wrong PIN" };
        match self {
            Self::Ask { at, who, what, right, heard, waits, whole } => {
                let later = if *waits { "an hour later, " } else { "" };
                let whole = if *whole { ", and the host carries it through" } else { "" };
                let lost = if *heard { "" } else { "; the host drops the reply" };
                write!(f, "{later}{} asks enclave {at} to {what} under {}{whole}{lost}", NAMES[*who], pin(right))
            }
            Self::Hold { at, who, what, right } => {
                write!(f, "{} asks enclave {at} to {what} under {}; the host keeps it", NAMES[*who], pin(right))
            }
            Self::Replay { at, back, company } => {
                let beside = match company {
                    Company::Newest => "the newest record".to_owned(),
                    Company::Older(back) => format!("a record {back} writes old, then the newest"),
                    Company::Nothing => "no record, then the newest".to_owned(),
                };
                write!(f, "the host hands enclave {at} the request {back} before the last, with {beside}")
            }
            Self::Flip { at, back, bit } => {
                write!(f, "the host hands enclave {at} the request {back} before the last, bit {bit} flipped")
            }
            Self::Step { at, steps, weather: Weather::Fine } => write!(f, "host {at} does {} things", steps + 1),
            Self::Step { at, steps, weather } => {
                write!(f, "host {at} does {} things, and the last is answered {weather:?}", steps + 1)
            }
            Self::Finish { at } => write!(f, "host {at} does all that waits"),
            Self::Abort { at, steps } => {
                write!(f, "host {at} does {steps} things, and says to the enclave that the batch was not stored")
            }
            Self::Foreign { at, steps, back } => {
                write!(f, "host {at} does {steps} things, and brings the enclave a receipt {back} writes old")
            }
            Self::Guess { at, who, times } => {
                write!(f, "{} gives enclave {at} {times} wrong PINs, each delay waited out", NAMES[*who])
            }
            Self::Storm { at, right } => {
                write!(f, "a stranger at every wallet asks enclave {at} to be enrolled under {}", pin(right))
            }
            Self::Brute { at, who, times, steps, back } => write!(
                f,
                "{times} x: {} gives enclave {at} a wrong PIN, host killed after {steps} steps, database put back by {back}",
                NAMES[*who]
            ),
            Self::Clock { at, by } => write!(f, "the clock of host {at} moves by {by} s"),
            Self::Kill { at } => write!(f, "enclave {at} and its host are killed"),
            Self::Boot { at, back, mixed, honest, tenure, weather, steps } => {
                let host = if *honest { "an honest host" } else { "the adversary" };
                write!(f, "{host} starts enclave {at} on ")?;
                match (mixed, back) {
                    (true, _) => write!(f, "records {back} writes old under the newest checkpoint")?,
                    (false, 0) => write!(f, "the newest database")?,
                    (false, _) => write!(f, "a database {back} writes old")?,
                }
                if *tenure > 0 {
                    write!(f, " under the root {tenure} back")?;
                }
                if *weather != Weather::Fine {
                    write!(f, ", the anchor answers {weather:?}")?;
                }
                if *steps != crate::boot::WHOLE {
                    write!(f, ", and dies after {steps} steps")?;
                }
                Ok(())
            }
            Self::RollBack { back } => write!(f, "the anchor is put back by {}, and the database with it", back + 1),
            Self::Order { wish, back, lie } => {
                write!(f, "operators order {wish} for a database {back} writes old{lie}")
            }
            Self::Arrange { at, wish, back, weather, steps } => {
                write!(
                    f,
                    "host {at} is stopped, operators order {wish} for a database {back} writes old, and it is carried out"
                )?;
                write_end(f, *weather, *steps, false)
            }
            Self::Carry {
                at,
                order,
                image,
                tenure,
                root,
                rebased,
                stage,
                claim,
                asks_next,
                weather,
                steps,
                pauses,
            } => {
                write!(f, "host {at} carries the order {order} before the last out on ")?;
                match image {
                    None => write!(f, "the database of the order")?,
                    Some(back) => write!(f, "a database {back} writes old")?,
                }
                if (*tenure, *root) != (0, 0) {
                    write!(f, " under the root {tenure} back ({root})")?;
                }
                if *rebased {
                    write!(f, ", as if it named what the TPM's index holds now")?;
                }
                match stage {
                    Stage::True => {}
                    Stage::Ordered => write!(f, ", as if nothing were logged")?,
                    Stage::Logged(back) => write!(f, ", as if the term {back} before the last were logged")?,
                }
                match claim {
                    Claim::Asked => {}
                    Claim::Nothing => write!(f, ", without the new anchor's word")?,
                    Claim::Forged(_) => write!(f, ", the new anchor's word made up")?,
                }
                if *asks_next {
                    write!(f, ", the new anchor asked for the receipt")?;
                }
                write_end(f, *weather, *steps, *pauses)
            }
            Self::Twice { at, wish, lie } => write!(
                f,
                "operators order {wish}{lie}; host {at} dies once that is stored, another carries it out, and the adversary starts the first under the second's root"
            ),
            Self::Revive { at, back, who, times } => write!(
                f,
                "the adversary starts enclave {at} on the newest database of the root {back} before the newest, and {}, which has agreed to what came after, gives it {times} wrong PINs",
                NAMES[*who]
            ),
            Self::Owner { chip, deed } => write!(f, "the owner of TPM {chip}: {deed}"),
            Self::Pair { first, who, brought } => write!(
                f,
                "both enclaves are handed one session, and {} gives a wrong PIN to one that serves; what enclave {first} has goes in, and the other is brought {brought}",
                NAMES[*who]
            ),
            Self::Forget { who } => write!(f, "{} comes without what it has seen", NAMES[*who]),
        }
    }
}

fn write_end(f: &mut fmt::Formatter<'_>, weather: Weather, steps: u8, pauses: bool) -> fmt::Result {
    if weather != Weather::Fine {
        write!(f, ", the anchor answers {weather:?}")?;
    }
    match steps {
        crate::boot::WHOLE => Ok(()),
        _ if pauses => write!(f, ", and waits after {steps} steps"),
        _ => write!(f, ", and dies after {steps} steps"),
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify => f.write_str("verify the PIN"),
            Self::Sign => f.write_str("sign"),
            Self::Enrol => f.write_str("enrol the device"),
            Self::Revoke(gone) => write!(f, "revoke {}", NAMES[*gone]),
            Self::Clear => f.write_str("clear tries"),
            Self::ChangePrepare(pin) => write!(f, "prepare PIN {pin}"),
            Self::ChangeConfirm => f.write_str("confirm the new PIN"),
            Self::Status => f.write_str("tell the status"),
            Self::History => f.write_str("tell the history"),
            Self::Lost => f.write_str("tell what was never anchored"),
            Self::Accept(0) => f.write_str("accept the restore"),
            Self::Accept(ahead) => write!(f, "accept a restore {ahead} later"),
            Self::Register(pin) => write!(f, "register under PIN {pin}"),
            Self::Confirm => f.write_str("confirm the registration"),
        }
    }
}
