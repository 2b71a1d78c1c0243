"""IAM: roles and policies, kept and given back. They are not evaluated yet. Global: the same in every region."""

from portside.api.iam.instance_profile import InstanceProfileHandlers
from portside.api.iam.policy import PolicyHandlers
from portside.api.iam.role import RoleHandlers
from portside.api.iam.server_certificate import ServerCertificateHandlers
from portside.aws.service import Service
from portside.domain.clock import Clock, Ids
from portside.store.interface import Store
from portside.vault.interface import Vault

NOT_ENFORCED = "kept, not enforced"

NOTES = """\
Policies are stored, not evaluated: whoever is recognised may do everything, a task with its role's credentials, too.
Evaluation has its place in the gateway's chain of steps (`aws/authorizer.py`)."""


def iam_service(store: Store, vault: Vault, clock: Clock, ids: Ids) -> Service:
    """The service and its operations."""
    return Service(
        "iam",
        {
            **RoleHandlers(store, clock, ids).handlers(),
            **PolicyHandlers(store, clock, ids).handlers(),
            **InstanceProfileHandlers(store, clock, ids).handlers(),
            **ServerCertificateHandlers(store, vault, clock, ids).handlers(),
        },
        partial={
            "CreateRole": f"{NOT_ENFORCED}; no permissions boundaries",
            "PutRolePolicy": NOT_ENFORCED,
            "AttachRolePolicy": f"{NOT_ENFORCED}; any ARN of the form of an AWS managed policy is accepted",
            "CreatePolicy": f"{NOT_ENFORCED}; one version",
            "UpdateAssumeRolePolicy": "evaluated by AssumeRole, and for tasks (ecs-tasks.amazonaws.com)",
            "GetPolicy": "customer managed policies only",
            "GetPolicyVersion": "customer managed policies only, one version",
            "ListPolicyVersions": "customer managed policies only, one version",
            "ListPolicies": "customer managed policies only",
            "CreateInstanceProfile": "what runs on an instance gets the role's credentials by the metadata service",
        },
        notes=NOTES,
    )
