/** Where a load balancer stands: its subnets and security groups, and the forms that change them. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { groupOption, securityGroups, subnetOption, subnets } from "../api/ec2";
import { KINDS, placeOf } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { EditChoice } from "./edit-choice";
import { Fact } from "./fact";

interface Changed {
  what: "groups" | "subnets";
  vpc: string;
  now: readonly string[];
}

export function BalancerPlace({ arn, name }: { arn: string; name: string }) {
  const { region, to } = useHere();
  const live = useLive(() => placeOf(region, arn), { kinds: KINDS }, [region, arn]);
  const [changed, setChanged] = useState<Changed>();
  const at = live.value;
  const inSubnets = at?.AvailabilityZones?.map((each) => each.SubnetId) ?? [];
  const groups = at?.SecurityGroups ?? [];
  const change = (what: Changed["what"]) =>
    setChanged({ what, vpc: at?.VpcId ?? "", now: what === "groups" ? groups : inSubnets });
  return (
    <Container
      header={
        <Header
          variant="h2"
          actions={
            <SpaceBetween direction="horizontal" size="xs">
              <Button disabled={!at} onClick={() => change("subnets")}>
                Edit subnets
              </Button>
              <Button disabled={!at} onClick={() => change("groups")}>
                Edit security groups
              </Button>
            </SpaceBetween>
          }
        >
          Network
        </Header>
      }
    >
      {live.error && <Alert type="error">{live.error.message}</Alert>}
      <ColumnLayout columns={3} variant="text-grid" minColumnWidth={220}>
        <Fact label="VPC">{at ? <Link href={to(["networks", at.VpcId])}>{at.VpcId}</Link> : "–"}</Fact>
        <Fact label="Subnets">
          {at?.AvailabilityZones?.map((each) => <div key={each.SubnetId}>{`${each.SubnetId} (${each.ZoneName})`}</div>) ?? "–"}
        </Fact>
        <Fact label="Security groups">
          {groups.length
            ? groups.map((each) => (
                <div key={each}>
                  <Link href={to(["security-groups", each])}>{each}</Link>
                </div>
              ))
            : "None"}
        </Fact>
      </ColumnLayout>
      {changed && <EditPlace {...changed} arn={arn} name={name} onClose={() => setChanged(undefined)} />}
    </Container>
  );
}

function EditPlace({ what, vpc, now, arn, name, onClose }: Changed & { arn: string; name: string; onClose: () => void }) {
  const { region } = useHere();
  const isGroups = what === "groups";
  const known = useLive(
    async () =>
      isGroups
        ? (await securityGroups(region))
            .filter((each) => each.VpcId === vpc)
            .map(groupOption)
        : (await subnets(region))
            .filter((each) => each.VpcId === vpc)
            .map(subnetOption),
    { kinds: ["subnet", "security_group"] },
    [region, what, vpc],
  );
  return (
    <EditChoice
      title={isGroups ? `Security groups of ${name}` : `Subnets of ${name}`}
      service="elbv2"
      operation={isGroups ? "SetSecurityGroups" : "SetSubnets"}
      parameters={(chosen) => ({ LoadBalancerArn: arn, [isGroups ? "SecurityGroups" : "Subnets"]: chosen })}
      label={isGroups ? "Security groups" : "Subnets"}
      description={isGroups ? "At least one" : "Of different zones; an Application Load Balancer takes at least two"}
      now={now}
      known={known}
      onClose={onClose}
    />
  );
}
