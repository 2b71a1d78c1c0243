"""`portside volume ls`: what is shown."""

from rich.console import Console

from portside.cli.volume import render


def test_volumes_are_shown_with_who_uses_them() -> None:
    """Their size in decimal units, the zones of their mount targets, the beginnings of tasks' ids;
    a Docker volume with its instance, and without a size where it has none."""
    rows = [
        {
            "id": "fs-0123456789abcdef0",
            "kind": "efs",
            "name": "data",
            "sizeBytes": 8_400_000,
            "zones": ["us-east-1a"],
            "usedBy": ["default/0123456789abcdef0123456789abcdef"],
        },
        {
            "id": "fs-1123456789abcdef0",
            "kind": "efs",
            "name": "",
            "sizeBytes": 2_000_000_000,
            "zones": [],
            "usedBy": [],
        },
        {
            "id": "dv-0123456789abcdef0",
            "kind": "docker",
            "name": "db",
            "sizeBytes": None,
            "instance": "i-0123",
            "usedBy": [],
        },
    ]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(render(rows))
    _, first, second, third = captured.get().splitlines()
    assert first.split() == ["efs", "fs-0123456789abcdef0", "data", "8.4", "MB", "us-east-1a", "default/01234567"]
    assert second.split() == ["efs", "fs-1123456789abcdef0", "2.0", "GB", "none"]
    assert third.split() == ["docker", "dv-0123456789abcdef0", "db", "-", "i-0123"]


def test_a_volume_of_ebs_says_how_full_it_is() -> None:
    """Of its size; one that is nearly full, in error, or without its file is marked."""
    row = {
        "kind": "ebs",
        "name": "",
        "zones": ["us-east-1a"],
        "usedBy": [],
        "sizeBytes": 1_000_000_000,
        "capacityBytes": 10**10,
    }
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
        "ebs vol-1 1.0 GB of 10.0 GB us-east-1a",
        "ebs vol-2 9.5 GB of 10.0 GB, nearly full us-east-1a",
        "ebs vol-3 its file is missing us-east-1a",
        "ebs vol-4 error us-east-1a",
    ]


def test_what_a_task_writes_and_paths_of_instances() -> None:
    """A task's disk by the task's id, a volume on it by both; a path of an instance by itself."""
    rows = [
        {
            "id": "0123456789abcdef",
            "kind": "ephemeral",
            "name": "family:web",
            "zones": ["us-east-1a"],
            "usedBy": ["c/0123"],
            "sizeBytes": 19_500_000_000,
            "capacityBytes": 20_000_000_000,
            "isNearlyFull": True,
        },
        {
            "id": "0123456789abcdef/x",
            "kind": "task",
            "name": "x",
            "zones": [],
            "usedBy": ["c/0123"],
            "sizeBytes": 1_000_000,
        },
        {"id": "i-1:/srv", "kind": "host", "name": "/srv", "instance": "i-1", "usedBy": ["c/0123"], "sizeBytes": None},
    ]
    console = Console(width=100)
    with console.capture() as captured:
        console.print(render(rows))
    found = [" ".join(line.split()) for line in captured.get().splitlines()[1:]]
    assert found == [
        "ephemeral 01234567 family:web 19.5 GB of 20.0 GB, nearly full us-east-1a c/0123",
        "task 01234567/x x 1.0 MB none c/0123",
        "host /srv - i-1 c/0123",
    ]
