/** One security group: its rules, one by one, and what is in it. */

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
import { useState } from "react";
import { groupOption, type GroupRule, groupRules, portsOf, type SecurityGroup, securityGroups } from "../api/ec2";
import { type Live, useLive } from "../api/live";
import { NETWORK_KINDS, networks } from "../api/network";
import { useHere } from "../context";
import { sayThing, type Thing, thingsOf } from "../drawing";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { Tags } from "../parts/tags";

export function SecurityGroupPage({ id }: { id: string }) {
  const { about, region, to } = useHere();
  const groups = useLive(() => securityGroups(region), { kinds: ["security_group"] }, [region]);
  const rules = useLive(() => groupRules(region, id), { kinds: ["security_group"] }, [region, id]);
  const members = useLive(
    async () =>
      (await networks(about.account, region))
        .flatMap((each) => each.subnets)
        .flatMap(thingsOf)
        .filter((each) => each.members[0]?.securityGroupIds.includes(id)),
    { kinds: NETWORK_KINDS },
    [region, id],
  );
  const [added, setAdded] = useState<"in" | "out">();
  const [removed, setRemoved] = useState<GroupRule>();
  const group = groups.value?.find((each) => each.GroupId === id);
  if (groups.error || (groups.value && !group)) {
    return <Alert type="error">{groups.error?.message ?? `There is no security group ${id} in ${region}.`}</Alert>;
  }
  const nameOf = (other: string) => groups.value?.find((each) => each.GroupId === other)?.GroupName ?? other;
  const side = (isOut: boolean): Live<GroupRule[]> => ({ ...rules, value: rules.value?.filter((each) => each.IsEgress === isOut) });
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description={group?.Description}>
        {group?.GroupName ?? id}
      </Header>
      <Container>
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={150}>
          <Fact label="Id">{id}</Fact>
          <Fact label="VPC">{group ? <Link href={to(["networks", group.VpcId])}>{group.VpcId}</Link> : "–"}</Fact>
          <Fact label="Interfaces in it">{members.value?.reduce((sum, each) => sum + each.members.length, 0) ?? "–"}</Fact>
        </ColumnLayout>
      </Container>
      {(["in", "out"] as const).map((way) => (
        <List<GroupRule>
          key={way}
          title={way === "in" ? "What may come in" : "What may go out"}
          noun={way === "in" ? "rule in" : "rule out"}
          live={side(way === "out")}
          keyOf={(each) => each.SecurityGroupRuleId}
          actions={<Button onClick={() => setAdded(way)}>Add a rule</Button>}
          columns={[
            { id: "id", header: "Rule", cell: (each) => each.SecurityGroupRuleId, isRowHeader: true },
            { id: "what", header: "What", cell: portsOf },
            {
              id: "other",
              header: way === "in" ? "From" : "To",
              cell: (each) =>
                each.ReferencedGroupInfo ? (
                  <Link href={to(["security-groups", each.ReferencedGroupInfo.GroupId])}>{nameOf(each.ReferencedGroupInfo.GroupId)}</Link>
                ) : (
                  (each.CidrIpv4 ?? each.CidrIpv6 ?? "–")
                ),
            },
            { id: "description", header: "Description", cell: (each) => each.Description || "–" },
            {
              id: "remove",
              header: "Change",
              cell: (each) => (
                <Button variant="inline-link" ariaLabel={`Remove ${each.SecurityGroupRuleId}`} onClick={() => setRemoved(each)}>
                  Remove
                </Button>
              ),
            },
          ]}
        />
      ))}
      <List<Thing>
        title="In it"
        noun="member"
        live={members}
        keyOf={(each) => each.key}
        empty="Nothing is in it"
        columns={[
          {
            id: "what",
            header: "What",
            cell: (each) => <Link href={to(["networks", group?.VpcId ?? ""], { from: each.members[0]?.id ?? "" })}>{sayThing(each)}</Link>,
            isRowHeader: true,
          },
          { id: "subnet", header: "Subnet", cell: (each) => each.subnet },
        ]}
      />
      {added && group && <AddRule group={group} groups={groups.value ?? []} way={added} onClose={() => setAdded(undefined)} />}
      {removed && (
        <Act
          title={`Remove ${removed.SecurityGroupRuleId}?`}
          word="Remove"
          service="ec2"
          operation={removed.IsEgress ? "RevokeSecurityGroupEgress" : "RevokeSecurityGroupIngress"}
          parameters={{ GroupId: id, SecurityGroupRuleIds: [removed.SecurityGroupRuleId] }}
          onClose={() => setRemoved(undefined)}
        >
          {portsOf(removed)} is then let {removed.IsEgress ? "out" : "in"} only if another rule does. Connections that are open stay.
        </Act>
      )}
      <Tags service="ec2" of={id} name={id} kinds={["security_group"]} />
    </SpaceBetween>
  );
}

const PROTOCOLS = [
  { value: "tcp", label: "TCP" },
  { value: "udp", label: "UDP" },
  { value: "icmp", label: "ICMP, all types" },
  { value: "-1", label: "Everything" },
];

/** `80` or `8000-8010` as the two ends that the API takes; null for what is no range of ports. */
export function portRange(text: string): [number, number] | null {
  const found = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text.trim());
  const [first, last] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])];
  return found && first <= last && last < 65536 ? [first, last] : null;
}

function AddRule(props: { group: SecurityGroup; groups: SecurityGroup[]; way: "in" | "out"; onClose: () => void }) {
  const { group, groups, way, onClose } = props;
  const [protocol, setProtocol] = useState("tcp");
  const [ports, setPorts] = useState("80");
  const [other, setOther] = useState("block");
  const [block, setBlock] = useState("0.0.0.0/0");
  const [description, setDescription] = useState("");
  const hasPorts = protocol === "tcp" || protocol === "udp";
  const range = portRange(ports);
  const said = description || undefined;
  const permission = {
    IpProtocol: protocol,
    ...(hasPorts && range && { FromPort: range[0], ToPort: range[1] }),
    ...(protocol === "icmp" && { FromPort: -1, ToPort: -1 }),
    ...(other === "block"
      ? { IpRanges: [{ CidrIp: block, Description: said }] }
      : { UserIdGroupPairs: [{ GroupId: other, Description: said }] }),
  };
  const options = [
    { value: "block", label: "A block of addresses" },
    ...groups.filter((each) => each.VpcId === group.VpcId).map(groupOption),
  ];
  return (
    <Act
      title={`Let something ${way} ${way === "in" ? "to" : "of"} ${group.GroupName}`}
      word="Add"
      service="ec2"
      operation={way === "in" ? "AuthorizeSecurityGroupIngress" : "AuthorizeSecurityGroupEgress"}
      parameters={{ GroupId: group.GroupId, IpPermissions: [permission] }}
      isReady={(!hasPorts || range !== null) && (other !== "block" || block !== "")}
      onClose={onClose}
    >
      <FormField label="Protocol">
        <Select
          selectedOption={PROTOCOLS.find((each) => each.value === protocol) ?? null}
          options={PROTOCOLS}
          onChange={({ detail }) => setProtocol(detail.selectedOption.value ?? "tcp")}
        />
      </FormField>
      {hasPorts && (
        <FormField label="Ports" description="One, or from-to" errorText={range ? undefined : "80, or 8000-8010"}>
          <Input value={ports} onChange={({ detail }) => setPorts(detail.value)} />
        </FormField>
      )}
      <FormField label={way === "in" ? "From whom" : "To whom"}>
        <Select
          selectedOption={options.find((each) => each.value === other) ?? null}
          options={options}
          onChange={({ detail }) => setOther(detail.selectedOption.value ?? "block")}
        />
      </FormField>
      {other === "block" && (
        <FormField label="Block">
          <Input value={block} onChange={({ detail }) => setBlock(detail.value)} />
        </FormField>
      )}
      <FormField label="Description">
        <Input value={description} onChange={({ detail }) => setDescription(detail.value)} />
      </FormField>
    </Act>
  );
}
