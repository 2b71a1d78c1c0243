/** Roles of IAM: whom they trust, what their policies say, and who uses them. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { document as text, policiesOf, type Role, role as readRole, type RolePolicy, roles, roleUse } from "../api/iam";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { duration, familyOf, time } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { JsonField, jsonError } from "../parts/json-field";
import { List } from "../parts/list";
import { Tags } from "../parts/tags";

const KINDS = { kinds: ["role", "policy"] };

const trust = (service: string) =>
  JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { Service: service }, Action: "sts:AssumeRole" }] }, null, 2);

const ALLOWS = JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "logs:*", Resource: "*" }] }, null, 2);

/** Whom a role trusts, in a line. */
function trusted(role: Role): string {
  try {
    const { Statement } = JSON.parse(text(role.AssumeRolePolicyDocument)) as { Statement: object | object[] };
    const all = [Statement].flat() as { Principal?: string | Record<string, string | string[]> }[];
    return [...new Set(all.flatMap(({ Principal }) => (typeof Principal === "object" ? Object.values(Principal).flat() : [Principal ?? ""])))].join(", ");
  } catch {
    return "–";
  }
}

export function Roles() {
  const { region, to } = useHere();
  const live = useLive(() => roles(region), KINDS, [region]);
  const [isNew, setNew] = useState(false);
  const [name, setName] = useState("");
  const [document, setDocument] = useState(trust("ecs-tasks.amazonaws.com"));
  return (
    <>
      <List<Role>
        title="Roles"
        noun="role"
        live={live}
        keyOf={(each) => each.Arn}
        description="Of the whole account. Policies are kept; whom a role trusts is enforced, what it may do is not yet."
        actions={
          <Button variant="primary" onClick={() => setNew(true)}>
            Create
          </Button>
        }
        columns={[
          {
            id: "name",
            header: "Role",
            cell: (each) => <Link href={to(["roles", each.RoleName])}>{each.RoleName}</Link>,
            sortingField: "RoleName",
            isRowHeader: true,
          },
          { id: "trusts", header: "Trusts", cell: trusted },
          { id: "description", header: "Description", cell: (each) => each.Description || "–" },
          { id: "created", header: "Created", cell: (each) => time(each.CreateDate), sortingField: "CreateDate", minWidth: 170 },
        ]}
      />
      {isNew && (
        <Act
          title="Create a role"
          word="Create"
          service="iam"
          operation="CreateRole"
          parameters={{ RoleName: name, AssumeRolePolicyDocument: document }}
          isReady={name !== "" && jsonError(document) === undefined}
          onClose={() => setNew(false)}
          onDone={() => {
            location.hash = to(["roles", name]);
          }}
        >
          <FormField label="Name">
            <Input value={name} onChange={({ detail }) => setName(detail.value)} />
          </FormField>
          <JsonField label="Whom it trusts" text={document} onChange={setDocument} />
        </Act>
      )}
    </>
  );
}

type Shown = { what: "trust" | "delete" | "attach" } | { what: "policy" | "detach"; policy?: RolePolicy };

export function RolePage({ name }: { name: string }) {
  const { region, to } = useHere();
  const live = useLive(() => readRole(region, name), KINDS, [region, name]);
  const policies = useLive(() => policiesOf(region, name), KINDS, [region, name]);
  const arn = live.value?.Arn;
  const use = useLive(
    async () => (arn ? roleUse(region, arn) : undefined),
    { kinds: ["task_definition", "task", "service", "instance_profile"] },
    [region, arn],
  );
  const [shown, setShown] = useState<Shown>();
  const close = () => setShown(undefined);
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  const role = live.value;
  const users = use.value && [
    ...use.value.definitions.map((each) => ({
      kind: "Task definition",
      name: each.name,
      href: to(["task-definitions", familyOf(each.name).family, familyOf(each.name).revision]),
      as: each.as,
    })),
    ...use.value.services.map((each) => ({ kind: "Service", name: each.name, href: to(["clusters", each.cluster, "services", each.name]), as: each.as })),
    ...use.value.tasks.map((each) => ({ kind: "Task", name: each.id, href: to(["clusters", each.cluster, "tasks", each.id]), as: each.as })),
    ...use.value.profiles.map((each) => ({ kind: "Instance profile", name: each.name, href: undefined, as: each.as })),
  ];
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <Button disabled={!role} onClick={() => setShown({ what: "delete" })}>
            Delete
          </Button>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={200}>
          <Fact label="ARN">{arn ?? "–"}</Fact>
          <Fact label="Description">{role?.Description || "–"}</Fact>
          <Fact label="Created">{time(role?.CreateDate)}</Fact>
          <Fact label="A session lasts at most">{role?.MaxSessionDuration ? duration(role.MaxSessionDuration) : "–"}</Fact>
        </ColumnLayout>
      </Container>
      <Container
        header={
          <Header variant="h2" actions={<Button onClick={() => setShown({ what: "trust" })}>Change whom it trusts</Button>}>
            Trust
          </Header>
        }
      >
        <pre className="output" tabIndex={0} aria-label="Trust policy">
          {role ? text(role.AssumeRolePolicyDocument) : ""}
        </pre>
      </Container>
      <Container
        header={
          <Header
            variant="h2"
            counter={policies.value && `(${policies.value.length})`}
            actions={
              <SpaceBetween direction="horizontal" size="xs">
                <Button onClick={() => setShown({ what: "attach" })}>Attach a policy</Button>
                <Button onClick={() => setShown({ what: "policy" })}>Write one</Button>
              </SpaceBetween>
            }
          >
            Policies
          </Header>
        }
      >
        {policies.error && <Alert type="error">{policies.error.message}</Alert>}
        {policies.value?.length === 0 && "It has none."}
        {policies.value?.map((policy) => (
          <ExpandableSection
            key={policy.arn ?? policy.name}
            headerText={policy.name}
            headerDescription={policy.arn ?? "Inside of this role"}
            variant="default"
          >
            <SpaceBetween size="s">
              <pre className="output" tabIndex={0} aria-label={`Policy ${policy.name}`}>
                {policy.text ?? "AWS's own: Portside knows its name only."}
              </pre>
              <SpaceBetween direction="horizontal" size="xs">
                {!policy.arn && (
                  <Button ariaLabel={`Change ${policy.name}`} onClick={() => setShown({ what: "policy", policy })}>
                    Change
                  </Button>
                )}
                <Button
                  ariaLabel={`${policy.arn ? "Detach" : "Delete"} ${policy.name}`}
                  onClick={() => setShown({ what: "detach", policy })}
                >
                  {policy.arn ? "Detach" : "Delete"}
                </Button>
              </SpaceBetween>
            </SpaceBetween>
          </ExpandableSection>
        ))}
      </Container>
      {use.error && <Alert type="error">{use.error.message}</Alert>}
      <Table
        header={
          <Header variant="h2" counter={users && `(${users.length})`} description={`In ${region}`}>
            Used by
          </Header>
        }
        items={users ?? []}
        empty="Nobody"
        columnDefinitions={[
          { id: "kind", header: "What", cell: (each) => each.kind },
          { id: "name", header: "Name", cell: (each) => (each.href ? <Link href={each.href}>{each.name}</Link> : each.name), isRowHeader: true },
          { id: "as", header: "As its", cell: (each) => each.as.join(", ") },
        ]}
      />
      {shown?.what === "trust" && role && <Trust role={role} onClose={close} />}
      {shown?.what === "policy" && <Inline role={name} policy={shown.policy} onClose={close} />}
      {shown?.what === "attach" && <Attach role={name} onClose={close} />}
      {shown?.what === "detach" && shown.policy && (
        <Act
          title={`${shown.policy.arn ? "Detach" : "Delete"} ${shown.policy.name}?`}
          word={shown.policy.arn ? "Detach" : "Delete"}
          service="iam"
          operation={shown.policy.arn ? "DetachRolePolicy" : "DeleteRolePolicy"}
          parameters={shown.policy.arn ? { RoleName: name, PolicyArn: shown.policy.arn } : { RoleName: name, PolicyName: shown.policy.name }}
          onClose={close}
        >
          {shown.policy.arn ? "The policy itself stays." : "Its text goes with it."}
        </Act>
      )}
      {shown?.what === "delete" && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          service="iam"
          operation="DeleteRole"
          parameters={{ RoleName: name }}
          onClose={close}
          onDone={() => {
            location.hash = to(["roles"]);
          }}
        >
          {users?.length ? `It is used by ${users.length} of this region, which can not start any more.` : "Nobody of this region uses it."}
        </Act>
      )}
      <Tags service="iam" of={name} name={name} kinds={["role"]} />
    </SpaceBetween>
  );
}

function Trust({ role, onClose }: { role: Role; onClose: () => void }) {
  const [document, setDocument] = useState(text(role.AssumeRolePolicyDocument));
  return (
    <Act
      title={`Whom ${role.RoleName} trusts`}
      word="Save"
      size="large"
      service="iam"
      operation="UpdateAssumeRolePolicy"
      parameters={{ RoleName: role.RoleName, PolicyDocument: document }}
      isReady={jsonError(document) === undefined}
      onClose={onClose}
    >
      <JsonField label="Trust policy" text={document} onChange={setDocument} />
    </Act>
  );
}

function Inline({ role, policy, onClose }: { role: string; policy?: RolePolicy; onClose: () => void }) {
  const [name, setName] = useState(policy?.name ?? "");
  const [document, setDocument] = useState(policy?.text ?? ALLOWS);
  return (
    <Act
      title={policy ? `Change ${policy.name}` : "A policy of this role's own"}
      word="Save"
      size="large"
      service="iam"
      operation="PutRolePolicy"
      parameters={{ RoleName: role, PolicyName: name, PolicyDocument: document }}
      isReady={name !== "" && jsonError(document) === undefined}
      onClose={onClose}
    >
      {!policy && (
        <FormField label="Name">
          <Input value={name} onChange={({ detail }) => setName(detail.value)} />
        </FormField>
      )}
      <JsonField label="Policy" text={document} onChange={setDocument} />
    </Act>
  );
}

function Attach({ role, onClose }: { role: string; onClose: () => void }) {
  const [arn, setArn] = useState("");
  return (
    <Act
      title="Attach a policy"
      word="Attach"
      service="iam"
      operation="AttachRolePolicy"
      parameters={{ RoleName: role, PolicyArn: arn }}
      isReady={arn.startsWith("arn:")}
      onClose={onClose}
    >
      <FormField label="Policy" description="Its ARN: one of this account, or of AWS's own">
        <Input
          value={arn}
          placeholder="arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
          onChange={({ detail }) => setArn(detail.value)}
        />
      </FormField>
    </Act>
  );
}
