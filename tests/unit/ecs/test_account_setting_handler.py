"""Account settings: whose choice holds, pages, and what is refused."""

import pytest
from ecs_sample import ACCOUNT, MODEL, Ecs, container

from portside.domain.account_setting import KNOWN

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
USER = f"arn:aws:iam::{ACCOUNT}:user/ada"


def in_force(ecs: Ecs, name: str, principal: str = ROOT) -> tuple[str, str]:
    """Value and principal of the effective setting."""
    (setting,) = ecs("ListAccountSettings", name=name, principalArn=principal, effectiveSettings=True)["settings"]
    return setting["value"], setting["principalArn"]


def test_names_are_those_of_the_model() -> None:
    """Every name that AWS knows, and no other."""
    assert set(KNOWN) == set(MODEL.shape_for("SettingName").enum)


def test_a_principals_choice_goes_before_the_accounts(ecs: Ecs) -> None:
    """AWS's default, then the account's, then the principal's own; deleted in the reverse order."""
    name = "containerInsights"
    assert in_force(ecs, name, USER) == ("disabled", ROOT)
    ecs("PutAccountSettingDefault", name=name, value="enabled")
    assert in_force(ecs, name, USER) == ("enabled", ROOT)
    put = ecs("PutAccountSetting", name=name, value="enhanced", principalArn=USER)
    assert put == {"setting": {"name": name, "value": "enhanced", "principalArn": USER, "type": "user"}}
    assert in_force(ecs, name, USER) == ("enhanced", USER)
    assert in_force(ecs, name) == ("enabled", ROOT)
    assert ecs("ListAccountSettings", principalArn=USER) == {"settings": [put["setting"]]}
    assert ecs("DeleteAccountSetting", name=name, principalArn=USER)["setting"]["value"] == "enabled"
    assert ecs("ListAccountSettings", principalArn=USER) == {"settings": []}
    assert ecs("DeleteAccountSetting", name=name)["setting"]["value"] == "disabled"


def test_new_clusters_get_the_accounts_container_insights(ecs: Ecs) -> None:
    """Unless the cluster says otherwise; clusters that are there stay as they are."""
    ecs("CreateCluster", clusterName="before")
    ecs("PutAccountSetting", name="containerInsights", value="enhanced")
    ecs("CreateCluster", clusterName="after")
    ecs("CreateCluster", clusterName="own", settings=[{"name": "containerInsights", "value": "disabled"}])
    described = ecs("DescribeClusters", clusters=["before", "after", "own"], include=["SETTINGS"])["clusters"]
    assert [each["settings"][0]["value"] for each in described] == ["disabled", "enhanced", "disabled"]


def test_pages(ecs: Ecs) -> None:
    """Ten on a page at most; together they are all there are, each once."""
    first = ecs("ListAccountSettings", effectiveSettings=True)
    rest = ecs("ListAccountSettings", effectiveSettings=True, nextToken=first["nextToken"])
    names = [each["name"] for each in (*first["settings"], *rest["settings"])]
    assert (names, "nextToken" in rest) == (sorted(KNOWN), False)
    found = ecs("ListAccountSettings", effectiveSettings=True, name="tagResourceAuthorization", value="on")
    assert found == {"settings": []}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("other", "enabled", "InvalidParameterException"),
        ("containerInsights", "on", "InvalidParameterException"),
        ("guardDutyActivate", "on", "InvalidParameterException"),
        ("taskLongArnFormat", "disabled", "ClientException"),
        ("fargateFIPSMode", "enabled", "ClientException"),
    ],
)
def test_refused_values(ecs: Ecs, name: str, value: str, code: str) -> None:
    """What AWS does not know is invalid, what Portside can not do is refused, and neither is kept."""
    for operation in ("PutAccountSetting", "PutAccountSettingDefault"):
        assert ecs.error(operation, name=name, value=value)[0] == code
    assert ecs("ListAccountSettings") == {"settings": []}


def test_tasks_get_the_mode_of_logs_that_holds_when_they_are_made(ecs: Ecs) -> None:
    """AWS's default, then the account's; a definition that names a mode has its own, and what runs stays as it is."""
    ecs("CreateCluster")
    logs = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "s"},
    }
    named = {**logs, "options": {**logs["options"], "mode": "non-blocking", "max-buffer-size": "1m"}}
    own = {"portMappings": []}
    several = [container(name="app", logConfiguration=logs), container(name="own", logConfiguration=named, **own)]
    ecs.register(
        containerDefinitions=[*several, container(name="none", **own)],
        executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/x",
        memory="2048",
    )
    before = ecs.run()
    ecs("PutAccountSettingDefault", name="defaultLogDriverMode", value="blocking")
    for answer, mode in ((before, "non-blocking"), (ecs.run(), "blocking")):
        app, own, none = ecs.stored_task(answer).containers
        assert app.log is not None
        assert own.log is not None
        assert (app.log.options["mode"], own.log.options["mode"], none.log) == (mode, "non-blocking", None)
    (shown, *_) = ecs("DescribeTaskDefinition", taskDefinition="web")["taskDefinition"]["containerDefinitions"]
    assert shown["logConfiguration"] == logs


def test_wrong_calls(ecs: Ecs) -> None:
    """A value without a name, a page too large, a principal of another account."""
    for params in (
        {"value": "enabled"},
        {"maxResults": 11},
        {"principalArn": "arn:aws:iam::123456789012:root"},
        {"principalArn": "ada"},
    ):
        assert ecs.error("ListAccountSettings", **params)[0] == "InvalidParameterException"
