//! The chart of `docs/performance.md`: the same findings give the same bytes.

use core::fmt::Write as _;

use crate::findings::{Block, Findings};

const WIDTH: f64 = 760.0;
const LABEL: f64 = 190.0;
const VALUE: f64 = 130.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const HEAD: f64 = 58.0;

/// Colours that hold their contrast on white and on black; text follows the reader's theme.
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.quiet{fill:#59636e}\
.host{fill:#3b82c4}.enclave{fill:#c2693a}.peer{fill:#8a8f98}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}}";

/// CPU time for one verified response, part by part.
pub(crate) fn svg(findings: &Findings) -> String {
    let rows = rows(findings);
    let height = ROW.mul_add(rows.len() as f64, HEAD + 14.0);
    let most = rows.iter().map(|(_, block)| block.serving_us.median).fold(1.0, f64::max);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"CPU time for one verified signature\">\n<style>{STYLE}</style>\n"
    );
    out.push_str("<text class=\"title\" x=\"8\" y=\"20\">CPU time for one verified signature, microseconds (less is better)</text>\n");
    let key = [("peer", "one process", 8.0), ("host", "host", 110.0), ("enclave", "enclave", 170.0)];
    for (class, name, x) in key {
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{x}\" y=\"32\" width=\"10\" height=\"10\"/><text class=\"quiet\" x=\"{}\" y=\"41\">{name}</text>",
            x + 15.0
        );
    }
    for (index, (name, block)) in rows.iter().enumerate() {
        let top = ROW.mul_add(index as f64, HEAD);
        row(&mut out, name, block, top, (WIDTH - LABEL - VALUE) / most);
    }
    out.push_str("</svg>\n");
    out
}

fn row(out: &mut String, name: &str, block: &Block, top: f64, scale: f64) {
    let base = top + BAR - 3.0;
    let _ = writeln!(out, "<text x=\"{}\" y=\"{base:.1}\" text-anchor=\"end\">{name}</text>", LABEL - 8.0);
    let whole = block.serving_us.median;
    let (host, enclave) = (block.host_us.median, block.enclave_us.median);
    let parts: &[(&str, f64)] = if host > 0.0 { &[("host", host), ("enclave", enclave)] } else { &[("peer", whole)] };
    let mut left = LABEL;
    for (class, value) in parts {
        let width = value * scale;
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
        );
        left += width;
    }
    let _ = writeln!(out, "<text class=\"quiet\" x=\"{:.1}\" y=\"{base:.1}\">{whole:.0}</text>", left + 6.0);
}

/// Signatures and their peers, in the order in which they are drawn.
fn rows(findings: &Findings) -> Vec<(String, Block)> {
    let named = |block: &str, name: &str| findings.blocks.get(block).map(|found| (name.to_owned(), *found));
    let mut rows: Vec<_> = [
        named("raw", "libsecp256k1 alone"),
        named("enclave@64", "enclave alone"),
        named("anvil@64", "anvil eth_sign, 64"),
        named("softhsm", "SoftHSM2 C_Sign"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut signs: Vec<(usize, &Block)> = findings
        .blocks
        .iter()
        .filter_map(|(name, block)| Some((name.strip_prefix("sign@")?.parse().ok()?, block)))
        .collect();
    signs.sort_by_key(|(clients, _)| *clients);
    rows.extend(signs.into_iter().map(|(clients, block)| (format!("Pinseal, {clients} clients"), *block)));
    rows
}
