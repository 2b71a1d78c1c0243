/** How a service is scaled: the tab of its page, and the forms that set and change it. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import Checkbox from "@cloudscape-design/components/checkbox";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { useLive } from "../api/live";
import { of, type Policy, policyText, scaling, SERVICE, type Target } from "../api/scaling";
import { useHere } from "../context";
import { counted, time } from "../format";
import { shapesOf } from "../model";
import { isWhole } from "../typed";
import { Act } from "./act";
import { Fact } from "./fact";

type Shown =
  | { what: "target" }
  | { what: "stop" } | { what: "policy"; policy?: Policy } | { what: "delete"; policy: Policy }
  | { what: "forget"; action: string };

export function Scaling({ cluster, service, desired }: { cluster: string; service: string; desired: number | undefined }) {
  const { region, to } = useHere();
  const live = useLive(
    () => scaling(region, cluster, service),
    { kinds: ["scalable_target", "scaling_activity", "service"] },
    [region, cluster, service],
  );
  const [shown, setShown] = useState<Shown>();
  const close = () => setShown(undefined);
  const target = live.value?.target;
  const suspended = Object.values(target?.SuspendedState ?? {}).some(Boolean);
  return (
    <SpaceBetween size="l">
      {live.error && <Alert type="error">{live.error.message}</Alert>}
      <Container
        header={
          <Header
            variant="h2"
            description={live.value && !target ? "The number of tasks is what it was set to; nothing changes it by itself." : undefined}
            actions={
              <SpaceBetween direction="horizontal" size="xs">
                {target && <Button onClick={() => setShown({ what: "stop" })}>Stop scaling</Button>}
                <Button onClick={() => setShown({ what: "target" })}>{target ? "Change the bounds" : "Scale this service"}</Button>
              </SpaceBetween>
            }
          >
            Automatic scaling
          </Header>
        }
      >
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="State">{target ? (suspended ? "Suspended in part" : "On") : live.value ? "Off" : "–"}</Fact>
          <Fact label="At least">{target ? counted(target.MinCapacity, "task") : "–"}</Fact>
          <Fact label="At most">{target ? counted(target.MaxCapacity, "task") : "–"}</Fact>
          <Fact label="Wanted now">{desired ?? "–"}</Fact>
        </ColumnLayout>
      </Container>
      {target && (
        <>
          <Table
            header={
              <Header
                variant="h2"
                actions={
                  <SpaceBetween direction="horizontal" size="xs">
                    <Button href={to(["clusters", cluster, "services", service, "scaling-policy"])}>Add one by steps</Button>
                    <Button onClick={() => setShown({ what: "policy" })}>Add a policy</Button>
                  </SpaceBetween>
                }
              >
                Policies
              </Header>
            }
            items={live.value?.policies ?? []}
            trackBy="PolicyName"
            wrapLines
            empty="No policy: it stays between its bounds"
            columnDefinitions={[
              { id: "name", header: "Policy", cell: (each) => each.PolicyName, isRowHeader: true },
              { id: "type", header: "Type", cell: (each) => each.PolicyType },
              { id: "what", header: "Does", cell: policyText, minWidth: 260 },
              { id: "alarms", header: "Alarms", cell: (each) => each.Alarms?.map((alarm) => alarm.AlarmName).join(", ") || "–" },
              {
                id: "act",
                header: "Change",
                minWidth: 150,
                cell: (each) => (
                  <SpaceBetween direction="horizontal" size="xs">
                    {each.TargetTrackingScalingPolicyConfiguration?.PredefinedMetricSpecification && (
                      <Button variant="inline-link" ariaLabel={`Change ${each.PolicyName}`} onClick={() => setShown({ what: "policy", policy: each })}>
                        Change
                      </Button>
                    )}
                    <Button variant="inline-link" ariaLabel={`Delete ${each.PolicyName}`} onClick={() => setShown({ what: "delete", policy: each })}>
                      Delete
                    </Button>
                  </SpaceBetween>
                ),
              },
            ]}
          />
          <Table
            header={
              <Header
                variant="h2"
                actions={<Button href={to(["clusters", cluster, "services", service, "scheduled-action"])}>Add a time</Button>}
              >
                At set times
              </Header>
            }
            items={live.value?.actions ?? []}
            trackBy="ScheduledActionName"
            empty="Nothing is done at set times"
            columnDefinitions={[
              { id: "name", header: "Action", cell: (each) => each.ScheduledActionName, isRowHeader: true },
              { id: "when", header: "When", cell: (each) => `${each.Schedule} ${each.Timezone ?? "UTC"}` },
              {
                id: "what",
                header: "Bounds",
                cell: (each) => `${each.ScalableTargetAction?.MinCapacity ?? "–"} to ${each.ScalableTargetAction?.MaxCapacity ?? "–"}`,
              },
              {
                id: "delete",
                header: "Delete",
                cell: (each) => (
                  <Button
                    variant="inline-link"
                    ariaLabel={`Delete ${each.ScheduledActionName}`}
                    onClick={() => setShown({ what: "forget", action: each.ScheduledActionName })}
                  >
                    Delete
                  </Button>
                ),
              },
            ]}
          />
        </>
      )}
      <Table
        header={<Header variant="h2">Activities</Header>}
        items={live.value?.activities ?? []}
        trackBy="ActivityId"
        wrapLines
        empty="Nothing was scaled yet"
        columnDefinitions={[
          { id: "at", header: "When", cell: (each) => time(each.StartTime), width: 190 },
          { id: "what", header: "What", cell: (each) => each.Description, isRowHeader: true },
          { id: "why", header: "Why", cell: (each) => each.Cause, minWidth: 220 },
          { id: "status", header: "Status", cell: (each) => each.StatusMessage ?? each.StatusCode },
        ]}
      />
      {shown?.what === "target" && <Bounds cluster={cluster} service={service} target={target} desired={desired} onClose={close} />}
      {shown?.what === "policy" && <Tracking cluster={cluster} service={service} policy={shown.policy} onClose={close} />}
      {shown?.what === "stop" && (
        <Act
          title={`Stop scaling ${service}?`}
          word="Stop scaling"
          service={SERVICE}
          operation="DeregisterScalableTarget"
          parameters={of(cluster, service)}
          onClose={close}
        >
          Its policies and what is done at set times go with it. The number of tasks stays what it is.
        </Act>
      )}
      {shown?.what === "delete" && (
        <Act
          title={`Delete ${shown.policy.PolicyName}?`}
          word="Delete"
          service={SERVICE}
          operation="DeleteScalingPolicy"
          parameters={{ PolicyName: shown.policy.PolicyName, ...of(cluster, service) }}
          onClose={close}
        >
          Alarms that it made go with it.
        </Act>
      )}
      {shown?.what === "forget" && (
        <Act
          title={`Delete ${shown.action}?`}
          word="Delete"
          service={SERVICE}
          operation="DeleteScheduledAction"
          parameters={{ ScheduledActionName: shown.action, ...of(cluster, service) }}
          onClose={close}
        >
          The bounds stay what they are.
        </Act>
      )}
    </SpaceBetween>
  );
}

function Bounds(props: { cluster: string; service: string; target: Target | undefined; desired: number | undefined; onClose: () => void }) {
  const { cluster, service, target, desired } = props;
  const [least, setLeast] = useState(String(target?.MinCapacity ?? Math.min(1, desired ?? 1)));
  const [most, setMost] = useState(String(target?.MaxCapacity ?? Math.max(4, desired ?? 0)));
  const isOrdered = !isWhole(least) || !isWhole(most) || Number(least) <= Number(most);
  return (
    <Act
      title={target ? "Change the bounds" : `Scale ${service}`}
      word="Save"
      service={SERVICE}
      operation="RegisterScalableTarget"
      parameters={{ ...of(cluster, service), MinCapacity: Number(least) || 0, MaxCapacity: Number(most) || 0 }}
      isReady={isWhole(least) && isWhole(most) && isOrdered}
      onClose={props.onClose}
    >
      <FormField label="Tasks at least" errorText={isWhole(least) ? undefined : "A whole number"}>
        <Input value={least} inputMode="numeric" onChange={({ detail }) => setLeast(detail.value)} />
      </FormField>
      <FormField label="Tasks at most" errorText={isWhole(most) ? (isOrdered ? undefined : "Not fewer than at least") : "A whole number"}>
        <Input value={most} inputMode="numeric" onChange={({ detail }) => setMost(detail.value)} />
      </FormField>
    </Act>
  );
}

function Tracking(props: { cluster: string; service: string; policy?: Policy; onClose: () => void }) {
  const { cluster, service, policy } = props;
  const before = policy?.TargetTrackingScalingPolicyConfiguration;
  const model = useLive(() => shapesOf(SERVICE, "PutScalingPolicy"), { kinds: [] }, []);
  const [name, setName] = useState(policy?.PolicyName ?? "cpu");
  const [metric, setMetric] = useState(before?.PredefinedMetricSpecification?.PredefinedMetricType ?? "ECSServiceAverageCPUUtilization");
  const [label, setLabel] = useState(before?.PredefinedMetricSpecification?.ResourceLabel ?? "");
  const [target, setTarget] = useState(String(before?.TargetValue ?? 70));
  const [cooldown, setCooldown] = useState(String(before?.ScaleOutCooldown ?? 60));
  const [cooldownIn, setCooldownIn] = useState(String(before?.ScaleInCooldown ?? 300));
  const [isOutOnly, setOutOnly] = useState(before?.DisableScaleIn ?? false);
  const metrics = (model.value?.shapes.MetricType?.enum ?? [metric])
    .filter((each) => each.startsWith("ECSService") || each === "ALBRequestCountPerTarget")
    .map((each) => ({ value: each, label: each }));
  const isNumber = /^\d+(\.\d+)?$/.test(target) && Number(target) > 0;
  const isOfRequests = metric === "ALBRequestCountPerTarget";
  return (
    <Act
      title={policy ? `Change ${policy.PolicyName}` : "Add a policy"}
      word="Save"
      service={SERVICE}
      operation="PutScalingPolicy"
      parameters={{
        PolicyName: name,
        ...of(cluster, service),
        PolicyType: "TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration: {
          TargetValue: Number(target) || 0,
          PredefinedMetricSpecification: { PredefinedMetricType: metric, ResourceLabel: isOfRequests ? label : undefined },
          ScaleOutCooldown: Number(cooldown) || 0,
          ScaleInCooldown: Number(cooldownIn) || 0,
          DisableScaleIn: isOutOnly || undefined,
        },
      }}
      isReady={name !== "" && isNumber && isWhole(cooldown) && isWhole(cooldownIn) && (!isOfRequests || label !== "")}
      onClose={props.onClose}
    >
      <FormField label="Name">
        <Input value={name} disabled={policy !== undefined} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Metric" description="Tasks are added and taken away so that it stays near its target">
        <Select
          selectedOption={{ value: metric, label: metric }}
          options={metrics}
          onChange={({ detail }) => setMetric(detail.selectedOption.value ?? metric)}
        />
      </FormField>
      {isOfRequests && (
        <FormField label="Resource label" description="app/BALANCER/ID/targetgroup/GROUP/ID, of the ends of both ARNs">
          <Input value={label} onChange={({ detail }) => setLabel(detail.value)} />
        </FormField>
      )}
      <FormField label="Target" errorText={isNumber ? undefined : "A number above 0"}>
        <Input value={target} inputMode="decimal" onChange={({ detail }) => setTarget(detail.value)} />
      </FormField>
      <FormField label="Seconds between scaling out" errorText={isWhole(cooldown) ? undefined : "A whole number"}>
        <Input value={cooldown} inputMode="numeric" onChange={({ detail }) => setCooldown(detail.value)} />
      </FormField>
      <FormField label="Seconds between scaling in" errorText={isWhole(cooldownIn) ? undefined : "A whole number"}>
        <Input value={cooldownIn} inputMode="numeric" onChange={({ detail }) => setCooldownIn(detail.value)} />
      </FormField>
      <Checkbox checked={isOutOnly} onChange={({ detail }) => setOutOnly(detail.checked)}>
        Never take tasks away
      </Checkbox>
    </Act>
  );
}
