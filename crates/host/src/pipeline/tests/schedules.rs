//! Random schedules of everything that can happen.

use super::*;

/// A small generator, so that a failing schedule is named by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

#[test]
fn under_random_schedules_every_caller_is_answered_once_and_wallets_are_never_shared() {
    for seed in 1..40_u64 {
        let mut bench = Bench::new();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // What the played loader and enclave still owe.
        let mut loads: Vec<(CallId, Load)> = Vec::new();
        let mut enclave: Vec<(CallId, Option<(u8, RequestId)>)> = Vec::new();
        let mut asked = Vec::new();
        let mut answered = Vec::new();
        let mut number = 0_u8;
        for _ in 0..400 {
            let actions = match dice.roll(6) {
                0 | 1 if number < 200 => {
                    number += 1;
                    let wallet = u8::try_from(dice.roll(3)).unwrap();
                    let (ticket, actions) = bench.seal(wallet, number, &number.to_string());
                    asked.push(ticket);
                    actions
                }
                2 => {
                    let (ticket, actions) = bench.begin(None);
                    asked.push(ticket);
                    actions
                }
                3 if !loads.is_empty() => {
                    let (call, load) = loads.swap_remove(dice.roll(loads.len()));
                    let grant = match load {
                        Load::Sealed { grant, .. } => Some(grant),
                        Load::Begin { .. } => None,
                    };
                    bench.step(Event::Loaded { call, loaded: Ok(Loaded { grant, outer: None, consistency: None }) })
                }
                4 if !enclave.is_empty() => {
                    let (call, sealed) = enclave.swap_remove(dice.roll(enclave.len()));
                    let frame = match sealed {
                        Some((_, request)) => FromEnclave::Replied { call, reply: reply(request.0[0]) },
                        None if dice.roll(2) == 0 => FromEnclave::Begun { call, begun: Begun::NeedsRecord(wallet(0)) },
                        None => FromEnclave::Begun { call, begun: Begun::Refused(Refusal::TokenInvalid) },
                    };
                    bench.step(Event::Enclave(frame))
                }
                5 if dice.roll(4) == 0 => {
                    bench.now = UnixSeconds(bench.now.0 + 9);
                    bench.step(Event::Idle)
                }
                _ => bench.step(Event::Idle),
            };
            for action in actions {
                match action {
                    Action::Load { call, load } => loads.push((call, load)),
                    Action::Send(ToEnclave::Sealed { call, request, .. }) => {
                        enclave.push((call, Some((0, request.header.request))));
                    }
                    Action::Send(ToEnclave::Begin { call, .. }) => enclave.push((call, None)),
                    Action::Answer { ticket, .. } => answered.push(ticket),
                    Action::DropOld { .. } => {}
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            let mut held: Vec<UserIdHash> = loads
                .iter()
                .map(|(_, load)| match load {
                    Load::Sealed { grant, .. } => *grant.wallet(),
                    Load::Begin { wallet, .. } => *wallet,
                })
                .collect();
            held.sort_unstable();
            assert!(held.windows(2).all(|pair| pair[0] != pair[1]), "seed {seed}: two calls share a wallet");
        }
        answered.extend(answers(&bench.step(Event::Disconnected)).into_iter().map(|(ticket, _)| ticket));
        answered.sort_unstable();
        assert_eq!(answered, asked, "seed {seed}");
        assert_eq!(bench.pipeline.depths().in_flight, 0);
    }
}
