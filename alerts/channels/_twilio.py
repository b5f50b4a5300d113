"""What Twilio's SMS and voice have in common: the account, the call of the API, its errors.

https://www.twilio.com/docs/usage/requests-to-twilio (basic authentication, forms),
https://www.twilio.com/docs/api/errors (the codes). The API knows no key against repetitions: a
message whose answer was lost is sent twice.

https://www.twilio.com/docs/iam/api/account#fetch-an-account-resource tells whether the account is
active. A key may not ask that (https://www.twilio.com/docs/iam/api-keys/keys-in-console), so with
one the list of what was sent is asked for, and a refusal may mean that it can't read.
"""

import re
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from alerts.addresses import URL_LIMIT, Server, Token, basic_credentials
from alerts.channels.base import TextConfig
from alerts.door import Answer, Door
from alerts.errors import DeadChannelError, DeliveryError
from alerts.refusals import answered_object, answered_word, refusal

_DEAD_CODES = {
    20003,  # authentication failed
    20404,  # no such account
    21210,  # the sender's number was not verified
    21211,  # invalid "To"
    21212,  # invalid "From"
    21214,  # "To" can't be reached
    21215,  # calls to that country are not permitted
    21217,  # not a phone number
    21219,  # "To" was not verified (trial accounts)
    21408,  # messages to that country are not permitted
    21606,  # "From" is not of this account, or can't send
    21608,  # "To" was not verified (trial accounts)
    21610,  # the recipient said STOP
    21612,  # "To" can't be reached from "From"
    21614,  # not a mobile number
    21659,  # "From" is not a number of Twilio
    21660,  # "From" is of another account
}


def _clean_number(number: str) -> str:
    digits = "".join(sign for sign in number if sign not in " -.()/")
    if not re.fullmatch(r"\+[0-9]{6,15}", digits):
        raise ValueError("Give the number with its country: +49 30 1234567.")
    return digits


Number = Annotated[str, AfterValidator(_clean_number)]
"""A phone number in E.164."""


class TwilioConfig(TextConfig):
    account_sid: str = Field(title="Account SID", description="AC…", pattern=r"^AC[0-9a-fA-F]{32}$")
    auth_token: Token = Field(
        title="Auth token", description="Of the account, or an API key's secret.", max_length=200
    )
    api_key: str = Field(
        default="",
        title="API key",
        description="SK…, where the secret above is an API key's and not the account's.",
        pattern=r"^(SK[0-9a-fA-F]{32})?$",
    )
    sender: str = Field(
        title="From",
        description="One of your numbers at Twilio: +1 555 0100.",
        min_length=1,
        max_length=40,
    )
    to: Number = Field(title="To", description="The number with its country: +49 30 1234567.")
    server: Server = Field(
        default="https://api.twilio.com",
        title="Server",
        description="Another for another region: https://api.dublin.ie1.twilio.com",
        max_length=URL_LIMIT,
    )


def post_form(door: Door, config: TwilioConfig, resource: str, values: dict[str, str]) -> None:
    """Create a `resource` of the account. Raises DeliveryError when it was refused."""
    answer = door.post(
        f"{config.server}/2010-04-01/Accounts/{config.account_sid}/{resource}.json",
        body=urlencode(values).encode(),
        headers={
            **_credentials(config),
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    if not answer.is_success:
        raise _refusal(answer)


def probe_account(door: Door, config: TwilioConfig, resource: str) -> bool:
    """Ask for the account, or with a key for one of its `resource`. Raises like `post_form`."""
    account = f"{config.server}/2010-04-01/Accounts/{config.account_sid}"
    address = f"{account}/{resource}.json?PageSize=1" if config.api_key else f"{account}.json"
    answer = door.get(address, headers=_credentials(config))
    if not answer.is_success:
        error = _refusal(answer)
        raise DeliveryError(str(error)) if config.api_key else error
    status = answered_word(answer, "status")
    if not config.api_key and status != "active":
        raise DeadChannelError(f"the account is {status or 'of unknown status'}")
    return True


def _credentials(config: TwilioConfig) -> dict[str, str]:
    user = config.api_key or config.account_sid
    return basic_credentials(user, config.auth_token.get_secret_value())


def _refusal(answer: Answer) -> DeliveryError:
    code = answered_object(answer).get("code")
    said = answered_word(answer, "message")
    return refusal(
        answer,
        said=f"{said} ({code})" if code else said,
        is_dead=code in _DEAD_CODES,
        is_permanent=answer.status == 400,
    )
