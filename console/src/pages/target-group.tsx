/** One target group: how its targets are checked, and what the checks say. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { balancers, KINDS, type Target, type TargetGroup, targetGroups, targets } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Attributes } from "../parts/attributes";
import { Fact } from "../parts/fact";
import { EditHealthCheck } from "../parts/health-check";
import { Tags } from "../parts/tags";
import { DeleteTargetGroup } from "../parts/target-groups";
import { Targets } from "../parts/targets";

interface Found {
  group: TargetGroup;
  targets: Target[];
  usedBy: string[];
}

export function TargetGroupPage({ name }: { name: string }) {
  const { about, region, to } = useHere();
  const live = useLive<Found | null>(
    async () => {
      const group = (await targetGroups(region)).find((each) => each.TargetGroupName === name);
      if (!group) return null;
      const using = (await balancers(region, about.account)).filter((each) =>
        each.targetGroups.some((one) => one.arn === group.TargetGroupArn),
      );
      // Only a load balancer checks, and knows when it has.
      const checked = using.flatMap((each) => each.targetGroups).find((each) => each.arn === group.TargetGroupArn)?.targets;
      return { group, targets: checked ?? (await targets(region, group.TargetGroupArn)), usedBy: using.map((each) => each.name) };
    },
    { kinds: KINDS },
    [region, name],
  );
  const [isDeleting, setDeleting] = useState(false);
  const [checked, setChecked] = useState<TargetGroup>();
  const found = live.value;
  if (found === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no target group ${name} in ${region}.`}</Alert>;
  }
  const group = found?.group;
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <SpaceBetween direction="horizontal" size="xs">
            <Button disabled={!group} onClick={() => setChecked(group)}>
              Edit health checks
            </Button>
            <Button disabled={!group} onClick={() => setDeleting(true)}>
              Delete
            </Button>
          </SpaceBetween>
        }
      >
        {name}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Protocol">{group ? `${group.Protocol} ${group.Port} ${group.ProtocolVersion ?? ""}` : "–"}</Fact>
          <Fact label="Targets are">{group?.TargetType ?? "–"}</Fact>
          <Fact label="VPC">{group ? <Link href={to(["networks", group.VpcId])}>{group.VpcId}</Link> : "–"}</Fact>
          <Fact label="Used by">
            {found?.usedBy.length ? (
              <SpaceBetween direction="horizontal" size="xs">
                {found.usedBy.map((each) => (
                  <Link key={each} href={to(["load-balancers", each])}>
                    {each}
                  </Link>
                ))}
              </SpaceBetween>
            ) : (
              "Nobody"
            )}
          </Fact>
          <Fact label="Health checks">{group ? `${group.HealthCheckProtocol} ${group.HealthCheckPath ?? ""}` : "–"}</Fact>
          <Fact label="Every">
            {group ? `${group.HealthCheckIntervalSeconds} s, with ${group.HealthCheckTimeoutSeconds} s to answer` : "–"}
          </Fact>
          <Fact label="Healthy after">{group ? `${group.HealthyThresholdCount} good ones` : "–"}</Fact>
          <Fact label="Unhealthy after">{group ? `${group.UnhealthyThresholdCount} bad ones` : "–"}</Fact>
        </ColumnLayout>
      </Container>
      {group && (
        <Targets
          group={{ name: group.TargetGroupName, arn: group.TargetGroupArn, protocol: group.Protocol, port: group.Port }}
          targets={found.targets}
        />
      )}
      {group && <Attributes owner="targetGroup" arn={group.TargetGroupArn} name={name} />}
      {checked && <EditHealthCheck group={checked} onClose={() => setChecked(undefined)} />}
      {isDeleting && group && (
        <DeleteTargetGroup
          group={group}
          onClose={() => setDeleting(false)}
          onDone={() => {
            location.hash = to(["load-balancers"]);
          }}
        />
      )}
      {group && <Tags service="elbv2" of={group.TargetGroupArn} name={name} kinds={["target_group"]} />}
    </SpaceBetween>
  );
}
