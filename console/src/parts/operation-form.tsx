/** A page that calls an operation: the same draft as fields and as JSON, checked while it is typed, with its command. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import SegmentedControl from "@cloudscape-design/components/segmented-control";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import Textarea from "@cloudscape-design/components/textarea";
import { type ReactNode, useMemo, useState } from "react";
import { ApiError, call } from "../api/call";
import { useLive } from "../api/live";
import { commandOf } from "../command";
import { useHere } from "../context";
import { counted } from "../format";
import { fitting, type Unfit, unfitFaults } from "../launch";
import { blamed, type Fault, faultsOf, isMembers, linesOf, memberText, type Members, type Path, pathText, type Shapes, shapesOf, whole } from "../model";
import { Command } from "./act";
import { Failure } from "./failure";
import { changed, type Offer, ShapeForm } from "./shape-form";

export interface Step {
  service: string;
  operation: string;
  parameters: Members;
}

interface Props {
  title: string;
  word: string;
  service?: string;
  operation: string;
  initial: Members;
  first: Record<string, readonly string[]>;
  offers?: (value: Members, model: Shapes) => Record<string, Offer[]>;
  /** What is asked for, of what is in the form. */
  parameters?: (value: Members) => Members;
  /** What was pasted, as the operation takes it. */
  cleaned?: (value: Members) => Members;
  /** What is called after it, in this order. */
  after?: (value: Members) => Step[];
  /** Members that do not fit the others: they have no field and are not sent. In JSON they are told to be wrong. */
  unfit?: (value: Members) => Unfit;
  /** What is wrong beyond what the model knows. */
  check?: (value: Members, model: Shapes) => Fault[];
  /** Members that the model requires and `parameters` has a value for where the form has none. */
  optional?: readonly string[];
  isReady?: boolean;
  onChange?: (value: Members) => void;
  extra?: (value: Members) => ReactNode;
  cancel: string;
  onDone: (answer: never, value: Members) => string;
}

export function OperationForm(props: Props) {
  const service = props.service ?? "ecs";
  const model = useLive(() => shapesOf(service, props.operation), { kinds: [] }, [service, props.operation]);
  if (model.error) return <Alert type="error">{model.error.message}</Alert>;
  if (!model.value) return <Spinner size="large" />;
  return <Form {...props} service={service} model={model.value} />;
}

function Form(props: Props & { service: string; model: Shapes }) {
  const { service, model, operation } = props;
  const { region } = useHere();
  const [value, setValue] = useState<Members>(props.initial);
  const [text, setText] = useState<string>();
  const [failure, setFailure] = useState<Error>();
  const [said, setSaid] = useState<{ path: Path; message: string }>();
  const [isRunning, setRunning] = useState(false);
  const typed = useMemo(() => (text === undefined ? {} : read(text)), [text]);
  const unfit = props.unfit?.(value) ?? {};
  const sent = text === undefined ? fitting(value, unfit) : value;
  const required = (each: Fault) => !(each.isMissing && props.optional?.includes(memberText(each.path)));
  const faults = [...faultsOf(model, sent).filter(required), ...unfitFaults(sent, unfit), ...(props.check?.(sent, model) ?? [])];
  const wanted = whole(props.parameters?.(sent) ?? sent) as Members;
  const steps: Step[] = [{ service, operation, parameters: wanted }, ...(props.after?.(sent) ?? [])];
  const isReady = faults.length === 0 && typed.error === undefined && props.isReady !== false;
  const change = (next: Members) => {
    setValue(next);
    props.onChange?.(next);
    setSaid(undefined);
  };
  const submit = async () => {
    setRunning(true);
    setFailure(undefined);
    setSaid(undefined);
    let done = 0;
    try {
      const answers: unknown[] = [];
      for (const step of steps) {
        answers.push(await call(step.service, step.operation, region, step.parameters));
        done++;
      }
      location.hash = props.onDone(answers[0] as never, value);
    } catch (caught) {
      const error = caught as Error;
      // The last of them is done, too, where its answer says that something failed.
      setFailure(done && done < steps.length ? new Error(`${steps[0]?.operation} was done, ${steps[done]?.operation} was not: ${error.message}`) : error);
      const path = done ? undefined : blamed(error.message, error instanceof ApiError ? error.code : "", value);
      if (path) setSaid({ path, message: error.message });
      setRunning(false);
    }
  };
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SegmentedControl
            label="The form as"
            selectedId={text === undefined ? "fields" : "json"}
            options={[
              { id: "fields", text: "Form", disabled: typed.error !== undefined },
              { id: "json", text: "JSON" },
            ]}
            onChange={({ detail }) => setText(detail.selectedId === "json" ? JSON.stringify(sent, null, 2) : undefined)}
          />
        }
      >
        {props.title}
      </Header>
      {text === undefined ? (
        <Container>
          <ShapeForm
            model={{ ...model, refused: [...(model.refused ?? []), ...Object.keys(unfit)] }}
            value={value}
            faults={faults}
            said={said}
            set={(path, to) => change(changed(value, path, to))}
            offers={props.offers?.(value, model) ?? {}}
            first={props.first}
          />
        </Container>
      ) : (
        <FormField label="JSON" description={`As ${operation} takes it`} errorText={typed.error} stretch>
          <Textarea
            value={text}
            rows={22}
            spellcheck={false}
            ariaLabel="JSON"
            onChange={({ detail }) => {
              setText(detail.value);
              const next = read(detail.value).value;
              if (next) change(props.cleaned?.(next) ?? next);
            }}
          />
        </FormField>
      )}
      {props.extra?.(value)}
      <Faults faults={faults} text={typed.error === undefined ? text : undefined} />
      <Command text={steps.map((step) => commandOf(step.service, step.operation, step.parameters)).join("\n")} />
      {failure && <Failure of={failure}>{said && <b>{pathText(said.path)}: </b>}</Failure>}
      <Box float="right">
        <SpaceBetween direction="horizontal" size="xs">
          <Button variant="link" href={props.cancel}>
            Cancel
          </Button>
          <Button variant="primary" loading={isRunning} disabled={!isReady} onClick={submit}>
            {props.word}
          </Button>
        </SpaceBetween>
      </Box>
    </SpaceBetween>
  );
}

/** What is wrong or missing, with its line in the text. */
function Faults({ faults, text }: { faults: Fault[]; text?: string }) {
  const lines = useMemo(() => (text === undefined ? undefined : linesOf(text)), [text]);
  if (faults.length === 0) return null;
  return (
    <Alert type={faults.some((each) => !each.isMissing) ? "warning" : "info"} header={counted(faults.length, "thing") + " to mend"}>
      <ul aria-label="What is to be mended">
        {faults.slice(0, 20).map((each, place) => {
          const line = lines?.get(pathText(each.path)) ?? lines?.get(pathText(each.path.slice(0, -1)));
          return (
            <li key={place}>
              {line !== undefined && `Line ${line}, `}
              {pathText(each.path) || "all of it"}: {each.message}
            </li>
          );
        })}
      </ul>
    </Alert>
  );
}

function read(text: string): { value?: Members; error?: string } {
  try {
    const value: unknown = JSON.parse(text);
    return isMembers(value) ? { value } : { error: "This has to be an object." };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
