/** What is done to log groups: made, kept for so long, protected, deleted. */

import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import type { LogGroup } from "../api/logs";
import { useHere } from "../context";
import { counted } from "../format";
import { Act } from "./act";

const CLASSES = [
  { value: "STANDARD", label: "Standard" },
  { value: "INFREQUENT_ACCESS", label: "Infrequent access" },
];

export function CreateLogGroup({ onClose }: { onClose: () => void }) {
  const { to } = useHere();
  const [name, setName] = useState("");
  const [kind, setKind] = useState("STANDARD");
  const isName = /^[\w.\-/#]{1,512}$/.test(name);
  return (
    <Act
      title="Create a log group"
      word="Create"
      service="logs"
      operation="CreateLogGroup"
      parameters={{ logGroupName: name, logGroupClass: kind === "STANDARD" ? undefined : kind }}
      isReady={isName}
      onClose={onClose}
      onDone={() => {
        location.hash = to(["log-groups", name]);
      }}
    >
      <FormField label="Name" errorText={name === "" || isName ? undefined : "Letters, digits, _ - / . and #"}>
        <Input value={name} placeholder="/ecs/web" onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Class" description="It can not be changed later">
        <Select
          selectedOption={CLASSES.find((each) => each.value === kind) ?? null}
          options={CLASSES}
          onChange={({ detail }) => setKind(detail.selectedOption.value ?? "STANDARD")}
        />
      </FormField>
    </Act>
  );
}

/** Those that AWS has. */
const DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
const FOR_EVER = { value: "", label: "Never expires" };

export function EditRetention({ group, onClose }: { group: LogGroup; onClose: () => void }) {
  const now = group.retentionInDays ? String(group.retentionInDays) : "";
  const [days, setDays] = useState(now);
  const options = [FOR_EVER, ...DAYS.map((each) => ({ value: String(each), label: counted(each, "day") }))];
  return (
    <Act
      title={`How long ${group.logGroupName} keeps its events`}
      word="Save"
      service="logs"
      operation={days ? "PutRetentionPolicy" : "DeleteRetentionPolicy"}
      parameters={{ logGroupName: group.logGroupName, retentionInDays: days ? Number(days) : undefined }}
      isReady={days !== now}
      onClose={onClose}
    >
      <FormField label="Retention" description="What is older is deleted">
        <Select
          selectedOption={options.find((each) => each.value === days) ?? null}
          options={options}
          onChange={({ detail }) => setDays(detail.selectedOption.value ?? "")}
        />
      </FormField>
    </Act>
  );
}

export function ProtectLogGroup({ group, onClose }: { group: LogGroup; onClose: () => void }) {
  const { logGroupName: name, deletionProtectionEnabled: isProtected } = group;
  return (
    <Act
      title={isProtected ? `Take the protection off ${name}?` : `Protect ${name}?`}
      word={isProtected ? "Take it off" : "Protect"}
      service="logs"
      operation="PutLogGroupDeletionProtection"
      parameters={{ logGroupIdentifier: name, deletionProtectionEnabled: !isProtected }}
      onClose={onClose}
    >
      {isProtected ? "It can be deleted then." : "It can not be deleted until the protection is taken off."}
    </Act>
  );
}

export function DeleteLogGroup({ group, onClose }: { group: LogGroup; onClose: () => void }) {
  const { to } = useHere();
  return (
    <Act
      title={`Delete ${group.logGroupName}?`}
      word="Delete"
      service="logs"
      operation="DeleteLogGroup"
      parameters={{ logGroupName: group.logGroupName }}
      onClose={onClose}
      onDone={() => {
        location.hash = to(["log-groups"]);
      }}
    >
      It goes with its streams, all of its events and its metric filters.
    </Act>
  );
}
