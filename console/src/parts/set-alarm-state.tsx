/** An alarm is put into a state by hand, to see what follows. */

import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import { Act } from "./act";

const STATES = [
  { value: "ALARM", label: "In alarm" },
  { value: "OK", label: "OK" },
  { value: "INSUFFICIENT_DATA", label: "Insufficient data" },
];

export function SetAlarmState({ name, onClose }: { name: string; onClose: () => void }) {
  const [state, setState] = useState("ALARM");
  const [reason, setReason] = useState("Tried by hand");
  return (
    <Act
      title={`Set the state of ${name}`}
      word="Set"
      service="cloudwatch"
      operation="SetAlarmState"
      parameters={{ AlarmName: name, StateValue: state, StateReason: reason }}
      isReady={reason !== ""}
      onClose={onClose}
    >
      It does what it does in that state, until it is next looked at.
      <FormField label="State">
        <Select
          selectedOption={STATES.find((each) => each.value === state) ?? null}
          options={STATES}
          onChange={({ detail }) => setState(detail.selectedOption.value ?? "ALARM")}
        />
      </FormField>
      <FormField label="Reason" description="Kept in its history">
        <Input value={reason} onChange={({ detail }) => setReason(detail.value)} />
      </FormField>
    </Act>
  );
}
