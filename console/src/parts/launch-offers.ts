/** What there is to choose from for tasks that are launched, on their own or by a service. */

import { call } from "../api/call";
import { securityGroups, subnets } from "../api/ec2";
import { clusters, definition as readDefinition, families, type TaskDefinition } from "../api/ecs";
import { targetGroups } from "../api/elb";
import { roles } from "../api/iam";
import { useLive } from "../api/live";
import { snapshots } from "../api/storage";
import { useHere } from "../context";
import { launchVolumes } from "../launch";
import type { Members } from "../model";
import type { Offer } from "./shape-form";

interface Launch {
  offers: Record<string, Offer[]>;
  /** Undefined while it is not known, or while there is none of this name. */
  definition: TaskDefinition | undefined;
}

/** Fields with something to choose from. They are such fields before it is known what: one that became another while somebody types in it
 * would lose what is typed. */
const OFFERED = [
  "cluster",
  "taskDefinition",
  "networkConfiguration.awsvpcConfiguration.subnets",
  "networkConfiguration.awsvpcConfiguration.securityGroups",
  "loadBalancers.targetGroupArn",
  "capacityProviderStrategy.capacityProvider",
  "overrides.taskRoleArn",
  "overrides.executionRoleArn",
  "volumeConfigurations.managedEBSVolume.roleArn",
  "volumeConfigurations.managedEBSVolume.snapshotId",
] as const;
const UNREAD: Record<string, Offer[]> = Object.fromEntries(OFFERED.map((each) => [each, []]));

/** Args: named: a task definition, as it is typed. */
export function useLaunch(named: string): Launch {
  const { region } = useHere();
  const there = useLive<Record<(typeof OFFERED)[number], Offer[]>>(
    async () => {
      const [allClusters, allSubnets, allGroups, allFamilies, allTargetGroups, allRoles, allSnapshots, providers] = await Promise.all([
        clusters(region),
        subnets(region),
        securityGroups(region),
        families(region, "ACTIVE"),
        targetGroups(region),
        roles(region),
        snapshots(region),
        call<{ capacityProviders: { name: string }[] }>("ecs", "DescribeCapacityProviders", region),
      ]);
      const ofRoles = allRoles.map((each): Offer => ({ value: each.Arn, description: each.Description }));
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
        "loadBalancers.targetGroupArn": allTargetGroups.map((each) => ({
          value: each.TargetGroupArn,
          description: `${each.TargetGroupName}: ${each.Protocol ?? ""} ${each.Port ?? ""}, ${
            each.LoadBalancerArns?.length ? `of ${each.LoadBalancerArns.map((arn) => arn.split("/")[2]).join(", ")}` : "of no load balancer yet"
          }`,
        })),
        "capacityProviderStrategy.capacityProvider": providers.capacityProviders.map((each) => ({ value: each.name })),
        "overrides.taskRoleArn": ofRoles,
        "overrides.executionRoleArn": ofRoles,
        "volumeConfigurations.managedEBSVolume.roleArn": ofRoles,
        "volumeConfigurations.managedEBSVolume.snapshotId": allSnapshots.map((each) => ({
          value: each.SnapshotId,
          description: `${each.VolumeSize} GiB of ${each.VolumeId}`,
        })),
      };
    },
    {
      kinds: [
        "cluster",
        "subnet",
        "security_group",
        "task_definition_family",
        "target_group",
        "load_balancer",
        "role",
        "ebs_snapshot",
      ],
    },
    [region],
  );
  const chosen = useLive<TaskDefinition | undefined>(
    async () => (named ? readDefinition(region, named).catch(() => undefined) : undefined),
    { kinds: ["task_definition"] },
    [region, named],
  );
  const containers = chosen.value?.containerDefinitions ?? [];
  const names = containers.map((each) => ({ value: each.name }));
  const ports = containers.flatMap((each) =>
    (each.portMappings ?? []).map((port) => ({ value: String(port.containerPort), description: `${each.name}, ${port.protocol ?? "tcp"}` })),
  );
  return {
    definition: chosen.value,
    offers: {
      ...(there.value ?? UNREAD),
      "loadBalancers.containerName": names,
      "loadBalancers.containerPort": ports,
      "serviceRegistries.containerName": names,
      "serviceRegistries.containerPort": ports,
      "overrides.containerOverrides.name": names,
      "volumeConfigurations.name": launchVolumes(chosen.value).map((value) => ({ value })),
    },
  };
}

/** Where something new runs to begin with: in a cluster that is there, as its definition wants it, in the default subnets. */
export async function defaultPlace(region: string, inCluster: string, named: string): Promise<Members> {
  const [allClusters, allSubnets, definition] = await Promise.all([
    clusters(region),
    subnets(region),
    named ? readDefinition(region, named).catch(() => undefined) : undefined,
  ]);
  const inDefault = allSubnets.filter((each) => each.DefaultForAz).map((each) => each.SubnetId);
  return {
    cluster: inCluster || allClusters.find((each) => each.status === "ACTIVE")?.clusterName,
    launchType: definition?.compatibilities?.includes("FARGATE") === false ? "EC2" : "FARGATE",
    networkConfiguration: { awsvpcConfiguration: { subnets: inDefault, assignPublicIp: "ENABLED" } },
  };
}
