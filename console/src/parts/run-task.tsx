/** The form that runs tasks of a definition on Fargate. */

import Checkbox from "@cloudscape-design/components/checkbox";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import { useState } from "react";
import { ApiError } from "../api/call";
import type { Task } from "../api/ecs";
import { useHere } from "../context";
import { clusterOf, nameOf } from "../format";
import { Act } from "./act";
import { useWhere } from "./where";

interface Started {
  tasks: Task[];
  failures: { arn?: string; reason: string; detail?: string }[];
}

export function RunTask({ definition, onClose }: { definition: string; onClose: () => void }) {
  const { to } = useHere();
  const where = useWhere();
  const [count, setCount] = useState("1");
  const [hasExec, setExec] = useState(false);
  const isWhole = /^\d+$/.test(count) && Number(count) >= 1 && Number(count) <= 10;
  return (
    <Act<Started>
      title={`Run ${definition}`}
      word="Run"
      operation="RunTask"
      parameters={{
        cluster: where.cluster,
        taskDefinition: definition,
        launchType: "FARGATE",
        count: Number(count) || 1,
        networkConfiguration: where.networkConfiguration,
        enableExecuteCommand: hasExec || undefined,
      }}
      isReady={isWhole && where.isReady}
      onClose={onClose}
      onDone={({ tasks, failures }) => {
        const [failure] = failures;
        if (failure) throw new ApiError(failure.reason, failure.detail ?? failure.reason, 200);
        const [task] = tasks;
        if (task) location.hash = to(["clusters", clusterOf(task.taskArn), "tasks", nameOf(task.taskArn)]);
      }}
    >
      {where.clusterField}
      <FormField label="Tasks" errorText={isWhole ? undefined : "1 to 10"}>
        <Input value={count} onChange={({ detail }) => setCount(detail.value)} inputMode="numeric" />
      </FormField>
      {where.networkFields}
      <Exec isOn={hasExec} onChange={setExec} />
    </Act>
  );
}

function Exec({ isOn, onChange }: { isOn: boolean; onChange: (isOn: boolean) => void }) {
  return (
    <Checkbox checked={isOn} onChange={({ detail }) => onChange(detail.checked)}>
      Commands can be run in it (ECS Exec)
    </Checkbox>
  );
}
