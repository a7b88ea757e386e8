"""Times of image documents, read without the standard library's calendar."""

from __future__ import annotations

from calendar import timegm
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sources.epoch import _parse_time


@given(st.datetimes(min_value=datetime(1970, 1, 1)))
def test_a_creation_time_is_what_the_calendar_says(when: datetime) -> None:
    assert _parse_time(when.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")) == timegm(when.utctimetuple())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-02-29T12:00:00.123456789+02:00", int(datetime(2024, 2, 29, 10, tzinfo=UTC).timestamp())),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00Z", 0),
        ("2024-13-01T00:00:00Z", 0),
        ("2024-00-01T00:00:00Z", 0),
        ("yesterday", 0),
    ],
)
def test_what_is_no_time_or_before_the_epoch_counts_as_0(text: str, seconds: int) -> None:
    assert _parse_time(text) == seconds
