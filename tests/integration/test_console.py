"""The console in a browser, before a real Portside with real tasks: what it shows is true, and stays true."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from console_lab import Console
from playwright.sync_api import Browser, expect

from portside.domain import ecs_image
from portside.testing.image import ensure_busybox_image
from portside.testing.instance import IMAGE, REGION, Instance, instance
from portside.testing.wait import wait_for

pytestmark = pytest.mark.integration

AMI = ecs_image.parameter(REGION, "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id")
SLEEPS = {"name": "main", "image": IMAGE, "command": ["sleep", "100000"]}


@pytest.fixture(scope="module")
def portside() -> Iterator[Instance]:
    ensure_busybox_image(IMAGE)
    with instance() as running:
        running.client("ecs").create_cluster(
            clusterName="shop", settings=[{"name": "containerInsights", "value": "enabled"}]
        )
        running.register("web", SLEEPS)
        running.register("fails", {"command": ["sh", "-c", "exit 3"]})
        yield running


def test_the_overview_follows_what_happens(portside: Instance, visit: Callable[..., Console]) -> None:
    """Figures are those of the API, and change by themselves when a task starts and ends."""
    console = visit()
    page = console.open()
    console.row("shop").wait_for()
    expect(page.get_by_label("Tasks running: 0")).to_be_visible()
    task = portside.run_task("web", cluster="shop")
    expect(page.get_by_label("Tasks running: 1")).to_be_visible()
    expect(console.row("shop")).to_contain_text("On")
    console.see("Nothing is wrong")
    console.accessible()
    console.picture("overview")
    portside.client("ecs").stop_task(cluster="shop", task=task)
    expect(page.get_by_label("Tasks running: 0")).to_be_visible()


def test_a_cluster_and_its_tasks(portside: Instance, visit: Callable[..., Console]) -> None:
    """A cluster's page has its tasks with their addresses; one that starts appears, one that stops tells its reason."""
    console = visit()
    page = console.open("clusters/shop")
    page.get_by_role("heading", name="shop").wait_for()
    arn = portside.run_task("web", cluster="shop")
    task_id = arn.rpartition("/")[2]
    row = console.row(task_id[:12])
    expect(row).to_contain_text("Running")
    found = portside.wait_task(arn, "RUNNING")
    details = {each["name"]: each["value"] for each in found["attachments"][0]["details"]}
    expect(row).to_contain_text(details["privateIPv4Address"])
    console.accessible()
    portside.client("ecs").stop_task(cluster="shop", task=arn, reason="seen enough")
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Stopped").click()
    expect(row).to_contain_text("seen enough")


def test_a_task_tells_its_story(portside: Instance, visit: Callable[..., Console]) -> None:
    """A task that failed: its exit code, why it stopped, how long each phase of its launch took."""
    arn = portside.run_task("fails", cluster="shop")
    portside.wait_task(arn, "STOPPED")
    console = visit()
    page = console.open(f"clusters/shop/tasks/{arn.rpartition('/')[2]}")
    console.see("main exited with 3.")
    console.see("Essential container in task exited")
    expect(page.get_by_role("list", name="Phases of the launch").get_by_role("listitem")).to_have_count(3)
    expect(console.row("main").filter(has_text=IMAGE)).to_contain_text("3")
    console.see("ContainerExited")
    console.accessible()
    console.picture("task")


def test_a_task_is_followed(portside: Instance, visit: Callable[..., Console]) -> None:
    """The page of a running task sees it stop; in the dark, and as narrow as a phone, it can be read as well."""
    arn = portside.run_task("web", cluster="shop")
    portside.wait_task(arn, "RUNNING")
    console = visit(dark=True, width=400)
    page = console.open(f"clusters/shop/tasks/{arn.rpartition('/')[2]}")
    console.see("It runs.")
    console.accessible()
    portside.client("ecs").stop_task(cluster="shop", task=arn, reason="the end")
    expect(page.get_by_text("Stopped: UserInitiated")).to_be_visible()


def test_all_tasks_are_found_by_words(portside: Instance, visit: Callable[..., Console]) -> None:
    """The tasks of all clusters, filtered by what is typed; a page that is linked to has its region."""
    arn = portside.run_task("web", cluster="shop")
    console = visit()
    page = console.open("tasks?region=us-east-1")
    row = console.row(arn.rpartition("/")[2][:12])
    expect(row).to_contain_text("shop")
    page.get_by_role("searchbox").or_(page.get_by_label("Find tasks")).first.fill("no such word")
    expect(row).to_have_count(0)
    console.see("No task matches")
    page = console.open("tasks?region=eu-west-1")
    console.see("No task runs")
    portside.client("ecs").stop_task(cluster="shop", task=arn)


def test_a_service_from_form_to_form(portside: Instance, visit: Callable[..., Console]) -> None:
    """A service's page shows its deployment, its events and tasks; it is made, scaled and deleted by forms that show
    the command, and the page follows."""
    console = visit()
    page = console.open("task-definitions/web/1")
    page.get_by_role("link", name="Create service").click()
    page.get_by_label("Service name").fill("front")
    expect(page.get_by_label("Command", exact=True)).to_contain_text("--service-name front")
    expect(page.get_by_label("Command", exact=True)).to_contain_text("subnet-")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="front").wait_for()
    page = console.open("services")
    expect(console.row("front")).to_contain_text("1 of 1 running")
    console.accessible()
    page.get_by_role("link", name="front").click()
    console.see("1 of 1 running, 0 pending")
    console.see("has reached a steady state")
    console.accessible()
    console.picture("service")
    page.get_by_role("link", name="Update").click()
    page.get_by_label("Desired count").fill("2")
    command = page.get_by_label("Command", exact=True)
    expect(command).to_contain_text("aws ecs update-service")
    expect(command).to_contain_text("--desired-count 2")
    expect(command).not_to_contain_text("--task-definition")
    console.accessible()
    page.get_by_role("button", name="Update").click()
    console.see("2 of 2 running, 0 pending")
    page.get_by_role("link", name="Update").click()
    expect(page.get_by_label("Task definition")).to_have_value("web:1")
    page.get_by_label("Task definition").fill("nothing:7")
    expect(command).to_contain_text("--task-definition nothing:7")
    page.get_by_role("button", name="Update").click()
    expect(page.get_by_text("ClientException")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Draining").first.wait_for()
    wait_for(
        lambda: not portside.client("ecs").list_tasks(cluster="shop", serviceName="front")["taskArns"],
        timeout_s=30,
        what="the end of the service's tasks",
    )


def test_a_definition_is_made_and_run(portside: Instance, visit: Callable[..., Console]) -> None:
    """A definition is registered from JSON, which is checked as it is typed; a task of it is run by the form, its
    output read live, and it is stopped with a reason."""
    console = visit()
    page = console.open("task-definitions")
    expect(console.row("web")).to_be_visible()
    page.get_by_role("link", name="Create").click()
    page.get_by_role("button", name="JSON").click()
    page.get_by_role("textbox", name="JSON").fill("{")
    expect(page.get_by_role("button", name="Register")).to_be_disabled()
    definition = {
        "family": "talks",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "containerDefinitions": [
            {
                "name": "main",
                "image": IMAGE,
                "command": ["sh", "-c", "n=0; while true; do n=$((n+1)); echo line $n; sleep 1; done"],
                "stopTimeout": 2,
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": "/ecs/talks",
                        "awslogs-region": "us-east-1",
                        "awslogs-stream-prefix": "talks",
                        "awslogs-create-group": "true",
                    },
                },
            }
        ],
    }
    page.get_by_role("textbox", name="JSON").fill(json.dumps(definition))
    page.get_by_role("button", name="Register").click()
    page.get_by_role("heading", name="talks:1").wait_for()
    console.accessible()
    page.get_by_role("link", name="Run task").click()
    expect(page.get_by_label("Command", exact=True)).to_contain_text("subnet-")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("heading", name="Task ").wait_for()
    console.see("line 1")
    console.see("line 3")
    task_id = page.url.partition("/tasks/")[2].partition("?")[0]
    assert portside.task(f"arn:aws:ecs:us-east-1:000000000000:task/shop/{task_id}")["taskDefinitionArn"].endswith(
        "talks:1"
    )
    page.get_by_role("link", name="All of /ecs/talks").click()
    page.get_by_label("Filter pattern").fill('"line 2"')
    log = page.get_by_role("log")
    expect(log).to_contain_text("line 2")
    expect(log).not_to_contain_text("line 3")
    console.accessible()
    page.go_back()
    page.get_by_role("button", name="Stop").first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Reason").fill("heard enough")
    form.get_by_role("button", name="Stop", exact=True).click()
    console.see("Stopped: UserInitiated")
    console.see("heard enough")


def test_a_cluster_is_made(portside: Instance, visit: Callable[..., Console]) -> None:
    """The form makes the cluster that the command would, and the list has it at once; what the API refuses is shown."""
    console = visit()
    page = console.open("clusters")
    page.get_by_role("button", name="Create").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Name", exact=True).fill("no such name!")
    form.get_by_role("button", name="Create", exact=True).click()
    form.get_by_text("InvalidParameterException").first.wait_for()
    form.get_by_label("Name", exact=True).fill("made-here")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("--cluster-name made-here")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(console.row("made-here")).to_contain_text("Active")
    portside.client("ecs").delete_cluster(cluster="made-here")


def test_two_revisions_are_compared(portside: Instance, visit: Callable[..., Console]) -> None:
    """What another revision had, and what this one has instead, line by line."""
    portside.register("changed", SLEEPS)
    portside.register("changed", SLEEPS, memory="1024")
    console = visit()
    page = console.open("task-definitions/changed/2")
    page.get_by_role("button", name="Compare with").click()
    page.get_by_role("option", name="changed:1").click()
    text = page.get_by_label("What is different from 1")
    expect(text).to_contain_text('-   "memory": "512"')
    expect(text).to_contain_text('+   "memory": "1024"')
    console.accessible()


def test_container_insights_is_switched_on(portside: Instance, visit: Callable[..., Console]) -> None:
    """The account setting, switched on for everybody, is what the API has, and what a new cluster begins with."""
    console = visit()
    page = console.open("settings")
    console.row("containerInsights").wait_for()
    console.accessible()
    page.get_by_role("button", name="Change", exact=True).first.click()
    form = page.get_by_role("dialog")
    form.get_by_label("Enhanced").check()
    expect(form.get_by_label("Command", exact=True)).to_contain_text("put-account-setting-default")
    console.picture("settings")
    form.get_by_role("button", name="Save").click()
    expect(console.row("containerInsights")).to_contain_text("enhanced")
    ecs = portside.client("ecs")
    assert (
        ecs.list_account_settings(name="containerInsights", effectiveSettings=True)["settings"][0]["value"]
        == "enhanced"
    )
    made = ecs.create_cluster(clusterName="watched")["cluster"]
    assert made["settings"] == [{"name": "containerInsights", "value": "enhanced"}]
    ecs.delete_cluster(cluster="watched")


def test_a_load_balancers_rules_and_targets(portside: Instance, visit: Callable[..., Console]) -> None:
    """Rules stand in the order in which they are tried, in words; a target's health is followed."""
    elb = portside.client("elbv2")
    arn = elb.create_load_balancer(Name="edge", Subnets=portside.subnets())["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(
        Name="fronts",
        Protocol="HTTP",
        Port=80,
        VpcId=portside.vpc(),
        TargetType="ip",
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        UnhealthyThresholdCount=2,
    )
    target_group = group["TargetGroups"][0]["TargetGroupArn"]
    listener = elb.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )["Listeners"][0]["ListenerArn"]
    elb.create_rule(
        ListenerArn=listener,
        Priority=5,
        Conditions=[{"Field": "path-pattern", "Values": ["/shop/*"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": target_group}],
    )
    console = visit()
    page = console.open("load-balancers")
    expect(console.row("edge").filter(has_text="application")).to_contain_text("HTTP 80")
    page.get_by_role("link", name="edge").click()
    expect(console.row("path pattern is /shop/*")).to_contain_text("forward to fronts")
    expect(console.row("Anything else")).to_contain_text("answer 404")
    task = portside.run_task("web", cluster="shop")
    details = portside.wait_task(task, "RUNNING")["attachments"][0]["details"]
    address = next(each["value"] for each in details if each["name"] == "privateIPv4Address")
    elb.register_targets(TargetGroupArn=target_group, Targets=[{"Id": address, "Port": 80}])
    expect(console.row(f"{address}:80")).to_contain_text("Unhealthy")
    console.accessible()
    elb.delete_load_balancer(LoadBalancerArn=arn)
    portside.client("ecs").stop_task(cluster="shop", task=task)


def test_a_shell_in_a_container(portside: Instance, visit: Callable[..., Console]) -> None:
    """What is typed goes to the container and what it says is seen; the end of the shell is told."""
    arn = portside.run_task("web", cluster="shop", enableExecuteCommand=True)
    portside.wait_task(arn, "RUNNING")
    console = visit()
    page = console.open(f"clusters/shop/tasks/{arn.rpartition('/')[2]}")
    console.row("main").filter(has_text=IMAGE).get_by_role("link", name="Open").click()
    screen = page.locator(".xterm-rows")
    expect(screen).to_contain_text("#")
    page.keyboard.type("echo $((6 * 7)) is the answer\n")
    expect(screen).to_contain_text("42 is the answer")
    console.picture("shell")
    page.keyboard.type("exit 4\n")
    console.see("It ended with 4.")
    portside.client("ecs").stop_task(cluster="shop", task=arn)


def test_container_instances_are_drained(portside: Instance, visit: Callable[..., Console]) -> None:
    """An instance that joins a cluster appears on its page, is drained and deregistered by forms, and goes."""
    ecs, ec2 = portside.client("ecs"), portside.client("ec2")
    ecs.create_cluster()
    console = visit()
    page = console.open("clusters/default")
    console.see("No task runs")
    launched = ec2.run_instances(
        ImageId=AMI, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=portside.subnets()[0]
    )["Instances"][0]["InstanceId"]
    row = console.row(launched)
    expect(row).to_contain_text("Active")
    expect(row).to_contain_text("2 vCPU")
    console.accessible()
    page.get_by_role("button", name=f"Drain {launched}").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Command", exact=True)).to_contain_text("--status DRAINING")
    form.get_by_role("button", name="Drain", exact=True).click()
    expect(row).to_contain_text("Draining")
    page.get_by_role("button", name=f"Deregister {launched}").click()
    expect(form.get_by_label("Command", exact=True)).to_contain_text("aws ecs deregister-container-instance")
    form.get_by_role("button", name="Deregister", exact=True).click()
    expect(row).to_have_count(0)
    ec2.terminate_instances(InstanceIds=[launched])
    wait_for(
        lambda: not ecs.list_container_instances()["containerInstanceArns"], timeout_s=30, what="the instance has gone"
    )
    ecs.delete_cluster(cluster="default")


def test_it_comes_back_after_a_restart(portside: Instance, visit: Callable[..., Console]) -> None:
    """A Portside that is killed and started again finds its open pages: they say so, and follow on."""
    console = visit()
    page = console.open("clusters/shop")
    portside.kill()
    page.get_by_role("button", name="Not connected").wait_for()
    portside.start()
    portside.ready()
    arn = portside.run_task("web", cluster="shop")
    expect(console.row(arn.rpartition("/")[2][:12])).to_contain_text("Running")
    portside.client("ecs").stop_task(cluster="shop", task=arn)
    console.wrong.clear()  # connections refused meanwhile


@pytest.mark.timeout(300)
def test_a_services_utilization_is_plotted(portside: Instance, visit: Callable[..., Console]) -> None:
    """Points of CPU and memory, as CloudWatch has them, come by themselves to a page that was opened before them."""
    portside.client("ecs").create_service(
        cluster="shop",
        serviceName="measured",
        taskDefinition="web",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=portside.network(),
    )
    console = visit()
    page = console.open("clusters/shop/services/measured")
    console.see("No point yet")
    expect(page.get_by_text("No point yet")).to_have_count(0, timeout=200_000)
    expect(page.get_by_role("button", name="Memory")).to_be_visible()
    console.accessible()
    portside.client("ecs").delete_service(cluster="shop", service="measured", force=True)


FORGERY = """
const host = "HOST";
const tried = [];
const attempt = (how, run) => tried.push(run().then(() => how + " was answered", () => how + " was refused"));
for (const type of ["text/plain", "application/json"]) {
  attempt(type, async () => {
    const answer = await fetch(host + "/_portside/console/call/ecs/CreateCluster", {
      method: "POST", credentials: "include", headers: { "content-type": type, "x-portside-console": "1" },
      body: JSON.stringify({ clusterName: "forged" }),
    });
    if (!answer.ok) throw new Error(answer.status);
  });
}
attempt("without reading", async () => {
  await fetch(host + "/_portside/console/call/ecs/CreateCluster", {
    method: "POST", credentials: "include", mode: "no-cors", body: JSON.stringify({ clusterName: "forged" }),
  });
  throw new Error("nothing is seen of the answer");
});
attempt("the stream", () => new Promise((answered, refused) => {
  const source = new EventSource(host + "/_portside/console/changes", { withCredentials: true });
  source.onopen = answered;
  source.onerror = refused;
}));
Promise.all(tried).then((all) => { document.title = all.join("; "); });
"""


def test_another_sites_page_can_do_nothing(portside: Instance, browser: Browser) -> None:
    """A page of another origin on this machine, in a browser that has visited the console, makes no cluster."""
    page = f"<!doctype html><script>{FORGERY.replace('HOST', portside.url)}</script>".encode()

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        console = Console(browser, portside)
        console.open()
        victim = console.page.context.new_page()
        victim.goto(f"http://127.0.0.1:{server.server_port}/")
        wait_for(lambda: "the stream" in victim.title(), timeout_s=30, what="the end of the forgery")
        assert "answered" not in victim.title()
        names = [arn.rpartition("/")[2] for arn in portside.client("ecs").list_clusters()["clusterArns"]]
        assert names == ["shop"]
        console.close()
    finally:
        server.shutdown()
        server.server_close()
