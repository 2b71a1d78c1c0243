/** The tags of something, and the form that changes them. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { call } from "../api/call";
import { useLive } from "../api/live";
import { faultOf, stepsOf, type Tag, type Tagger, tagsOf } from "../api/tags";
import { commandOf } from "../command";
import { useHere } from "../context";
import { Act } from "./act";
import { Fact } from "./fact";

interface Props {
  service: Tagger;
  /** By which the service knows it: an ARN, an id, a name. */
  of: string;
  name: string;
  /** Of the records that hold them. */
  kinds: readonly string[];
}

export function Tags({ service, of, name, kinds }: Props) {
  const { region } = useHere();
  // What was saved is read at once, so that who edits on begins with it.
  const [saves, setSaves] = useState(0);
  const live = useLive(() => tagsOf(region, service, of), { kinds }, [region, service, of, saves]);
  const [edited, setEdited] = useState<readonly Tag[]>();
  const known = live.value ?? [];
  return (
    <>
      <ExpandableSection
        variant="container"
        headingTagOverride="h2"
        headerText="Tags"
        headerCounter={live.value && `(${known.length})`}
        headerActions={
          <Button disabled={!live.value} onClick={() => setEdited(known)}>
            Edit tags
          </Button>
        }
      >
        {live.error && <Alert type="error">{live.error.message}</Alert>}
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={220}>
          {known.map((each) => (
            <Fact key={each.Key} label={each.Key}>
              {each.Value || "–"}
            </Fact>
          ))}
        </ColumnLayout>
      </ExpandableSection>
      {edited && (
        <EditTags
          service={service}
          of={of}
          name={name}
          before={edited}
          onClose={() => setEdited(undefined)}
          onDone={() => setSaves(saves + 1)}
        />
      )}
    </>
  );
}

interface Edited extends Omit<Props, "kinds"> {
  before: readonly Tag[];
  onClose: () => void;
  onDone: () => void;
}

function EditTags({ service, of, name, before, onClose, onDone }: Edited) {
  const { region } = useHere();
  const [rows, setRows] = useState<readonly Tag[]>(before.length ? before : [{ Key: "", Value: "" }]);
  const steps = stepsOf(service, of, before, rows);
  const change = (place: number, to: Partial<Tag>) => setRows(rows.map((each, at) => (at === place ? { ...each, ...to } : each)));
  const run = async () => {
    for (const step of steps) await call(step.service, step.operation, region, step.parameters);
  };
  return (
    <Act
      title={`Tags of ${name}`}
      word="Save"
      service={service}
      operation="TagResource"
      parameters={{}}
      own={{ run, command: steps.map((each) => commandOf(each.service, each.operation, each.parameters)).join("\n") || "Nothing is changed" }}
      isReady={steps.length > 0 && rows.every((each) => faultOf(each, rows) === undefined)}
      onClose={onClose}
      onDone={onDone}
    >
      {rows.map((each, place) => (
        <FormField key={place} label={`Tag ${place + 1}`} errorText={faultOf(each, rows)} stretch>
          <SpaceBetween direction="horizontal" size="xs">
            <Input
              ariaLabel={`Key of tag ${place + 1}`}
              placeholder="Key"
              value={each.Key}
              onChange={({ detail }) => change(place, { Key: detail.value })}
            />
            <Input
              ariaLabel={`Value of tag ${place + 1}`}
              placeholder="Value"
              value={each.Value}
              onChange={({ detail }) => change(place, { Value: detail.value })}
            />
            <Button
              iconName="remove"
              ariaLabel={`Remove tag ${place + 1}`}
              onClick={() => setRows(rows.filter((_, at) => at !== place))}
            />
          </SpaceBetween>
        </FormField>
      ))}
      <Button iconName="add-plus" onClick={() => setRows([...rows, { Key: "", Value: "" }])}>
        Add a tag
      </Button>
    </Act>
  );
}
