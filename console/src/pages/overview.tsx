/** The region at a glance: what runs, what is wrong. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import CopyToClipboard from "@cloudscape-design/components/copy-to-clipboard";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import { read } from "../api/call";
import { clusters } from "../api/ecs";
import { useLive } from "../api/live";
import { ClusterList } from "../parts/clusters";
import { useHere } from "../context";

export function Overview() {
  const { about, region, to } = useHere();
  const live = useLive(() => clusters(region), { kinds: ["cluster", "service", "task", "container_instance"] }, [region]);
  const problems = useLive(
    async () => (await read<{ problems: string[] }>("/_portside/status")).problems,
    { kinds: ["task", "service", "load_balancer", "docker_volume", "ebs_volume"] },
    [region],
  );
  const sum = (of: "runningTasksCount" | "pendingTasksCount" | "activeServicesCount") =>
    live.value?.reduce((total, cluster) => total + cluster[of], 0);
  const address = `${location.protocol}//${location.host}`;
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description={`Account ${about.account}, region ${region}`}>
        Overview
      </Header>
      {problems.value?.map((problem) => (
        <Alert key={problem} type="warning" header="Portside reports a problem">
          {problem}
        </Alert>
      ))}
      <Container header={<Header variant="h2">In this region</Header>}>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Figure label="Clusters" value={live.value?.length} href={to(["clusters"])} />
          <Figure label="Services" value={sum("activeServicesCount")} href={to(["services"])} />
          <Figure label="Tasks running" value={sum("runningTasksCount")} href={to(["tasks"])} />
          <Figure label="Tasks pending" value={sum("pendingTasksCount")} href={to(["tasks"])} />
        </ColumnLayout>
      </Container>
      <ClusterList live={live} />
      <Container header={<Header variant="h2">This Portside</Header>}>
        <ColumnLayout columns={3} variant="text-grid">
          <div>
            <Box variant="awsui-key-label">State</Box>
            {problems.error ? (
              <StatusIndicator type="error">{problems.error.message}</StatusIndicator>
            ) : problems.value?.length ? (
              <StatusIndicator type="warning">See above</StatusIndicator>
            ) : (
              <StatusIndicator type={problems.value ? "success" : "loading"}>
                {problems.value ? "Nothing is wrong" : "Looking"}
              </StatusIndicator>
            )}
          </div>
          <div>
            <Box variant="awsui-key-label">Endpoint</Box>
            <CopyToClipboard
              variant="inline"
              textToCopy={`export AWS_ENDPOINT_URL=${address}`}
              textToDisplay={address}
              copyButtonAriaLabel="Copy as a setting of the AWS CLI"
              copySuccessText="Copied"
              copyErrorText="Could not be copied"
            />
          </div>
          <div>
            <Box variant="awsui-key-label">Version, instance</Box>
            {about.version}, {about.instance}
          </div>
        </ColumnLayout>
      </Container>
    </SpaceBetween>
  );
}

function Figure({ label, value, href }: { label: string; value: number | undefined; href?: string }) {
  const shown = value === undefined ? "–" : String(value);
  return (
    <div>
      <Box variant="awsui-key-label">{label}</Box>
      {href ? (
        <Link variant="awsui-value-large" href={href} ariaLabel={`${label}: ${shown}`}>
          {shown}
        </Link>
      ) : (
        <Box variant="awsui-value-large">{shown}</Box>
      )}
    </div>
  );
}
