/** What VPCs are made of, as EC2 describes it. */

import { named } from "../format";
import { every } from "./call";

/** A tag of EC2. */
interface Tag {
  Key: string;
  Value: string;
}

/** What the console calls it: by its tag `Name`. */
export const titleOf = (id: string, tags: readonly Tag[] | undefined) => named(tags?.find((each) => each.Key === "Name")?.Value, id);

export interface Route {
  DestinationCidrBlock: string;
  /** An internet gateway, or `local`. */
  GatewayId?: string;
  NatGatewayId?: string;
  State?: string;
}

export interface RouteTable {
  RouteTableId: string;
  VpcId: string;
  Routes: Route[];
  Associations: { RouteTableAssociationId: string; Main?: boolean; SubnetId?: string }[];
  Tags?: Tag[];
}

export interface InternetGateway {
  InternetGatewayId: string;
  Attachments: { VpcId: string }[];
  Tags?: Tag[];
}

export interface NatGateway {
  NatGatewayId: string;
  VpcId: string;
  SubnetId: string;
  State: string;
  ConnectivityType?: string;
  NatGatewayAddresses?: { PublicIp?: string; PrivateIp?: string; NetworkInterfaceId?: string }[];
}

const inVpc = (vpc: string) => [{ Name: "vpc-id", Values: [vpc] }];

/** What VPCs are called, by their ids. */
export async function vpcTitles(region: string): Promise<Map<string, string>> {
  const all = await every<{ VpcId: string; Tags?: Tag[] }>("ec2", "DescribeVpcs", region, {}, "Vpcs", "NextToken");
  return new Map(all.map((each) => [each.VpcId, titleOf(each.VpcId, each.Tags)]));
}

export const routeTables = (region: string, vpc: string) =>
  every<RouteTable>("ec2", "DescribeRouteTables", region, { Filters: inVpc(vpc) }, "RouteTables", "NextToken");

/** Those of the VPC, and those that are free. */
export const internetGateways = async (region: string, vpc: string) =>
  (await every<InternetGateway>("ec2", "DescribeInternetGateways", region, {}, "InternetGateways", "NextToken")).filter((each) =>
    each.Attachments.every((one) => one.VpcId === vpc),
  );

/** Those that are gone are described for an hour more; they are left out. */
export const natGateways = async (region: string, vpc: string) =>
  (await every<NatGateway>("ec2", "DescribeNatGateways", region, { Filter: inVpc(vpc) }, "NatGateways", "NextToken")).filter(
    (each) => each.State !== "deleted",
  );

/** A name as EC2 keeps it: a tag, with what is made. */
export const nameTag = (ResourceType: string, name: string) =>
  name ? [{ ResourceType, Tags: [{ Key: "Name", Value: name }] }] : undefined;
