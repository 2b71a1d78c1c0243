/** Panels of a dashboard, read by one call; and what to say where nothing is measured. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import Grid from "@cloudscape-design/components/grid";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { type ReactNode, useState } from "react";
import { clusters, insightsSetting } from "../api/ecs";
import { isMeasured, type Mode, type Panel, panelsOf, pathOf, type Target } from "../api/insights";
import { useLive } from "../api/live";
import { packed, queriesOf } from "../api/metrics";
import { useSeries } from "../api/series";
import { useHere } from "../context";
import { periodOf, type Span, textOf } from "../span";
import { Act } from "./act";
import { Chart } from "./chart";

/** How the cluster's Container Insights stands; null for a cluster that there is not. */
export function useMode(cluster: string) {
  const { region } = useHere();
  return useLive(
    async (): Promise<Mode | null> => {
      const found = (await clusters(region)).find((each) => each.clusterName === cluster);
      if (!found) return null;
      const value = insightsSetting(found);
      return value === "enhanced" || value === "enabled" ? value : "disabled";
    },
    { kinds: ["cluster"], prefix: cluster },
    [region, cluster],
  );
}

/** Args: shown: how many of the panels. */
export function Panels({ target, span, shown }: { target: Target; span: Span; shown?: number }) {
  const { region, to } = useHere();
  const panels = panelsOf(target).slice(0, shown);
  const period = periodOf(span, Date.now());
  const series = useSeries(region, queriesOf(panels.flatMap((each) => each.lines), period), span);
  const linesIn = (panel: Panel) =>
    panel.lines.flatMap((line) => {
      const found = line.isShown ? series.found?.find((each) => each.id === line.id) : undefined;
      return found ? [{ title: line.label, points: found.points }] : [];
    });
  return (
    <SpaceBetween size="s">
      {series.error && <Alert type="error">{series.error.message}</Alert>}
      <Grid gridDefinition={panels.map(() => ({ colspan: { default: 12, s: 6 } }))}>
        {panels.map((panel) => (
          <Container
            key={panel.title}
            fitHeight
            header={
              <Header
                variant="h3"
                actions={
                  <Button
                    variant="icon"
                    iconName="expand"
                    ariaLabel={`Explore ${panel.title}`}
                    href={to(["metrics"], { graph: packed(panel.lines), span: textOf(span), tab: "lines" })}
                  />
                }
              >
                {panel.title}
              </Header>
            }
          >
            <Chart
              label={panel.title}
              height={150}
              unit={panel.unit}
              start={series.start}
              end={series.end}
              series={linesIn(panel)}
              isLoading={!series.found && !series.error}
              empty={panel.empty ?? "No point yet: there is one a minute while it runs"}
            />
          </Container>
        ))}
      </Grid>
    </SpaceBetween>
  );
}

/** What is shown where it is measured, else how to switch it on. */
export function Measured({ target, mode, children }: { target: Target; mode: Mode; children: ReactNode }) {
  const { to } = useHere();
  const [isSwitching, setSwitching] = useState(false);
  if (isMeasured(target, mode)) return <>{children}</>;
  return (
    <>
      <Alert
        type="info"
        header={mode === "disabled" ? `Container Insights is off in ${target.cluster}` : "Tasks and containers are not measured"}
        action={<Button onClick={() => setSwitching(true)}>Switch on</Button>}
      >
        {mode === "disabled"
          ? "Nothing of the cluster is measured but what services use of what they reserve."
          : "Container Insights is on for clusters and services; enhanced, it is for each task and container as well."}{" "}
        For clusters that are made from now on: <Link href={to(["settings"])}>Account settings</Link>.
      </Alert>
      {isSwitching && (
        <Act
          title={`Switch on Container Insights in ${target.cluster}`}
          word="Switch on"
          operation="UpdateClusterSettings"
          parameters={{ cluster: target.cluster, settings: [{ name: "containerInsights", value: "enhanced" }] }}
          onClose={() => setSwitching(false)}
        >
          Metrics of the cluster, its services, tasks and containers, once a minute from now on. What they are made of goes to the log group
          /aws/ecs/containerinsights/{target.cluster}/performance and is kept for a day.
        </Act>
      )}
    </>
  );
}

/** The first panels of a service or task, for its own page. */
export function Metrics({ target }: { target: Target }) {
  const { to } = useHere();
  const mode = useMode(target.cluster);
  return (
    <SpaceBetween size="s">
      <Header
        variant="h2"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button href={to(["metrics"])}>Explore</Button>
            <Button href={to(pathOf(target))}>Dashboard</Button>
          </SpaceBetween>
        }
      >
        Metrics
      </Header>
      {mode.value && (
        <Measured target={target} mode={mode.value}>
          <Panels target={target} span={{ seconds: 3600 }} shown={4} />
        </Measured>
      )}
    </SpaceBetween>
  );
}
