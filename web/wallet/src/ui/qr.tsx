/** A QR code as one path, always dark on light, with the quiet zone that readers need. */

import { encode } from "uqr";

/** Modules of the quiet zone. */
const QUIET = 4;

export function Qr({ text, label }: { readonly text: string; readonly label: string }) {
  const { data, size } = encode(text, { ecc: "M", border: QUIET });
  const modules = data.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : "")));
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect class="light" width={size} height={size} />
      <path class="dark" d={modules.join("")} />
    </svg>
  );
}
