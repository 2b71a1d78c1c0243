/** Task definitions as they are registered. */

/** What DescribeTaskDefinition adds, and RegisterTaskDefinition does not take. */
const ADDED = new Set([
  "taskDefinitionArn",
  "revision",
  "status",
  "requiresAttributes",
  "compatibilities",
  "registeredAt",
  "deregisteredAt",
  "registeredBy",
  "deleteRequestedAt",
]);

/** A definition as another revision of it would be registered. */
export function registrable(definition: object): object {
  return Object.fromEntries(Object.entries(definition).filter(([name]) => !ADDED.has(name)));
}

/** What somebody typed: the members to register, or what is wrong before the API is asked. */
export function parsed(text: string): { value?: object; error?: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { error: (error as Error).message };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return { error: "A definition is an object." };
  const { family, containerDefinitions } = value as { family?: unknown; containerDefinitions?: unknown };
  if (typeof family !== "string" || !/^[A-Za-z0-9_-]{1,255}$/.test(family)) {
    return { error: "family: up to 255 letters, digits, underscores and hyphens." };
  }
  if (!Array.isArray(containerDefinitions) || containerDefinitions.length === 0) {
    return { error: "containerDefinitions: at least one container." };
  }
  return { value: registrable(value) };
}

export const SAMPLE = JSON.stringify(
  {
    family: "hello",
    requiresCompatibilities: ["FARGATE"],
    networkMode: "awsvpc",
    cpu: "256",
    memory: "512",
    containerDefinitions: [
      {
        name: "main",
        image: "docker.io/library/nginx:latest",
        portMappings: [{ containerPort: 80 }],
      },
    ],
  },
  null,
  2,
);
