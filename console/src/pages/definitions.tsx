/** Task definitions: families, their revisions, one of them as JSON, and new ones. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { definition as readDefinition, type Failed, families, refusedBy, revisions, type TaskDefinition } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { registrable } from "../definition";
import { diff } from "../diff";
import { familyOf, memory, nameOf, time, vcpu } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { Status } from "../parts/status";
import { Tags } from "../parts/tags";

const KINDS = { kinds: ["task_definition", "task_definition_family"] };

export function Definitions() {
  const { region, to } = useHere();
  const live = useLive(
    async () => (await families(region, "ACTIVE")).map((family) => ({ family })),
    KINDS,
    [region],
  );
  return (
    <>
      <List<{ family: string }>
        title="Task definitions"
        noun="task definition"
        live={live}
        keyOf={(each) => each.family}
        actions={
          <Button variant="primary" href={to(["create-task-definition"])}>
            Create
          </Button>
        }
        columns={[
          {
            id: "family",
            header: "Family",
            cell: (each) => <Link href={to(["task-definitions", each.family])}>{each.family}</Link>,
            sortingField: "family",
            isRowHeader: true,
          },
        ]}
      />
    </>
  );
}

export function FamilyPage({ family }: { family: string }) {
  const { region, to } = useHere();
  const live = useLive(
    async () => {
      const all = await Promise.all(["ACTIVE", "INACTIVE"].map((status) => revisions(region, family, status)));
      return all.flatMap((arns, at) => arns.map((arn) => ({ arn, status: at ? "INACTIVE" : "ACTIVE" }))).filter((each) => familyOf(each.arn).family === family);
    },
    KINDS,
    [region, family],
  );
  return (
    <List<{ arn: string; status: string }>
      title={family}
      noun="revision"
      live={live}
      keyOf={(each) => each.arn}
      columns={[
        {
          id: "revision",
          header: "Revision",
          cell: (each) => (
            <Link href={to(["task-definitions", family, familyOf(each.arn).revision])}>{nameOf(each.arn)}</Link>
          ),
          isRowHeader: true,
        },
        { id: "status", header: "Status", cell: (each) => <Status of={each.status} /> },
      ]}
    />
  );
}

export function DefinitionPage({ family, revision }: { family: string; revision: string }) {
  const { region, to } = useHere();
  const name = `${family}:${revision}`;
  const live = useLive(() => readDefinition(region, name), KINDS, [region, name]);
  const [shown, setShown] = useState<"" | "deregister" | "delete">("");
  const found = live.value;
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  const close = () => setShown("");
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            {found?.status === "INACTIVE" ? (
              <Button onClick={() => setShown("delete")}>Delete</Button>
            ) : (
              <Button disabled={found?.status !== "ACTIVE"} onClick={() => setShown("deregister")}>
                Deregister
              </Button>
            )}
            <Button disabled={!found} href={to(["create-task-definition"], { from: name })}>
              Create revision
            </Button>
            <Button disabled={found?.status !== "ACTIVE"} href={to(["create-service"], { definition: name })}>
              Create service
            </Button>
            <Button variant="primary" disabled={found?.status !== "ACTIVE"} href={to(["run-task"], { definition: name })}>
              Run task
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Status">
            <Status of={found?.status} />
          </Fact>
          <Fact label="Size">
            {vcpu(found?.cpu)}, {memory(found?.memory)}
          </Fact>
          <Fact label="Network mode">{found?.networkMode ?? "–"}</Fact>
          <Fact label="Registered">{time(found?.registeredAt)}</Fact>
        </ColumnLayout>
      </Container>
      <Table
        header={<Header variant="h2">Containers</Header>}
        items={found?.containerDefinitions ?? []}
        trackBy="name"
        columnDefinitions={[
          { id: "name", header: "Name", cell: (each) => each.name, isRowHeader: true },
          { id: "image", header: "Image", cell: (each) => each.image },
          { id: "essential", header: "Essential", cell: (each) => (each.essential === false ? "No" : "Yes") },
          {
            id: "ports",
            header: "Ports",
            cell: (each) => each.portMappings?.map((port) => `${port.containerPort}/${port.protocol ?? "tcp"}`).join(", ") || "–",
          },
          { id: "log", header: "Output", cell: (each) => each.logConfiguration?.options?.["awslogs-group"] ?? each.logConfiguration?.logDriver ?? "–" },
        ]}
      />
      {found && <Text definition={found} />}
      {shown === "deregister" && (
        <Act title={`Deregister ${name}?`} word="Deregister" operation="DeregisterTaskDefinition" parameters={{ taskDefinition: name }} onClose={close}>
          Nothing new can be started by it. Tasks that run go on.
        </Act>
      )}
      {shown === "delete" && (
        <Act<Failed>
          title={`Delete ${name}?`}
          word="Delete"
          operation="DeleteTaskDefinitions"
          parameters={{ taskDefinitions: [name] }}
          onClose={close}
          onDone={(answer) => {
            refusedBy(answer);
            location.hash = to(["task-definitions", family]);
          }}
        >
          It can not be read any more once no task and no service has it. Its number is not given again.
        </Act>
      )}
      {found && <Tags service="ecs" of={found.taskDefinitionArn} name={name} kinds={["task_definition"]} />}
    </SpaceBetween>
  );
}

/** The definition as it would be registered again; beside another revision, what is different. */
function Text({ definition }: { definition: TaskDefinition }) {
  const { region } = useHere();
  const { family, revision } = definition;
  const [against, setAgainst] = useState("");
  const others = useLive(
    async () =>
      (await revisions(region, family, "ACTIVE"))
        .map(familyOf)
        .filter((each) => each.family === family && each.revision !== String(revision)),
    KINDS,
    [region, family, revision],
  );
  const other = useLive(async () => (against ? readDefinition(region, `${family}:${against}`) : undefined), { kinds: [] }, [
    region,
    family,
    against,
  ]);
  const options = [
    { value: "", label: "No other revision" },
    ...(others.value ?? []).map((each) => ({ value: each.revision, label: `${family}:${each.revision}` })),
  ];
  const text = JSON.stringify(registrable(definition), null, 2);
  const lines = other.value ? diff(JSON.stringify(registrable(other.value), null, 2), text) : undefined;
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <Select
              ariaLabel="Compare with"
              inlineLabelText="Compare with"
              selectedOption={options.find((each) => each.value === against) ?? null}
              options={options}
              onChange={({ detail }) => setAgainst(detail.selectedOption.value ?? "")}
            />
          }
        >
          JSON
        </Header>
      }
    >
      <pre className="output" tabIndex={0} aria-label={lines ? `What is different from ${against}` : "The definition as JSON"}>
        {lines
          ? lines.map((line, at) => (
              <div key={at} className={line.sign === "+" ? "added" : line.sign === "-" ? "removed" : undefined}>
                {`${line.sign} ${line.text}`}
              </div>
            ))
          : text}
      </pre>
    </Container>
  );
}
