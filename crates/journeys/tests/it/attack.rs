//! The API under attack, over real processes: what strangers can do to the host costs them a refusal and the host a bounded amount
//! of memory, and an honest user logs in and signs meanwhile.
//!
//! Attackers come from loopback addresses of their own (127.x.y.z), so that the host sees many clients. `ATTACK=full` opens as many
//! connections and sends as much as `make attack` promises; the short form is for `make test`.

mod bodies;
mod connections;
mod floods;
mod requests;
mod rig;
mod schemathesis;
