"""How a route is found among many: the same one as by going through them in order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portside.balancer.route_tree import IN_ORDER, choice, lists, plain

TEXT = st.text("ab/-", min_size=0, max_size=6).map(lambda text: f"/{text}")
MATCH = st.one_of(
    TEXT.map(lambda text: {"prefix": text}),
    TEXT.map(lambda text: {"path": text}),
    st.sampled_from(["a", "b", "/a", "-"]).map(lambda part: {"safe_regex": {"regex": part}}),
)


def takes(match: dict[str, Any], path: str) -> bool:
    if "prefix" in match:
        return path.startswith(match["prefix"])
    return path == match["path"] if "path" in match else match["safe_regex"]["regex"] in path


def first(routes: list[dict[str, Any]], path: str) -> dict[str, Any] | None:
    return next((each for each in routes if takes(each["match"], path)), None)


@given(st.lists(MATCH, min_size=20, max_size=60), st.lists(TEXT, min_size=1, max_size=20))
def test_the_first_route_that_matches_is_taken(matches: list[dict[str, Any]], paths: list[str]) -> None:
    """For any path the list of its longest beginning has the route that the whole list has."""
    routes = [{"name": str(number), "match": match} for number, match in enumerate(matches)]
    named = lists(routes, sorted({plain(each) for each in routes if len(plain(each)) > 1}))
    for path in paths:
        beginning = max((each for each in named if path.startswith(each)), key=len)
        assert first(named[beginning], path) == first(routes, path)


def test_few_rules_are_tried_in_order() -> None:
    """Routes stay as they are where there are no more than a list is gone through for."""
    routes = [{"match": {"prefix": f"/{number:02}"}} for number in range(IN_ORDER)]
    assert choice(routes) == {"routes": routes}


def test_many_rules_are_split() -> None:
    """A hundred rules make lists of a few, which have what holds for every path before and after their own."""
    before, after = {"match": {"safe_regex": {"regex": ".*x"}}}, {"match": {"prefix": "/"}}
    routes = [before, *({"match": {"prefix": f"/rule-{number}/"}} for number in range(100)), after]
    matcher = choice(routes)["matcher"]
    made = matcher["matcher_tree"]["prefix_match_map"]["map"]
    assert len(made) == 10
    for action in made.values():
        several = action["action"]["typed_config"]["routes"]
        assert (several[0], several[-1]) == (before, after)
        assert len(several) <= 13
    assert matcher["on_no_match"]["action"]["typed_config"]["routes"] == [before, after]
