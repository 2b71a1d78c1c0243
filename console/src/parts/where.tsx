/** Where new tasks run: a cluster, and subnets and groups of a VPC, as forms ask for them. */

import Alert from "@cloudscape-design/components/alert";
import Checkbox from "@cloudscape-design/components/checkbox";
import FormField from "@cloudscape-design/components/form-field";
import Multiselect from "@cloudscape-design/components/multiselect";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { type ReactNode, useState } from "react";
import { securityGroups, subnets } from "../api/ec2";
import { clusters } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";

interface Where {
  cluster: string;
  networkConfiguration: object;
  isReady: boolean;
  clusterField: ReactNode;
  networkFields: ReactNode;
}

export function useWhere(): Where {
  const { region } = useHere();
  const options = useLive(
    async () => {
      const [allClusters, allSubnets, allGroups] = await Promise.all([clusters(region), subnets(region), securityGroups(region)]);
      return { clusters: allClusters, subnets: allSubnets, groups: allGroups };
    },
    { kinds: ["cluster", "subnet", "security_group"] },
    [region],
  );
  const [chosenCluster, setCluster] = useState("");
  const [chosen, setChosen] = useState<readonly string[]>();
  const [groups, setGroups] = useState<readonly string[]>([]);
  const [hasPublic, setPublic] = useState(true);
  const all = options.value;
  const active = all?.clusters.filter((each) => each.status === "ACTIVE") ?? [];
  const cluster = chosenCluster || active[0]?.clusterName || "";
  const inDefault = all?.subnets.filter((each) => each.DefaultForAz).map((each) => each.SubnetId) ?? [];
  const inSubnets = chosen ?? inDefault;
  const vpc = all?.subnets.find((each) => inSubnets.includes(each.SubnetId))?.VpcId;
  const subnetOptions = (all?.subnets ?? []).map((each) => ({
    value: each.SubnetId,
    label: each.SubnetId,
    description: `${each.AvailabilityZone}, ${each.CidrBlock}`,
  }));
  const groupOptions = (all?.groups ?? [])
    .filter((each) => each.VpcId === vpc)
    .map((each) => ({ value: each.GroupId, label: each.GroupName, description: each.GroupId }));
  return {
    cluster,
    isReady: cluster !== "" && inSubnets.length > 0,
    networkConfiguration: {
      awsvpcConfiguration: {
        subnets: inSubnets,
        securityGroups: groups.length ? groups : undefined,
        assignPublicIp: hasPublic ? "ENABLED" : "DISABLED",
      },
    },
    clusterField: (
      <FormField label="Cluster">
        <Select
          selectedOption={cluster ? { value: cluster, label: cluster } : null}
          options={active.map((each) => ({ value: each.clusterName, label: each.clusterName }))}
          onChange={({ detail }) => setCluster(detail.selectedOption.value ?? "")}
          placeholder="Choose one"
          empty="No cluster in this region"
        />
      </FormField>
    ),
    networkFields: (
      <SpaceBetween size="l">
        {options.error && <Alert type="error">{options.error.message}</Alert>}
        <FormField label="Subnets">
          <Multiselect
            selectedOptions={subnetOptions.filter((each) => inSubnets.includes(each.value))}
            options={subnetOptions}
            onChange={({ detail }) => setChosen(detail.selectedOptions.map((each) => each.value ?? ""))}
            placeholder="Choose some"
          />
        </FormField>
        <FormField label="Security groups" description="None: the default group of the VPC">
          <Multiselect
            selectedOptions={groupOptions.filter((each) => groups.includes(each.value))}
            options={groupOptions}
            onChange={({ detail }) => setGroups(detail.selectedOptions.map((each) => each.value ?? ""))}
            placeholder="Choose some"
          />
        </FormField>
        <Checkbox checked={hasPublic} onChange={({ detail }) => setPublic(detail.checked)}>
          A public address
        </Checkbox>
      </SpaceBetween>
    ),
  };
}
