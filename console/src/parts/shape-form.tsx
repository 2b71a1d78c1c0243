/** Fields for what an operation takes, made of its model: everything that the API has, checked as it is typed. */

import Autosuggest from "@cloudscape-design/components/autosuggest";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import ExpandableSection from "@cloudscape-design/components/expandable-section";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Multiselect from "@cloudscape-design/components/multiselect";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Textarea from "@cloudscape-design/components/textarea";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { at, type Fault, isMembers, memberText, type Members, type Path, pathText, put, type Shapes, type Value } from "../model";

export interface Offer {
  value: string;
  description?: string;
}

export interface Draft {
  model: Shapes;
  value: Members;
  faults: Fault[];
  /** What the API said about a field. */
  said?: { path: Path; message: string };
  set: (path: Path, value: Value) => void;
  /** What is there to choose from, by the field's path without places in lists. */
  offers: Record<string, Offer[]>;
  /** Members of each structure that are shown first, by its path; the others stand below. */
  first: Record<string, readonly string[]>;
}

const DraftContext = createContext<Draft | undefined>(undefined);

function useDraft(): Draft {
  const draft = useContext(DraftContext);
  if (!draft) throw new Error("outside of a form");
  return draft;
}

/** All fields of the operation's input. */
export function ShapeForm(draft: Draft) {
  return (
    <DraftContext.Provider value={draft}>
      <MembersOf shapeName={draft.model.input} path={[]} />
    </DraftContext.Provider>
  );
}

const SHORT = new Map(
  ["ARN", "ARNs", "CPU", "ID", "IP", "EFS", "IAM", "URL", "DNS", "AZ", "IPC", "PID", "VPC", "EBS", "ECS", "GiB", "KMS"].map((each) => [
    each.toLowerCase(),
    each,
  ]),
);

/** `taskRoleArn` is `Task role ARN`, `managedEBSVolume` is `Managed EBS volume`. */
export function words(member: string): string {
  const all = member
    .replace("GiB", "Gib")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2")
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .split(" ")
    .map((each) => SHORT.get(each.toLowerCase()) ?? each.toLowerCase());
  const text = all.join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `Port mappings` is of `port mapping`s. */
function one(label: string): string {
  const low = label.charAt(0).toLowerCase() + label.slice(1);
  if (low.endsWith("ies")) return `${low.slice(0, -3)}y`;
  return low.endsWith("s") && !low.endsWith("ss") ? low.slice(0, -1) : low;
}

function MembersOf({ shapeName, path }: { shapeName: string; path: Path }) {
  const { model, first, value, faults, said } = useDraft();
  const shape = model.shapes[shapeName];
  const members = Object.entries(shape?.members ?? {}).filter(([member]) => !model.refused?.includes(memberText([...path, member])));
  const order = first[memberText(path)];
  const rank = (member: string) => order?.indexOf(member) ?? 0;
  const shown = order ? members.filter(([member]) => rank(member) >= 0).sort((a, b) => rank(a[0]) - rank(b[0])) : members;
  const rest = members.filter((each) => !shown.includes(each));
  const here = pathText(path);
  const used = rest.filter(([member]) => at(value, [...path, member]) !== undefined);
  const isFaulty = faults.some((fault) => rest.some(([member]) => isBelow(fault.path, [...path, member])));
  const isBlamed = said !== undefined && rest.some(([member]) => isBelow(said.path, [...path, member]));
  const [isOpen, setOpen] = useOpen(isFaulty, isBlamed);
  return (
    <SpaceBetween size="m">
      <Laid members={shown} path={path} required={shape?.required} />
      {rest.length > 0 && (
        <ExpandableSection
          headerText={path.length ? "More settings" : "All other settings"}
          headerAriaLabel={path.length ? `More settings of ${here}` : "All other settings"}
          headerDescription={used.length ? `Set: ${used.map(([member]) => words(member)).join(", ")}` : undefined}
          expanded={isOpen}
          onChange={({ detail }) => setOpen(detail.expanded)}
        >
          {isOpen && <Laid members={rest} path={path} required={shape?.required} />}
        </ExpandableSection>
      )}
    </SpaceBetween>
  );
}

/** Whether a section is open; it opens when the API blames what is in it. */
function useOpen(isAtFirst: boolean, isBlamed: boolean): [boolean, (isOpen: boolean) => void] {
  const [isOpen, setOpen] = useState(isAtFirst);
  useEffect(() => {
    if (isBlamed) setOpen(true);
  }, [isBlamed]);
  return [isOpen, setOpen];
}

function isBelow(path: Path, of: Path): boolean {
  return of.every((part, place) => path[place] === part);
}

/** Short fields side by side, as they come; the others below one another. */
function Laid({ members, path, required }: { members: [string, string][]; path: Path; required?: string[] }) {
  const { model } = useDraft();
  const rows: ReactNode[] = [];
  let short: ReactNode[] = [];
  const flush = (key: string) => {
    if (short.length) {
      rows.push(
        <ColumnLayout key={`short ${key}`} columns={3} minColumnWidth={200}>
          {short}
        </ColumnLayout>,
      );
    }
    short = [];
  };
  for (const [member, shapeName] of members) {
    const field = <Member key={member} path={[...path, member]} shapeName={shapeName} isRequired={required?.includes(member)} />;
    const type = model.shapes[shapeName]?.type ?? "";
    if (["structure", "list", "map"].includes(type)) {
      flush(member);
      rows.push(field);
    } else short.push(field);
  }
  flush("");
  return <SpaceBetween size="m">{rows}</SpaceBetween>;
}

function useField(path: Path) {
  const draft = useDraft();
  const value = at(draft.value, path);
  const text = pathText(path);
  const fault = draft.faults.find((each) => pathText(each.path) === text && !each.isMissing);
  const said = draft.said && pathText(draft.said.path) === text ? draft.said.message : undefined;
  return { draft, value, error: said ?? fault?.message, set: (to: Value) => draft.set(path, to) };
}

function Member({ path, shapeName, isRequired }: { path: Path; shapeName: string; isRequired?: boolean }) {
  const { draft, value, error, set } = useField(path);
  const shape = draft.model.shapes[shapeName];
  const member = String(path[path.length - 1]);
  const label = words(member);
  const offers = draft.offers[memberText(path)];
  const hint = isRequired ? "Required" : undefined;
  const frame = (field: ReactNode, isWide = false) => (
    <FormField label={label} errorText={error} constraintText={hint} stretch={isWide}>
      {field}
    </FormField>
  );
  const text = value === undefined ? "" : String(value);
  switch (shape?.type) {
    case "boolean": {
      // Three of them, for "nothing said" is true of some members and false of others.
      const options = [
        { value: "", label: "–" },
        { value: "true", label: "Yes" },
        { value: "false", label: "No" },
      ];
      return frame(
        <Select
          selectedOption={options.find((each) => each.value === text) ?? null}
          options={options}
          onChange={({ detail }) => set(detail.selectedOption.value ? detail.selectedOption.value === "true" : undefined)}
        />,
      );
    }
    case "integer":
    case "long":
    case "double":
    case "float":
      return frame(
        offers ? (
          <Offered label={label} text={text} offers={offers} set={(typed) => set(number(typed))} />
        ) : (
          <Input value={text} inputMode="numeric" onChange={({ detail }) => set(number(detail.value))} />
        ),
      );
    case "structure":
      return <Structure label={label} path={path} shapeName={shapeName} error={error} />;
    case "list":
      return <ListOf label={label} path={path} itemShape={shape.member ?? ""} error={error} hint={hint} />;
    case "map":
      return <MapOf label={label} path={path} error={error} />;
  }
  if (shape?.enum) {
    const options = [{ value: "", label: "–" }, ...shape.enum.map((each) => ({ value: each, label: each }))];
    return frame(
      <Select
        selectedOption={options.find((each) => each.value === text) ?? { value: text, label: text }}
        options={options}
        onChange={({ detail }) => set(detail.selectedOption.value || undefined)}
      />,
    );
  }
  if (offers) return frame(<Offered label={label} text={text} offers={offers} set={(typed) => set(typed || undefined)} />);
  return frame(<Input value={text} onChange={({ detail }) => set(detail.value || undefined)} />);
}

/** What is no number stays as it was typed, so that it is told to be none. */
function number(typed: string): Value {
  if (typed === "") return undefined;
  return /^-?\d+(\.\d+)?$/.test(typed) ? Number(typed) : typed;
}

function Offered({ label, text, offers, set }: { label: string; text: string; offers: Offer[]; set: (typed: string) => void }) {
  return (
    <Autosuggest
      value={text}
      options={offers}
      onChange={({ detail }) => set(detail.value)}
      enteredTextLabel={(typed) => `Use ${typed}`}
      ariaLabel={label}
      empty="None is there"
    />
  );
}

function Structure({ label, path, shapeName, error }: { label: string; path: Path; shapeName: string; error?: string }) {
  const { value, faults, model, said } = useDraft();
  const isUsed = at(value, path) !== undefined;
  const isFaulty = faults.some((each) => isBelow(each.path, path)) || error !== undefined;
  const [isOpen, setOpen] = useOpen(isUsed || isFaulty, said !== undefined && isBelow(said.path, path));
  const isEmpty = Object.keys(model.shapes[shapeName]?.members ?? {}).length === 0;
  if (isEmpty) return null;
  return (
    <ExpandableSection
      headerText={label}
      headerDescription={error ?? (isUsed ? "Set" : undefined)}
      variant="default"
      expanded={isOpen}
      onChange={({ detail }) => setOpen(detail.expanded)}
    >
      {isOpen && <MembersOf shapeName={shapeName} path={path} />}
    </ExpandableSection>
  );
}

function ListOf({ label, path, itemShape, error, hint }: { label: string; path: Path; itemShape: string; error?: string; hint?: string }) {
  const { draft, value, set } = useField(path);
  const shape = draft.model.shapes[itemShape];
  const items = Array.isArray(value) ? value : [];
  const offers = draft.offers[memberText(path)] ?? shape?.enum?.map((each): Offer => ({ value: each }));
  if (shape?.type === "structure") {
    return (
      <SpaceBetween size="s">
        <Box variant="awsui-key-label">
          {label}
          {hint ? ` (${hint.toLowerCase()})` : ""}
        </Box>
        {error && (
          <Box color="text-status-error" fontSize="body-s">
            {error}
          </Box>
        )}
        {items.map((item, place) => {
          const title = isMembers(item) && typeof item.name === "string" ? item.name : "";
          return (
            <Container
              key={place}
              header={
                <Header
                  variant="h3"
                  actions={
                    <Button
                      ariaLabel={`Remove ${one(label)} ${place + 1}`}
                      iconName="remove"
                      onClick={() => draft.set([...path, place], undefined)}
                    />
                  }
                >
                  {`${words(one(label))} ${place + 1}${title ? `: ${title}` : ""}`}
                </Header>
              }
            >
              <MembersOf shapeName={itemShape} path={[...path, place]} />
            </Container>
          );
        })}
        <Button iconName="add-plus" onClick={() => set([...items, {}])}>
          {`Add ${one(label)}`}
        </Button>
      </SpaceBetween>
    );
  }
  const texts = items.map(String);
  const below = draft.faults.find((each) => isBelow(each.path, path) && each.path.length > path.length)?.message;
  if (offers) {
    const options = [...offers, ...texts.filter((each) => !offers.some((offer) => offer.value === each)).map((each): Offer => ({ value: each }))].map(
      (each) => ({ value: each.value, label: each.value, description: each.description }),
    );
    return (
      <FormField label={label} errorText={error ?? below} constraintText={hint}>
        <Multiselect
          selectedOptions={options.filter((each) => texts.includes(each.value))}
          options={options}
          onChange={({ detail }) => set(detail.selectedOptions.map((each) => each.value ?? ""))}
          placeholder="Choose some"
          empty="None is there"
        />
      </FormField>
    );
  }
  const isNumber = shape !== undefined && shape.type !== "string";
  return (
    <FormField label={label} description="One a line" errorText={error ?? below} constraintText={hint} stretch>
      <Textarea
        value={texts.join("\n")}
        rows={Math.min(8, Math.max(2, texts.length + 1))}
        spellcheck={false}
        onChange={({ detail }) => {
          const lines = detail.value === "" ? [] : detail.value.split("\n");
          set(isNumber ? lines.map(number) : lines);
        }}
      />
    </FormField>
  );
}

/** Rows of keys with their values. A key that is empty stays until it is filled in, and is told to be. */
function MapOf({ label, path, error }: { label: string; path: Path; error?: string }) {
  const { value, set } = useField(path);
  const rows = Object.entries(isMembers(value) ? value : {});
  const changed = (place: number, key: string, to: Value) =>
    set(Object.fromEntries(rows.map((row, each) => (each === place ? [key, to] : row))));
  return (
    <FormField label={label} errorText={error} stretch>
      <SpaceBetween size="xs">
        {rows.map(([key, each], place) => (
          <SpaceBetween key={place} size="xs" direction="horizontal">
            <Input ariaLabel={`${label}: key ${place + 1}`} value={key} placeholder="Key" onChange={({ detail }) => changed(place, detail.value, each)} />
            <Input
              ariaLabel={`${label}: value ${place + 1}`}
              value={String(each)}
              placeholder="Value"
              onChange={({ detail }) => changed(place, key, detail.value)}
            />
            <Button
              iconName="remove"
              ariaLabel={`Remove ${key || "the empty one"} from ${label}`}
              onClick={() => set(Object.fromEntries(rows.filter((_, other) => other !== place)))}
            />
          </SpaceBetween>
        ))}
        <Button iconName="add-plus" onClick={() => set(Object.fromEntries([...rows, ["", ""]]))}>{`Add to ${label.toLowerCase()}`}</Button>
      </SpaceBetween>
    </FormField>
  );
}

/** A draft and how it changes. */
export function changed(value: Members, path: Path, to: Value): Members {
  const next = put(value, path, to);
  return isMembers(next) ? next : {};
}
