"""Sealed requests that take no PIN, as docs/PROTOCOL.md describes them: CBOR, HPKE (RFC 9180) and the device's signature.

Written from the documents, so that the enclave answers a client that shares no line with Pinseal's own.
"""

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# Numbers of the methods and the requests, see crates/protocol/src/request.rs.
REQUESTS = {"status": (9, [9, []]), "list_accounts": (10, [10, [[0, 1]]])}
REFUSED = 0


def encode(value):
    """Deterministic CBOR (RFC 8949 section 4.2.1) of the few types there are."""
    match value:
        case None:
            return b"\xf6"
        case int():
            return head(0, value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(encode, value))
    raise TypeError(type(value))


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for extra, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * width:
            return bytes([major << 5 | extra]) + number.to_bytes(width, "big")
    raise ValueError(number)


def decode(data):
    """The value at the start of `data`, and what follows it."""
    major, extra, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        return {20: False, 21: True, 22: None}[extra], data
    width = {24: 1, 25: 2, 26: 4, 27: 8}.get(extra, 0)
    number, data = (int.from_bytes(data[:width], "big"), data[width:]) if width else (extra, data)
    match major:
        case 0:
            return number, data
        case 2 | 3:
            return data[:number] if major == 2 else data[:number].decode(), data[number:]
        case 4:
            items = []
            for _ in range(number):
                item, data = decode(data)
                items.append(item)
            return items, data
    raise ValueError(major)


def mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def labelled(label, *parts):
    """A label and parts, each behind its length (kdf.rs)."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in (label, *parts))


def expand(key, info, length):
    """HKDF-Expand (RFC 5869)."""
    out, block, count = b"", b"", 1
    while len(out) < length:
        block = mac(key, block, info, bytes([count]))
        out, count = out + block, count + 1
    return out[:length]


class Sender:
    """HPKE towards one public key: base mode, one message, the exporter beside it."""

    KEM, SUITE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"

    def __init__(self, recipient, info):
        ephemeral = X25519PrivateKey.generate()
        self.enc = ephemeral.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
        prk = self.extract(self.KEM, b"", b"eae_prk", shared)
        secret = self.expand(self.KEM, prk, b"shared_secret", self.enc + recipient, 32)
        context = b"\0" + self.extract(self.SUITE, b"", b"psk_id_hash", b"") + self.extract(self.SUITE, b"", b"info_hash", info)
        schedule = self.extract(self.SUITE, secret, b"secret", b"")
        self.key = self.expand(self.SUITE, schedule, b"key", context, 32)
        self.nonce = self.expand(self.SUITE, schedule, b"base_nonce", context, 12)
        self.exporter = self.expand(self.SUITE, schedule, b"exp", context, 32)

    @staticmethod
    def extract(suite, salt, label, material):
        return mac(salt or bytes(32), b"HPKE-v1", suite, label, material)

    @staticmethod
    def expand(suite, key, label, info, length):
        return expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)

    def export(self, label):
        return self.expand(self.SUITE, self.exporter, b"sec", label, 32)


class Sealed:
    """One request, sealed to the boot of `manifest` (encoded) under the challenge of `begin` (encoded)."""

    def __init__(self, method, manifest, begin, token, device):
        number, request = REQUESTS[method]
        boot = hashlib.sha256(labelled(b"pinseal manifest v1", manifest)).digest()
        hpke = Sender(decode(manifest)[0][2], b"pinseal request v1\0" + boot)
        challenge = decode(decode(begin)[0][0])[0][4]
        hashed = hashlib.sha256(token.encode()).digest()
        self.id = os.urandom(16)
        fields = [1, 1, boot, number, self.id, challenge, hashed, device.thumbprint(), 0]
        self.header = encode(fields)
        body = encode([token, device.point(), None, request])
        transcript = b"pinseal device v1\0" + hpke.enc + len(self.header).to_bytes(8, "big") + self.header + body
        plaintext = encode([body, device.sign(transcript)])
        ciphertext = AESGCM(hpke.key).encrypt(hpke.nonce, plaintext, self.header)
        self.bytes = encode([fields, hpke.enc, ciphertext])
        self.key = hpke.export(b"pinseal reply v1")

    def outcome(self, reply):
        """The outcome inside a sealed reply: its number and its fields."""
        request, sealed = decode(reply)[0]
        salt, commitment, rest = sealed[:32], sealed[32:64], sealed[64:]
        both = expand(mac(bytes(32), self.key), b"reply" + salt, 64)
        if request != self.id or both[32:] != commitment:
            raise ValueError("the reply is for another request")
        opened, padding = decode(AESGCM(both[:32]).decrypt(bytes(12), rest, self.header))
        if opened[0] != self.id or padding.rstrip(b"\0") != b"\x80":
            raise ValueError("the reply is not what it should be")
        return opened[4]
