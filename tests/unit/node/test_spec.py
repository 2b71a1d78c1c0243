"""What a container's specification says, and how names of signals and users are read."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from portside.domain.record import replace
from portside.domain.task_definition import EnvironmentVariable, LinuxParameters, LogConfiguration, Ulimit
from portside.node import hook
from portside.node.container import seccomp, spec
from portside.node.image.storage import Image
from portside.node.rootfs import account
from portside.testing.node_lab import lab_task

_IMAGE = Image(
    id="1",
    digest="sha256:1",
    layers=(Path("/layer"),),
    environment=("PATH=/image/bin", "COLOUR=blue", "EMPTY="),
    entry_point=("/entry",),
    command=("default",),
    working_directory="srv",
)


def build(effect: object = None, joined: Mapping[str, str] = {}, shm: Path | None = None, **machine: object) -> dict:
    task = lab_task("true", network_mode="awsvpc")
    return spec.build(
        effect or task.start,
        _IMAGE,
        machine=spec.Machine(seccomp={"a": "b"}, **({"cgroup_version": 1, "swap_limit": False} | machine)),
        root=Path("/root/merged"),
        folder=Path("/folder"),
        account=account.Account(1, 2, (2, 3)),
        cgroup_path="/x/y/z",
        netns="/run/ns",
        joined=joined,
        shm=shm,
    )


@pytest.mark.parametrize(
    ("entry_point", "command", "expected"),
    [
        (None, None, ("/entry", "default")),
        (None, ("mine",), ("/entry", "mine")),
        (("/my",), None, ("/my",)),
        (("/my",), ("mine",), ("/my", "mine")),
    ],
)
def test_what_is_run(entry_point: tuple[str, ...], command: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """As in Docker: an entry point of the definition drops the image's command, a command replaces only it."""
    definition = replace(lab_task("").start.definition, entry_point=entry_point, command=command)
    assert spec.arguments(definition, _IMAGE) == expected


def test_nothing_to_run() -> None:
    """An image without a command, and a definition without one."""
    definition = replace(lab_task("").start.definition, entry_point=None, command=None)
    with pytest.raises(spec.NoCommand):
        spec.arguments(definition, replace_image(entry_point=(), command=()))


def replace_image(**fields: object) -> Image:
    import dataclasses

    return dataclasses.replace(_IMAGE, **fields)


def test_environment_order() -> None:
    """The definition wins over what ECS sets, that over the image, the image over the defaults; each name once."""
    task = lab_task("")
    definition = replace(
        task.start.definition,
        environment=(EnvironmentVariable(name="COLOUR", value="red=ish"), EnvironmentVariable(name="NEW", value="")),
    )
    found = spec.environment(replace(task.start, definition=definition), _IMAGE, "me")
    assert {"PATH=/image/bin", "COLOUR=red=ish", "EMPTY=", "NEW=", "HOSTNAME=me", "AWS_REGION=us-east-1"} <= set(found)
    assert len({each.partition("=")[0] for each in found}) == len(found)
    image = replace_image(environment=("AWS_REGION=eu-north-1", "AWS_EXECUTION_ENV=mine"))
    assert {"AWS_REGION=us-east-1", "AWS_EXECUTION_ENV=AWS_ECS_FARGATE"} <= set(spec.environment(task.start, image, ""))
    moved = replace(definition, environment=(EnvironmentVariable(name="AWS_REGION", value="eu-west-1"),))
    assert "AWS_REGION=eu-west-1" in spec.environment(replace(task.start, definition=moved), image, "")


def test_the_whole() -> None:
    """Namespaces, user, capabilities, root, cgroup and hostname are in their places."""
    found = build()
    assert {each["type"]: each.get("path") for each in found["linux"]["namespaces"]} == {
        "pid": None,
        "ipc": None,
        "uts": None,
        "mount": None,
        "network": "/run/ns",
    }
    assert found["process"]["user"] == {"uid": 1, "gid": 2, "additionalGids": [2, 3]}
    assert "CAP_SYS_ADMIN" not in found["process"]["capabilities"]["bounding"]
    assert found["process"]["capabilities"].get("ambient") is None
    assert found["process"]["cwd"] == "/srv"
    assert found["process"]["oomScoreAdj"] == 0
    assert found["hostname"] == "ip-172-31-0-5.ec2.internal"
    assert found["linux"]["cgroupsPath"] == "/x/y/z"
    assert "/proc/kcore" in found["linux"]["maskedPaths"]
    assert found["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_a_privileged_container() -> None:
    """Every capability that the daemon has, every device, nothing hidden or read-only, no filter."""
    task = lab_task("true", privileged=True, linux=LinuxParameters(capabilities_drop=("ALL",)))
    held = spec.capabilities(task.start.definition, held=0b111)
    assert held == ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")
    found = build(task.start)
    assert found["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert (found["linux"]["maskedPaths"], found["linux"]["readonlyPaths"], found["annotations"]) == ([], [], {})
    assert all("ro" not in each["options"] for each in found["mounts"] if each["destination"].startswith("/sys"))
    assert "/dev/null" not in {each["path"] for each in found["linux"]["devices"]}


def test_containers_are_as_likely_to_be_killed_as_any(tmp_path: Path) -> None:
    """A protected daemon does not protect its containers; one that is likelier to be killed hands that on."""
    own = tmp_path / "oom_score_adj"
    for text, expected in (("-500\n", 0), ("0\n", 0), ("300\n", 300)):
        own.write_text(text)
        assert spec.usual_oom_score_adj(own) == expected


def test_modes_of_network_and_cgroup() -> None:
    """Host mode is the instance's network; on cgroup v2 the container sees its own group as the root."""
    task = lab_task("true", network_mode="host")
    assert {"type": "network", "path": "/run/ns"} in build(task.start)["linux"]["namespaces"]
    assert "cgroup" in {each["type"] for each in build(cgroup_version=2)["linux"]["namespaces"]}


def test_memory_of_a_container() -> None:
    """Limit and reservation in bytes; swap is taken away where the kernel counts it."""
    task = lab_task("true")
    definition = replace(task.start.definition, memory_mib=64, memory_reservation_mib=32, cpu_units=128)
    effect = replace(task.start, definition=definition)
    mib = 1024 * 1024
    assert build(effect)["linux"]["resources"]["memory"] == {"limit": 64 * mib, "reservation": 32 * mib}
    assert build(effect, swap_limit=True)["linux"]["resources"]["memory"]["swap"] == 64 * mib
    assert build(effect)["linux"]["resources"]["cpu"] == {"shares": 128}


def test_rlimits_are_clamped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit exceeds what this process may set itself, and no soft one its hard one."""
    monkeypatch.setattr(spec.resource, "getrlimit", lambda number: (100, 20_000))
    definition = replace(
        lab_task("").start.definition,
        ulimits=(Ulimit(name="nofile", soft=-1, hard=-1), Ulimit(name="nproc", soft=9, hard=5)),
    )
    assert spec.rlimits(definition) == [
        {"type": "RLIMIT_NOFILE", "hard": 20_000, "soft": 20_000},
        {"type": "RLIMIT_NPROC", "hard": 5, "soft": 5},
    ]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("", signal.SIGTERM),
        ("SIGQUIT", signal.SIGQUIT),
        ("usr1", signal.SIGUSR1),
        ("2", signal.SIGINT),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("SIGNONSENSE", signal.SIGTERM),
        ("SIG_DFL", signal.SIGTERM),
        ("999", signal.SIGTERM),
    ],
)
def test_stop_signals(name: str, number: int) -> None:
    """Names with and without SIG, numbers, real-time signals; what is no signal is SIGTERM."""
    assert hook.stop_signal(name) == int(number)


def test_where_output_goes() -> None:
    """`prefix/container/task-id`, the container's id without a prefix, in the region of the options."""
    task = lab_task("")
    found = hook.destination(task.start, _IMAGE)
    assert found is not None
    assert (found.group, found.stream, found.create_group) == ("/test/lab", f"test/main/{task.task_id}", False)
    options = {"awslogs-group": "g", "awslogs-region": "eu-west-1", "awslogs-create-group": "true"}
    definition = replace(task.start.definition, log=LogConfiguration(driver="awslogs", options=options))
    found = hook.destination(replace(task.start, definition=definition), _IMAGE)
    assert found is not None
    assert (found.scope.region, found.stream, found.create_group) == ("eu-west-1", task.start.runtime_id, True)
    definition = replace(task.start.definition, log=LogConfiguration(driver="none"))
    assert hook.destination(replace(task.start, definition=definition), _IMAGE) is None


def test_links_of_an_image_stay_in_it(tmp_path: Path) -> None:
    """A passwd that is a link is read within the image; a working directory behind a link is made in it."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    os.symlink("/etc/real", root / "etc/passwd")
    assert account.read_text(root, "/etc/passwd") == ""
    (root / "etc/real").write_text("app:x:5:6::/:/bin/sh\n")
    assert account.resolve(root, "app") == account.Account(5, 6, (6,))
    os.symlink("/../../../..", root / "up")
    account.ensure_directory(root, f"/up{tmp_path}/made")
    assert not (tmp_path / "made").exists()
    assert (root / str(tmp_path).lstrip("/") / "made").is_dir()


def test_numbers_without_an_entry(tmp_path: Path) -> None:
    """A number need not be in the image; a name must."""
    (tmp_path / "etc").mkdir()
    assert account.resolve(tmp_path, "1234") == account.Account(1234, 0, (0,))
    assert account.resolve(tmp_path, "1234:77") == account.Account(1234, 77, (77,))
    with pytest.raises(account.UnknownUser, match="unable to find group ghosts"):
        account.resolve(tmp_path, "1234:ghosts")


def test_the_profile_is_tightened() -> None:
    """Without CAP_SYS_ADMIN no call makes a namespace or a mount; everything else is as the profile says."""
    rules = [{"names": ["read", "unshare", "clone", "clone3", "mount"], "action": "SCMP_ACT_ALLOW"}]
    tight = seccomp.tightened(rules)
    assert tight[0]["names"] == ["read"]
    actions = {name: rule["action"] for rule in tight for name in rule["names"]}
    assert actions["unshare"] == actions["mount"] == actions["clone3"] == "SCMP_ACT_ERRNO"
    clone = next(rule for rule in tight if rule["names"] == ["clone"])
    assert clone["args"][0]["op"] == "SCMP_CMP_MASKED_EQ"


@pytest.mark.parametrize("option", ["no-new-privileges", "no-new-privileges:true"])
def test_both_ways_of_saying_no_new_privileges(option: str) -> None:
    """What registration takes is acted upon."""
    effect = lab_task("true", docker_security_options=(option,)).start
    assert build(effect)["process"]["noNewPrivileges"] is True


def test_namespaces_that_a_task_shares() -> None:
    """They are joined; /dev/shm goes with IPC, and the other namespaces are the container's own."""
    effect = replace(lab_task("true").start, pid_mode="task", ipc_mode="task")
    assert spec.shared_by_task(effect) == ("pid", "ipc")
    joined = {"pid": "/proc/7/ns/pid", "ipc": "/proc/7/ns/ipc"}
    config = build(effect, joined=joined, shm=Path("/run/shm-of-task"))
    paths = {each["type"]: each.get("path") for each in config["linux"]["namespaces"]}
    assert (paths["pid"], paths["ipc"], paths["uts"], paths["mount"]) == (*joined.values(), None, None)
    (shm,) = (each for each in config["mounts"] if each["destination"] == "/dev/shm")
    assert (shm["type"], shm["source"]) == ("bind", "/run/shm-of-task")
    assert spec.shared_by_task(replace(effect, pid_mode="host", ipc_mode="none")) == ()
