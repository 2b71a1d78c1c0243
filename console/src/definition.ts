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

export const SAMPLE = {
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
};
