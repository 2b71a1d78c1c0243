/** The attributes of a load balancer, a listener or a target group, and the form that changes them. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import Toggle from "@cloudscape-design/components/toggle";
import { useState } from "react";
import { type Attribute, attributes, blamedKey, changesOf, choicesOf, isFlag, labelOf, type Owner, OWNERS } from "../api/attributes";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";
import { Fact } from "./fact";

interface Props {
  owner: Owner;
  arn: string;
  name: string;
}

export function Attributes({ owner, arn, name }: Props) {
  const { region } = useHere();
  const kinds = [owner === "loadBalancer" ? "load_balancer" : "target_group"];
  const live = useLive(() => attributes(region, owner, arn), { kinds }, [region, owner, arn]);
  const [changed, setChanged] = useState<readonly Attribute[]>();
  const known = live.value ?? [];
  return (
    <>
      <ExpandableSection
        variant="container"
        headingTagOverride="h2"
        headerText="Attributes"
        headerCounter={live.value ? `(${known.length})` : undefined}
        headerActions={
          <Button disabled={!live.value} onClick={() => setChanged(known)}>
            Edit attributes
          </Button>
        }
      >
        {live.error && <Alert type="error">{live.error.message}</Alert>}
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={220}>
          {known.map((each) => (
            <Fact key={each.Key} label={labelOf(each.Key)}>
              {isFlag(each, owner) ? (each.Value === "true" ? "On" : "Off") : each.Value || "–"}
            </Fact>
          ))}
        </ColumnLayout>
      </ExpandableSection>
      {changed && <EditAttributes owner={owner} arn={arn} name={name} known={changed} onClose={() => setChanged(undefined)} />}
    </>
  );
}

/** The form alone, of what shows its attributes nowhere else. */
export function ReadAndEditAttributes(props: Props & { onClose: () => void }) {
  const { region } = useHere();
  const live = useLive(() => attributes(region, props.owner, props.arn), { kinds: [] }, [region, props.owner, props.arn]);
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  return live.value ? <EditAttributes {...props} known={live.value} /> : null;
}

function EditAttributes({ owner, arn, name, known, onClose }: Props & { known: readonly Attribute[]; onClose: () => void }) {
  const [wanted, setWanted] = useState<Readonly<Record<string, string>>>({});
  const [error, setError] = useState<Error>();
  const changes = changesOf(known, wanted);
  const blamed = blamedKey(error, known);
  const set = (key: string, value: string) => {
    setWanted({ ...wanted, [key]: value });
    setError(undefined);
  };
  const said = (each: Attribute) => (each.Key === blamed ? error?.message : undefined);
  const nowOf = (each: Attribute) => wanted[each.Key] ?? each.Value;
  const logs = known.filter((each) => each.Key.includes("_logs."));
  const others = known.filter((each) => !logs.includes(each));
  const field = (each: Attribute) => {
    const options = choicesOf(each, owner)?.map((value) => ({ value, label: value }));
    return (
      <FormField key={each.Key} label={labelOf(each.Key)} description={each.Key} errorText={said(each)}>
        {options ? (
          <Select
            selectedOption={options.find((one) => one.value === nowOf(each)) ?? { value: nowOf(each), label: nowOf(each) }}
            options={options}
            onChange={({ detail }) => set(each.Key, detail.selectedOption.value ?? "")}
          />
        ) : (
          <Input value={nowOf(each)} onChange={({ detail }) => set(each.Key, detail.value)} />
        )}
      </FormField>
    );
  };
  const flag = (each: Attribute) => (
    <FormField key={each.Key} errorText={said(each)}>
      <Toggle checked={nowOf(each) === "true"} onChange={({ detail }) => set(each.Key, String(detail.checked))}>
        <span>{labelOf(each.Key)}</span>
        <Box variant="small" display="block">
          {each.Key}
        </Box>
      </Toggle>
    </FormField>
  );
  return (
    <Act
      title={`Attributes of ${name}`}
      word="Save"
      size="large"
      service="elbv2"
      operation={OWNERS[owner].modify}
      parameters={{ [OWNERS[owner].member]: arn, Attributes: changes }}
      isReady={changes.length > 0}
      onError={setError}
      onClose={onClose}
    >
      <ColumnLayout columns={2}>
        {others.filter((each) => !isFlag(each, owner)).map(field)}
        {others.filter((each) => isFlag(each, owner)).map(flag)}
      </ColumnLayout>
      {logs.length > 0 && <ColumnLayout columns={3}>{logs.map((each) => (isFlag(each, owner) ? flag(each) : field(each)))}</ColumnLayout>}
    </Act>
  );
}
