/** A new service, also one like another, and a service's update: all that the API takes. */

import Alert from "@cloudscape-design/components/alert";
import Checkbox from "@cloudscape-design/components/checkbox";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import { useState } from "react";
import { service as readService } from "../api/ecs";
import { useLive } from "../api/live";
import { of, SERVICE } from "../api/scaling";
import { useHere } from "../context";
import { clusterOf, familyOf, nameOf } from "../format";
import { LAUNCH_FIRST, launchFaults, unfit } from "../launch";
import { type Members, picked, shapesOf } from "../model";
import { defaultPlace, useLaunch } from "../parts/launch-offers";
import { OperationForm, type Step } from "../parts/operation-form";
import { isWhole } from "../typed";

const BELOW = {
  ...LAUNCH_FIRST,
  loadBalancers: ["targetGroupArn", "containerName", "containerPort"],
  deploymentConfiguration: ["strategy", "minimumHealthyPercent", "maximumPercent", "deploymentCircuitBreaker"],
  "deploymentConfiguration.deploymentCircuitBreaker": ["enable", "rollback"],
};

const CREATE = {
  "": [
    "serviceName",
    "cluster",
    "taskDefinition",
    "desiredCount",
    "schedulingStrategy",
    "launchType",
    "capacityProviderStrategy",
    "networkConfiguration",
    "volumeConfigurations",
    "loadBalancers",
    "healthCheckGracePeriodSeconds",
    "deploymentConfiguration",
    "placementStrategy",
    "placementConstraints",
    "enableExecuteCommand",
  ],
  ...BELOW,
};

const UPDATE = {
  "": [
    "taskDefinition",
    "desiredCount",
    "forceNewDeployment",
    "deploymentConfiguration",
    "loadBalancers",
    "healthCheckGracePeriodSeconds",
    "networkConfiguration",
    "volumeConfigurations",
    "capacityProviderStrategy",
    "placementStrategy",
    "placementConstraints",
    "enableExecuteCommand",
  ],
  ...BELOW,
};

export function CreateService() {
  const { region, place, to } = useHere();
  const definition = place.query.get("definition") ?? "";
  const like = place.query.get("like") ?? "";
  const inCluster = place.query.get("cluster") ?? "";
  const begun = useLive<Members>(
    async () => {
      if (like) {
        const [cluster = "", name = ""] = like.split("/");
        const [model, found] = await Promise.all([shapesOf("ecs", "CreateService"), readService(region, cluster, name)]);
        if (!found) throw new Error(`There is no service ${name} in the cluster ${cluster}.`);
        return { ...likeThat(picked(model, { ...found, taskDefinition: nameOf(found.taskDefinition) }) as Members), cluster, serviceName: `${name}-2` };
      }
      return {
        serviceName: definition ? familyOf(definition).family : "",
        taskDefinition: definition,
        desiredCount: 1,
        ...(await defaultPlace(region, inCluster, definition)),
      };
    },
    { kinds: [] },
    [region, definition, like, inCluster],
  );
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  return <Create initial={begun.value} title={like ? `Create a service like ${like.split("/")[1]}` : "Create a service"} cancel={to(["services"])} />;
}

/** A service's own doings are not asked for again: its deployments, and what its name and role were by itself. */
function likeThat(value: Members): Members {
  const { role: _role, clientToken: _token, deploymentController: _controller, ...rest } = value;
  return rest.capacityProviderStrategy ? Object.fromEntries(Object.entries(rest).filter(([member]) => member !== "launchType")) : rest;
}

function Create({ initial, title, cancel }: { initial: Members; title: string; cancel: string }) {
  const { to } = useHere();
  const [definition, setDefinition] = useState(String(initial.taskDefinition ?? ""));
  const { offers, definition: chosen } = useLaunch(definition);
  const scales = useScales();
  return (
    <OperationForm
      title={title}
      word="Create"
      operation="CreateService"
      initial={initial}
      first={CREATE}
      offers={() => offers}
      unfit={(value) => unfit(value, chosen)}
      check={(value) => launchFaults(value, chosen)}
      onChange={(value) => setDefinition(String(value.taskDefinition ?? ""))}
      after={scales.steps}
      isReady={scales.isReady}
      extra={() => scales.fields}
      cancel={cancel}
      onDone={({ service }: { service: { serviceArn: string; serviceName: string } }) =>
        to(["clusters", clusterOf(service.serviceArn), "services", service.serviceName])
      }
    />
  );
}

/** Scaling from the start, by CPU. Other ways are set on the service's page. */
function useScales() {
  const [isOn, setOn] = useState(false);
  const [least, setLeast] = useState("1");
  const [most, setMost] = useState("4");
  const [target, setTarget] = useState("70");
  const isReady = !isOn || (isWhole(least) && isWhole(most) && Number(least) <= Number(most) && Number(target) > 0);
  const steps = (value: Members): Step[] => {
    if (!isOn) return [];
    const which = of(String(value.cluster ?? "default"), String(value.serviceName ?? ""));
    return [
      { service: SERVICE, operation: "RegisterScalableTarget", parameters: { ...which, MinCapacity: Number(least), MaxCapacity: Number(most) } },
      {
        service: SERVICE,
        operation: "PutScalingPolicy",
        parameters: {
          PolicyName: "cpu",
          ...which,
          PolicyType: "TargetTrackingScaling",
          TargetTrackingScalingPolicyConfiguration: {
            TargetValue: Number(target),
            PredefinedMetricSpecification: { PredefinedMetricType: "ECSServiceAverageCPUUtilization" },
          },
        },
      },
    ];
  };
  const fields = (
    <Container header={<Header variant="h2">Automatic scaling</Header>}>
      <SpaceBetween size="m">
        <Checkbox checked={isOn} onChange={({ detail }) => setOn(detail.checked)}>
          Scale it by CPU
        </Checkbox>
        {isOn && (
          <ColumnLayout columns={3} minColumnWidth={200}>
            <FormField label="Tasks at least" errorText={isWhole(least) ? undefined : "A whole number"}>
              <Input value={least} inputMode="numeric" onChange={({ detail }) => setLeast(detail.value)} />
            </FormField>
            <FormField
              label="Tasks at most"
              errorText={isWhole(most) ? (Number(most) < Number(least) ? "Not fewer than at least" : undefined) : "A whole number"}
            >
              <Input value={most} inputMode="numeric" onChange={({ detail }) => setMost(detail.value)} />
            </FormField>
            <FormField label="Average CPU in per cent" errorText={Number(target) > 0 ? undefined : "A number above 0"}>
              <Input value={target} inputMode="decimal" onChange={({ detail }) => setTarget(detail.value)} />
            </FormField>
          </ColumnLayout>
        )}
      </SpaceBetween>
    </Container>
  );
  return { steps, isReady, fields };
}

export function UpdateService({ cluster, name }: { cluster: string; name: string }) {
  const { region } = useHere();
  const begun = useLive<Members | null>(
    async () => {
      const [model, found] = await Promise.all([shapesOf("ecs", "UpdateService"), readService(region, cluster, name)]);
      if (!found) return null;
      return { ...(picked(model, { ...found, taskDefinition: nameOf(found.taskDefinition) }) as Members), cluster, service: name };
    },
    { kinds: [] },
    [region, cluster, name],
  );
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (begun.value === null) return <Alert type="error">{`There is no service ${name} in the cluster ${cluster}.`}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  return <Update cluster={cluster} name={name} initial={begun.value} />;
}

function Update({ cluster, name, initial }: { cluster: string; name: string; initial: Members }) {
  const { to } = useHere();
  const [definition, setDefinition] = useState(String(initial.taskDefinition ?? ""));
  const { offers, definition: chosen } = useLaunch(definition);
  return (
    <OperationForm
      title={`Update ${name}`}
      word="Update"
      operation="UpdateService"
      initial={initial}
      first={UPDATE}
      offers={() => offers}
      unfit={() => unfit({}, chosen)}
      onChange={(value) => setDefinition(String(value.taskDefinition ?? ""))}
      parameters={(value) => ({ cluster, service: name, ...differences(initial, value) })}
      cancel={to(["clusters", cluster, "services", name])}
      onDone={() => to(["clusters", cluster, "services", name])}
    />
  );
}

/** Only what was changed is asked for. A list that was emptied is asked to be empty. */
function differences(before: Members, after: Members): Members {
  const found: Members = {};
  for (const member of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[member]) === JSON.stringify(after[member])) continue;
    found[member] = after[member] ?? (Array.isArray(before[member]) ? [] : undefined);
  }
  return found;
}
