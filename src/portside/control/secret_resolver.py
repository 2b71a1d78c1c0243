"""Values of secrets and parameters for containers: read when a task starts, held in memory alone, while it runs.

A container that is restarted gets what its task began with, as on AWS: the task's record says which versions these
were, and a daemon that takes a running task over reads them again.
"""

from collections.abc import Mapping
from typing import Protocol

from portside.domain.record import Record, Scope, replace
from portside.domain.refusal import Refused
from portside.domain.secret_reference import (
    FromSecret,
    account_of,
    login_member,
    member,
    no_parameter,
    no_secret,
    parsed,
    registry_login,
)
from portside.domain.task.record import Login, SecretPin, Task
from portside.domain.task_definition import EnvironmentVariable
from portside.store.interface import Store
from portside.vault import parameter, secret
from portside.vault.interface import Vault, VaultError


class Resolved(Record, frozen=True, kw_only=True):
    """A container's secrets, and the versions that the values are of. It does not show itself."""

    variables: tuple[EnvironmentVariable, ...] = ()
    versions: tuple[SecretPin, ...] = ()

    def __repr__(self) -> str:
        return "Resolved(…)"


class SecretResolver(Protocol):
    def resolve(self, task: Task, container: str) -> Resolved:
        """The container's secrets, of the versions that the task's record names, if it names any yet.

        Raises Unresolvable with the reason that the task is stopped with."""
        ...

    def login(self, task: Task, container: str) -> Login | None:
        """How its image's registry is entered, if its definition says. Raises Unresolvable."""
        ...

    def forget(self, task_key: str) -> None:
        """The task is over."""
        ...


class VaultResolver:
    """Fulfils SecretResolver from the store and the vault."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store, self._vault = store, vault
        self._held: dict[str, dict[str, Resolved]] = {}

    def resolve(self, task: Task, container: str) -> Resolved:
        definition = next(each for each in task.containers if each.name == container)
        if not definition.secrets:
            return Resolved()
        held = self._held.setdefault(task.key, {})
        if container not in held:
            history = next(each for each in task.history if each.name == container)
            names = dict.fromkeys(each.value_from for each in definition.secrets)
            pinned = {each.value_from: each.version for each in history.secret_versions}
            found = {each: self._value(task.scope, each, pinned) for each in names}
            held[container] = Resolved(
                variables=tuple(
                    EnvironmentVariable(name=each.name, value=found[each.value_from][0]) for each in definition.secrets
                ),
                versions=tuple(SecretPin(value_from=each, version=version) for each, (_, version) in found.items()),
            )
        return held[container]

    def forget(self, task_key: str) -> None:
        self._held.pop(task_key, None)

    def login(self, task: Task, container: str) -> Login | None:
        definition = next(each for each in task.containers if each.name == container)
        named = definition.repository_credentials
        if named is None:
            return None
        content, _ = self._secret(task.scope, named, registry_login(named))
        return Login(
            username=login_member(named, content, "username"), password=login_member(named, content, "password")
        )

    def _value(self, scope: Scope, value_from: str, pinned: Mapping[str, str]) -> tuple[str, str]:
        """What it means, and the version of it. Raises Unresolvable."""
        meant, version = parsed(value_from), pinned.get(value_from)
        if isinstance(meant, FromSecret):
            if version is not None:
                meant = replace(meant, version_id=version, stage="")
            content, version = self._secret(scope, value_from, meant)
            return member(value_from, content, meant.json_key) if meant.json_key else content, version
        own = Scope(account=scope.account, region=meant.region or scope.region)
        try:
            if account_of(value_from) not in (None, scope.account):
                raise no_parameter(value_from)
            return parameter.resolve(self._store, self._vault, own, version or meant.text)
        except (parameter.ParameterMissing, VaultError) as error:
            raise no_parameter(meant.text) from error

    def _secret(self, scope: Scope, value_from: str, meant: FromSecret) -> tuple[str, str]:
        """The text that it holds, and the version's id. Raises Unresolvable."""
        own = Scope(account=scope.account, region=meant.region or scope.region)
        try:
            if account_of(value_from) not in (None, scope.account):
                raise secret.SecretMissing("Secrets Manager can't find the specified secret.")
            found = secret.find(self._store, own, meant.secret_id)
            _, held = secret.value(self._store, found, version_id=meant.version_id or None, stage=meant.stage or None)
            if held.is_binary:
                raise no_secret(value_from, "it holds binary data (SecretBinary), and ECS supports text alone")
            return secret.opened(self._vault, found, held).decode(), held.version_id
        except secret.SecretMissing as error:
            raise no_secret(value_from, f"ResourceNotFoundException: {error}") from error
        except secret.SecretDeleted as error:
            raise no_secret(value_from, f"InvalidRequestException: {error}") from error
        except Refused as error:
            raise no_secret(value_from, f"InvalidParameterException: {error.message}") from error
        except (VaultError, UnicodeDecodeError) as error:
            raise no_secret(value_from, f"DecryptionFailure: {error}") from error
