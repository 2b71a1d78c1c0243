"""Sessions: issued, found again, given to tasks in turn, void when their role is gone."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from portside.control.sessions import SessionLoop
from portside.domain.iam import Role
from portside.domain.record import replace
from portside.domain.session import TASK_LIFETIME, TASK_ROTATION, principal_arn, user_id
from portside.domain.table import KINDS, ROLE, SESSION
from portside.session.issue import StsSessions, document
from portside.session.key import SessionKeys
from portside.store.interface import Delete, Put, Store
from portside.store.memory import MemoryStore
from portside.store.sqlite import SqliteStore
from portside.testing.clock import EPOCH, FakeClock, LoopClock, VirtualTimeLoop

TASK = "arn:aws:ecs:us-east-1:111111111111:task/default/0123456789abcdef0123456789abcdef"
ARN = "arn:aws:iam::111111111111:role/app/worker"
ROLE_RECORD = Role(
    account="111111111111", name="worker", path="/app/", id="AROAWORKER", assume_role_policy="{}", created_at=EPOCH
)


def world(store: Store | None = None) -> tuple[Store, FakeClock, StsSessions]:
    store, clock = store or MemoryStore(), FakeClock()
    return store, clock, StsSessions(store, clock, SessionKeys(b"k" * 32))


def test_a_task_gets_its_roles_credentials() -> None:
    """They last six hours, belong to the role's account, and the session is named by the task's id."""
    store, clock, sts = world()
    store.transact(Put(ROLE, ROLE_RECORD))
    given = sts.task_credentials(TASK, ARN)
    session = sts.find(given.access_key_id)
    assert session is not None
    assert principal_arn(session) == f"arn:aws:sts::111111111111:assumed-role/worker/{TASK[-32:]}"
    assert user_id(session) == f"AROAWORKER:{TASK[-32:]}"
    assert given.expiration == clock.now() + TASK_LIFETIME
    assert document(given) == {
        "RoleArn": ARN,
        "AccessKeyId": given.access_key_id,
        "SecretAccessKey": given.secret_access_key,
        "Token": given.token,
        "Expiration": "2026-01-01T06:00:00Z",
    }


def test_a_task_gets_the_same_until_they_need_rotation() -> None:
    """The same ones are given while enough is left of their life, then fresh ones; the old stay valid to their end."""
    _, clock, sts = world()
    first = sts.task_credentials(TASK, ARN)
    clock.advance((TASK_LIFETIME - TASK_ROTATION).total_seconds())
    assert sts.task_credentials(TASK, ARN) == first
    clock.advance(1)
    second = sts.task_credentials(TASK, ARN)
    assert second.access_key_id != first.access_key_id
    assert second.expiration == clock.now() + TASK_LIFETIME
    assert sts.task_credentials(TASK, ARN) == second
    old = sts.find(first.access_key_id)
    assert old is not None
    assert old.expires_at > clock.now()


def test_tasks_and_roles_are_kept_apart() -> None:
    """Another task and another role of the same task have credentials of their own."""
    _, _, sts = world()
    keys = {
        sts.task_credentials(task, role).access_key_id
        for task in (TASK, TASK[:-1] + "0")
        for role in (ARN, "arn:aws:iam::111111111111:role/execution")
    }
    assert len(keys) == 4


def test_a_role_may_be_given_by_its_name() -> None:
    """A task definition may name the role alone: it is the one of the task's account, with its path."""
    store, _, sts = world()
    assert sts.task_credentials(TASK, "none").role_arn == "arn:aws:iam::111111111111:role/none"
    store.transact(Put(ROLE, ROLE_RECORD))
    assert sts.task_credentials(TASK, "worker").role_arn == ARN


@pytest.mark.parametrize(("task", "role"), [(TASK, "arn:aws:iam::1:user/x"), (TASK, "arn:x"), ("task", "name")])
def test_what_is_no_role_is_said(task: str, role: str) -> None:
    """Something else than a role gets no credentials."""
    _, _, sts = world()
    with pytest.raises(ValueError, match="is not the ARN"):
        sts.task_credentials(task, role)


def test_a_role_that_is_made_anew_is_another_one() -> None:
    """With its role a session becomes void, also if one of the same name comes after it; a task gets fresh ones."""
    store, _, sts = world()
    store.transact(Put(ROLE, ROLE_RECORD))
    first = sts.task_credentials(TASK, ARN)
    session = sts.find(first.access_key_id)
    assert session is not None
    assert not sts.is_void(session)
    store.transact(Delete(ROLE, ROLE.key(ROLE_RECORD)))
    assert sts.is_void(session)
    store.transact(Put(ROLE, replace(ROLE_RECORD, id="AROAOTHER")))
    assert sts.is_void(session)
    second = sts.task_credentials(TASK, ARN)
    assert second.access_key_id != first.access_key_id


def test_credentials_survive_a_restart_and_no_secret_is_stored(tmp_path: Path) -> None:
    """After a restart a task gets the same ones; neither secret nor token is in a file of the store or in repr()."""
    store, _, sts = world(SqliteStore(tmp_path / "state.db", KINDS, durability="full"))
    given = sts.task_credentials(TASK, ARN)
    store.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert given.access_key_id.encode() in files
    for secret in (given.secret_access_key, given.token):
        assert secret.encode() not in files
        assert secret not in repr(given)
    store, _, sts = world(SqliteStore(tmp_path / "state.db", KINDS, durability="full"))
    assert sts.task_credentials(TASK, ARN) == given
    store.close()


def test_expired_sessions_are_removed() -> None:
    """Within an hour what has expired is gone and nothing else; its key is known for one of ours still."""
    loop, store = VirtualTimeLoop(), MemoryStore()
    clock = LoopClock(loop)
    sts = StsSessions(store, clock, SessionKeys(b"k" * 32))
    keys = [sts.begin(ARN, "short", timedelta(minutes=15)).access_key_id for _ in range(1200)]
    kept = sts.task_credentials(TASK, ARN)

    async def an_hour() -> None:
        removing = SessionLoop(store, clock)
        await removing.start()
        await asyncio.sleep(600)
        assert len(list(store.scan(SESSION))) == 1201
        await asyncio.sleep(3000)
        await removing.close()

    loop.run_until_complete(an_hour())
    loop.close()
    assert [each.access_key_id for each in store.scan(SESSION)] == [kept.access_key_id]
    assert all(sts.was_ours(each) for each in keys)
