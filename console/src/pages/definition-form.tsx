/** A new task definition, or a new revision of one, by form or by JSON. */

import Alert from "@cloudscape-design/components/alert";
import Spinner from "@cloudscape-design/components/spinner";
import { definition as readDefinition, type TaskDefinition } from "../api/ecs";
import { roles } from "../api/iam";
import { useLive } from "../api/live";
import { parameters, secrets } from "../api/secrets";
import { useHere } from "../context";
import { registrable, SAMPLE } from "../definition";
import { sizeOffers } from "../launch";
import { isMembers, type Members, type Shapes } from "../model";
import { OperationForm } from "../parts/operation-form";
import type { Offer } from "../parts/shape-form";

const FIRST = {
  "": [
    "family",
    "networkMode",
    "cpu",
    "memory",
    "taskRoleArn",
    "executionRoleArn",
    "requiresCompatibilities",
    "containerDefinitions",
    "volumes",
  ],
  containerDefinitions: ["name", "image", "essential", "portMappings", "environment", "secrets", "command", "logConfiguration"],
  "containerDefinitions.portMappings": ["containerPort", "protocol", "name"],
  "containerDefinitions.logConfiguration": ["logDriver", "options"],
  volumes: ["name", "efsVolumeConfiguration"],
};

export function DefinitionForm() {
  const { region, place, to } = useHere();
  const from = place.query.get("from") ?? "";
  const begun = useLive(
    async () => (from ? (registrable(await readDefinition(region, from)) as Members) : SAMPLE),
    { kinds: [] },
    [region, from],
  );
  const there = useLive(
    async () => {
      const [allRoles, allSecrets, allParameters] = await Promise.all([roles(region), secrets(region), parameters(region)]);
      return {
        roles: allRoles.map((each): Offer => ({ value: each.Arn, description: each.Description })),
        values: [
          ...allSecrets.map((each): Offer => ({ value: each.ARN, description: `Secret ${each.Name}` })),
          ...allParameters.map((each): Offer => ({ value: each.Name, description: "Parameter" })),
        ],
      };
    },
    { kinds: ["role", "secret", "parameter"] },
    [region],
  );
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  return (
    <OperationForm
      title={from ? `A new revision of ${from.split(":")[0]}` : "Create a task definition"}
      word="Register"
      operation="RegisterTaskDefinition"
      initial={begun.value}
      first={FIRST}
      cleaned={(value) => registrable(value) as Members}
      offers={(value, model) => ({
        ...sizes(value, model),
        taskRoleArn: there.value?.roles ?? [],
        executionRoleArn: there.value?.roles ?? [],
        "containerDefinitions.secrets.valueFrom": there.value?.values ?? [],
        "containerDefinitions.dependsOn.containerName": named(value.containerDefinitions),
        "containerDefinitions.mountPoints.sourceVolume": named(value.volumes),
      })}
      cancel={from ? to(["task-definitions", ...from.split(":")]) : to(["task-definitions"])}
      onDone={({ taskDefinition }: { taskDefinition: TaskDefinition }) =>
        to(["task-definitions", taskDefinition.family, String(taskDefinition.revision)])
      }
    />
  );
}

function named(list: unknown): Offer[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((each) => (isMembers(each) && typeof each.name === "string" && each.name ? [{ value: each.name }] : []));
}

/** Fargate's sizes, where it is asked for. */
function sizes(value: Members, model: Shapes): Record<string, Offer[]> {
  const isFargate = Array.isArray(value.requiresCompatibilities) && value.requiresCompatibilities.includes("FARGATE");
  return isFargate ? sizeOffers(model, value.cpu) : {};
}
