"""Passwords: which are good enough, and how they are kept."""

from __future__ import annotations

import pytest

from neurocore.accounts import passwords
from neurocore.errors import InputError


@pytest.mark.parametrize(
    "password",
    [
        "", "short", "12345678901", "123456789012", "password1234", "qwertyuiop12", "aaaaaaaaaaaaaa", "1q2w3e4r5t6y",
        "x" * 257,
    ],
)  # fmt: skip
def test_a_password_that_is_short_or_common_is_refused(password: str) -> None:
    with pytest.raises(InputError) as caught:
        passwords.check_password(password)
    assert set(caught.value.problems) == {"password"}


def test_a_password_made_of_the_name_is_refused() -> None:
    with pytest.raises(InputError):
        passwords.check_password("annabella2026", about=("annabella", "Annabella"))
    for word in passwords.WORDS:
        with pytest.raises(InputError):
            passwords.check_password(f"{word}2026!")
    passwords.check_password("correct horse battery staple", about=("annabella",))


def test_a_password_is_kept_as_argon2id_and_no_two_hashes_are_the_same() -> None:
    one, two = passwords.hashed("correct horse battery staple"), passwords.hashed("correct horse battery staple")
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert one != two
    assert passwords.fits("correct horse battery staple", one)
    assert not passwords.fits("correct horse battery stapler", one)
    assert not passwords.fits("correct horse battery staple", None)
    assert not passwords.fits("nobody has this password", None)
    assert not passwords.fits("x", "no hash at all")
