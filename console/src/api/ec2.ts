/** The members of EC2's answers that forms offer. */

import { every } from "./call";

export interface Subnet {
  SubnetId: string;
  VpcId: string;
  AvailabilityZone: string;
  CidrBlock: string;
  DefaultForAz?: boolean;
}

export interface SecurityGroup {
  GroupId: string;
  GroupName: string;
  VpcId: string;
}

export const subnets = (region: string) => every<Subnet>("ec2", "DescribeSubnets", region, {}, "Subnets", "NextToken");
export const securityGroups = (region: string) =>
  every<SecurityGroup>("ec2", "DescribeSecurityGroups", region, {}, "SecurityGroups", "NextToken");
