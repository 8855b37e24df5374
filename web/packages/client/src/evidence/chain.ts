/** The certificate chain, from the pinned root to the leaf: no search for a path, every certificate takes part. */

import { type Bytes, equal } from "../bytes.js";
import { sha256 } from "../crypto/kdf.js";
import { type Certificate, CertificateError, readCertificate, verifyP384Der } from "./certificate.js";
import { EvidenceError } from "./error.js";

/** How far evidence, and the beginning of a certificate, may lie in the future of the client's clock. */
export const CLOCK_SKEW_SECONDS_MAX = 60;

/** The leaf's key, if every certificate is in order at the time `now`. */
export async function verifyChain(certificates: readonly Bytes[], rootSha256: Bytes, now: number): Promise<Bytes> {
  const [root] = certificates;
  if (root === undefined || !equal(await sha256(root), rootSha256)) throw new EvidenceError("root_unknown");
  let issuer: Certificate | undefined;
  for (const [place, der] of certificates.entries()) {
    try {
      issuer = await check(der, issuer, certificates.length - 1 - place, now);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      throw new EvidenceError(`certificate_${error.check}`, { certificate: place });
    }
  }
  if (issuer === undefined) throw new EvidenceError("root_unknown");
  return issuer.key;
}

/** Checks one certificate against its issuer and its place: its form, then who signed it, then what it says. */
async function check(
  der: Bytes,
  issuer: Certificate | undefined,
  following: number,
  now: number,
): Promise<Certificate> {
  const certificate = readCertificate(der);
  if (issuer !== undefined) await checkIssued(issuer, certificate);
  if (now + CLOCK_SKEW_SECONDS_MAX < certificate.notBefore) throw new CertificateError("not_yet_valid");
  if (now > certificate.notAfter) throw new CertificateError("expired");
  if (following === 0) checkLeaf(certificate);
  else checkIssuer(certificate, following - 1);
  return certificate;
}

/** Names the one before as its issuer, byte for byte, and is signed by its key. */
async function checkIssued(issuer: Certificate, next: Certificate): Promise<void> {
  if (equal(next.issuer, next.subject)) throw new CertificateError("self_issued");
  if (!equal(next.issuer, issuer.subject)) throw new CertificateError("issuer");
  if (!(await verifyP384Der(issuer.key, next.tbs, next.signature))) throw new CertificateError("signature");
}

function checkLeaf({ constraints, usage }: Certificate): void {
  const isLeaf = constraints !== undefined && !constraints.isAuthority && constraints.pathLength === undefined;
  if (!isLeaf) throw new CertificateError("basic_constraints");
  if (usage === undefined || !usage.digitalSignature || usage.keyCertSign) throw new CertificateError("key_usage");
}

/** `issuersBelow`: how many issuers stand between this one and the leaf. */
function checkIssuer({ constraints, usage }: Certificate, issuersBelow: number): void {
  if (constraints === undefined || !constraints.isCritical || !constraints.isAuthority) {
    throw new CertificateError("basic_constraints");
  }
  if (constraints.pathLength !== undefined && issuersBelow > constraints.pathLength)
    throw new CertificateError("path_length");
  if (usage === undefined || !usage.keyCertSign) throw new CertificateError("key_usage");
}
