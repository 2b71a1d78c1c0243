/** The form that makes a mount target of a file system. */

import FormField from "@cloudscape-design/components/form-field";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import { subnets } from "../api/ec2";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";

export function CreateMountTarget({ of, onClose }: { of: { id: string; zones?: string[] }; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(() => subnets(region), { kinds: ["subnet"] }, [region]);
  const [subnet, setSubnet] = useState("");
  const options = (known.value ?? [])
    .filter((each) => !of.zones?.includes(each.AvailabilityZone))
    .map((each) => ({ value: each.SubnetId, label: each.SubnetId, description: `${each.AvailabilityZone}, ${each.CidrBlock}` }));
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
