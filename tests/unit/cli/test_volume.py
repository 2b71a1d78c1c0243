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
