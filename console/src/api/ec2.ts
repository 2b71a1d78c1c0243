/** The members of EC2's answers that forms offer. */

import { call, every } from "./call";

export interface Subnet {
  SubnetId: string;
  VpcId: string;
  AvailabilityZone: string;
  CidrBlock: string;
  DefaultForAz?: boolean;
  MapPublicIpOnLaunch?: boolean;
  Tags?: { Key: string; Value: string }[];
}

export interface SecurityGroup {
  GroupId: string;
  GroupName: string;
  Description?: string;
  VpcId: string;
  IpPermissions?: object[];
  IpPermissionsEgress?: object[];
}

/** As forms offer them. */
export const subnetOption = (each: Subnet) => ({
  value: each.SubnetId,
  label: each.SubnetId,
  description: `${each.AvailabilityZone}, ${each.CidrBlock}`,
});
export const groupOption = (each: SecurityGroup) => ({ value: each.GroupId, label: each.GroupName, description: each.GroupId });

export const subnets = (region: string) => every<Subnet>("ec2", "DescribeSubnets", region, {}, "Subnets", "NextToken");
export const securityGroups = (region: string) =>
  every<SecurityGroup>("ec2", "DescribeSecurityGroups", region, {}, "SecurityGroups", "NextToken");

export interface GroupRule {
  SecurityGroupRuleId: string;
  GroupId: string;
  IsEgress: boolean;
  IpProtocol: string;
  FromPort?: number;
  ToPort?: number;
  CidrIpv4?: string;
  CidrIpv6?: string;
  ReferencedGroupInfo?: { GroupId: string };
  Description?: string;
}

export const groupRules = (region: string, group: string) =>
  every<GroupRule>(
    "ec2",
    "DescribeSecurityGroupRules",
    region,
    { Filters: [{ Name: "group-id", Values: [group] }] },
    "SecurityGroupRules",
    "NextToken",
  );

export interface Ec2Instance {
  InstanceId: string;
  InstanceType?: string;
  PrivateIpAddress?: string;
  Placement?: { AvailabilityZone?: string };
  State?: { Name: string };
}

export const instances = async (region: string) =>
  (await every<{ Instances?: Ec2Instance[] }>("ec2", "DescribeInstances", region, {}, "Reservations", "NextToken")).flatMap(
    (each) => each.Instances ?? [],
  );

export interface Address {
  AllocationId: string;
  PublicIp: string;
  AssociationId?: string;
  NetworkInterfaceId?: string;
  PrivateIpAddress?: string;
}

export const addresses = async (region: string) =>
  (await call<{ Addresses?: Address[] }>("ec2", "DescribeAddresses", region)).Addresses ?? [];

/** `tcp 80`, `everything`, `icmp`. */
export function portsOf(rule: Pick<GroupRule, "IpProtocol" | "FromPort" | "ToPort">): string {
  const { IpProtocol: protocol, FromPort: first, ToPort: last } = rule;
  if (protocol === "-1") return "everything";
  if (first === undefined || first < 0 || (first === 0 && last === 65535)) return protocol;
  if (protocol === "icmp") return `icmp type ${first}`;
  return first === last ? `${protocol} ${first}` : `${protocol} ${first}-${last}`;
}
