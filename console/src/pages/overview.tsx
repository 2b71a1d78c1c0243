/** The region at a glance: what runs, what is wrong. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import CopyToClipboard from "@cloudscape-design/components/copy-to-clipboard";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import { clusters } from "../api/ecs";
import { useLive } from "../api/live";
import { CONCERNED, problems } from "../api/problems";
import { ClusterList } from "../parts/clusters";
import { useHere } from "../context";
import { counted } from "../format";

export function Overview() {
  const { about, region, to } = useHere();
  const live = useLive(() => clusters(region), { kinds: ["cluster", "service", "task", "container_instance"] }, [region]);
  const all = useLive(problems, { kinds: CONCERNED, everyMs: 60_000 }, [region]);
  const wrong = all.value?.filter((each) => each.region === "" || (each.region === region && each.account === about.account));
  const ofMachine = wrong?.filter((each) => each.kind === "machine");
  const sum = (of: "runningTasksCount" | "pendingTasksCount" | "activeServicesCount") =>
    live.value?.reduce((total, cluster) => total + cluster[of], 0);
  const address = `${location.protocol}//${location.host}`;
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        description={`Account ${about.account}, region ${region}`}
        actions={wrong?.length ? <Button href={to(["problems"])}>{counted(wrong.length, "problem")}</Button> : undefined}
      >
        Overview
      </Header>
      {ofMachine?.map((problem) => (
        <Alert key={problem.what} type={problem.severity} header={problem.what}>
          {problem.mend}
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
            {all.error ? (
              <StatusIndicator type="error">{all.error.message}</StatusIndicator>
            ) : ofMachine?.length ? (
              <StatusIndicator type="warning">See above</StatusIndicator>
            ) : (
              <StatusIndicator type={ofMachine ? "success" : "loading"}>
                {ofMachine ? "Nothing is wrong" : "Looking"}
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
