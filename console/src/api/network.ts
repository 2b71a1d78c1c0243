/** VPCs as Portside draws them, and who may talk to whom in them. */

import { read } from "./call";

export interface Holder {
  kind: "task" | "instance" | "balancer" | "gateway" | "files" | "none";
  name: string;
  id: string;
  cluster?: string;
  /** Of an instance: how many tasks are in its own network. */
  tasks?: number;
}

export interface Interface {
  id: string;
  address: string;
  publicAddress: string | null;
  securityGroupIds: string[];
  holder: Holder;
}

export interface SubnetView {
  id: string;
  cidrBlock: string;
  zone: string;
  routeTable: string | null;
  routes: { destination: string; to: string }[];
  networkAcl: string | null;
  /** The entries of a list that does not let all pass. */
  entries: string[];
  interfaces: Interface[];
}

export interface VpcView {
  account: string;
  region: string;
  id: string;
  cidrBlocks: string[];
  isDefault: boolean;
  subnets: SubnetView[];
  securityGroups: { id: string; name: string; isUsed: boolean }[];
}

/** What a packet meets. */
export const PACKET_KINDS = ["vpc", "subnet", "eni", "security_group", "route_table", "internet_gateway", "nat_gateway", "network_acl"];
export const NETWORK_KINDS = [...PACKET_KINDS, "task", "instance"];

export async function networks(account: string, region: string): Promise<VpcView[]> {
  const { vpcs } = await read<{ vpcs: VpcView[] }>("/_portside/network");
  return vpcs
    .filter((each) => each.account === account && each.region === region)
    .sort((a, b) => Number(b.isDefault) - Number(a.isDefault) || a.id.localeCompare(b.id));
}

export interface Talk {
  /** `hasLists`: network ACLs stand between, which may stop what security groups let pass. */
  interfaces: { id: string; out: string[]; in: string[]; hasLists: boolean }[];
  outside: { out: string[]; in: string[] };
}

export const talkOf = (id: string) => read<Talk>(`/_portside/reach/of?from=${encodeURIComponent(id)}`);

export interface Verdict {
  passes: boolean;
  why: string[];
}

export const verdict = (from: string, to: string, protocol: string, port: string) =>
  read<Verdict>(`/_portside/reach?${new URLSearchParams({ from, to, protocol, port })}`);
