/** The form that changes how a target group checks its targets. */

import ColumnLayout from "@cloudscape-design/components/column-layout";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import type { TargetGroup } from "../api/elb";
import { blamedField, type Check, checkChanges, checkOf } from "../api/health-check";
import { Act } from "./act";

const NUMBERS: readonly (keyof Check)[] = ["interval", "timeout", "healthy", "unhealthy"];

export function EditHealthCheck({ group, onClose }: { group: TargetGroup; onClose: () => void }) {
  const [check, setCheck] = useState(() => checkOf(group));
  const [error, setError] = useState<Error>();
  const protocols = group.Protocol.startsWith("HTTP") ? ["HTTP", "HTTPS"] : ["TCP", "HTTP", "HTTPS"];
  const changes = checkChanges(group, check);
  const isNumber = (field: keyof Check) => /^\d{1,4}$/.test(check[field]);
  const set = (field: keyof Check, value: string) => {
    setCheck({ ...check, [field]: value });
    setError(undefined);
  };
  const blamed = blamedField(error);
  const field = (name: keyof Check, label: string, description?: string) => (
    <FormField
      label={label}
      description={description}
      errorText={name === blamed ? error?.message : NUMBERS.includes(name) && !isNumber(name) ? "A number" : undefined}
    >
      <Input
        value={check[name]}
        inputMode={NUMBERS.includes(name) ? "numeric" : undefined}
        onChange={({ detail }) => set(name, detail.value)}
      />
    </FormField>
  );
  return (
    <Act
      title={`Health checks of ${group.TargetGroupName}`}
      word="Save"
      size="large"
      service="elbv2"
      operation="ModifyTargetGroup"
      parameters={{ TargetGroupArn: group.TargetGroupArn, ...changes }}
      isReady={Object.keys(changes).length > 0 && NUMBERS.every(isNumber)}
      onError={setError}
      onClose={onClose}
    >
      <ColumnLayout columns={2}>
        <FormField label="Protocol" errorText={blamed === "protocol" ? error?.message : undefined}>
          <Select
            selectedOption={{ value: check.protocol, label: check.protocol }}
            options={protocols.map((value) => ({ value, label: value }))}
            onChange={({ detail }) => set("protocol", detail.selectedOption.value ?? check.protocol)}
          />
        </FormField>
        {field("port", "Port", "traffic-port is each target's own")}
        {check.protocol !== "TCP" && field("path", "Path")}
        {check.protocol !== "TCP" && field("matcher", "Good codes", "200, 200-299 or 200,204")}
        {field("interval", "Every, in seconds")}
        {field("timeout", "Time to answer, in seconds")}
        {field("healthy", "Healthy after", "Good checks one after another")}
        {field("unhealthy", "Unhealthy after", "Bad checks one after another")}
      </ColumnLayout>
    </Act>
  );
}
