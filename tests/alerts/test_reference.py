"""docs/channels.md is true."""

import re

from django.conf import settings

from alerts.channels import CHANNELS
from alerts.messages import sample_message
from alerts.reference import channel_reference
from alerts.templating import FILTERS, clean_template, template_values

DOCUMENT = (settings.BASE_DIR / "docs" / "channels.md").read_text()


def test_the_tables_are_those_of_the_schemas() -> None:
    """Where this fails: put what `manage.py channel_reference` prints between the marks."""
    [written] = re.findall(
        r"<!-- reference: begin -->\n(.*)<!-- reference: end -->", DOCUMENT, re.S
    )
    assert written.strip() == channel_reference().strip()


def test_every_channel_has_a_table() -> None:
    for name in CHANNELS:
        assert f"(`{name}`)" in DOCUMENT


def test_every_filter_is_named() -> None:
    [sentence] = re.findall(r"Filters are\s(.*?)\.\s", DOCUMENT, re.S)
    assert sorted(re.findall(r"`(\w+)`", sentence)) == FILTERS


def test_every_name_of_a_template_is_named() -> None:
    rows = re.findall(r"^\| (`.*?) \|", DOCUMENT, re.M)
    named = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    assert set(template_values(sample_message())) <= named


def test_the_example_can_be_saved() -> None:
    [example] = re.findall(r"```\n(\{\{.*?)```", DOCUMENT, re.S)
    assert clean_template(example) == example
