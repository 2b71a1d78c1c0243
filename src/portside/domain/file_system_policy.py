"""What a client may do in a file system of EFS, by the file system's policy and the policies of the task's role.

Without a policy of the file system everybody who reaches it may do all. With one, what it or the role's own policies
allow, and neither denies, is allowed. What can not be decided allows nothing, and denies.
Source: EFS user guide, "Using IAM to control file system data access"; IAM user guide, "Policy evaluation logic".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from portside.domain import arn, condition
from portside.domain.record import Record
from portside.domain.refusal import RefusalKind, Refused

MOUNT: Final = "elasticfilesystem:clientmount"
WRITE: Final = "elasticfilesystem:clientwrite"
ROOT: Final = "elasticfilesystem:clientrootaccess"
POLICY_MOST_CHARACTERS: Final = 20_000
MANAGED: Final[Mapping[str, tuple[str, ...]]] = {
    "arn:aws:iam::aws:policy/AmazonElasticFileSystemClientFullAccess": (MOUNT, WRITE, ROOT),
    "arn:aws:iam::aws:policy/AmazonElasticFileSystemClientReadWriteAccess": (MOUNT, WRITE),
    "arn:aws:iam::aws:policy/AmazonElasticFileSystemClientReadOnlyAccess": (MOUNT,),
}
"""AWS's own policies, with what they allow of this."""


class Access(Record, frozen=True, kw_only=True):
    """`root`: a client's user 0 is user 0 in the file system, and not nobody."""

    mount: bool = True
    write: bool = True
    root: bool = True


class Client(Record, frozen=True, kw_only=True):
    """`role_arn`: of whom it mounts as, or empty for one that says nothing of itself. `policies`: the role's own, as
    JSON; `managed`: AWS's that it has, by ARN."""

    role_arn: str = ""
    policies: tuple[str, ...] = ()
    managed: tuple[str, ...] = ()


def check(document: str) -> str:
    """The policy as it is kept. Raises Refused: it is none."""
    if len(document) > POLICY_MOST_CHARACTERS:
        raise _invalid(f"The policy has more than {POLICY_MOST_CHARACTERS} characters.")
    try:
        found = json.loads(document)
    except ValueError:
        raise _invalid("The policy is not valid JSON.") from None
    if not isinstance(found, dict) or not isinstance(found.get("Statement"), dict | list):
        raise _invalid("The policy has no Statement.")
    for each in _statements(found):
        if each.get("Effect") not in ("Allow", "Deny"):
            raise _invalid("Each Statement must have the Effect Allow or Deny.")
        if "Principal" not in each and "NotPrincipal" not in each:
            raise _invalid("Each Statement must have a Principal.")
        actions = _listed(each.get("Action", each.get("NotAction")))
        if not actions or any(not (one == "*" or one.lower().startswith("elasticfilesystem:")) for one in actions):
            raise _invalid("Each Statement must have actions of elasticfilesystem.")
    return document


def access(document: str, client: Client, *, arn: str, known: condition.Known) -> Access:
    """Args: document: the file system's policy, or empty; arn: the file system's; known: what conditions ask."""
    if not document:
        return Access()
    own = [each for text in client.policies for each in _statements(json.loads(text))]
    shared = [each for each in _statements(json.loads(document)) if _names(each, client)]
    managed = {action for name in client.managed for action in MANAGED.get(name, ())}

    def may(action: str) -> bool:
        about = [each for each in (*own, *shared) if _is_about(each, action, arn)]
        decided = [(each.get("Effect"), _fulfilled(each, known)) for each in about]
        if any(effect == "Deny" and fulfilled is not False for effect, fulfilled in decided):
            return False
        return action in managed or any(effect == "Allow" and fulfilled is True for effect, fulfilled in decided)

    return Access(mount=may(MOUNT), write=may(WRITE), root=may(ROOT))


def _statements(document: Any) -> Iterator[Mapping[str, Any]]:
    found = document.get("Statement") or [] if isinstance(document, dict) else []
    yield from (each for each in ([found] if isinstance(found, dict) else found) if isinstance(each, dict))


def _names(statement: Mapping[str, Any], client: Client) -> bool:
    denies = statement.get("Effect") == "Deny"
    if "NotPrincipal" in statement:
        return denies and not _means(statement["NotPrincipal"], client, with_account=True)  # IAM has no other use of it
    return _means(statement.get("Principal"), client, with_account=denies)


def _means(principal: object, client: Client, *, with_account: bool) -> bool:
    """What is allowed to an account is left to its roles' own policies, which count anyhow; what is denied to it, is
    denied to all of them."""
    listed = ["*"] if principal == "*" else _listed(principal.get("AWS")) if isinstance(principal, dict) else []
    if "*" in listed or (client.role_arn and client.role_arn in listed):
        return True
    account = client.role_arn.split(":")[4] if client.role_arn else ""
    return with_account and bool(account) and any(each in (account, arn.root(account)) for each in listed)


def _is_about(statement: Mapping[str, Any], action: str, arn: str) -> bool:
    if "NotAction" in statement:
        is_meant = not _matches(statement["NotAction"], action)
    else:
        is_meant = _matches(statement.get("Action"), action)
    if "NotResource" in statement:
        return is_meant and not _matches(statement["NotResource"], arn.lower())
    return is_meant and ("Resource" not in statement or _matches(statement["Resource"], arn.lower()))


def _fulfilled(statement: Mapping[str, Any], known: condition.Known) -> bool | None:
    return condition.holds(statement["Condition"], known) if "Condition" in statement else True


def _matches(patterns: object, name: str) -> bool:
    return any(fnmatchcase(name, each.lower()) for each in _listed(patterns))


def _listed(value: object) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _invalid(message: str) -> Refused:
    return Refused(RefusalKind.INVALID, message, "policy")
