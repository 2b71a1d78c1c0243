/** Load balancers, and one of them: its rules in the order in which they are tried, its targets with their health, its traffic. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { lazy, Suspense, useState } from "react";
import { type Balancer, balancers, COUNTS_MS, KINDS, trafficOf } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "../parts/act";
import { Attributes } from "../parts/attributes";
import { BalancerPlace } from "../parts/balancer-place";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { Listeners } from "../parts/listeners";
import { useNetwork } from "../parts/network-fields";
import { Status } from "../parts/status";
import { Tags } from "../parts/tags";
import { TargetGroupList } from "../parts/target-groups";
import { Targets } from "../parts/targets";
import { WhichRule } from "../parts/which-rule";
import { isBalancerName } from "../typed";

const Plot = lazy(() => import("../parts/plot"));

export function Balancers() {
  const { about, region, to } = useHere();
  const live = useLive(() => balancers(region, about.account), { kinds: KINDS }, [region]);
  const [isNew, setNew] = useState(false);
  const all = (each: Balancer) => each.targetGroups.flatMap((group) => group.targets);
  return (
    <SpaceBetween size="l">
      <List<Balancer>
        title="Load balancers"
        noun="load balancer"
        live={live}
        keyOf={(each) => each.arn}
        actions={<Button onClick={() => setNew(true)}>Create load balancer</Button>}
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
          {
            id: "listeners",
            header: "Listeners",
            cell: (each) => each.listeners.map((one) => `${one.protocol} ${one.port}`).join(", ") || "–",
          },
          {
            id: "targets",
            header: "Targets",
            cell: (each) => `${all(each).filter((one) => one.state === "healthy").length} of ${all(each).length} healthy`,
          },
          { id: "dns", header: "Name", cell: (each) => each.dnsName },
        ]}
      />
      <TargetGroupList />
      {isNew && <CreateBalancer onClose={() => setNew(false)} />}
    </SpaceBetween>
  );
}

export function BalancerPage({ name }: { name: string }) {
  const { about, region, to } = useHere();
  const live = useLive(
    async () => (await balancers(region, about.account)).find((each) => each.name === name) ?? null,
    { kinds: KINDS, everyMs: COUNTS_MS },
    [region, name],
  );
  const [isDeleting, setDeleting] = useState(false);
  const found = live.value;
  if (found === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no load balancer ${name} in ${region}.`}</Alert>;
  }
  const isClassic = found?.type === "classic";
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <Button disabled={!found} onClick={() => setDeleting(true)}>
            Delete
          </Button>
        }
      >
        {name}
      </Header>
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
      {found && <Listeners balancer={found} />}
      {found?.type === "application" && <WhichRule balancer={found} />}
      {found?.targetGroups.map((group) => (
        <Targets key={group.arn} group={group} targets={group.targets} isReadOnly={isClassic} />
      ))}
      {found && !isClassic && <BalancerPlace arn={found.arn} name={name} />}
      {found && !isClassic && <Attributes owner="loadBalancer" arn={found.arn} name={name} />}
      {found && !isClassic && (
        <Container header={<Header variant="h2">The last hour</Header>}>
          <ColumnLayout columns={2}>
            {trafficOf(found).map(({ title, ...chart }) => (
              <div key={title}>
                <Header variant="h3">{title}</Header>
                <Suspense fallback="The plot is being loaded">
                  <Plot label={`${title} of ${name}`} {...chart} />
                </Suspense>
              </div>
            ))}
          </ColumnLayout>
        </Container>
      )}
      {isDeleting && found && (
        <Act
          title={`Delete ${name}?`}
          word="Delete"
          service={isClassic ? "elb" : "elbv2"}
          operation="DeleteLoadBalancer"
          parameters={isClassic ? { LoadBalancerName: name } : { LoadBalancerArn: found.arn }}
          onClose={() => setDeleting(false)}
          onDone={() => {
            location.hash = to(["load-balancers"]);
          }}
        >
          It goes with its listeners and rules; its target groups stay.
        </Act>
      )}
      {found && !isClassic && <Tags service="elbv2" of={found.arn} name={name} kinds={["load_balancer"]} />}
    </SpaceBetween>
  );
}

const TYPES = [
  { value: "application", label: "Application", description: "HTTP and HTTPS, by rules" },
  { value: "network", label: "Network", description: "TCP, TLS and UDP" },
];
const SCHEMES = [
  { value: "internet-facing", label: "Internet-facing" },
  { value: "internal", label: "Internal" },
];

function CreateBalancer({ onClose }: { onClose: () => void }) {
  const { to } = useHere();
  const network = useNetwork({
    subnetHint: "Of different zones; an Application Load Balancer takes at least two",
    groupHint: "None: the default group of an Application Load Balancer's VPC",
  });
  const [name, setName] = useState("");
  const [type, setType] = useState("application");
  const [scheme, setScheme] = useState("internet-facing");
  return (
    <Act
      title="Create a load balancer"
      word="Create"
      service="elbv2"
      operation="CreateLoadBalancer"
      parameters={{
        Name: name,
        Type: type,
        Scheme: scheme,
        Subnets: network.subnets,
        SecurityGroups: network.groups,
      }}
      isReady={isBalancerName(name) && network.subnets.length > 0}
      onClose={onClose}
      onDone={() => {
        location.hash = to(["load-balancers", name]);
      }}
    >
      {network.error && <Alert type="error">{network.error.message}</Alert>}
      <FormField label="Name" errorText={isBalancerName(name) || name === "" ? undefined : "Up to 32 letters, digits and hyphens"}>
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Type">
        <Select
          selectedOption={TYPES.find((each) => each.value === type) ?? null}
          options={TYPES}
          onChange={({ detail }) => setType(detail.selectedOption.value ?? "application")}
        />
      </FormField>
      <FormField label="Scheme">
        <Select
          selectedOption={SCHEMES.find((each) => each.value === scheme) ?? null}
          options={SCHEMES}
          onChange={({ detail }) => setScheme(detail.selectedOption.value ?? "internet-facing")}
        />
      </FormField>
      {network.subnetField}
      {network.groupField}
    </Act>
  );
}
