"""Private keys in files."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from connector.adapters.key_files import KeyFileError, create_key, load_key


def write(path: Path, data: bytes, mode: int = 0o600) -> Any:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def pem(key: Any, encryption: Any = None) -> Any:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def test_a_new_key_is_readable_by_its_owner_only_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "contracts.pem"
    previous = os.umask(0)
    try:
        created = create_key(path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path).private_bytes_raw() == created.private_bytes_raw()
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "contracts.pem"
    create_key(path)
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        create_key(path)
    assert path.read_bytes() == before


def test_a_new_key_is_not_written_through_a_link(tmp_path: Path) -> None:
    path = tmp_path / "contracts.pem"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        create_key(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written"):
        create_key(tmp_path / "none" / "contracts.pem")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o644])
def test_a_key_that_others_can_reach_is_refused_with_the_command_that_helps(
    tmp_path: Path, mode: int
) -> None:
    path = write(tmp_path / "k.pem", pem(Ed25519PrivateKey.generate()), mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        load_key(path)


def test_a_missing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="missing"):
        load_key(tmp_path / "none.pem")


def test_a_directory_is_not_a_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError):
        load_key(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "no PKCS#8 PEM key"),
        (b"hello", "no PKCS#8 PEM key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an Ed25519 key"),
        (pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")), "is encrypted"),
    ],
)
def test_a_wrong_key_is_refused_with_a_reason(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = write(tmp_path / "k.pem", content)
    with pytest.raises(KeyFileError, match=sentence):
        load_key(path)
