"""`portside volume ls`: what is shown."""

from rich.console import Console

from portside.cli.volume import render


def test_volumes_are_shown_with_who_uses_them() -> None:
    """Their size in decimal units, the zones of their mount targets, the beginnings of tasks' ids;
    a Docker volume with its instance, and without a size where it has none."""
    rows = [
        {
            "id": "fs-0123456789abcdef0",
            "name": "data",
            "sizeBytes": 8_400_000,
            "zones": ["us-east-1a"],
            "usedBy": ["default/0123456789abcdef0123456789abcdef"],
        },
        {"id": "fs-1123456789abcdef0", "name": "", "sizeBytes": 2_000_000_000, "zones": [], "usedBy": []},
        {"id": "dv-0123456789abcdef0", "name": "db", "sizeBytes": None, "instance": "i-0123", "usedBy": []},
    ]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(render(rows))
    _, first, second, third = captured.get().splitlines()
    assert first.split() == ["fs-0123456789abcdef0", "data", "8.4", "MB", "us-east-1a", "default/01234567"]
    assert second.split() == ["fs-1123456789abcdef0", "2.0", "GB", "none"]
    assert third.split() == ["dv-0123456789abcdef0", "db", "-", "i-0123"]


def test_a_volume_of_ebs_says_how_full_it_is() -> None:
    """Of its size; one that is nearly full, in error, or without its file is marked."""
    row = {"name": "", "zones": ["us-east-1a"], "usedBy": [], "sizeBytes": 1_000_000_000, "capacityBytes": 10**10}
    rows = [
        {**row, "id": "vol-1", "status": "in-use"},
        {**row, "id": "vol-2", "status": "in-use", "sizeBytes": 9_500_000_000, "isNearlyFull": True},
        {**row, "id": "vol-3", "status": "available", "sizeBytes": None, "isMissing": True},
        {**row, "id": "vol-4", "status": "error", "sizeBytes": None},
    ]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(render(rows))
    found = [" ".join(line.split()) for line in captured.get().splitlines()[1:]]
    assert found == [
        "vol-1 1.0 GB of 10.0 GB us-east-1a",
        "vol-2 9.5 GB of 10.0 GB, nearly full us-east-1a",
        "vol-3 its file is missing us-east-1a",
        "vol-4 error us-east-1a",
    ]
