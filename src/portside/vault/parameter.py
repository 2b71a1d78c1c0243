"""Reading parameters: by name, version, label or ARN, with the value opened. For the API and for tasks alike."""

from portside.domain import arn
from portside.domain.parameter import Parameter, ParameterVersion, Reference, reference, vault_context
from portside.domain.record import Scope
from portside.domain.table import PARAMETER, PARAMETER_VERSION
from portside.store.interface import Store
from portside.vault.interface import Vault


class ParameterMissing(Exception):
    """There is no such parameter."""


class ParameterVersionMissing(ParameterMissing):
    """There is one, but no such version or label of it; the message is AWS's."""


def find(store: Store, scope: Scope, text: str) -> tuple[Parameter, ParameterVersion, Reference]:
    """The version that a name, `name:version`, `name:label` or ARN means. Raises ParameterMissing."""
    meant = reference(text)
    parsed = arn.parse(text)
    if parsed is not None and (parsed.service, parsed.region, parsed.account) != ("ssm", scope.region, scope.account):
        raise ParameterMissing(f"Parameter {text} not found.")  # never another account's or region's of that name
    parameter = store.get(PARAMETER, f"{scope.prefix}{meant.name}")
    if parameter is None and not meant.name.startswith("/") and text.startswith("arn:"):
        # Of an ARN it can not be told whether the name begins with the slash.
        parameter = store.get(PARAMETER, f"{scope.prefix}/{meant.name}")
    if parameter is None:
        raise ParameterMissing(f"Parameter {meant.name} not found.")
    if not meant.selector:
        number = parameter.latest
    elif meant.selector.isascii() and meant.selector.isdigit():
        number = int(meant.selector[:18])
    else:
        if meant.selector not in parameter.labels:
            raise ParameterVersionMissing(
                f"Systems Manager could not find label {meant.selector} for parameter {parameter.name}. "
                "Verify the label and try again."
            )
        number = parameter.labels[meant.selector]
    found = store.get(PARAMETER_VERSION, f"{scope.prefix}{parameter.name}:{number:09d}")
    if found is None:
        raise ParameterVersionMissing(
            f"Systems Manager could not find version {meant.selector or number} of {parameter.name}. "
            "Verify the version and try again."
        )
    return parameter, found, meant


def plaintext(vault: Vault, version: ParameterVersion) -> str:
    """The value as it was put. Raises VaultError."""
    if version.type != "SecureString":
        return version.value
    return vault.open(version.sealed, vault_context(version.scope, version.name, version.version)).decode()


def resolve(store: Store, vault: Vault, scope: Scope, text: str) -> tuple[str, str]:
    """The plaintext of the parameter that a name (of this account and region) or an ARN means, and the `name:version`
    that is this very one.

    Raises ParameterMissing, VaultError."""
    parameter, version, _ = find(store, scope, text)
    return plaintext(vault, version), f"{parameter.name}:{version.version}"
