"""The `portside` command as a person calls it, where no daemon runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from portside import __version__
from portside.cli import demo_image as image
from portside.cli import lifecycle
from portside.cli.demo.aws import typed
from portside.cli.demo.stage import PARTS, task_definition
from portside.cli.failure import Failure
from portside.cli.systemd import quoted, unit
from portside.settings import Settings

CLONE = Path(__file__).resolve().parents[3]


def portside(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORTSIDE_")}
    return subprocess.run(
        [sys.executable, "-m", "portside.cli", *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version() -> None:
    """`portside version` prints the version and nothing else."""
    done = portside("version")
    assert (done.returncode, done.stdout) == (0, f"portside {__version__}\n")


def test_env_can_be_evaluated(tmp_path: Path) -> None:
    """A shell that evaluates `portside env` has the variables, for the port that was named."""
    done = portside("env", "--port", "4999", "--data-dir", str(tmp_path))
    shell = subprocess.run(
        ["sh", "-c", done.stdout + 'echo "$AWS_ENDPOINT_URL $AWS_ACCESS_KEY_ID $AWS_DEFAULT_REGION"'],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert shell.stdout == "http://127.0.0.1:4999 test us-east-1\n"
    assert portside("env", PORTSIDE_PORT="4999", PORTSIDE_DATA_DIR=str(tmp_path)).stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("stauts",), 2, "Did you mean 'status'"),
        (("up", "--port", "99999"), 2, "--port"),
        (("up", "--prot", "1"), 2, "--port"),
        (("status",), 1, "portside up --detach"),
        (("logs",), 1, "there is no log"),
        (("demo", "--remove"), 1, "portside up --detach"),
    ],
)
def test_wrong_use_says_what_to_do(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    """A mistyped command, a bad value, a daemon that does not run: a plain message with the way out, no traceback."""
    done = portside(*arguments, PORTSIDE_DATA_DIR=str(tmp_path))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_purge_spares_other_folders(tmp_path: Path) -> None:
    """`down --purge` refuses to remove a folder that is not Portside's."""
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(Failure, match="does not look like"):
        lifecycle.down(Settings(data_dir=tmp_path), purge=True)
    assert (tmp_path / "letters.txt").exists()


def test_unit_names_this_clone(tmp_path: Path) -> None:
    """The systemd unit has no placeholder left and starts the daemon with the settings given."""
    text = unit(Settings(data_dir=tmp_path, port=4999))
    assert "@" not in text
    assert f"ExecStart={sys.executable} -m portside.main --data-dir {tmp_path}" in text
    assert "KillMode=process" in text


@pytest.mark.parametrize(
    ("argument", "line"),
    [("/data", "/data"), ("/my data", '"/my data"'), ("", '""'), ("50%", "50%%"), ("$x", "$$x")],
)
def test_unit_quoting(argument: str, line: str) -> None:
    """What systemd would expand or split is escaped."""
    assert quoted(argument) == line


def test_typed_commands_are_what_ran() -> None:
    """The shown command, read by a shell, is word for word the command that ran, also broken over lines."""
    arguments = ("ec2", "describe-subnets", "--query", "sort_by(Subnets,&Zone)[:2].Id", *["--filters", "a b"] * 8)
    shown = "\n".join(typed(arguments))
    script = f"aws() {{ for word; do printf '%s\\n' \"$word\"; done; }}\n{shown}"
    heard = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10, check=True).stdout
    assert tuple(heard.splitlines()) == arguments
    assert "\n" in shown


def test_recipe_digest_follows_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is made again when a file in it changes, and only then."""
    before = [recipe.digest() for recipe in image.RECIPES]
    assert before == [recipe.digest() for recipe in image.RECIPES]
    assert len(set(before)) == len(before)
    monkeypatch.setattr(image, "content", lambda name: "something else")
    assert all(recipe.digest() not in before for recipe in image.RECIPES)


def test_task_definitions_are_valid_input() -> None:
    """The demonstration's task definitions pass AWS's own model of RegisterTaskDefinition."""
    import botocore.session
    import botocore.validate

    model = botocore.session.Session().get_service_model("ecs").operation_model("RegisterTaskDefinition")
    for part in PARTS:
        found = botocore.validate.validate_parameters(
            task_definition(part, "us-east-1", "arn:aws:iam::000000000000:role/r"), model.input_shape
        )
        assert found is None


def installed_copy(folder: Path) -> Path:
    """A clone that looks installed: the launcher, the pins, the stamp, and a `python` that shows how it is called."""
    clone = folder / "a clone"
    (clone / ".venv/bin").mkdir(parents=True)
    for name in ("portside", "requirements.lock"):
        shutil.copy(CLONE / name, clone / name)
    python = clone / ".venv/bin/python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$0" "$@"\n')
    python.chmod(0o755)
    # What the launcher itself would write into its stamp.
    asker = clone / "asker"
    asker.write_text((clone / "portside").read_text().replace('main "$@"\n', "wanted\n"))
    stamp = subprocess.run(["bash", asker], capture_output=True, text=True, timeout=10, check=True).stdout
    (clone / ".venv/portside.stamp").write_text(stamp)
    return clone


def test_launcher_by_links(tmp_path: Path) -> None:
    """Called by a link to a link from elsewhere, the launcher finds its clone and hands every argument on as it is."""
    clone = installed_copy(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/first").symlink_to("../a clone/portside")
    (tmp_path / "bin/second").symlink_to("first")
    done = subprocess.run(
        [tmp_path / "bin/second", "status", "a b", ""], capture_output=True, text=True, timeout=10, cwd="/", check=True
    )
    assert done.stdout == f"{clone}/.venv/bin/python|-m|portside.cli|status|a b||"
    assert done.stderr == ""


def test_programs_of_the_packages() -> None:
    """Where Portside can not install packages it looks for a program of each that it would install; what only tests
    call is installed with the tests."""
    text = (CLONE / "portside").read_text()
    listed = text.partition("packages=(\n")[2].partition("\n)")[0].splitlines()
    packages = [each.split()[0] for each in listed]
    others = {"e2fsprogs": "mkfs.ext4", "xfsprogs": "mkfs.xfs", "nftables": "nft", "iproute2": "ip"}
    programs = {others.get(each, each) for each in packages if each != "ca-certificates"}
    assert set(text.partition("for program in ")[2].partition(";")[0].split()) == programs
    for_tests = text.partition("packages_for_tests=(")[2].partition(")")[0].split()
    assert "procps" in for_tests


def test_locks_have_hashes_and_no_index() -> None:
    """Each pinned package has hashes, and no file names a package index."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (CLONE / name).read_text()
        blocks = [block for block in text.split("\n") if block and not block.startswith((" ", "#"))]
        assert len(blocks) > 20
        assert all("==" in block and block.endswith("\\") for block in blocks)
        assert "://" not in text
        assert "index-url" not in text
