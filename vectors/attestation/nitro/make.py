#!/usr/bin/env python3
"""Writes ../nitro.json: Nitro documents made without the Rust code, by a CBOR encoder written by hand and pyca/cryptography.

Keys come from labels and signatures are deterministic (RFC 6979), so the file is the same every time.
Needs Python 3.11 and cryptography 48 (from PyPI): `python3 make.py`.
"""

import base64
import datetime
import hashlib
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

HERE = pathlib.Path(__file__).resolve().parent
NOW = 1_800_000_000
USER_DATA, NONCE = bytes(range(32)), bytes(range(32, 64))
PCRS = {index: hashlib.sha384(b"register %d" % index).digest() for index in (0, 1, 2, 8)}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


# CBOR: shortest heads, definite lengths; `Raw` goes in as it is.
class Raw(bytes):
    pass


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for more, length in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * length):
            return bytes([major << 5 | more]) + value.to_bytes(length, "big")
    raise ValueError(value)


def cbor(value):
    if isinstance(value, Raw):
        return bytes(value)
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(cbor(item) for item in value)
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())
    raise TypeError(value)


# Certificates.
def key(label, curve=ec.SECP384R1()):
    scalar = int.from_bytes(hashlib.sha512(b"pinseal test key " + label.encode()).digest(), "big")
    return ec.derive_private_key(scalar % 2**255 + 1, curve)


def name(label):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def usage(sign_data, sign_certificates):
    return x509.KeyUsage(sign_data, False, False, False, False, sign_certificates, sign_certificates, False, False)


class Link:
    """One certificate; whatever a case changes is an attribute."""

    def __init__(self, place, last):
        self.place, self.is_leaf = place, place == last
        self.subject, self.issuer = f"link {place}", f"link {max(place - 1, 0)}"
        self.key, self.signer = key(f"link {place}"), key(f"link {max(place - 1, 0)}")
        self.begin, self.end = NOW - 3600, NOW + 3600
        path_length = last - 1 - place if 0 < place < last else None
        self.constraints = (x509.BasicConstraints(not self.is_leaf, path_length), True)
        self.usage = (usage(self.is_leaf, not self.is_leaf), True)
        self.more, self.hash, self.serial = [], hashes.SHA384(), 100 + place

    def der(self):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.subject))
            .issuer_name(name(self.issuer))
            .public_key(self.key.public_key())
            .serial_number(self.serial)
            .not_valid_before(moment(self.begin))
            .not_valid_after(moment(self.end))
        )
        for extension in [self.constraints, self.usage, *self.more]:
            if extension is not None:
                builder = builder.add_extension(*extension)
        signed = builder.sign(self.signer, self.hash, ecdsa_deterministic=True)
        return signed.public_bytes(serialization.Encoding.DER)


class Plan:
    """One document; a case changes what it likes and calls `document`."""

    def __init__(self, issuers=1):
        last = issuers + 1
        self.links = [Link(place, last) for place in range(last + 1)]
        self.ders = None
        self.protected, self.unprotected = cbor({1: -35}), {}
        self.signer, self.time = key(f"link {last}"), NOW * 1000 + 250
        self.pcrs, self.user_data, self.nonce = dict(PCRS), USER_DATA, NONCE
        self.fields = lambda fields: fields
        self.payload = lambda payload: payload
        self.bend = lambda document: document
        self.malleable = False

    def chain(self):
        if self.ders is None:
            self.ders = [link.der() for link in self.links]
        return self.ders

    def document(self):
        *bundle, leaf = self.chain()
        fields = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": self.time,
            "pcrs": self.pcrs,
            "certificate": leaf,
            "cabundle": bundle,
            "public_key": None,
            "user_data": self.user_data,
            "nonce": self.nonce,
        }
        payload = self.payload(cbor(self.fields(fields)))
        covered = cbor(["Signature1", self.protected, b"", payload])
        r, s = decode_dss_signature(self.signer.sign(covered, ec.ECDSA(hashes.SHA384(), deterministic_signing=True)))
        if self.malleable:
            s = ORDER - s
        signature = r.to_bytes(48, "big") + s.to_bytes(48, "big")
        return self.bend(cbor([self.protected, self.unprotected, payload, signature]))


CASES = []
AWS = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"


def case(title, result, change=lambda plan: None, issuers=1, certificate=None, level="policy", **expected):
    plan = Plan(issuers)
    change(plan)
    entry = {
        "name": title,
        "root_sha256": hashlib.sha256(plan.links[0].der()).hexdigest(),
        "now": str(NOW),
        "document": base64.b64encode(plan.document()).decode(),
        "result": result,
    }
    if certificate is not None:
        entry["certificate"] = certificate
    if level == "policy":
        entry["expected"] = {
            "image": {str(index): PCRS[index].hex() for index in (0, 1, 2)},
            "user_data": USER_DATA.hex(),
            "nonce": NONCE.hex(),
            "age_seconds_max": "300",
        } | expected
    CASES.append(entry)


def sets(**values):
    return lambda plan: [setattr(plan, name, value) for name, value in values.items()]


def link(place, **values):
    return lambda plan: [setattr(plan.links[place], name, value) for name, value in values.items()]


def field(**values):
    return sets(fields=lambda fields: fields | values)


def without(name):
    return sets(fields=lambda fields: {key: value for key, value in fields.items() if key != name})


def pcrs(**values):
    return sets(pcrs={index: value for index, value in (PCRS | {int(k[1:]): v for k, v in values.items()}).items() if value is not None})


def rearranged(order):
    def change(plan):
        plan.ders = [plan.chain()[place] for place in order]

    return change


UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")
CA, NO_CA = x509.BasicConstraints(True, None), x509.BasicConstraints(False, None)

CASES.append(
    {
        "name": "signed by AWS, without user data and nonce",
        "root_sha256": AWS,
        "now": "1736179625",
        "file": "nitro/aws-eu-central-1.cose",
        "result": "ok",
    }
)
CASES.append(CASES[0] | {"name": "signed by AWS, a second after the leaf", "now": "1736190426", "result": "certificate_expired", "certificate": 4})

case("correct", "ok")
CASES.append(CASES[0] | {"name": "signed by AWS, under another root", "root_sha256": CASES[2]["root_sha256"], "result": "root_unknown"})
case("correct, five certificates", "ok", issuers=3)
case("correct, under the tag", "ok", sets(bend=lambda document: b"\xd2" + document))
case("correct, the other of the two signatures that ECDSA allows", "ok", sets(malleable=True))
case("correct, optional fields left out", "ok", without("public_key"))
case("one more register, and it matches", "ok", image={str(index): PCRS[index].hex() for index in (0, 1, 2, 8)})

# Policy.
case("a register of another image", "image_not_trusted", pcrs(_1=PCRS[0]))
case("a register of another length", "image_not_trusted", pcrs(_2=PCRS[2][:32]))
case("one more register, and it differs", "image_not_trusted", pcrs(_8=PCRS[0]), image={str(index): PCRS[index].hex() for index in (0, 1, 2, 8)})
case("a register missing", "pcr_missing", pcrs(_0=None))
case("debug mode", "debug_mode", sets(pcrs={index: bytes(48) for index in range(16)}))
case("no user data", "user_data_missing", sets(user_data=None))
case("other user data", "user_data_wrong", sets(user_data=NONCE))
case("user data and more", "user_data_wrong", sets(user_data=USER_DATA + b"\0"))
case("no nonce", "nonce_missing", sets(nonce=None))
case("another nonce", "nonce_wrong", sets(nonce=USER_DATA))
case("an empty nonce", "nonce_wrong", sets(nonce=b""))
case("as old as allowed", "ok", sets(time=(NOW - 300) * 1000))
case("too old by a millisecond", "too_old", sets(time=(NOW - 300) * 1000 - 1))
case("as far in the future as allowed", "ok", sets(time=(NOW + 60) * 1000 + 999))
case("from the future", "from_the_future", sets(time=(NOW + 61) * 1000))
case("the largest time", "from_the_future", sets(time=2**64 - 1))

# The message.
case("signed by another key", "signature_wrong", sets(signer=key("stranger")), level="genuine")
case("signed by an issuer", "signature_wrong", sets(signer=key("link 1")), level="genuine")
case("last bit flipped", "signature_wrong", sets(bend=lambda document: document[:-1] + bytes([document[-1] ^ 1])), level="genuine")
case("ES256 in the header", "cose_algorithm", sets(protected=cbor({1: -7})), level="genuine")
case("no algorithm", "cose_algorithm", sets(protected=cbor({})), level="genuine")
case("a critical header", "cose_critical_header", sets(protected=cbor({1: -35, 2: ["x"], "x": 0})), level="genuine")
case("a key id in the protected header", "cose_protected_header", sets(protected=cbor({1: -35, 4: b"k"})), level="genuine")
case("the algorithm in the unprotected header, too", "cose_unprotected_header", sets(unprotected={1: -35}), level="genuine")
case("a byte after the message", "cose_not_canonical", sets(bend=lambda document: document + b"\0"), level="genuine")
case("an array of indefinite length", "cose_not_canonical", sets(bend=lambda document: b"\x9f" + document[1:] + b"\xff"), level="genuine")
case("cut off", "cose_malformed", sets(bend=lambda document: document[:-1]), level="genuine")
case("another tag", "cose_malformed", sets(bend=lambda document: b"\xd1" + document), level="genuine")
case("a signature of 95 bytes", "cose_signature_length", sets(bend=lambda document: document[:-98] + b"\x58\x5f" + document[-95:]), level="genuine")
case("longer than any document", "document_too_long", sets(bend=lambda document: document + bytes(16 * 1024 + 1 - len(document))), level="genuine")
case("no payload", "cose_payload_missing", sets(bend=lambda document: b"\x84\x44\xa1\x01\x38\x22\xa0\xf6" + document[-98:]), level="genuine")

# The payload.
case("not a map", "payload_malformed", sets(payload=lambda payload: cbor([])), level="genuine")
case("a byte after the payload", "payload_not_canonical", sets(payload=lambda payload: payload + b"\0"), level="genuine")
case("a nonce with a longer head", "payload_not_canonical", field(nonce=Raw(b"\x59\x00\x20" + NONCE)), level="genuine")
case("a nonce in chunks", "field_invalid", field(nonce=Raw(b"\x5f\x58\x20" + NONCE + b"\xff")), level="genuine")
case("an unknown field", "field_unknown", field(debug=0), level="genuine")
case("registers of an instance's TPM", "field_unknown", sets(fields=lambda fields: {("nitrotpm_pcrs" if key == "pcrs" else key): value for key, value in fields.items()}), level="genuine")
case("a field twice", "field_duplicate", sets(payload=lambda payload: b"\xaa" + payload[1:] + cbor("nonce") + cbor(NONCE)), level="genuine")
case("a register twice", "field_duplicate", field(pcrs=Raw(b"\xa2\x00\x58\x30" + PCRS[0] + b"\x00\x58\x30" + PCRS[1])), level="genuine")
case("no digest", "field_missing", without("digest"), level="genuine")
case("a mandatory field that is null", "field_invalid", field(module_id=None), level="genuine")
case("another digest", "digest_unknown", field(digest="SHA256"), level="genuine")
case("a time of zero", "field_invalid", sets(time=0), level="genuine")
case("a register of 47 bytes", "field_invalid", pcrs(_1=PCRS[1][:47]), level="genuine")
case("a register beyond the last", "field_invalid", pcrs(_32=PCRS[1]), level="genuine")
case("user data beyond the bound", "field_invalid", sets(user_data=bytes(513)), level="genuine")

# The chain.
for place, title in ((0, "root"), (1, "issuer"), (2, "leaf")):
    case(f"{title} expired", "certificate_expired", link(place, end=NOW - 1), certificate=place, level="genuine")
    case(f"{title} not valid yet", "certificate_not_yet_valid", link(place, begin=NOW + 61), certificate=place, level="genuine")
    case(f"{title} with an unknown critical extension", "certificate_critical_extension", link(place, more=[(x509.UnrecognizedExtension(UNKNOWN, b"\5\0"), True)]), certificate=place, level="genuine")
    case(f"{title} without basic constraints", "certificate_basic_constraints", link(place, constraints=None), certificate=place, level="genuine")
    case(f"{title} without key usage", "certificate_key_usage", link(place, usage=None), certificate=place, level="genuine")
    case(f"{title} signed with SHA-256", "certificate_algorithm", link(place, hash=hashes.SHA256()), certificate=place, level="genuine")
    case(f"{title} with a key on P-256", "certificate_key", link(place, key=key("other curve", ec.SECP256R1())), certificate=place, level="genuine")
case("begins within the tolerated minute", "ok", link(2, begin=NOW + 60))
case("leaf in its last second", "ok", link(2, end=NOW))
case("an unknown extension that is not critical", "ok", link(2, more=[(x509.UnrecognizedExtension(UNKNOWN, b"\5\0"), False)]))
case("an issuer that is none", "certificate_basic_constraints", link(1, constraints=(NO_CA, True)), certificate=1, level="genuine")
case("a leaf that is an issuer", "certificate_basic_constraints", link(2, constraints=(CA, True)), certificate=2, level="genuine")
case("an issuer that may not sign certificates", "certificate_key_usage", link(1, usage=(usage(True, False), True)), certificate=1, level="genuine")
case("a leaf that may sign certificates", "certificate_key_usage", link(2, usage=(usage(True, True), True)), certificate=2, level="genuine")
case("a leaf that may not sign data", "certificate_key_usage", link(2, usage=(usage(False, True), True)), certificate=2, level="genuine")
case("a path longer than allowed", "certificate_path_length", link(1, constraints=(x509.BasicConstraints(True, 0), True)), issuers=2, certificate=1, level="genuine")
case("an issuer's name that is not the one before", "certificate_issuer", link(2, issuer="link 0"), certificate=2, level="genuine")
case("signed by a stranger", "certificate_signature", link(1, signer=key("stranger")), certificate=1, level="genuine")
case("issuers in another order", "certificate_issuer", rearranged([0, 2, 1, 3]), issuers=2, certificate=1, level="genuine")
case("leaf first", "root_unknown", rearranged([2, 1, 0]), level="genuine")
case("an issuer left out", "certificate_issuer", rearranged([0, 2]), certificate=1, level="genuine")
case("the root twice", "certificate_self_issued", rearranged([0, 0, 1, 2]), certificate=1, level="genuine")
case("no root", "root_unknown", rearranged([1, 2]), level="genuine")
case("an issuer twice", "certificate_issuer", lambda plan: (link(1, constraints=(CA, True))(plan), rearranged([0, 1, 1, 2])(plan)), certificate=2, level="genuine")
case("nine certificates", "field_invalid", rearranged([0, 1, 1, 1, 1, 1, 1, 1, 2]), level="genuine")


def measurement():
    parts = [b"pinseal nitro measurement v1"] + [PCRS[index] for index in (0, 1, 2)]
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def main():
    file = {
        "source": "nitro/make.py, independent of the Rust code; the document of AWS from the crate nitro_attest 0.2.0 (nitro/README.md)",
        "license": "Apache-2.0; nitro/aws-eu-central-1.cose: MIT",
        "measurement": {"image": {str(index): PCRS[index].hex() for index in (0, 1, 2)}, "sha256": measurement()},
        "cases": CASES,
    }
    (HERE.parent / "nitro.json").write_text(json.dumps(file, indent=1) + "\n")


main()
