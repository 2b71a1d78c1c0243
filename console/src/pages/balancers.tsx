/** Load balancers, and one of them: its rules in the order in which they are tried, its targets with their health. */

import Alert from "@cloudscape-design/components/alert";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { actionsOf, type Balancer, balancers, conditionsOf, KINDS } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { Status } from "../parts/status";

export function Balancers() {
  const { region, to } = useHere();
  const live = useLive(() => balancers(region), { kinds: KINDS }, [region]);
  const healthy = (each: Balancer) => each.targetGroups.flatMap((group) => group.targets);
  return (
    <List<Balancer>
      title="Load balancers"
      noun="load balancer"
      live={live}
      keyOf={(each) => each.arn}
      columns={[
        {
          id: "name",
          header: "Load balancer",
          cell: (each) => <Link href={to(["load-balancers", each.name])}>{each.name}</Link>,
          sortingField: "name",
          isRowHeader: true,
        },
        { id: "state", header: "State", cell: (each) => <Status of={each.state.toUpperCase()} /> },
        { id: "type", header: "Type", cell: (each) => each.type, sortingField: "type" },
        { id: "listeners", header: "Listeners", cell: (each) => each.listeners.map((one) => `${one.protocol} ${one.port}`).join(", ") || "–" },
        {
          id: "targets",
          header: "Targets",
          cell: (each) => `${healthy(each).filter((one) => one.state === "healthy").length} of ${healthy(each).length} healthy`,
        },
        { id: "dns", header: "Name", cell: (each) => each.dnsName },
      ]}
    />
  );
}

export function BalancerPage({ name }: { name: string }) {
  const { region } = useHere();
  const live = useLive(async () => (await balancers(region)).find((each) => each.name === name) ?? null, { kinds: KINDS }, [region, name]);
  const found = live.value;
  if (found === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no load balancer ${name} in ${region}.`}</Alert>;
  }
  return (
    <SpaceBetween size="l">
      <Header variant="h1">{name}</Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="State">
            <Status of={found?.state.toUpperCase()} />
          </Fact>
          <Fact label="Type">{found?.type ?? "–"}</Fact>
          <Fact label="Scheme">{found?.scheme ?? "–"}</Fact>
          <Fact label="Name">{found?.dnsName ?? "–"}</Fact>
        </ColumnLayout>
      </Container>
      {found?.listeners.map((listener) => (
        <Table
          key={`${listener.protocol} ${listener.port}`}
          header={
            <Header variant="h2" description="Tried in this order; the first that matches decides">
              {listener.protocol} {listener.port}
            </Header>
          }
          items={listener.rules}
          wrapLines
          columnDefinitions={[
            { id: "priority", header: "Priority", cell: (rule) => rule.Priority ?? "–", width: 110 },
            { id: "if", header: "If", cell: conditionsOf, isRowHeader: true },
            { id: "then", header: "Then", cell: actionsOf },
          ]}
        />
      ))}
      {found?.targetGroups.map((group) => (
        <Table
          key={group.arn}
          header={
            <Header variant="h2" counter={`(${group.targets.length})`} description={`Target group, ${group.protocol} ${group.port}`}>
              {group.name}
            </Header>
          }
          items={group.targets}
          empty="No target"
          columnDefinitions={[
            { id: "id", header: "Target", cell: (target) => `${target.id}:${target.port}`, isRowHeader: true },
            { id: "state", header: "Health", cell: (target) => <Status of={target.state.toUpperCase()} /> },
            { id: "zone", header: "Zone", cell: (target) => target.zone || "–" },
            { id: "why", header: "Why", cell: (target) => target.description || target.reason || "–" },
          ]}
        />
      ))}
    </SpaceBetween>
  );
}
