"""A list of slices is read to its last page, by whoever reads it."""

from __future__ import annotations

from typing import Any

from scripts.testbed.clients import every_slice

PAGES: dict[str, Any] = {
    "/v1/slices": {"slices": [{"name": "a"}, {"name": "b"}], "next": "b&?="},
    "/v1/slices?cursor=b%26%3F%3D": {"slices": [{"name": "c"}]},
}


def test_pages_are_followed_to_the_last() -> None:
    status, slices = every_slice(lambda method, path: (200, PAGES[path]))
    assert status == 200
    assert [s["name"] for s in slices] == ["a", "b", "c"]


def test_a_page_that_is_refused_is_the_answer_and_no_shorter_list() -> None:
    refusal = {"type": "urn:qslice:problem:service-unavailable", "status": 503}
    answered = every_slice(lambda method, path: (200, PAGES[path]) if "cursor" not in path else (503, refusal))
    assert answered == (503, refusal)
