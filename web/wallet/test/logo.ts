/** A picture for tests: a square PNG with a bright frame and a dot in it. */

import { writeFileSync } from "node:fs";
import { deflateSync } from "node:zlib";

const SIDE = 64;

function crc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function chunk(kind: string, data: Buffer): Buffer {
  const summed = Buffer.concat([Buffer.from(kind, "latin1"), data]);
  const whole = Buffer.alloc(8 + summed.length);
  whole.writeUInt32BE(data.length, 0);
  summed.copy(whole, 4);
  whole.writeUInt32BE(crc32(summed), 4 + summed.length);
  return whole;
}

/** Writes it to this path. */
export function drawLogo(path: string): void {
  const rows: Buffer[] = [];
  for (let y = 0; y < SIDE; y += 1) {
    const row = Buffer.alloc(1 + SIDE * 3);
    for (let x = 0; x < SIDE; x += 1) {
      const isDot = (x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 < 200;
      row.set(isDot ? [255, 209, 102] : [138, 28, 90], 1 + x * 3);
    }
    rows.push(row);
  }
  const header = Buffer.from([0, 0, 0, SIDE, 0, 0, 0, SIDE, 8, 2, 0, 0, 0]);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const pixels = chunk("IDAT", deflateSync(Buffer.concat(rows)));
  writeFileSync(path, Buffer.concat([signature, chunk("IHDR", header), pixels, chunk("IEND", Buffer.alloc(0))]));
}
