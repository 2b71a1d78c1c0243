/** What a service was asked to be: deployment, network, placement, capacity. */

import Box from "@cloudscape-design/components/box";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import SpaceBetween from "@cloudscape-design/components/space-between";
import type { Service } from "../api/ecs";
import { isMembers, type Members } from "../model";
import { Fact } from "./fact";
import { words } from "./shape-form";

const PARTS: [string, readonly string[]][] = [
  ["Deployment", ["deploymentConfiguration", "deploymentController", "healthCheckGracePeriodSeconds"]],
  ["Load balancing and discovery", ["loadBalancers", "serviceRegistries"]],
  ["Network", ["networkConfiguration"]],
  ["Capacity", ["launchType", "capacityProviderStrategy", "platformVersion", "schedulingStrategy"]],
  ["Placement", ["placementStrategy", "placementConstraints", "availabilityZoneRebalancing"]],
  ["Else", ["enableExecuteCommand", "enableECSManagedTags", "propagateTags", "volumeConfigurations", "tags"]],
];

export function Configuration({ service }: { service: Service }) {
  const all = service as unknown as Members;
  return (
    <SpaceBetween size="l">
      {PARTS.map(([title, members]) => (
        <Container key={title} header={<Header variant="h2">{title}</Header>}>
          <ColumnLayout columns={3} variant="text-grid" minColumnWidth={200}>
            {members.flatMap((member) => facts(words(member), all[member]))}
          </ColumnLayout>
        </Container>
      ))}
    </SpaceBetween>
  );
}

function facts(label: string, value: unknown): React.ReactNode[] {
  if (isMembers(value)) return Object.entries(value).flatMap(([member, below]) => facts(`${label}: ${words(member).toLowerCase()}`, below));
  return [
    <Fact key={label} label={label}>
      {value === undefined || (Array.isArray(value) && value.length === 0) ? "–" : text(value)}
    </Fact>,
  ];
}

function text(value: unknown): React.ReactNode {
  if (Array.isArray(value)) return value.map((each, at) => <Box key={at}>{text(each)}</Box>);
  if (isMembers(value)) {
    return Object.entries(value)
      .map(([member, below]) => `${words(member).toLowerCase()} ${typeof below === "object" ? JSON.stringify(below) : String(below)}`)
      .join(", ");
  }
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return String(value);
}
