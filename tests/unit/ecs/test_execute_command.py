"""ExecuteCommand's refusals, and the tokens of its sessions."""

from ecs_sample import Ecs, StillClock

from portside.api.ecs.execute_command import ExecSessions


def test_refusals_before_anything_runs(ecs: Ecs) -> None:
    """An unknown task, a session that is not interactive, a task without ECS Exec or not started yet: refused."""
    ecs("CreateCluster")
    ecs.register()
    off = ecs.run()["tasks"][0]["taskArn"]
    on = ecs.run(enableExecuteCommand=True)["tasks"][0]
    assert on["enableExecuteCommand"] is True
    for asked, said in (
        ({"task": "0" * 32, "interactive": True}, "wasn't found"),
        ({"task": on["taskArn"], "interactive": False}, "Interactive is the only mode"),
        ({"task": off, "interactive": True}, "execute command was not enabled"),
        ({"task": on["taskArn"], "interactive": True, "container": "none"}, "wasn't found in the task"),
        ({"task": on["taskArn"], "interactive": True}, "agent isn"),
    ):
        code, message = ecs.error("ExecuteCommand", command="sh", **asked)
        assert (code, said in message) == ("InvalidParameterException", True), message


def test_a_token_is_for_one_client_and_one_minute() -> None:
    """A wrong token opens nothing and spoils nothing, the right one opens once, and none after a minute."""
    clock = StillClock()
    sessions = ExecSessions(clock)
    session_id, token = sessions.ask("key", "main", ("sh",))
    assert sessions.take(session_id, "another") is None
    assert sessions.take("another", token) is None
    asked = sessions.take(session_id, token)
    assert asked is not None
    assert asked.command == ("sh",)
    assert sessions.take(session_id, token) is None
    session_id, token = sessions.ask("key", "main", ("sh",))
    clock.pass_(seconds=61)
    assert sessions.take(session_id, token) is None
