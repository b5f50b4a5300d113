"""What can go wrong on the way to a receiver."""

from datetime import timedelta


class DeliveryError(Exception):
    """A message was not taken. The text is for the team's eyes and holds no secret.

    `is_permanent` says that trying again can't help; `retry_after` is how long the receiver asked
    to be left alone.
    """

    def __init__(
        self, message: str, *, is_permanent: bool = False, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.retry_after = retry_after
