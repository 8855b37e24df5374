"""What a client of Pinseal does to every call: app key, access token, and a DPoP proof (RFC 9449) made for this very request.

PINSEAL_RIG names a JSON file: server, mailbox, node, app_id, app_key, origin, email, password, network, address, hash. PINSEAL_CALLER
says who calls: `user` (all of the above), `app` (the app key alone) or `stranger` (nothing). PINSEAL_COUNTS names the file for the
counts.
"""

import atexit
import base64
import hashlib
import json
import os
import threading
import time
import uuid
from collections import Counter
from urllib.parse import urlsplit

import requests
import schemathesis
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sealed import REFUSED, REQUESTS, Sealed

with open(os.environ["PINSEAL_RIG"], encoding="utf-8") as file:
    RIG = json.load(file)
CALLER = os.environ["PINSEAL_CALLER"]
METHODS = "register_prepare register_confirm verify_pin sign change_pin_prepare change_pin_confirm enrol_device revoke_device clear_tries status list_accounts open_history".split()
# These show a key, but no token.
PROOF_ONLY = ("/v1/login/email", "/v1/session/refresh")


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Device:
    """A P-256 key and the newest nonce the server gave out."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        self.jwk = {"kty": "EC", "crv": "P-256", "x": text(numbers.x.to_bytes(32, "big")), "y": text(numbers.y.to_bytes(32, "big"))}
        self.nonce = ""

    def proof(self, method, url, token):
        parts = urlsplit(url)
        claims = {"jti": uuid.uuid4().hex, "htm": method, "htu": f"{parts.scheme}://{parts.netloc}{parts.path}", "iat": int(time.time()), "nonce": self.nonce}
        if token:
            claims["ath"] = text(hashlib.sha256(token.encode()).digest())
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}
        signed = ".".join(text(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{text(self.sign(signed.encode()))}"

    def sign(self, message):
        """ES256 (RFC 7518): r and s, 32 bytes each."""
        r, s = decode_dss_signature(self.key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def point(self):
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def thumbprint(self):
        """RFC 7638."""
        required = {name: self.jwk[name] for name in ("crv", "kty", "x", "y")}
        return hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest()


class Session:
    """One login of the user."""

    def __init__(self):
        self.opened()

    def opened(self):
        body = {"email": RIG["email"], "password": RIG["password"], "device_jwk": DEVICE.jwk}
        self.kept(post("/v1/login/email", body))

    def kept(self, answer):
        self.token, self.refresh = answer["access_token"], answer["refresh_token"]
        self.ends = time.monotonic() + 120


def post(path, body, token=None):
    """A call of our own, repeated once with the nonce the server asks for."""
    for _ in range(2):
        url = RIG["server"] + path
        headers = {**app_headers(), "DPoP": DEVICE.proof("POST", url, token)}
        if token:
            headers["Authorization"] = f"DPoP {token}"
        answer = requests.post(url, json=body, headers=headers, timeout=60)
        DEVICE.nonce = answer.headers.get("DPoP-Nonce", DEVICE.nonce)
        if answer.ok:
            return answer.json() if answer.content else None
    raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")


def app_headers():
    headers = {"X-Pinseal-App-Id": RIG["app_id"], "X-Pinseal-App-Key": RIG["app_key"]}
    if RIG.get("origin"):
        headers["Origin"] = RIG["origin"]
    return headers


DEVICE = Device()
MAIN = Session() if CALLER == "user" else None
LOCK = threading.RLock()
if MAIN:
    # The wallet was made through another app than a page's.
    post("/v1/app/register", None, MAIN.token)


class Signer(requests.auth.AuthBase):
    """Signs a request as it is about to leave."""

    def __call__(self, request):
        if CALLER == "stranger":
            return request
        request.headers.update(app_headers())
        if CALLER != "user":
            return request
        path = urlsplit(request.url).path
        token = None
        if path not in PROOF_ONLY:
            token = self.token(path)
            request.headers["Authorization"] = f"DPoP {token}"
        request.headers["DPoP"] = DEVICE.proof(request.method, request.url, token)
        return request

    def token(self, path):
        with LOCK:
            # A logout ends the session it is made with.
            if path == "/v1/logout":
                return Session().token
            if time.monotonic() > MAIN.ends:
                MAIN.opened()
            return MAIN.token


schemathesis.auth.set_from_requests(Signer())


def good(label, count):
    """Values a real client would send, which no generator finds."""
    network, address = RIG["network"], RIG["address"]
    match label:
        case "POST /v1/login/email":
            return {"email": RIG["email"], "password": RIG["password"], "device_jwk": DEVICE.jwk}
        case "POST /v1/session/refresh":
            return {"refresh_token": Session().refresh}
        case "POST /v1/wallet/begin":
            return {"method": METHODS[count % len(METHODS)]}
        case "POST /v1/login/email/sign-up":
            return {"email": f"{uuid.uuid4().hex}@example.org", "password": RIG["password"]}
        case "POST /v1/login/email/verify":
            email = signed_up()
            return {"email": email, "code": mailed(email)["code"]}
        case "POST /v1/login/email/reset":
            email = signed_up()
            mail = mailed(email)
            post("/v1/login/email/verify", {"email": email, "code": mail["code"]})
            post("/v1/login/email/reset-request", {"email": email})
            return {"email": email, "code": mailed(email, mail["id"])["code"], "new_password": RIG["password"] + str(count)}
        case "POST /v1/wallet/sealed":
            return sealed(list(REQUESTS)[count // 2 % len(REQUESTS)])
        case "POST /v1/tx/prepare":
            return {"network": network, "from": address, "to": [address, None][count % 2], "value": str(count), "nonce": None, "reserve": [None, True, False][count % 3]}
        case "POST /v1/tx/broadcast":
            # One that was sent before: a node holds it already, and sending it again is no error.
            return {"network": network, "raw": raw_transaction(RIG["hash"])}
        case "POST /v1/tx/release":
            call = {"network": network, "from": address, "to": address, "value": "1"}
            return {"reservation_id": post("/v1/tx/prepare", call, MAIN.token)["reservation_id"]}
        case "DELETE /v1/sessions/{id}":
            with LOCK:
                before = {item["session_id"] for item in sessions()}
                Session()
                return {"id": ({item["session_id"] for item in sessions()} - before or {"gone"}).pop()}
        case "GET /v1/wallet/history" | "GET /v1/log/events":
            status = requests.get(RIG["server"] + "/v1/status", auth=Signer(), timeout=60).json()
            return {"size": status["checkpoint"]["size"], "cursor": None}
        case "GET /v1/networks/{caip2}/fees":
            return {"caip2": network}
        case "POST /v1/networks/{caip2}/rpc":
            method, params = [("eth_getBalance", [address, "latest"]), ("eth_getTransactionReceipt", ["0x" + "00" * 32])][count // 2 % 2]
            return {"caip2": network, "method": method, "params": params}
        case "GET /v1/balances":
            return {"network": network, "address": address, "token": None}
        case "GET /v1/tx":
            return {"network": [network, None][count % 2], "address": address}
        case "GET /v1/tx/{network}/{hash}":
            return {"network": network, "hash": RIG["hash"]}
    return {}


def signed_up():
    """A new address, not yet verified."""
    email = f"{uuid.uuid4().hex}@example.org"
    post("/v1/login/email/sign-up", {"email": email, "password": RIG["password"]})
    return email


def mailed(email, after=0):
    """The first mail to an address, later than the given one."""
    asked = {"to": email, "after": after, "wait": 30}
    return requests.get(RIG["mailbox"] + "/api/messages", params=asked, timeout=60).json()[0]


def raw_transaction(transaction):
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getRawTransactionByHash", "params": [transaction]}
    return requests.post(RIG["node"], json=call, timeout=60).json()["result"]


SEALED = {}


def sealed(method):
    """A request the enclave carries out; what opens its reply is kept."""
    asked = requests.get(RIG["server"] + "/v1/evidence", params={"nonce": os.urandom(32).hex()}, auth=Signer(), timeout=60)
    # That call saw to it that the token is a fresh one.
    token = MAIN.token
    begun = post("/v1/wallet/begin", {"method": method}, token)
    request = Sealed(method, bytes.fromhex(asked.json()["manifest"]), bytes.fromhex(begun["begin"]), token, DEVICE)
    SEALED[request.id.hex()] = request
    return {"storage_token": begun["storage_token"], "request": request.bytes.hex()}


def opened(reply):
    """The enclave's own outcome is one of the operation, not a refusal inside of a 200."""
    reply = bytes.fromhex(reply)
    request = SEALED.pop(reply[2:18].hex(), None)
    if request is not None and request.outcome(reply)[0] == REFUSED:
        raise AssertionError(f"a sealed request was refused: {request.outcome(reply)}")


def sessions():
    answer = requests.get(RIG["server"] + "/v1/sessions", auth=Signer(), timeout=60)
    return answer.json().get("items", [])


SEEN = Counter()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes every second valid call a meaningful one."""
    if CALLER != "user" or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    label = case.operation.label
    SEEN[label] += 1
    if SEEN[label] % 2:
        return
    for name, value in good(label, SEEN[label]).items():
        if "{%s}" % name in case.operation.path:
            case.path_parameters[name] = value
        elif isinstance(case.body, dict):
            case.body[name] = value
        elif value is None:
            case.query.pop(name, None)
        elif case.method == "GET":
            case.query[name] = value


COUNTS = {}


@schemathesis.hook
def after_call(context, case, response):
    statuses = COUNTS.setdefault(case.operation.label, Counter())
    statuses[str(response.status_code)] += 1
    DEVICE.nonce = (response.headers.get("dpop-nonce") or [DEVICE.nonce])[0]
    if case.operation.label == "POST /v1/wallet/sealed" and response.status_code == 200:
        opened(response.json()["reply"])
    if MAIN and case.operation.label == "POST /v1/tx/prepare" and response.status_code == 200:
        # An account has room for so many unsigned ones only.
        if held := response.json().get("reservation_id"):
            post("/v1/tx/release", {"reservation_id": held}, MAIN.token)
    # A user has 32 sessions at most; the oldest end when the calls themselves log in again and again.
    if MAIN and response.status_code == 401 and b"session_revoked" in (response.content or b""):
        MAIN.ends = 0


@atexit.register
def told():
    with open(os.environ["PINSEAL_COUNTS"], "w", encoding="utf-8") as file:
        json.dump(COUNTS, file, indent=1, sort_keys=True)
