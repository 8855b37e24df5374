//! The findings for people: a table on the terminal, and the same as a page.

use core::fmt::Write as _;

use crate::findings::{Block, Findings, Goal, Scale};
use crate::memory::Memory;
use crate::rounds::TURNS;
use crate::statistics::Spread;

/// How it was run.
fn rounds(findings: &Findings) -> String {
    format!(
        "{} rounds of blocks of {} s, and {TURNS} turns a round, half as long each, of those that goals compare",
        findings.rounds, findings.seconds_of_a_block
    )
}

/// The whole report for a terminal.
pub(crate) fn text(findings: &Findings) -> String {
    let mut out = String::new();
    let machine = &findings.machine;
    let _ = writeln!(
        out,
        "{} x {}, {} GiB, Linux {}; a page on disk in {:.0} us (p99 {:.0})",
        machine.cores, machine.cpu, machine.memory_gib, machine.kernel, machine.sync_p50_us, machine.sync_p99_us
    );
    let _ = writeln!(out, "{}\n", rounds(findings));
    let _ = writeln!(
        out,
        "{:<14}{:>11}{:>9}{:>9}{:>10}{:>11}{:>10}{:>10}{:>10}",
        "block", "CPU us", "host", "enclave", "client", "each s", "p50 ms", "p99 ms", "verified"
    );
    for (name, block) in &findings.blocks {
        let [serving, host, enclave, client, rate, p50, p99, responses] = cells(block);
        let _ = writeln!(
            out,
            "{name:<14}{serving:>11}{host:>9}{enclave:>9}{client:>10}{rate:>11}{p50:>10}{p99:>10}{responses:>10}"
        );
    }
    let _ = writeln!(
        out,
        "\nCPU us: of the serving processes, for one verified response; client: of the load generator beside it"
    );
    for line in notes(findings) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "\n{:<60}{:>14}{:>12}  {:<22}", "goal", "aim", "found", "range");
    for goal in &findings.goals {
        let Goal { name, aim, found, met } = goal;
        let _ = writeln!(
            out,
            "{name:<60}{:>14}{:>12}  {:<22}{}",
            aim.to_string(),
            number(found.median),
            range(found),
            verdict(*met)
        );
    }
    out
}

/// A block's row behind its name; a dash where nobody waited for a single response.
fn cells(block: &Block) -> [String; 8] {
    let Block { serving_us, host_us, enclave_us, client_us, per_second, p50_ms, p99_ms, responses } = block;
    let one = |spread: &Spread| format!("{:.1}", spread.median);
    let waited = |spread: &Spread| if spread.greatest > 0.0 { format!("{:.2}", spread.median) } else { "-".to_owned() };
    [
        one(serving_us),
        one(host_us),
        one(enclave_us),
        one(client_us),
        one(per_second),
        waited(p50_ms),
        waited(p99_ms),
        responses.to_string(),
    ]
}

/// What does not fit the table.
fn notes(findings: &Findings) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(found) = &findings.verdict {
        let cpu = found.cpu;
        notes.push(format!(
            "CPU time of a wrong PIN, of a right one: {:.3} ({:.3} to {:.3}); {} pairs on the wall clock",
            cpu.estimate, cpu.low, cpu.high, found.pairs
        ));
    }
    for (clients, syncs) in &findings.syncs_for_1000 {
        notes.push(format!("waits for the disk for 1000 signatures at {clients} clients: {syncs:.0}"));
    }
    if let Some(scale) = &findings.scale {
        let Scale { small_start, large_start, small_host, small_enclave, large_host, large_enclave, .. } = scale;
        notes
            .push(format!("start with few wallets {:.2} s, with many {:.2} s", small_start.median, large_start.median));
        let parts = [
            ("host, few", small_host),
            ("host, many", large_host),
            ("enclave, few", small_enclave),
            ("enclave, many", large_enclave),
        ];
        notes.extend(parts.map(|(name, memory)| format!("memory of the {name}: {}", mib(*memory))));
    }
    if let Some(ratio) = with_client(findings) {
        notes.push(format!("with the client's own CPU time: {ratio:.3} of libsecp256k1 alone"));
    }
    notes
}

/// The first goal's ratio if the load generator's CPU time is counted too.
fn with_client(findings: &Findings) -> Option<f64> {
    let (raw, sign) = (findings.blocks.get("raw")?, findings.blocks.get("sign@64")?);
    Some(raw.serving_us.median / (sign.serving_us.median + sign.client_us.median))
}

fn mib(memory: Memory) -> String {
    let Memory { resident, proportional, anonymous, peak } = memory;
    let of = |kib: u64| kib as f64 / 1024.0;
    format!(
        "resident {:.1} MiB, proportional {:.1}, anonymous {:.1}, peak {:.1}",
        of(resident),
        of(proportional),
        of(anonymous),
        of(peak)
    )
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "falls short" }
}

fn number(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

fn range(spread: &Spread) -> String {
    format!("{} to {}", number(spread.least), number(spread.greatest))
}

/// The lines of `docs/performance.md` between its two marks.
pub(crate) fn page(findings: &Findings) -> String {
    let mut out = String::new();
    let machine = &findings.machine;
    let _ = writeln!(
        out,
        "Machine: {} cores of {}, {} GiB, Linux {}; appending a page and waiting for the disk takes {:.0} us (p99 {:.0} us).",
        machine.cores, machine.cpu, machine.memory_gib, machine.kernel, machine.sync_p50_us, machine.sync_p99_us
    );
    let _ = writeln!(out, "{}; `many` is {} wallets.\n", rounds(findings), findings.many);
    let _ = writeln!(out, "| goal | aim | found | range | |\n|---|---|---|---|---|");
    for Goal { name, aim, found, met } in &findings.goals {
        let _ = writeln!(out, "| {name} | {aim} | {} | {} | {} |", number(found.median), range(found), verdict(*met));
    }
    let _ = writeln!(
        out,
        "\n| block | serving CPU us | of it host | of it enclave | client CPU us | each second | p50 ms | p99 ms | verified |"
    );
    let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|");
    for (name, block) in &findings.blocks {
        let _ = writeln!(out, "| `{name}` | {} |", cells(block).join(" | "));
    }
    out.push('\n');
    for line in notes(findings) {
        let _ = writeln!(out, "- {line}");
    }
    out
}

const BEGIN: &str = "<!-- results: written by make bench -->";
const END: &str = "<!-- end of results -->";

/// `text` with the lines between its marks replaced; `None` if it lacks the marks.
pub(crate) fn replace(text: &str, page: &str) -> Option<String> {
    let (head, rest) = text.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{page}{END}{tail}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_is_replaced() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replace(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replace(&new, "new\n").unwrap(), new);
        assert_eq!(replace("no marks", "new"), None);
    }
}
