/** The forms that make a mount target of a file system, and change its security groups. */

import FormField from "@cloudscape-design/components/form-field";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import { groupOption, securityGroups, subnetOption, subnets } from "../api/ec2";
import type { MountTarget } from "../api/efs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";
import { EditChoice } from "./edit-choice";

export function CreateMountTarget({ of, onClose }: { of: { id: string; zones?: string[] }; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(() => subnets(region), { kinds: ["subnet"] }, [region]);
  const [subnet, setSubnet] = useState("");
  const options = (known.value ?? [])
    .filter((each) => !of.zones?.includes(each.AvailabilityZone))
    .map(subnetOption);
  return (
    <Act
      title={`Mount target of ${of.id}`}
      word="Create"
      service="efs"
      operation="CreateMountTarget"
      parameters={{ FileSystemId: of.id, SubnetId: subnet }}
      isReady={subnet !== ""}
      onClose={onClose}
    >
      <FormField label="Subnet" description="Tasks of its zone can then use the file system">
        <Select
          selectedOption={options.find((each) => each.value === subnet) ?? null}
          options={options}
          onChange={({ detail }) => setSubnet(detail.selectedOption.value ?? "")}
          placeholder="Choose one"
          empty="Every zone has one"
        />
      </FormField>
    </Act>
  );
}

export function EditMountTargetGroups({ target, onClose }: { target: MountTarget; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(
    async () => (await securityGroups(region)).filter((each) => each.VpcId === target.VpcId).map(groupOption),
    { kinds: ["security_group"] },
    [region, target.VpcId],
  );
  return (
    <EditChoice
      title={`Security groups of ${target.MountTargetId}`}
      service="efs"
      operation="ModifyMountTargetSecurityGroups"
      parameters={(chosen) => ({ MountTargetId: target.MountTargetId, SecurityGroups: chosen })}
      label="Security groups"
      description="At most five; tasks mount the file system if one of them lets their traffic to port 2049 in"
      now={target.securityGroups}
      known={known}
      onClose={onClose}
    />
  );
}
