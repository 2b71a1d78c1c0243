/** What fits a launch: which members of RunTask and CreateService a definition and a way to launch it have use for. */

import type { TaskDefinition } from "./api/ecs";
import { memory, vcpu } from "./format";
import { type Fault, isMembers, type Members, type Shapes } from "./model";
import type { Offer } from "./parts/shape-form";

/** Members that do not fit, each with why. */
export type Unfit = Readonly<Record<string, string>>;

/** What forms of launches show first of what both have. */
export const LAUNCH_FIRST = {
  networkConfiguration: ["awsvpcConfiguration"],
  "networkConfiguration.awsvpcConfiguration": ["subnets", "securityGroups", "assignPublicIp"],
  volumeConfigurations: ["name", "managedEBSVolume"],
  "volumeConfigurations.managedEBSVolume": ["roleArn", "sizeInGiB", "volumeType", "filesystemType", "terminationPolicy"],
};

function isAsked(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

/** Whether tasks go to container instances. What the cluster's own strategy says is not known here. */
function isOnInstances(value: Members): boolean {
  return value.launchType === "EC2" && !isAsked(value.capacityProviderStrategy);
}

function isOnFargate(value: Members): boolean {
  return value.launchType === "FARGATE" || isAsked(value.capacityProviderStrategy);
}

/** The volumes that are configured when a task is launched. */
export function launchVolumes(definition: TaskDefinition | undefined): string[] {
  return definition?.volumes?.flatMap((each) => (each.configuredAtLaunch ? [each.name] : [])) ?? [];
}

/** Args: definition: undefined while it is not known, when nothing is said of it. */
export function unfit(value: Members, definition: TaskDefinition | undefined): Unfit {
  const found: Record<string, string> = {};
  if (definition && definition.networkMode !== "awsvpc") {
    found.networkConfiguration = `${definition.family} has the network mode ${definition.networkMode ?? "bridge"}, not awsvpc.`;
  }
  if (definition && launchVolumes(definition).length === 0) {
    found.volumeConfigurations = `${definition.family} has no volume that is configured at launch.`;
  }
  if (isAsked(value.capacityProviderStrategy)) found.launchType = "It is either a launch type or a capacity provider strategy.";
  if (isOnInstances(value)) found.platformVersion = "Only Fargate has platform versions.";
  if (isOnFargate(value)) {
    found.placementConstraints = "Fargate places tasks by itself.";
    found.placementStrategy = "Fargate places tasks by itself.";
  }
  return found;
}

/** A value without the members that do not fit it. */
export function fitting(value: Members, not: Unfit): Members {
  return Object.fromEntries(Object.entries(value).filter(([member]) => !(member in not)));
}

/** Those members of a value that do not fit it, for who wrote them by hand. */
export function unfitFaults(value: Members, not: Unfit): Fault[] {
  return Object.entries(not).flatMap(([member, message]) => (value[member] === undefined ? [] : [{ path: [member], message }]));
}

const TASKS_MOST = 10;

/** What is wrong with a RunTask beyond what AWS's model knows. */
export function runFaults(value: Members, definition: TaskDefinition | undefined, sizes: Shapes["fargate"] = {}): Fault[] {
  const faults: Fault[] = [];
  const { count } = value;
  if (typeof count === "number" && (count < 1 || count > TASKS_MOST)) faults.push({ path: ["count"], message: `1 to ${TASKS_MOST}.` });
  if (typeof value.group === "string" && value.group.startsWith("service:")) {
    faults.push({ path: ["group"], message: "Only services have groups that begin with service:." });
  }
  if (typeof value.startedBy === "string" && !/^[A-Za-z0-9_/-]{1,128}$/.test(value.startedBy)) {
    faults.push({ path: ["startedBy"], message: "At most 128 letters, digits, -, / and _." });
  }
  if (!definition) return [...faults, ...launchFaults(value, definition)];
  const network = isMembers(value.networkConfiguration) ? value.networkConfiguration.awsvpcConfiguration : undefined;
  if (definition.networkMode === "awsvpc" && !isMembers(network)) {
    faults.push({ path: ["networkConfiguration"], message: `${definition.family} has the network mode awsvpc: it takes subnets.`, isMissing: true });
  }
  const overrides = isMembers(value.overrides) ? value.overrides : {};
  const names = definition.containerDefinitions.map((each) => each.name);
  const each = Array.isArray(overrides.containerOverrides) ? overrides.containerOverrides : [];
  each.forEach((override, place) => {
    if (!isMembers(override)) return;
    const path = ["overrides", "containerOverrides", place, "name"];
    if (!override.name) faults.push({ path, message: "Which container?", isMissing: true });
    else if (!names.includes(String(override.name))) faults.push({ path, message: `One of ${names.join(", ")}.` });
  });
  if (isOnFargate(value) && (overrides.cpu || overrides.memory)) {
    const cpu = String(overrides.cpu ?? definition.cpu);
    const mib = Number(overrides.memory ?? definition.memory);
    const path = ["overrides", overrides.memory ? "memory" : "cpu"];
    const fit = sizes[cpu];
    if (Object.keys(sizes).length && !fit) {
      faults.push({ path: ["overrides", "cpu"], message: `One of ${Object.keys(sizes).join(", ")}.` });
    } else if (fit && !fit.includes(mib)) {
      faults.push({ path, message: `With ${cpu} units of CPU Fargate has ${fit[0]} to ${fit[fit.length - 1]} MiB of memory, not ${mib}.` });
    }
  }
  return [...faults, ...launchFaults(value, definition)];
}

/** What is wrong with a launch, by a service, too: a strategy without weights, volumes that are configured at launch and are not. */
export function launchFaults(value: Members, definition: TaskDefinition | undefined): Fault[] {
  const strategy = Array.isArray(value.capacityProviderStrategy) ? value.capacityProviderStrategy : [];
  const isWeighed = strategy.length === 0 || strategy.some((each) => isMembers(each) && Number(each.weight) > 0);
  return [
    ...(isWeighed ? [] : [{ path: ["capacityProviderStrategy"], message: "At least one provider takes a weight above 0.", isMissing: true }]),
    ...volumeFaults(value, definition),
  ];
}

function volumeFaults(value: Members, definition: TaskDefinition | undefined): Fault[] {
  const configured = (Array.isArray(value.volumeConfigurations) ? value.volumeConfigurations : []).flatMap((one) =>
    isMembers(one) ? [one.name] : [],
  );
  return launchVolumes(definition)
    .filter((name) => !configured.includes(name))
    .map((name) => ({ path: ["volumeConfigurations"], message: `The volume ${name} is configured at launch: say how.`, isMissing: true }));
}

/** Fargate's sizes, as fields offer them: all of CPU, and of memory those that go with it. */
export function sizeOffers(model: Shapes, cpu: unknown): { cpu: Offer[]; memory: Offer[] } {
  const all = model.fargate ?? {};
  return {
    cpu: Object.keys(all).map((units) => ({ value: units, description: vcpu(units) })),
    memory: (all[String(cpu)] ?? []).map((mib) => ({ value: String(mib), description: memory(mib) })),
  };
}
