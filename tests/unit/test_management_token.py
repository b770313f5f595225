"""The management token is made once, for its owner only, and refused where others could have read it."""

from pathlib import Path

import pytest

from connector.adapters.management_token import (
    ManagementTokenError,
    create_management_token,
    read_management_token,
)


def test_a_token_is_long_and_its_owners_only(tmp_path: Path) -> None:
    create_management_token(tmp_path)
    assert len(read_management_token(tmp_path)) >= 43
    assert (tmp_path / "management.token").stat().st_mode & 0o777 == 0o600


def test_a_token_is_never_overwritten(tmp_path: Path) -> None:
    create_management_token(tmp_path)
    token = read_management_token(tmp_path)
    with pytest.raises(ManagementTokenError, match="cannot be made"):
        create_management_token(tmp_path)
    assert read_management_token(tmp_path) == token


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    create_management_token(tmp_path)
    (tmp_path / "management.token").chmod(mode)
    with pytest.raises(ManagementTokenError, match="chmod 600"):
        read_management_token(tmp_path)


def test_a_missing_or_empty_token_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ManagementTokenError, match="allmende init"):
        read_management_token(tmp_path)
    (tmp_path / "management.token").touch(mode=0o600)
    with pytest.raises(ManagementTokenError, match="empty"):
        read_management_token(tmp_path)
