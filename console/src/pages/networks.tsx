/** VPCs, and one of them as a drawing: what is where, who may talk to whom, and whether a packet passes. */

import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useEffect, useState } from "react";
import { useLive } from "../api/live";
import { NETWORK_KINDS, networks, PACKET_KINDS, talkOf, type VpcView } from "../api/network";
import { vpcTitles } from "../api/vpc";
import { useHere } from "../context";
import { type Thing, thingsOf } from "../drawing";
import { counted } from "../format";
import { AddressList } from "../parts/addresses";
import { InternetGatewayList, NatGatewayList } from "../parts/gateways";
import { List } from "../parts/list";
import { Reach } from "../parts/reach";
import { RouteTableList } from "../parts/route-tables";
import { SecurityGroupList } from "../parts/security-groups";
import { SubnetList } from "../parts/subnets";
import { Tags } from "../parts/tags";
import { Talks } from "../parts/talks";
import { INTERNET, VpcDrawing } from "../parts/vpc-drawing";
import { CreateVpc, DeleteVpc } from "../parts/vpcs";

export function Networks() {
  const { about, region, to } = useHere();
  const live = useLive(() => networks(about.account, region), { kinds: NETWORK_KINDS }, [region]);
  const titles = useLive(() => vpcTitles(region), { kinds: ["vpc"] }, [region]);
  const [isNew, setNew] = useState(false);
  const [deleted, setDeleted] = useState<string>();
  const inside = (each: VpcView) => each.subnets.flatMap((one) => one.interfaces);
  return (
    <SpaceBetween size="l">
      <List<VpcView>
        title="Networks"
        noun="VPC"
        live={live}
        keyOf={(each) => each.id}
        actions={<Button onClick={() => setNew(true)}>Create VPC</Button>}
        columns={[
          {
            id: "id",
            header: "VPC",
            cell: (each) => <Link href={to(["networks", each.id])}>{titles.value?.get(each.id) ?? each.id}</Link>,
            sortingField: "id",
            isRowHeader: true,
          },
          { id: "default", header: "Default", cell: (each) => (each.isDefault ? "Yes" : "No") },
          { id: "blocks", header: "Addresses", cell: (each) => each.cidrBlocks.join(", ") },
          { id: "subnets", header: "Subnets", cell: (each) => each.subnets.length },
          { id: "zones", header: "Zones", cell: (each) => new Set(each.subnets.map((one) => one.zone)).size },
          { id: "interfaces", header: "Interfaces", cell: (each) => inside(each).length },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Delete ${each.id}`} onClick={() => setDeleted(each.id)}>
                Delete
              </Button>
            ),
          },
        ]}
      />
      <AddressList />
      {isNew && <CreateVpc onClose={() => setNew(false)} />}
      {deleted && <DeleteVpc vpc={deleted} onClose={() => setDeleted(undefined)} />}
    </SpaceBetween>
  );
}

/** Leads to the VPC that an interface is in, where it is chosen. */
export function InterfacePage({ id }: { id: string }) {
  const { about, region, to } = useHere();
  const live = useLive(
    async () =>
      (await networks(about.account, region)).find((vpc) => vpc.subnets.some((each) => each.interfaces.some((one) => one.id === id))) ?? null,
    { kinds: ["eni"] },
    [region, id],
  );
  const vpc = live.value?.id;
  useEffect(() => {
    if (vpc) location.replace(to(["networks", vpc], { from: id }));
  }, [vpc]);
  if (live.value === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no interface ${id} in ${region}.`}</Alert>;
  }
  return <Box>Its VPC is being looked for.</Box>;
}

export function NetworkPage({ id }: { id: string }) {
  const { about, region, place, to } = useHere();
  const live = useLive(
    async () => (await networks(about.account, region)).find((each) => each.id === id) ?? null,
    { kinds: NETWORK_KINDS },
    [region, id],
  );
  const titles = useLive(() => vpcTitles(region), { kinds: ["vpc"] }, [region]);
  // By interface, so that an address of this page can be sent to somebody: of a thing, the first that it has.
  const [from, setFrom] = useState(place.query.get("from") ?? "");
  const [second, setSecond] = useState(place.query.get("to") ?? "");
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const vpc = live.value;
  const here = from.startsWith("eni-") ? from : second.startsWith("eni-") ? second : "";
  const talk = useLive(async () => (here ? talkOf(here) : null), { kinds: PACKET_KINDS }, [region, here]);
  if (vpc === null || live.error) {
    return <Alert type="error">{live.error?.message ?? `There is no VPC ${id} in ${region}.`}</Alert>;
  }
  const things = vpc?.subnets.flatMap(thingsOf) ?? [];
  const thingOf = (interfaceId: string) => things.find((each) => each.members.some((one) => one.id === interfaceId));
  const keyOf = (end: string) => (end === INTERNET ? INTERNET : thingOf(end)?.key);
  const choose = (nextFrom: string, nextSecond: string) => {
    setFrom(nextFrom);
    setSecond(nextSecond);
    history.replaceState(null, "", to(["networks", id], { ...(nextFrom && { from: nextFrom }), ...(nextSecond && { to: nextSecond }) }));
  };
  const pick = (key: string) => {
    const end = key === INTERNET ? INTERNET : (things.find((each) => each.key === key)?.members[0]?.id ?? "");
    if (keyOf(from) === key) choose(second, "");
    else if (keyOf(second) === key) choose(from, "");
    else if (!from) choose(end, "");
    else choose(from, end);
  };
  const talks = talk.value ? talksByThing(things, talk.value.interfaces) : undefined;
  const count = things.reduce((sum, each) => sum + each.members.length, 0);
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description={vpc && `${vpc.cidrBlocks.join(", ")}${vpc.isDefault ? ", the default VPC" : ""}`}>
        {titles.value?.get(id) ?? id}
      </Header>
      <Container
        header={
          <Header
            variant="h2"
            description="Choose one thing to see with whom it may talk, and a second one to see whether a packet passes"
          >
            {vpc ? counted(count, "interface") : "Interfaces"}
          </Header>
        }
      >
        {vpc ? (
          <VpcDrawing
            vpc={vpc}
            picked={keyOf(from)}
            second={keyOf(second)}
            talks={talks}
            opened={opened}
            onPick={pick}
            onOpen={(subnet) => setOpened(new Set([...opened, subnet]))}
          />
        ) : (
          <Box>It is being read.</Box>
        )}
      </Container>
      {from && second && (
        <Reach
          from={{ end: from, thing: thingOf(from) }}
          to={{ end: second, thing: thingOf(second) }}
          spans={(talk.value?.interfaces.find((each) => each.id === second)?.out ?? []).join(" ")}
          onChange={choose}
        />
      )}
      {from && !second && thingOf(from) && <Talks thing={thingOf(from) as Thing} things={things} talk={talk} />}
      <SubnetList vpc={id} subnets={{ value: vpc?.subnets, error: live.error }} />
      <RouteTableList vpc={id} />
      <InternetGatewayList vpc={id} />
      <NatGatewayList vpc={id} />
      <SecurityGroupList vpc={id} />
      <Tags service="ec2" of={id} name={id} kinds={["vpc"]} />
    </SpaceBetween>
  );
}

/** What may be begun from what was picked, and to it: things in which at least one member may. */
function talksByThing(
  things: readonly Thing[],
  interfaces: readonly { id: string; out: string[]; in: string[] }[],
): Map<string, "in" | "out" | "both"> {
  const byId = new Map(interfaces.map((each) => [each.id, each]));
  const found = new Map<string, "in" | "out" | "both">();
  for (const thing of things) {
    const all = thing.members.flatMap((each) => byId.get(each.id) ?? []);
    const out = all.some((each) => each.out.length > 0);
    const into = all.some((each) => each.in.length > 0);
    if (out || into) found.set(thing.key, out && into ? "both" : out ? "out" : "in");
  }
  return found;
}
