/** Secrets of Secrets Manager: their values are shown when asked for, replaced and deleted. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import Checkbox from "@cloudscape-design/components/checkbox";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import Textarea from "@cloudscape-design/components/textarea";
import { useState } from "react";
import { useLive } from "../api/live";
import { secret as readSecret, type Secret, secrets, secretValue } from "../api/secrets";
import { useHere } from "../context";
import { time } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { ShownValue } from "../parts/shown-value";
import { Tags } from "../parts/tags";

const KINDS = { kinds: ["secret", "secret_value"] };
const SERVICE = "secretsmanager";

export function Secrets() {
  const { region, to } = useHere();
  const live = useLive(() => secrets(region, true), KINDS, [region]);
  const [isNew, setNew] = useState(false);
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [description, setDescription] = useState("");
  return (
    <>
      <List<Secret>
        title="Secrets"
        noun="secret"
        live={live}
        keyOf={(each) => each.ARN}
        description="Containers get them by the ARN, in the member secrets of their definition"
        actions={
          <Button variant="primary" onClick={() => setNew(true)}>
            Create
          </Button>
        }
        columns={[
          {
            id: "name",
            header: "Secret",
            cell: (each) => <Link href={to(["secrets", each.Name])}>{each.Name}</Link>,
            sortingField: "Name",
            isRowHeader: true,
          },
          { id: "description", header: "Description", cell: (each) => each.Description || "–" },
          { id: "changed", header: "Changed", cell: (each) => time(each.LastChangedDate ?? each.CreatedDate), minWidth: 170 },
          { id: "state", header: "State", cell: (each) => (each.DeletedDate ? `Deleted on ${time(each.DeletedDate)}` : "In use") },
        ]}
      />
      {isNew && (
        <Act
          title="Create a secret"
          word="Create"
          service={SERVICE}
          operation="CreateSecret"
          parameters={{ Name: name, Description: description || undefined, SecretString: value }}
          shown={{ SecretString: HIDDEN }}
          isReady={name !== "" && value !== ""}
          onClose={() => {
            setNew(false);
            setValue("");
          }}
        >
          <FormField label="Name">
            <Input value={name} onChange={({ detail }) => setName(detail.value)} />
          </FormField>
          <FormField label="Description">
            <Input value={description} onChange={({ detail }) => setDescription(detail.value)} />
          </FormField>
          <ValueField value={value} onChange={setValue} />
        </Act>
      )}
    </>
  );
}

/** A command line stays in a shell's history: the value of a secret has no place in one. */
const HIDDEN = "file://VALUE";

function ValueField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return (
    <FormField label="Value" description="Text, or a JSON object of keys and values" stretch>
      <Textarea value={value} rows={5} spellcheck={false} autoComplete={false} onChange={({ detail }) => onChange(detail.value)} />
    </FormField>
  );
}

export function SecretPage({ name }: { name: string }) {
  const { region, to } = useHere();
  const live = useLive(() => readSecret(region, name), KINDS, [region, name]);
  const [shown, setShown] = useState<"" | "value" | "delete" | "restore">("");
  const [value, setValue] = useState("");
  const [isAtOnce, setAtOnce] = useState(false);
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  const secret = live.value;
  const isDeleted = secret?.DeletedDate !== undefined;
  const close = () => {
    setShown("");
    setValue("");
  };
  const versions = Object.entries(secret?.VersionIdsToStages ?? {});
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          isDeleted ? (
            <Button onClick={() => setShown("restore")}>Restore</Button>
          ) : (
            <Button disabled={!secret} onClick={() => setShown("delete")}>
              Delete
            </Button>
          )
        }
      >
        {name}
      </Header>
      {isDeleted && <Alert type="warning">{`It is deleted, and gone for good on ${time(secret?.DeletedDate)}. Until then it can be restored.`}</Alert>}
      <Container>
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={200}>
          <Fact label="ARN">{secret?.ARN ?? "–"}</Fact>
          <Fact label="Description">{secret?.Description || "–"}</Fact>
          <Fact label="Created">{time(secret?.CreatedDate)}</Fact>
          <Fact label="Changed">{time(secret?.LastChangedDate)}</Fact>
          <Fact label="Read last">{time(secret?.LastAccessedDate)}</Fact>
        </ColumnLayout>
      </Container>
      {!isDeleted && (
        <ShownValue load={() => secretValue(region, name)} actions={<Button onClick={() => setShown("value")}>Replace the value</Button>} />
      )}
      <Table
        header={<Header variant="h2">Versions</Header>}
        items={versions}
        trackBy={([id]) => id}
        empty="No version"
        columnDefinitions={[
          { id: "id", header: "Version", cell: ([id]) => id, isRowHeader: true },
          { id: "stages", header: "Stages", cell: ([, stages]) => stages.join(", ") || "–" },
        ]}
      />
      {shown === "value" && (
        <Act
          title={`Replace the value of ${name}`}
          word="Replace"
          service={SERVICE}
          operation="PutSecretValue"
          parameters={{ SecretId: name, SecretString: value }}
          shown={{ SecretString: HIDDEN }}
          isReady={value !== ""}
          onClose={close}
        >
          What is there now becomes AWSPREVIOUS. Tasks have the value that was there when they started.
          <ValueField value={value} onChange={setValue} />
        </Act>
      )}
      {shown === "delete" && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          service={SERVICE}
          operation="DeleteSecret"
          parameters={isAtOnce ? { SecretId: name, ForceDeleteWithoutRecovery: true } : { SecretId: name }}
          onClose={close}
          onDone={() => {
            if (isAtOnce) location.hash = to(["secrets"]);
          }}
        >
          Tasks that need it can not start any more.
          <Checkbox checked={isAtOnce} onChange={({ detail }) => setAtOnce(detail.checked)}>
            At once, and for good; otherwise it can be restored for 30 days
          </Checkbox>
        </Act>
      )}
      {shown === "restore" && (
        <Act title={`Restore ${name}?`} word="Restore" service={SERVICE} operation="RestoreSecret" parameters={{ SecretId: name }} onClose={close}>
          It can be read again.
        </Act>
      )}
      <Tags service="secretsmanager" of={name} name={name} kinds={["secret"]} />
    </SpaceBetween>
  );
}
