/** A file system of EFS: its mount targets and its access points. */

import { call, every } from "./call";

export interface FileSystem {
  FileSystemId: string;
  Name?: string;
  LifeCycleState: string;
  CreationTime: number;
  Encrypted?: boolean;
  PerformanceMode?: string;
  ThroughputMode?: string;
}

export interface MountTarget {
  MountTargetId: string;
  SubnetId: string;
  LifeCycleState: string;
  IpAddress?: string;
  NetworkInterfaceId?: string;
  AvailabilityZoneName?: string;
  VpcId?: string;
  securityGroups: string[];
}

export interface AccessPoint {
  AccessPointId: string;
  Name?: string;
  LifeCycleState: string;
  RootDirectory?: { Path?: string; CreationInfo?: { OwnerUid: number; OwnerGid: number; Permissions: string } };
  PosixUser?: { Uid: number; Gid: number };
}

export async function fileSystem(region: string, FileSystemId: string): Promise<FileSystem | undefined> {
  return (await call<{ FileSystems?: FileSystem[] }>("efs", "DescribeFileSystems", region, { FileSystemId })).FileSystems?.[0];
}

export async function mountTargets(region: string, FileSystemId: string): Promise<MountTarget[]> {
  const found = await call<{ MountTargets?: MountTarget[] }>("efs", "DescribeMountTargets", region, { FileSystemId });
  return Promise.all(
    (found.MountTargets ?? []).map(async (each) => ({
      ...each,
      securityGroups: (
        await call<{ SecurityGroups: string[] }>("efs", "DescribeMountTargetSecurityGroups", region, { MountTargetId: each.MountTargetId })
      ).SecurityGroups,
    })),
  );
}

export const accessPoints = (region: string, FileSystemId: string) =>
  every<AccessPoint>("efs", "DescribeAccessPoints", region, { FileSystemId }, "AccessPoints", "NextToken");
