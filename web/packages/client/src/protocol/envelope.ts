/** The sealed envelope: HPKE towards the enclave, an exporter-keyed AEAD back. */

import { type Bytes, concat, equal, uint64, utf8 } from "../bytes.js";
import { decode, encode } from "../cbor/codec.js";
import { openCommitted } from "../crypto/aead.js";
import { setupSender } from "../crypto/hpke.js";
import { PinsealError } from "../errors.js";
import { REQUEST_BYTES_MAX } from "./limits.js";
import { type Reply, reply, type SealedReply } from "./reply.js";
import {
  type Body,
  body,
  plaintext,
  type RequestHeader,
  requestHeader,
  type SealedRequest,
  sealedRequest,
} from "./request.js";

/** An envelope cannot be made or does not open. */
export class EnvelopeError extends PinsealError {
  constructor(code: "envelope_malformed" | "envelope_crypto" | "envelope_other_request", message: string) {
    super(code, message);
  }
}

const REPLY_LABEL = utf8("pinseal reply v1");
const REPLY_SALT_BYTES = 32;

/** Opens the reply to one request. */
export interface ReplyOpener {
  /** Throws {@link EnvelopeError}. */
  open(sealed: SealedReply): Promise<Reply>;
  /** Zeroes the key; nothing opens any more. */
  close(): void;
}

/** The transcript a device signs: everything that decides what happens. */
export function deviceTranscript(enc: Bytes, header: Bytes, encodedBody: Bytes): Bytes {
  return concat(utf8("pinseal device v1\0"), enc, uint64(header.length), header, encodedBody);
}

/**
 * Seals a body to the enclave of `recipient`. `sign` makes the device's ES256 signature (r || s); `ephemeral` are 32 fresh random
 * bytes. Every copy that this function makes of the PIN factor is zeroed.
 */
export async function seal(
  recipient: Bytes,
  header: RequestHeader,
  content: Body,
  ephemeral: Bytes,
  sign: (transcript: Bytes) => Promise<Bytes>,
): Promise<{ request: SealedRequest; opener: ReplyOpener }> {
  const encodedHeader = encode(requestHeader, header);
  const info = concat(utf8("pinseal request v1\0"), header.manifest);
  const sender = await setupSender(recipient, info, ephemeral).catch(() => {
    throw new EnvelopeError("envelope_crypto", "the recipient's key is none");
  });
  const encodedBody = encode(body, content);
  const transcript = deviceTranscript(sender.enc, encodedHeader, encodedBody);
  let plain: Bytes | undefined;
  try {
    plain = encode(plaintext, { body: encodedBody, signature: await sign(transcript) });
    const ciphertext = await sender.seal(encodedHeader, plain);
    const request = { header, enc: sender.enc, ciphertext };
    if (encode(sealedRequest, request).length > REQUEST_BYTES_MAX) {
      throw new EnvelopeError("envelope_malformed", "the request is too long");
    }
    const key = await sender.export(REPLY_LABEL);
    const opener: ReplyOpener = {
      open: (sealed) => open(key, encodedHeader, header.request, sealed),
      close: () => void key.fill(0),
    };
    return { request, opener };
  } finally {
    for (const copy of [encodedBody, transcript, plain]) copy?.fill(0);
  }
}

async function open(key: Bytes, header: Bytes, asked: Bytes, sealed: SealedReply): Promise<Reply> {
  const other = new EnvelopeError("envelope_other_request", "the reply is for another request");
  if (!equal(sealed.request, asked)) throw other;
  const salt = sealed.ciphertext.subarray(0, REPLY_SALT_BYTES);
  if (salt.length !== REPLY_SALT_BYTES) throw new EnvelopeError("envelope_malformed", "malformed envelope");
  const ciphertext = sealed.ciphertext.subarray(REPLY_SALT_BYTES);
  const plain = await openCommitted(key, concat(utf8("reply"), salt), header, ciphertext);
  if (plain === undefined) throw new EnvelopeError("envelope_crypto", "the envelope does not open");
  const answer = decode(reply, unpad(plain));
  if (!equal(answer.request, asked)) throw other;
  return answer;
}

/** Drops the byte 0x80 and the zeros behind it. */
function unpad(padded: Bytes): Bytes {
  let end = padded.length - 1;
  while (end >= 0 && padded[end] === 0) end -= 1;
  if (padded[end] !== 0x80) throw new EnvelopeError("envelope_malformed", "malformed padding");
  return padded.subarray(0, end);
}
