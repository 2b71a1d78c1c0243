"""Policy documents: checked for their form on the way in, kept as text, URL-encoded on the way out (as AWS does)."""

import json
from typing import Any
from urllib.parse import quote

from portside.api.iam.error import malformed_policy

VERSIONS = ("2012-10-17", "2008-10-17")


def check_identity_policy(text: str) -> str:
    """The document of a role's inline or managed policy, as given.

    Raises:
        ServiceError: MalformedPolicyDocument, in IAM's words.
    """
    for statement in _statements(text):
        if "Principal" in statement or "NotPrincipal" in statement:
            raise malformed_policy("Policy document should not specify a principal.")
        if "Resource" not in statement and "NotResource" not in statement:
            raise malformed_policy("Policy statement must contain resources.")
    return text


def check_trust_policy(text: str) -> str:
    """The document that says who may assume a role, as given.

    Raises:
        ServiceError: MalformedPolicyDocument, in IAM's words.
    """
    for statement in _statements(text):
        if "Resource" in statement or "NotResource" in statement:
            raise malformed_policy("Has prohibited field Resource")
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise malformed_policy("Missing required field Principal")
    return text


def encoded(text: str) -> str:
    """RFC 3986 encoding, in which IAM gives documents back."""
    return quote(text, safe="")


def _statements(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed_policy("This policy contains invalid Json") from None
    if not isinstance(document, dict):
        raise malformed_policy("Syntax errors in policy.")
    if document.get("Version", VERSIONS[1]) not in VERSIONS:
        raise malformed_policy("The policy must contain a valid version string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements or not all(isinstance(one, dict) for one in statements):
        raise malformed_policy("Syntax errors in policy.")
    for statement in statements:
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise malformed_policy("Syntax errors in policy.")
        if "Action" not in statement and "NotAction" not in statement:
            raise malformed_policy("Policy statement must contain actions.")
    return statements
