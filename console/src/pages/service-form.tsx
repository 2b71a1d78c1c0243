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
import { call, every } from "../api/call";
import { securityGroups, subnets } from "../api/ec2";
import { clusters, definition as readDefinition, families, service as readService, type TaskDefinition } from "../api/ecs";
import { useLive } from "../api/live";
import { of, SERVICE } from "../api/scaling";
import { useHere } from "../context";
import { clusterOf, familyOf, nameOf } from "../format";
import { type Members, picked, shapesOf } from "../model";
import { OperationForm, type Step } from "../parts/operation-form";
import type { Offer } from "../parts/shape-form";

const BELOW = {
  networkConfiguration: ["awsvpcConfiguration"],
  "networkConfiguration.awsvpcConfiguration": ["subnets", "securityGroups", "assignPublicIp"],
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
    "capacityProviderStrategy",
    "placementStrategy",
    "placementConstraints",
    "enableExecuteCommand",
  ],
  ...BELOW,
};

interface TargetGroup {
  TargetGroupArn: string;
  TargetGroupName: string;
  Protocol?: string;
  Port?: number;
  TargetType: string;
  LoadBalancerArns?: string[];
}

/** What is there to choose from. */
function useOffers(definition: string, cluster: string): Record<string, Offer[]> {
  const { region } = useHere();
  const there = useLive(
    async () => {
      const [allClusters, allSubnets, allGroups, allFamilies, targetGroups, providers] = await Promise.all([
        clusters(region),
        subnets(region),
        securityGroups(region),
        families(region, "ACTIVE"),
        every<TargetGroup>("elbv2", "DescribeTargetGroups", region, {}, "TargetGroups", "NextMarker"),
        call<{ capacityProviders: { name: string }[] }>("ecs", "DescribeCapacityProviders", region),
      ]);
      return {
        cluster: allClusters.filter((each) => each.status === "ACTIVE").map((each) => ({ value: each.clusterName })),
        taskDefinition: allFamilies.map((each) => ({ value: each, description: "Its latest revision" })),
        "networkConfiguration.awsvpcConfiguration.subnets": allSubnets.map((each) => ({
          value: each.SubnetId,
          description: `${each.AvailabilityZone}, ${each.CidrBlock}, ${each.VpcId}`,
        })),
        "networkConfiguration.awsvpcConfiguration.securityGroups": allGroups.map((each) => ({
          value: each.GroupId,
          description: `${each.GroupName}, ${each.VpcId}`,
        })),
        "loadBalancers.targetGroupArn": targetGroups.map((each) => ({
          value: each.TargetGroupArn,
          description: `${each.TargetGroupName}: ${each.Protocol ?? ""} ${each.Port ?? ""}, ${
            each.LoadBalancerArns?.length ? `of ${each.LoadBalancerArns.map((arn) => arn.split("/")[2]).join(", ")}` : "of no load balancer yet"
          }`,
        })),
        "capacityProviderStrategy.capacityProvider": providers.capacityProviders.map((each) => ({ value: each.name })),
      };
    },
    { kinds: ["cluster", "subnet", "security_group", "task_definition_family", "target_group", "load_balancer"] },
    [region, cluster],
  );
  const chosen = useLive<TaskDefinition | undefined>(
    async () => (definition ? readDefinition(region, definition).catch(() => undefined) : undefined),
    { kinds: ["task_definition"] },
    [region, definition],
  );
  const containers = chosen.value?.containerDefinitions ?? [];
  const named = containers.map((each) => ({ value: each.name }));
  const ports = containers.flatMap((each) =>
    (each.portMappings ?? []).map((port) => ({ value: String(port.containerPort), description: `${each.name}, ${port.protocol ?? "tcp"}` })),
  );
  return {
    ...(there.value ?? {}),
    "loadBalancers.containerName": named,
    "loadBalancers.containerPort": ports,
    "serviceRegistries.containerName": named,
    "serviceRegistries.containerPort": ports,
  };
}

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
      const [allClusters, allSubnets] = await Promise.all([clusters(region), subnets(region)]);
      const inDefault = allSubnets.filter((each) => each.DefaultForAz).map((each) => each.SubnetId);
      const active = allClusters.filter((each) => each.status === "ACTIVE");
      return {
        serviceName: definition ? familyOf(definition).family : "",
        cluster: inCluster || active[0]?.clusterName,
        taskDefinition: definition,
        desiredCount: 1,
        launchType: "FARGATE",
        networkConfiguration: { awsvpcConfiguration: { subnets: inDefault, assignPublicIp: "ENABLED" } },
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
  const [named, setNamed] = useState({ definition: String(initial.taskDefinition ?? ""), cluster: String(initial.cluster ?? "") });
  const offers = useOffers(named.definition, named.cluster);
  const scales = useScales();
  return (
    <OperationForm
      title={title}
      word="Create"
      operation="CreateService"
      initial={initial}
      first={CREATE}
      offers={() => offers}
      onChange={(value) => setNamed({ definition: String(value.taskDefinition ?? ""), cluster: String(value.cluster ?? "") })}
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
  const isWhole = (text: string) => /^\d{1,6}$/.test(text);
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
  const offers = useOffers(definition, cluster);
  return (
    <OperationForm
      title={`Update ${name}`}
      word="Update"
      operation="UpdateService"
      initial={initial}
      first={UPDATE}
      offers={() => offers}
      onChange={(value) => setDefinition(String(value.taskDefinition ?? ""))}
      parameters={(value) => ({ cluster, service: name, ...differences(initial, value) })}
      cancel={to(["clusters", cluster, "services", name])}
      onDone={() => to(["clusters", cluster, "services", name])}
    />
  );
}

/** Only what was changed is asked for. A list that was emptied is asked to be empty. */
export function differences(before: Members, after: Members): Members {
  const found: Members = {};
  for (const member of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[member]) === JSON.stringify(after[member])) continue;
    found[member] = after[member] ?? (Array.isArray(before[member]) ? [] : undefined);
  }
  return found;
}
