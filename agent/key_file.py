"""The file that holds this host's signing key.

Owns its form (PKCS #8 PEM, which `openssl pkey` reads), its making and its reading. It is never
overwritten, readable by its owner alone, and refused where others could have read it.
"""

import base64
import os
import stat
from pathlib import Path

from telemetry.errors import ConfigError
from telemetry.signing import KEY_BYTES, SIGNATURE_HEADER, SigningKey

_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
# What stands before the 32 bytes of an Ed25519 key in PKCS #8: RFC 8410, section 7.
_DER_HEAD = bytes.fromhex("302e020100300506032b657004220420")


class KeySigner:
    """Signs what an agent sends."""

    def __init__(self, key: SigningKey) -> None:
        self.key = key

    def headers(self, value: bytes) -> list[tuple[str, bytes]]:
        """Return the record headers that go with a value."""
        return [(SIGNATURE_HEADER, self.key.sign_message(value))]


def make_key_file(path: Path) -> SigningKey:
    """Make a new key in a new file; it belongs to whoever owns the folder.

    Raises:
        ConfigError: there is a file already, or it cannot be made.
    """
    seed = os.urandom(KEY_BYTES)
    text = f"{_BEGIN}\n{base64.b64encode(_DER_HEAD + seed).decode()}\n{_END}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        owner = path.parent.stat()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            if os.geteuid() == 0:
                os.fchown(file, owner.st_uid, owner.st_gid)
            os.write(file, text.encode())
            os.fsync(file)
        finally:
            os.close(file)
    except FileExistsError as error:
        raise ConfigError(
            [f"{path}: there is a key already; a second one goes into a file of another name"]
        ) from error
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    return SigningKey(seed)


def read_key_file(path: Path) -> SigningKey:
    """Read the key.

    Raises:
        ConfigError: it is not there, others may read it, or it is no Ed25519 key. What it holds is
            never part of the message.
    """
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                remedy = "enroll anew: nobody knows who has read it"
                raise ConfigError([f"{path}: others than its owner may use it; {remedy}"])
            text = file.read(4096).decode("ascii", "replace")
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    return SigningKey(_seed_in(text, path))


def _seed_in(text: str, path: Path) -> bytes:
    try:
        begin, body, end, *_ = text.split("\n")
        der = base64.b64decode(body, validate=True) if (begin, end) == (_BEGIN, _END) else b""
    except ValueError:
        der = b""
    if not der.startswith(_DER_HEAD) or len(der) != len(_DER_HEAD) + KEY_BYTES:
        # Without the cause, which might quote the file.
        raise ConfigError([f"{path}: this is no Ed25519 private key"])
    return der.removeprefix(_DER_HEAD)
