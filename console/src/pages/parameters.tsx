/** Parameters of Systems Manager. Those of the type SecureString are shown when asked for only. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import Textarea from "@cloudscape-design/components/textarea";
import { useState } from "react";
import { useLive } from "../api/live";
import { type Parameter, parameterHistory, parameters, parameterValue } from "../api/secrets";
import { useHere } from "../context";
import { time } from "../format";
import { shapesOf } from "../model";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { ShownValue } from "../parts/shown-value";
import { Tags } from "../parts/tags";

type Version = Awaited<ReturnType<typeof parameterHistory>>[number];

const KINDS = { kinds: ["parameter", "parameter_version"] };

export function Parameters() {
  const { region, to } = useHere();
  const live = useLive(() => parameters(region), KINDS, [region]);
  const [isNew, setNew] = useState(false);
  return (
    <>
      <List<Parameter>
        title="Parameters"
        noun="parameter"
        live={live}
        keyOf={(each) => each.Name}
        actions={
          <Button variant="primary" onClick={() => setNew(true)}>
            Create
          </Button>
        }
        columns={[
          {
            id: "name",
            header: "Parameter",
            cell: (each) => <Link href={to(["parameters", each.Name])}>{each.Name}</Link>,
            sortingField: "Name",
            isRowHeader: true,
          },
          { id: "type", header: "Type", cell: (each) => each.Type, sortingField: "Type" },
          { id: "version", header: "Version", cell: (each) => each.Version },
          { id: "description", header: "Description", cell: (each) => each.Description || "–" },
          { id: "changed", header: "Changed", cell: (each) => time(each.LastModifiedDate), minWidth: 170 },
        ]}
      />
      {isNew && <Put onClose={() => setNew(false)} />}
    </>
  );
}

function Put({ parameter, onClose }: { parameter?: Parameter; onClose: () => void }) {
  const model = useLive(() => shapesOf("ssm", "PutParameter"), { kinds: [] }, []);
  const [name, setName] = useState(parameter?.Name ?? "");
  const [type, setType] = useState(parameter?.Type ?? "String");
  const [value, setValue] = useState("");
  const isSecret = type === "SecureString";
  const types = (model.value?.shapes.ParameterType?.enum ?? [type]).map((each) => ({ value: each, label: each }));
  return (
    <Act
      title={parameter ? `Change ${parameter.Name}` : "Create a parameter"}
      word={parameter ? "Change" : "Create"}
      service="ssm"
      operation="PutParameter"
      parameters={{ Name: name, Type: type, Value: value, Overwrite: parameter ? true : undefined }}
      shown={isSecret ? { Value: "file://VALUE" } : undefined}
      isReady={name !== "" && value !== ""}
      onClose={onClose}
    >
      {!parameter && (
        <FormField label="Name" description="With slashes in it, it can be found by its path">
          <Input value={name} onChange={({ detail }) => setName(detail.value)} />
        </FormField>
      )}
      <FormField label="Type">
        <Select
          selectedOption={{ value: type, label: type }}
          options={types}
          disabled={parameter !== undefined}
          onChange={({ detail }) => setType(detail.selectedOption.value ?? type)}
        />
      </FormField>
      <FormField label="Value" description={type === "StringList" ? "With commas between" : undefined} stretch>
        <Textarea value={value} rows={4} spellcheck={false} autoComplete={false} onChange={({ detail }) => setValue(detail.value)} />
      </FormField>
    </Act>
  );
}

export function ParameterPage({ name }: { name: string }) {
  const { region, to } = useHere();
  const live = useLive(() => parameterHistory(region, name), KINDS, [region, name]);
  const [shown, setShown] = useState<"" | "change" | "delete">("");
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  const versions = [...(live.value ?? [])].reverse();
  const [parameter] = versions;
  const isSecret = parameter?.Type === "SecureString";
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button disabled={!parameter} onClick={() => setShown("delete")}>
              Delete
            </Button>
            <Button disabled={!parameter} onClick={() => setShown("change")}>
              Change the value
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={200}>
          <Fact label="Type">{parameter?.Type ?? "–"}</Fact>
          <Fact label="Version">{parameter?.Version ?? "–"}</Fact>
          <Fact label="Description">{parameter?.Description || "–"}</Fact>
          <Fact label="Changed">{time(parameter?.LastModifiedDate)}</Fact>
          {parameter && !isSecret && <Fact label="Value">{parameter.Value}</Fact>}
        </ColumnLayout>
      </Container>
      {isSecret && <ShownValue key={parameter.Version} load={() => parameterValue(region, name)} />}
      <Table
        header={<Header variant="h2">Versions</Header>}
        items={versions}
        trackBy={(each) => String(each.Version)}
        wrapLines
        empty="No version"
        columnDefinitions={[
          { id: "version", header: "Version", cell: (each) => each.Version, isRowHeader: true },
          { id: "at", header: "Changed", cell: (each) => time(each.LastModifiedDate) },
          { id: "by", header: "By", cell: (each) => each.LastModifiedUser ?? "–" },
          ...(isSecret ? [] : [{ id: "value", header: "Value", cell: (each: Version) => each.Value ?? "–" }]),
        ]}
      />
      {shown === "change" && parameter && <Put parameter={parameter} onClose={() => setShown("")} />}
      {shown === "delete" && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          service="ssm"
          operation="DeleteParameter"
          parameters={{ Name: name }}
          onClose={() => setShown("")}
          onDone={() => {
            location.hash = to(["parameters"]);
          }}
        >
          All its versions go with it, for good. Tasks that need it can not start any more.
        </Act>
      )}
      <Tags service="ssm" of={name} name={name} kinds={["parameter"]} />
    </SpaceBetween>
  );
}
