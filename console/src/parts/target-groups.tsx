/** Target groups: all of them, and the form that makes one. */

import Button from "@cloudscape-design/components/button";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import { call } from "../api/call";
import { KINDS, type TargetGroup, targetGroups } from "../api/elb";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { isBalancerName, isPort } from "../typed";
import { Act } from "./act";
import { List } from "./list";

export function TargetGroupList() {
  const { region, to } = useHere();
  const live = useLive(() => targetGroups(region), { kinds: KINDS }, [region]);
  const [isNew, setNew] = useState(false);
  const [deleted, setDeleted] = useState<TargetGroup>();
  return (
    <>
      <List<TargetGroup>
        title="Target groups"
        noun="target group"
        live={live}
        keyOf={(each) => each.TargetGroupArn}
        actions={<Button onClick={() => setNew(true)}>Create target group</Button>}
        columns={[
          {
            id: "name",
            header: "Target group",
            cell: (each) => <Link href={to(["target-groups", each.TargetGroupName])}>{each.TargetGroupName}</Link>,
            sortingField: "TargetGroupName",
            isRowHeader: true,
          },
          { id: "protocol", header: "Protocol", cell: (each) => `${each.Protocol} ${each.Port}`, sortingField: "Protocol" },
          { id: "type", header: "Targets are", cell: (each) => each.TargetType, sortingField: "TargetType" },
          { id: "vpc", header: "VPC", cell: (each) => <Link href={to(["networks", each.VpcId])}>{each.VpcId}</Link> },
          {
            id: "used",
            header: "Used by",
            cell: (each) => each.LoadBalancerArns?.map((arn) => arn.split("/")[2]).join(", ") || "Nobody",
          },
          {
            id: "delete",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Delete ${each.TargetGroupName}`} onClick={() => setDeleted(each)}>
                Delete
              </Button>
            ),
          },
        ]}
      />
      {isNew && <CreateTargetGroup onClose={() => setNew(false)} />}
      {deleted && <DeleteTargetGroup group={deleted} onClose={() => setDeleted(undefined)} />}
    </>
  );
}

export function DeleteTargetGroup({ group, onClose, onDone }: { group: TargetGroup; onClose: () => void; onDone?: () => void }) {
  return (
    <Act
      title={`Delete ${group.TargetGroupName}?`}
      word="Delete"
      service="elbv2"
      operation="DeleteTargetGroup"
      parameters={{ TargetGroupArn: group.TargetGroupArn }}
      onClose={onClose}
      onDone={onDone}
    >
      Its targets are deregistered with it. One that a listener or rule leads to can not be deleted.
    </Act>
  );
}

const PROTOCOLS = ["HTTP", "HTTPS", "TCP", "UDP", "TCP_UDP"].map((value) => ({ value, label: value.replace("_", " and ") }));
const TYPES = [
  { value: "ip", label: "Addresses", description: "Of tasks on Fargate" },
  { value: "instance", label: "Instances" },
];

function CreateTargetGroup({ onClose }: { onClose: () => void }) {
  const { region, to } = useHere();
  const vpcs = useLive(
    async () => (await call<{ Vpcs?: { VpcId: string; IsDefault?: boolean }[] }>("ec2", "DescribeVpcs", region)).Vpcs ?? [],
    { kinds: ["vpc"] },
    [region],
  );
  const [name, setName] = useState("");
  const [protocol, setProtocol] = useState("HTTP");
  const [port, setPort] = useState("80");
  const [type, setType] = useState("ip");
  const [chosen, setChosen] = useState("");
  const [path, setPath] = useState("/");
  const vpc = chosen || (vpcs.value?.find((each) => each.IsDefault) ?? vpcs.value?.[0])?.VpcId || "";
  const hasPath = protocol.startsWith("HTTP");
  return (
    <Act
      title="Create a target group"
      word="Create"
      service="elbv2"
      operation="CreateTargetGroup"
      parameters={{
        Name: name,
        Protocol: protocol,
        Port: Number(port),
        VpcId: vpc,
        TargetType: type,
        HealthCheckPath: hasPath ? path : undefined,
      }}
      isReady={isBalancerName(name) && isPort(port) && vpc !== ""}
      onClose={onClose}
      onDone={() => {
        location.hash = to(["target-groups", name]);
      }}
    >
      <FormField label="Name" errorText={isBalancerName(name) || name === "" ? undefined : "Up to 32 letters, digits and hyphens"}>
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Protocol">
        <Select
          selectedOption={PROTOCOLS.find((each) => each.value === protocol) ?? null}
          options={PROTOCOLS}
          onChange={({ detail }) => setProtocol(detail.selectedOption.value ?? "HTTP")}
        />
      </FormField>
      <FormField label="Port" errorText={isPort(port) ? undefined : "1 to 65535"}>
        <Input value={port} onChange={({ detail }) => setPort(detail.value)} inputMode="numeric" />
      </FormField>
      <FormField label="Targets are">
        <Select
          selectedOption={TYPES.find((each) => each.value === type) ?? null}
          options={TYPES}
          onChange={({ detail }) => setType(detail.selectedOption.value ?? "ip")}
        />
      </FormField>
      <FormField label="VPC">
        <Select
          selectedOption={vpc ? { value: vpc, label: vpc } : null}
          options={vpcs.value?.map((each) => ({ value: each.VpcId, label: each.VpcId })) ?? []}
          onChange={({ detail }) => setChosen(detail.selectedOption.value ?? "")}
        />
      </FormField>
      {hasPath && (
        <FormField label="Path of health checks">
          <Input value={path} onChange={({ detail }) => setPath(detail.value)} />
        </FormField>
      )}
    </Act>
  );
}
