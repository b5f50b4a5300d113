"""What an attempt says when it fails."""

from alerts.sending import without_secrets
from uptime.secrets import encrypt


def test_a_receiver_that_repeats_a_secret_does_not_publish_it() -> None:
    secrets = encrypt({"/token": "tk_0123456789", "/pin": "1234"})
    text = "the receiver answered 401: no such token tk_0123456789 in 1234 tries"
    assert without_secrets(text, secrets) == (
        "the receiver answered 401: no such token ******** in 1234 tries"
    )


def test_neither_does_one_that_repeats_the_path_of_a_secret_address() -> None:
    secrets = encrypt(
        {"/url": "https://hooks.example/services/T0001/B0002/veryLongSecret?key=abcdefgh"}
    )
    text = "not found: /services/T0001/B0002/veryLongSecret?key=abcdefgh"
    assert "veryLongSecret" not in without_secrets(text, secrets)
    assert "abcdefgh" not in without_secrets(text, secrets)
