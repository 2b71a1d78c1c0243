/** The form that launches container instances of a cluster. */

import Alert from "@cloudscape-design/components/alert";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import { call, every } from "../api/call";
import { subnetOption, subnets } from "../api/ec2";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { memory, vcpu } from "../format";
import { isUpTo } from "../typed";
import { Act } from "./act";

const IMAGES = "/aws/service/ecs/optimized-ami/amazon-linux-2023";
const INSTANCES_MOST = 20;

interface InstanceType {
  InstanceType: string;
  VCpuInfo: { DefaultVCpus: number };
  MemoryInfo: { SizeInMiB: number };
  ProcessorInfo?: { SupportedArchitectures?: string[] };
}

const isArm = (type: InstanceType) => type.ProcessorInfo?.SupportedArchitectures?.includes("arm64") === true;

const typeOption = (type: InstanceType) => ({
  value: type.InstanceType,
  label: type.InstanceType,
  description: `${vcpu(type.VCpuInfo.DefaultVCpus * 1024)}, ${memory(type.MemoryInfo.SizeInMiB)}${isArm(type) ? ", arm64" : ""}`,
});

/** The image for ECS, as its public parameter has it. */
async function imageOf(region: string, kind: "" | "/arm64"): Promise<string> {
  const Name = `${IMAGES}${kind}/recommended/image_id`;
  return (await call<{ Parameter: { Value: string } }>("ssm", "GetParameter", region, { Name })).Parameter.Value;
}

export function LaunchInstances({ cluster, onClose }: { cluster: string; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(
    async () => {
      const [types, allSubnets, image, armImage] = await Promise.all([
        every<InstanceType>("ec2", "DescribeInstanceTypes", region, {}, "InstanceTypes", "NextToken"),
        subnets(region),
        imageOf(region, ""),
        imageOf(region, "/arm64"),
      ]);
      types.sort((a, b) => a.MemoryInfo.SizeInMiB - b.MemoryInfo.SizeInMiB || a.InstanceType.localeCompare(b.InstanceType));
      return { types: types.map((each) => ({ ...typeOption(each), isOfArm: isArm(each) })), subnets: allSubnets, image, armImage };
    },
    { kinds: ["subnet"] },
    [region],
  );
  const [type, setType] = useState("t3.small");
  const [count, setCount] = useState("1");
  const [chosen, setSubnet] = useState("");
  const types = known.value?.types ?? [];
  const options = (known.value?.subnets ?? []).map(subnetOption);
  const subnet = chosen || (known.value?.subnets.find((each) => each.DefaultForAz)?.SubnetId ?? "");
  const isCount = isUpTo(count, INSTANCES_MOST);
  const wanted = types.find((each) => each.value === type);
  const joins = `#!/bin/bash\necho ECS_CLUSTER=${cluster} >> /etc/ecs/ecs.config`;
  return (
    <Act
      title={`Launch instances of ${cluster}`}
      word="Launch"
      service="ec2"
      operation="RunInstances"
      parameters={{
        ImageId: wanted?.isOfArm ? known.value?.armImage : known.value?.image,
        InstanceType: type,
        MinCount: Number(count),
        MaxCount: Number(count),
        SubnetId: subnet,
        UserData: btoa(joins),
      }}
      // The command line encodes it by itself, and has one word for both counts.
      shown={{ UserData: joins, MinCount: undefined, MaxCount: undefined, count: Number(count) }}
      isReady={known.value !== undefined && isCount && subnet !== ""}
      onClose={onClose}
    >
      {known.error && <Alert type="error">{known.error.message}</Alert>}
      <FormField label="Type" description="What tasks on it can have together">
        <Select
          filteringType="auto"
          selectedOption={wanted ?? { value: type, label: type }}
          options={types}
          onChange={({ detail }) => setType(detail.selectedOption.value ?? type)}
        />
      </FormField>
      <FormField label="How many" errorText={isCount ? undefined : `1 to ${INSTANCES_MOST}`}>
        <Input value={count} inputMode="numeric" onChange={({ detail }) => setCount(detail.value)} />
      </FormField>
      <FormField label="Subnet">
        <Select
          selectedOption={options.find((each) => each.value === subnet) ?? null}
          options={options}
          onChange={({ detail }) => setSubnet(detail.selectedOption.value ?? "")}
          placeholder="Choose one"
        />
      </FormField>
    </Act>
  );
}
