"""What can go wrong on the way to a receiver.

DeliveryError        the message was not taken; it is sent again later
  is_permanent       … and never will be: this message is dead
DeadChannelError     … nor will any other: the channel itself is dead
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType


class DeliveryError(Exception):
    """A message was not taken. The text is for the team's eyes and holds no secret.

    `is_permanent` says that trying again can't help; `retry_after` is how long the receiver asked
    to be left alone. Of several receivers, `settled` has those that the next attempt leaves out,
    each with why it refused for good, or an empty text where it took the message.
    """

    def __init__(
        self,
        message: str,
        *,
        is_permanent: bool = False,
        retry_after: timedelta | None = None,
        settled: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.retry_after = retry_after
        self.settled = settled


class DeadChannelError(DeliveryError):
    """The receiver is gone or refuses the channel's credentials: no message will ever be taken.

    Raised only for answers that the receiver's documentation calls final, since it disables the
    channel.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, is_permanent=True)
