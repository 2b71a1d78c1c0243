/** One task: its launch, its containers, what they write, what happened to it. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import FormField from "@cloudscape-design/components/form-field";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import Tabs from "@cloudscape-design/components/tabs";
import { useState } from "react";
import { addressOf, definition as readDefinition, interfaceOf, protectedUntil, story, task as readTask, type TaskDefinition, type Container as ContainerOf } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { familyOf, memory, nameOf, secondsOf, time, vcpu } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { Output } from "../parts/output";
import { Metrics } from "../parts/panels";
import { Phases } from "../parts/phases";
import { Status } from "../parts/status";
import { Tags } from "../parts/tags";
import { ProtectTask } from "../parts/task-protection";

export function TaskPage({ cluster, id }: { cluster: string; id: string }) {
  const { region, to } = useHere();
  const watched = { kinds: ["task"], prefix: `${cluster}/${id}` };
  const live = useLive(async () => (await readTask(region, cluster, id)) ?? null, watched, [region, cluster, id]);
  const told = useLive(() => story(cluster, id), watched, [region, cluster, id]);
  const [isStopping, setStopping] = useState(false);
  const [isProtecting, setProtecting] = useState(false);
  const [reason, setReason] = useState("");
  const task = live.value;
  const isOfService = task?.group?.startsWith("service:") === true && task.desiredStatus === "RUNNING";
  const held = useLive(async () => (isOfService ? protectedUntil(region, cluster, id) : null), watched, [region, cluster, id, isOfService]);
  const definitionArn = task?.taskDefinitionArn;
  const definition = useLive(
    async () => (definitionArn ? readDefinition(region, definitionArn) : undefined),
    { kinds: [] },
    [region, definitionArn],
  );
  if (task === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no task ${id} in the cluster ${cluster}.`}</Alert>;
  }
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description={told.value?.summary}
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button disabled={!task} href={to(["run-task"], { like: `${cluster}/${id}` })}>
              Run one like it
            </Button>
            {isOfService && (
              <Button disabled={held.value === undefined} onClick={() => setProtecting(true)}>
                {held.value ? "Take the protection off" : "Protect"}
              </Button>
            )}
            <Button disabled={task?.desiredStatus !== "RUNNING"} onClick={() => setStopping(true)}>
              Stop
            </Button>
          </SpaceBetween>
        }
      >
        Task {id}
      </Header>
      {task?.stoppedReason && (
        <Alert type={task.stopCode === "UserInitiated" ? "info" : "warning"} header={`Stopped: ${task.stopCode}`}>
          {task.stoppedReason}
        </Alert>
      )}
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Status">
            <Status of={task?.lastStatus} />
          </Fact>
          <Fact label="Wanted">
            <Status of={task?.desiredStatus} />
          </Fact>
          <Fact label="Health">
            <Status of={task?.healthStatus} />
          </Fact>
          <Fact label="Task definition">
            {definitionArn && (
              <Link href={to(["task-definitions", familyOf(definitionArn).family, familyOf(definitionArn).revision])}>
                {nameOf(definitionArn)}
              </Link>
            )}
          </Fact>
          <Fact label="Group">{task?.group ?? "–"}</Fact>
          <Fact label="Address">
            {task && interfaceOf(task) ? <Link href={to(["networks", interfaceOf(task) ?? ""])}>{addressOf(task)}</Link> : task ? addressOf(task) : "–"}
          </Fact>
          <Fact label="Zone">{task?.availabilityZone ?? "–"}</Fact>
          <Fact label="Size">
            {vcpu(task?.cpu)}, {memory(task?.memory)}
          </Fact>
          {held.value && <Fact label="Protected until">{time(held.value)}</Fact>}
          <Fact label="Created">{time(task?.createdAt)}</Fact>
          <Fact label="Started">{time(task?.startedAt)}</Fact>
          <Fact label="Stopped">{time(task?.stoppedAt)}</Fact>
        </ColumnLayout>
      </Container>
      <Container header={<Header variant="h2">Launch</Header>}>
        {told.error ? told.error.message : <Phases phases={told.value?.phases ?? []} />}
      </Container>
      <Table
        header={<Header variant="h2">Containers</Header>}
        items={task?.containers ?? []}
        trackBy="name"
        wrapLines
        empty="No container"
        columnDefinitions={[
          { id: "name", header: "Name", cell: (each) => each.name, isRowHeader: true },
          { id: "status", header: "Status", cell: (each) => <Status of={each.lastStatus} /> },
          { id: "health", header: "Health", cell: (each) => <Status of={each.healthStatus} /> },
          { id: "image", header: "Image", cell: (each) => each.image ?? "–" },
          ...(task?.enableExecuteCommand
            ? [
                {
                  id: "shell",
                  header: "Shell",
                  cell: (each: ContainerOf) =>
                    each.lastStatus === "RUNNING" ? (
                      <Link href={to(["clusters", cluster, "tasks", id, "shell", each.name])}>Open</Link>
                    ) : (
                      "–"
                    ),
                },
              ]
            : []),
          { id: "exit", header: "Exit code", cell: (each) => each.exitCode ?? "–" },
          { id: "reason", header: "Reason", cell: (each) => each.reason ?? "–" },
        ]}
      />
      {definitionArn && <Metrics target={{ cluster, task: id, family: familyOf(definitionArn).family }} />}
      {definition.value && task && <Outputs id={id} definition={definition.value} since={task.createdAt ?? 0} />}
      <Table
        header={<Header variant="h2">Story</Header>}
        items={told.value?.story ?? []}
        wrapLines
        empty="Nothing happened yet"
        columnDefinitions={[
          { id: "at", header: "When", cell: (each) => time(secondsOf(each.at)), width: 190 },
          { id: "what", header: "What", cell: (each) => each.what, isRowHeader: true },
          { id: "detail", header: "Detail", cell: (each) => each.detail || "–" },
        ]}
      />
      {isProtecting && (
        <ProtectTask cluster={cluster} id={id} isProtected={Boolean(held.value)} onClose={() => setProtecting(false)} />
      )}
      {isStopping && (
        <Act
          title="Stop this task?"
          word="Stop"
          operation="StopTask"
          parameters={{ cluster, task: id, reason: reason || undefined }}
          onClose={() => setStopping(false)}
        >
          Its containers get their stop signal, then are ended. A service starts another in its place.
          <FormField label="Reason" description="Kept with the task">
            <Input value={reason} onChange={({ detail }) => setReason(detail.value)} />
          </FormField>
        </Act>
      )}
      {task && task.lastStatus !== "STOPPED" && <Tags service="ecs" of={task.taskArn} name={`task ${id}`} kinds={["task"]} />}
    </SpaceBetween>
  );
}

/** What the containers write, of those whose output goes to a log group. */
function Outputs({ id, definition, since }: { id: string; definition: TaskDefinition; since: number }) {
  const { to } = useHere();
  const streams = definition.containerDefinitions.flatMap((each) => {
    const { logDriver, options } = each.logConfiguration ?? { logDriver: "" };
    const group = options?.["awslogs-group"];
    const prefix = options?.["awslogs-stream-prefix"];
    return logDriver === "awslogs" && group && prefix ? [{ name: each.name, group, stream: `${prefix}/${each.name}/${id}` }] : [];
  });
  if (streams.length === 0) return null;
  return (
    <Container header={<Header variant="h2">Output</Header>}>
      <Tabs
        ariaLabel="Output of containers"
        tabs={streams.map(({ name, group, stream }) => ({
          id: name,
          label: name,
          content: (
            <SpaceBetween size="s">
              <Output wanted={{ group, streams: [stream] }} sinceMs={since * 1000 - 60_000} label={`Output of ${name}`} />
              <Link href={to(["log-groups", group])}>All of {group}</Link>
            </SpaceBetween>
          ),
        }))}
      />
    </Container>
  );
}
