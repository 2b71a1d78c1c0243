"""IAM and STS through boto3 and the aws command."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "arn:aws:logs:*:*:*"}]}
)
EXECUTION = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"


@pytest.fixture
def iam(gateway: Any) -> Any:
    return gateway.client("iam")


def error_of(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_caller_identity(gateway: Any) -> None:
    """A twelve-digit access key id is the account; any other key belongs to the default account."""
    assert gateway.client("sts", key="123456789012").get_caller_identity()["Account"] == "123456789012"
    identity = gateway.client("sts", key="AKIAIOSFODNN7EXAMPLE", region="eu-west-3").get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"


def test_role_life(iam: Any) -> None:
    """A role is created, read back with its document decoded, changed, and deleted once it is empty."""
    made = iam.create_role(
        RoleName="execution",
        Path="/service/",
        AssumeRolePolicyDocument=TRUST,
        Description="pulls <images> & writes logs",
        Tags=[{"Key": "team", "Value": "a"}],
    )["Role"]
    assert made["Arn"] == "arn:aws:iam::000000000000:role/service/execution"
    assert made["RoleId"].startswith("AROA")
    assert len(made["RoleId"]) == 21
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST)
    iam.attach_role_policy(RoleName="execution", PolicyArn=EXECUTION)
    iam.put_role_policy(RoleName="execution", PolicyName="logs", PolicyDocument=ALLOW)
    assert iam.get_role_policy(RoleName="execution", PolicyName="logs")["PolicyDocument"] == json.loads(ALLOW)
    assert iam.list_role_policies(RoleName="execution")["PolicyNames"] == ["logs"]
    assert iam.list_attached_role_policies(RoleName="execution")["AttachedPolicies"] == [
        {"PolicyName": "AmazonECSTaskExecutionRolePolicy", "PolicyArn": EXECUTION}
    ]
    assert error_of(iam.delete_role, RoleName="execution")[:2] == ("DeleteConflict", 409)
    iam.delete_role_policy(RoleName="execution", PolicyName="logs")
    assert error_of(iam.delete_role, RoleName="execution")[:2] == ("DeleteConflict", 409)
    iam.detach_role_policy(RoleName="execution", PolicyArn=EXECUTION)
    iam.update_role(RoleName="execution", MaxSessionDuration=7200)
    iam.tag_role(RoleName="execution", Tags=[{"Key": "TEAM", "Value": "b"}, {"Key": "env", "Value": ""}])
    iam.untag_role(RoleName="execution", TagKeys=["env"])
    role = iam.get_role(RoleName="execution")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("pulls <images> & writes logs", 7200)
    assert role["Tags"] == iam.list_role_tags(RoleName="execution")["Tags"] == [{"Key": "TEAM", "Value": "b"}]
    iam.delete_role(RoleName="execution")
    assert error_of(iam.get_role, RoleName="execution") == (
        "NoSuchEntity",
        404,
        "The role with name execution cannot be found.",
    )


def test_instance_profile_life(iam: Any) -> None:
    """An instance profile holds one role, which can not be deleted meanwhile, and is deleted once it is empty."""
    iam.create_role(RoleName="instance", AssumeRolePolicyDocument=TRUST)
    made = iam.create_instance_profile(InstanceProfileName="nodes", Path="/ecs/", Tags=[{"Key": "team", "Value": "a"}])[
        "InstanceProfile"
    ]
    assert made["Arn"] == "arn:aws:iam::000000000000:instance-profile/ecs/nodes"
    assert (made["InstanceProfileId"][:4], made["Roles"]) == ("AIPA", [])
    assert error_of(iam.create_instance_profile, InstanceProfileName="Nodes") == (
        "EntityAlreadyExists",
        409,
        "Instance Profile Nodes already exists.",
    )
    iam.add_role_to_instance_profile(InstanceProfileName="nodes", RoleName="instance")
    code, status, _ = error_of(iam.add_role_to_instance_profile, InstanceProfileName="nodes", RoleName="instance")
    assert (code, status) == ("LimitExceeded", 409)
    (role,) = iam.get_instance_profile(InstanceProfileName="nodes")["InstanceProfile"]["Roles"]
    assert (role["RoleName"], role["AssumeRolePolicyDocument"]) == ("instance", json.loads(TRUST))
    (found,) = iam.list_instance_profiles_for_role(RoleName="instance")["InstanceProfiles"]
    (listed,) = iam.list_instance_profiles(PathPrefix="/ecs/")["InstanceProfiles"]
    assert found == listed
    assert listed["InstanceProfileName"] == "nodes"
    assert iam.list_instance_profiles(PathPrefix="/other/")["InstanceProfiles"] == []
    assert error_of(iam.delete_role, RoleName="instance")[:2] == ("DeleteConflict", 409)
    assert error_of(iam.delete_instance_profile, InstanceProfileName="nodes")[:2] == ("DeleteConflict", 409)
    iam.tag_instance_profile(InstanceProfileName="nodes", Tags=[{"Key": "env", "Value": "b"}])
    iam.untag_instance_profile(InstanceProfileName="nodes", TagKeys=["team"])
    assert iam.list_instance_profile_tags(InstanceProfileName="nodes")["Tags"] == [{"Key": "env", "Value": "b"}]
    iam.remove_role_from_instance_profile(InstanceProfileName="nodes", RoleName="instance")
    iam.delete_role(RoleName="instance")
    iam.delete_instance_profile(InstanceProfileName="nodes")
    assert error_of(iam.get_instance_profile, InstanceProfileName="nodes") == (
        "NoSuchEntity",
        404,
        "Instance Profile nodes cannot be found.",
    )
    assert error_of(iam.list_instance_profiles_for_role, RoleName="instance")[:2] == ("NoSuchEntity", 404)


def test_role_refusals(iam: Any) -> None:
    """Names taken (in any case), broken documents, wrong names and unknown policies are refused in IAM's words."""
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
    code, status, message = error_of(iam.create_role, RoleName="WEB", AssumeRolePolicyDocument=TRUST)
    assert (code, status, message) == ("EntityAlreadyExists", 409, "Role with name WEB already exists.")
    assert error_of(iam.create_role, RoleName="x", AssumeRolePolicyDocument="{")[0] == "MalformedPolicyDocument"
    assert error_of(iam.create_role, RoleName="x", AssumeRolePolicyDocument=ALLOW)[0] == "MalformedPolicyDocument"
    assert error_of(iam.create_role, RoleName="a b", AssumeRolePolicyDocument=TRUST) == (
        "ValidationError",
        400,
        "1 validation error detected: Value 'a b' at 'roleName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w+=,.@-]+",
    )
    assert error_of(iam.create_role, RoleName="x")[2] == (
        "1 validation error detected: Value null at 'assumeRolePolicyDocument' failed to satisfy constraint: "
        "Member must not be null"
    )
    missing = "arn:aws:iam::000000000000:policy/none"
    assert error_of(iam.attach_role_policy, RoleName="web", PolicyArn=missing)[:2] == ("NoSuchEntity", 404)
    assert error_of(iam.detach_role_policy, RoleName="web", PolicyArn=EXECUTION)[:2] == ("NoSuchEntity", 404)
    assert error_of(iam.get_role_policy, RoleName="web", PolicyName="none")[:2] == ("NoSuchEntity", 404)
    for number in range(10):
        iam.attach_role_policy(RoleName="web", PolicyArn=f"{EXECUTION}{number}")
    assert error_of(iam.attach_role_policy, RoleName="web", PolicyArn=EXECUTION)[:2] == ("LimitExceeded", 409)


def test_role_pages(iam: Any) -> None:
    """ListRoles pages through all roles below a path, in order, each once, also when the marker's role has gone."""
    for number in range(7):
        iam.create_role(RoleName=f"r{number}", Path="/a/", AssumeRolePolicyDocument=TRUST)
    iam.create_role(RoleName="other", AssumeRolePolicyDocument=TRUST)
    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/a/", PaginationConfig={"PageSize": 3})
    assert [role["RoleName"] for page in pages for role in page["Roles"]] == [f"r{number}" for number in range(7)]
    first = iam.list_roles(MaxItems=2, PathPrefix="/a/")
    assert first["IsTruncated"]
    iam.delete_role(RoleName="r1")
    second = iam.list_roles(Marker=first["Marker"], MaxItems=2, PathPrefix="/a/")
    assert [role["RoleName"] for role in second["Roles"]] == ["r2", "r3"]
    assert error_of(iam.list_roles, Marker="?")[0] == "InvalidInput"


def test_policy_life(iam: Any) -> None:
    """A managed policy is created, counted where it is attached, and not deleted while it is."""
    arn = iam.create_policy(PolicyName="p", Path="/x/", PolicyDocument=ALLOW, Description="d")["Policy"]["Arn"]
    assert arn == "arn:aws:iam::000000000000:policy/x/p"
    assert error_of(iam.create_policy, PolicyName="P", PolicyDocument=ALLOW)[:2] == ("EntityAlreadyExists", 409)
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="web", PolicyArn=arn)
    iam.attach_role_policy(RoleName="web", PolicyArn=arn)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["AttachmentCount"], policy["Description"]) == (1, "d")
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(ALLOW)
    assert error_of(iam.delete_policy, PolicyArn=arn)[:2] == ("DeleteConflict", 409)
    assert [one["Arn"] for one in iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"]] == [arn]
    iam.detach_role_policy(RoleName="web", PolicyArn=arn)
    assert iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"] == []
    iam.delete_policy(PolicyArn=arn)
    assert error_of(iam.get_policy, PolicyArn=arn)[:2] == ("NoSuchEntity", 404)


def test_accounts_apart(gateway: Any) -> None:
    """Roles belong to one account, and are the same in every region."""
    gateway.client("iam", key="111111111111").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert gateway.client("iam", key="222222222222").list_roles()["Roles"] == []
    seen = gateway.client("iam", key="111111111111", region="eu-central-1").list_roles()["Roles"]
    assert [role["Arn"] for role in seen] == ["arn:aws:iam::111111111111:role/r"]


def test_command_line(gateway: Any) -> None:
    """The aws command creates, shows and lists roles, and prints errors with their code."""
    assert gateway.aws("sts", "get-caller-identity")["Account"] == "000000000000"
    made = gateway.aws("iam", "create-role", "--role-name", "cli", "--assume-role-policy-document", TRUST)
    assert made["Role"]["Arn"].endswith("role/cli")
    gateway.aws("iam", "attach-role-policy", "--role-name", "cli", "--policy-arn", EXECUTION)
    attached = gateway.aws("iam", "list-attached-role-policies", "--role-name", "cli")
    assert attached["AttachedPolicies"][0]["PolicyArn"] == EXECUTION
    refused = gateway.run_aws("iam", "get-role", "--role-name", "none")
    assert "(NoSuchEntity) when calling the GetRole operation" in refused.stderr
    absent = gateway.run_aws("iam", "create-user", "--user-name", "u")
    assert "(NotImplemented) when calling the CreateUser operation: " in absent.stderr
    assert "iam:CreateUser. docs/coverage.md" in absent.stderr
