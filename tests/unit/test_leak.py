"""How the check for leftovers reads what the machine's programs print."""

from portside.testing.leak import interface_names


def test_interfaces_of_another_type_are_empty_objects() -> None:
    """iproute2 6.1 prints `{}` for each link that is not of the type asked for, and nothing at all for none."""
    assert interface_names('[{},{"ifname":"ps0"},{}]') == ["ps0"]
    assert interface_names("") == []
