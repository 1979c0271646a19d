"""Who a message is from, provably: keys, signatures, and the request by which a key is enrolled.

Owns the bytes that are signed. A host's agent holds an Ed25519 key; every Kafka record it sends has
a header `fleetgauge-signature` over the record's value, which holds tenant, facility, host, boot
epoch, sequence number and body. The wire itself knows nothing of it, so signed and unsigned agents
send the same messages::

    offset  bytes  what
    0       1      scheme: 1, Ed25519 over "fleetgauge message 1", NUL, and the value
    1       16     key id: the first bytes of SHA-256 of the public key
    17      64     signature

It is made when a message is sent and not when it is spooled: a new key signs the old spool too.
Whoever needs no signatures does not import this module, and so not the library.
"""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from telemetry.errors import DecodeError
from telemetry.records import Name

SIGNATURE_HEADER = "fleetgauge-signature"
KEY_BYTES = 32
KEY_ID_BYTES = 16
REQUEST_BYTES_MAX = 4096

_SCHEME = b"\x01"
_SIGNATURE_BYTES = 64
_ENVELOPE_BYTES = len(_SCHEME) + KEY_ID_BYTES + _SIGNATURE_BYTES
_MESSAGE_DOMAIN = b"fleetgauge message 1\0"
_REQUEST_DOMAIN = b"fleetgauge request 1\0"


def fingerprint_of(public_key: bytes) -> bytes:
    """Return the 32 bytes by which people and tables name a key."""
    return hashlib.sha256(public_key).digest()


def show_fingerprint(fingerprint: bytes) -> str:
    """Return a fingerprint in the form that ssh has made known."""
    return "SHA256:" + base64.b64encode(fingerprint).decode().rstrip("=")


class SigningKey:
    """The private half of a host's key. It is never shown: not by repr, not in an error."""

    def __init__(self, seed: bytes) -> None:
        """Make the key of a seed of 32 random bytes."""
        self.public_key, self._secret = crypto_sign_seed_keypair(seed)
        self.fingerprint = fingerprint_of(self.public_key)
        self._head = _SCHEME + self.fingerprint[:KEY_ID_BYTES]

    def sign_message(self, value: bytes) -> bytes:
        """Return what stands in the header beside this value."""
        return self._head + crypto_sign(_MESSAGE_DOMAIN + value, self._secret)[:_SIGNATURE_BYTES]

    def sign_request(self, claim: bytes) -> bytes:
        """Return the proof that whoever asks for enrolment holds the key."""
        return crypto_sign(_REQUEST_DOMAIN + claim, self._secret)[:_SIGNATURE_BYTES]


def key_id_of(envelope: bytes) -> bytes | None:
    """Return the id of the key that a header names; None where it is no such header."""
    if len(envelope) != _ENVELOPE_BYTES or envelope[:1] != _SCHEME:
        return None
    return envelope[1 : 1 + KEY_ID_BYTES]


def is_signed_by(public_key: bytes, envelope: bytes, value: bytes) -> bool:
    """Whether a header of the right form holds this key's signature over the value."""
    return _verify(public_key, envelope[1 + KEY_ID_BYTES :], _MESSAGE_DOMAIN + value)


def _verify(public_key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        crypto_sign_open(signature + signed, public_key)
    except (BadSignatureError, ValueError):
        return False
    return True


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request says: this key speaks for this host."""

    fleetgauge_request: Annotated[int, Meta(ge=1, le=1)] = 1
    tenant: Name
    facility: Name
    host: Name
    public_key: Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    fingerprint: Annotated[str, Meta(max_length=64)]
    created: datetime


class Request(Claim, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim with the proof that its sender holds the key: one line of JSON, for a file or a mail.

    Nothing in it is secret. Whether the claim is true is for the operator to know, who compares the
    fingerprint with what the host shows.
    """

    proof: Annotated[bytes, Meta(min_length=_SIGNATURE_BYTES, max_length=_SIGNATURE_BYTES)]


def make_request(key: SigningKey, *, tenant: str, facility: str, host: str, now_us: int) -> str:
    """Return the request of a host for its key, as one line."""
    claim = Claim(
        tenant=tenant,
        facility=facility,
        host=host,
        public_key=key.public_key,
        fingerprint=show_fingerprint(key.fingerprint),
        created=datetime.fromtimestamp(now_us // 1_000_000, UTC),
    )
    fields = msgspec.structs.asdict(claim)
    return msgspec.json.encode(Request(**fields, proof=key.sign_request(_bytes(claim)))).decode()


def read_request(line: str | bytes) -> Request:
    """Check a request and return it.

    Raises:
        DecodeError: with reason `request`, and what is wrong with it.
    """
    if len(line) > REQUEST_BYTES_MAX:
        raise DecodeError("request", f"longer than {REQUEST_BYTES_MAX} characters")
    try:
        request = msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("request", str(error)) from error
    if request.fingerprint != show_fingerprint(fingerprint_of(request.public_key)):
        raise DecodeError("request", "the fingerprint is not that of the key")
    names = {name: getattr(request, name) for name in Claim.__struct_fields__}
    if not _verify(request.public_key, request.proof, _REQUEST_DOMAIN + _bytes(Claim(**names))):
        raise DecodeError("request", "the proof does not fit: it was changed on its way")
    return request


def _bytes(claim: Claim) -> bytes:
    """What a proof is over: MessagePack of the fields in their order."""
    return msgspec.msgpack.encode(claim)
