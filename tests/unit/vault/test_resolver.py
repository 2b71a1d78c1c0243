"""Secrets of a task's containers: which values, and of which versions."""

import pytest

from portside.control.secret_resolver import Resolved, VaultResolver
from portside.domain import secret as rule
from portside.domain.parameter import Parameter, ParameterVersion
from portside.domain.record import replace
from portside.domain.secret import SecretValue, secret_arn
from portside.domain.secret_reference import Unresolvable
from portside.domain.table import PARAMETER, PARAMETER_VERSION, SECRET, SECRET_VALUE
from portside.domain.task.creation import new_task
from portside.domain.task.record import SecretPin, Task
from portside.domain.task_definition import ContainerDefinition, Secret, TaskDefinition
from portside.store.interface import Delete, Put
from portside.store.memory import MemoryStore
from portside.testing.clock import EPOCH
from portside.testing.task_history import SCOPE
from portside.vault.aes import AesVault

VAULT = AesVault(bytes(32))
EMPTY = rule.Secret(scope=SCOPE, name="s", suffix="AbCdEf", created_at=EPOCH, changed_at=EPOCH)
SECRET_ARN = secret_arn(EMPTY)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    put(store, 1)
    return store


def put(store: MemoryStore, number: int) -> None:
    """The parameter /p and the secret s with values p1 and s1, or those of another number, as their newest versions."""
    version = ParameterVersion(
        scope=SCOPE, name="/p", version=number, type="String", value=f"p{number}", modified_at=EPOCH, modified_by=""
    )
    secret = store.get(SECRET, SECRET.key(EMPTY)) or EMPTY
    secret = rule.with_version(secret, f"v{number}", [rule.CURRENT], now=EPOCH)
    sealed = VAULT.seal(f"s{number}".encode(), rule.vault_context(secret, f"v{number}"))
    store.transact(
        Put(PARAMETER, Parameter(scope=SCOPE, name="/p", latest=number)),
        Put(PARAMETER_VERSION, version),
        Put(SECRET, secret),
        Put(SECRET_VALUE, SecretValue(scope=SCOPE, name="s", suffix="AbCdEf", version_id=f"v{number}", sealed=sealed)),
    )


def a_task(versions: tuple[SecretPin, ...]) -> Task:
    """With both secrets, and a record of the versions that they were read in."""
    secrets = (Secret(name="P", value_from="/p"), Secret(name="S", value_from=SECRET_ARN))
    definition = TaskDefinition(
        scope=SCOPE,
        family="f",
        revision=1,
        containers=(ContainerDefinition(name="app", image="app", secrets=secrets),),
        network_mode="none",
        registered_at=EPOCH,
        registered_by="",
    )
    task = new_task(
        scope=SCOPE,
        cluster="default",
        task_id="t",
        attachment_id="",
        runtime_ids=["r"],
        definition=definition,
        launch_type="FARGATE",
        group="family:f",
        network=None,
        created_at=EPOCH,
        cause_id="test",
    )
    return replace(task, history=tuple(replace(each, secret_versions=versions) for each in task.history))


def values(found: Resolved) -> list[str]:
    return [each.value for each in found.variables]


def test_the_versions_that_are_recorded(store: MemoryStore) -> None:
    """What is resolved first is the newest, with the version of each; by these a new daemon gives the same values
    after newer ones came. Where one is gone, that is said."""
    found = VaultResolver(store, VAULT).resolve(a_task(()), "app")
    assert values(found) == ["p1", "s1"]
    assert [each.version for each in found.versions] == ["/p:1", "v1"]
    assert "p1" not in repr(found)
    put(store, 2)
    assert values(VaultResolver(store, VAULT).resolve(a_task(()), "app")) == ["p2", "s2"]
    assert values(VaultResolver(store, VAULT).resolve(a_task(found.versions), "app")) == ["p1", "s1"]
    (gone, _) = store.scan(PARAMETER_VERSION)
    store.transact(Delete(PARAMETER_VERSION, PARAMETER_VERSION.key(gone)))
    with pytest.raises(Unresolvable, match="invalid ssm parameters: /p"):
        VaultResolver(store, VAULT).resolve(a_task(found.versions), "app")
