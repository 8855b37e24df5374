//! A small deployment beside a large one: start, boot check, memory.

use anyhow::Context as _;

use crate::deployments::Yard;
use crate::findings::Scale;
use crate::memory::Memory;
use crate::rounds::Plan;
use crate::say;
use crate::stage::Stage;
use crate::statistics::Spread;

/// Stops and starts both, one after the other, and looks at their memory after each start.
pub(crate) fn measure(stage: &mut Stage, yard: &Yard, plan: &Plan) -> anyhow::Result<Scale> {
    let (few, many) = (stage.few.take().context("not set up")?, stage.many.take().context("not set up")?);
    let (few_data, many_data) = (few.system.directory.clone(), many.system.directory.clone());
    few.system.stop()?;
    many.system.stop()?;
    let (mut small_start, mut large_start, mut check) = (Vec::new(), Vec::new(), Vec::new());
    let mut memory = Vec::new();
    for start in 0..plan.starts {
        say!("start {} of {}: {} wallets, {} wallets", start + 1, plan.starts, plan.few, plan.many);
        let mut took = Vec::with_capacity(2);
        for data in [&few_data, &many_data] {
            let system = yard.start(data)?;
            took.push(system.started_in.as_secs_f64());
            memory.push((Memory::of(system.host)?, Memory::of(system.enclave)?));
            system.stop()?;
        }
        if let [small, large] = took[..] {
            small_start.push(small);
            large_start.push(large);
            check.push(large - small);
        }
    }
    let [.., (small_host, small_enclave), (large_host, large_enclave)] = memory[..] else {
        anyhow::bail!("nothing was started");
    };
    let more_bytes = (large_enclave.anonymous as f64 - small_enclave.anonymous as f64) * 1024.0;
    let spread = |values: Vec<f64>| Spread::of(values).context("nothing was started");
    Ok(Scale {
        small_start: spread(small_start)?,
        large_start: spread(large_start)?,
        boot_check: spread(check)?,
        small_host,
        small_enclave,
        large_host,
        large_enclave,
        enclave_bytes_per_wallet: more_bytes / (plan.many.saturating_sub(plan.few).max(1)) as f64,
    })
}
