/** The forms that make and delete a VPC. */

import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import { useState } from "react";
import { nameTag } from "../api/vpc";
import { useHere } from "../context";
import { isBlock } from "../typed";
import { Act } from "./act";

export function CreateVpc({ onClose }: { onClose: () => void }) {
  const { to } = useHere();
  const [name, setName] = useState("");
  const [block, setBlock] = useState("10.0.0.0/16");
  return (
    <Act<{ Vpc: { VpcId: string } }>
      title="Create a VPC"
      word="Create"
      service="ec2"
      operation="CreateVpc"
      parameters={{ CidrBlock: block, TagSpecifications: nameTag("vpc", name) }}
      isReady={isBlock(block)}
      onClose={onClose}
      onDone={({ Vpc }) => {
        location.hash = to(["networks", Vpc.VpcId]);
      }}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Block" description="Its addresses, from /16 to /28" errorText={isBlock(block) ? undefined : "As 10.0.0.0/16"}>
        <Input value={block} onChange={({ detail }) => setBlock(detail.value.trim())} />
      </FormField>
    </Act>
  );
}

export function DeleteVpc({ vpc, onClose }: { vpc: string; onClose: () => void }) {
  return (
    <Act title={`Delete ${vpc}?`} word="Delete" service="ec2" operation="DeleteVpc" parameters={{ VpcId: vpc }} onClose={onClose}>
      It goes with its main route table, its default security group and its default network ACL. One with subnets, gateways or other groups
      can not be deleted.
    </Act>
  );
}
