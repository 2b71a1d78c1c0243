/** Subnets and security groups of one VPC, as forms ask for them; the default subnets to begin with. */

import FormField from "@cloudscape-design/components/form-field";
import Multiselect from "@cloudscape-design/components/multiselect";
import { type ReactNode, useState } from "react";
import { groupOption, securityGroups, subnetOption, subnets } from "../api/ec2";
import { useLive } from "../api/live";
import { useHere } from "../context";

interface Network {
  subnets: readonly string[];
  /** Undefined for none. */
  groups: readonly string[] | undefined;
  error: Error | undefined;
  subnetField: ReactNode;
  groupField: ReactNode;
}

/** Args: subnetHint, groupHint: what stands with the fields. */
export function useNetwork({ subnetHint, groupHint }: { subnetHint?: string; groupHint: string }): Network {
  const { region } = useHere();
  const known = useLive(
    async () => {
      const [allSubnets, allGroups] = await Promise.all([subnets(region), securityGroups(region)]);
      return { subnets: allSubnets, groups: allGroups };
    },
    { kinds: ["subnet", "security_group"] },
    [region],
  );
  const [chosen, setChosen] = useState<readonly string[]>();
  const [groups, setGroups] = useState<readonly string[]>([]);
  const all = known.value?.subnets ?? [];
  const inSubnets = chosen ?? all.filter((each) => each.DefaultForAz).map((each) => each.SubnetId);
  const vpc = all.find((each) => inSubnets.includes(each.SubnetId))?.VpcId;
  const subnetOptions = all.map(subnetOption);
  const groupOptions = (known.value?.groups ?? []).filter((each) => each.VpcId === vpc).map(groupOption);
  return {
    subnets: inSubnets,
    groups: groups.length ? groups : undefined,
    error: known.error,
    subnetField: (
      <FormField label="Subnets" description={subnetHint}>
        <Multiselect
          selectedOptions={subnetOptions.filter((each) => inSubnets.includes(each.value))}
          options={subnetOptions}
          onChange={({ detail }) => setChosen(detail.selectedOptions.map((each) => each.value ?? ""))}
          placeholder="Choose some"
        />
      </FormField>
    ),
    groupField: (
      <FormField label="Security groups" description={groupHint}>
        <Multiselect
          selectedOptions={groupOptions.filter((each) => groups.includes(each.value))}
          options={groupOptions}
          onChange={({ detail }) => setGroups(detail.selectedOptions.map((each) => each.value ?? ""))}
          placeholder="Choose some"
        />
      </FormField>
    ),
  };
}
