/** Storage and images, as Portside tells of them: who uses them, and how full they are. */

import { call, every, read } from "./call";

export interface Volume {
  id: string;
  name: string;
  kind: "ebs" | "efs" | "docker" | "ephemeral" | "task" | "host";
  account: string;
  region: string;
  zones?: string[];
  instance?: string;
  device?: string;
  status?: string;
  reason?: string;
  type?: string;
  driver?: string;
  snapshotId?: string;
  snapshots?: string[];
  accessPoints?: { id: string; path: string; posixUser: { uid: number; gid: number } | null }[];
  createdAt?: string;
  createdBy?: string;
  mountPoints?: { container: string; path: string; readOnly: boolean }[];
  usedBy: string[];
  /** Undefined before the first look at the disk. */
  sizeBytes?: number | null;
  capacityBytes?: number;
  isNearlyFull?: boolean;
  isReadOnly?: boolean;
  isMissing?: boolean;
}

export const VOLUME_KINDS = ["ebs_volume", "ebs_snapshot", "file_system", "mount_target", "access_point", "docker_volume", "task"];

/** Of those that change seldom: when one does, it is looked at once more. */
export const SIZED_KINDS = ["ebs_volume", "file_system", "docker_volume"];

/** How full something is changes without a record, and to know it takes a look at disks: so often, and no more. */
export const FULLNESS_MS = 20_000;

/** Args: looks: whether at disks, too. */
export async function volumes(region: string, account: string, looks: boolean): Promise<Volume[]> {
  const found = await read<{ volumes: Volume[] }>(`/_portside/volumes${looks ? "" : "?sizes=no"}`);
  return found.volumes.filter((each) => each.region === region && each.account === account);
}

/** What is there, each with how full it was when that was last looked at. */
export function measured(all: readonly Volume[], looked: readonly Volume[]): Volume[] {
  const known = new Map(looked.map((each) => [`${each.kind} ${each.id}`, each]));
  return all.map((each) => ({ ...known.get(`${each.kind} ${each.id}`), ...each }));
}

export interface Snapshot {
  SnapshotId: string;
  VolumeId: string;
  VolumeSize: number;
  State: string;
  Progress?: string;
  StartTime: number;
  Description?: string;
}

export const snapshots = (region: string) =>
  every<Snapshot>("ec2", "DescribeSnapshots", region, { OwnerIds: ["self"] }, "Snapshots", "NextToken");

export const zones = async (region: string) =>
  (await call<{ AvailabilityZones?: { ZoneName: string }[] }>("ec2", "DescribeAvailabilityZones", region)).AvailabilityZones ?? [];

export interface MachineImage {
  id: string;
  digest: string;
  names: string[];
  sizeBytes: number;
  createdAt: string;
  layers: { digest: string; sizeBytes: number }[];
  origin: string | null;
  acquiredAt: string | null;
  lastUsedAt: string | null;
  usedBy: { kind: "task" | "service"; account: string; region: string; cluster: string; id: string }[];
}

export interface Images {
  diskPercent: number;
  images: MachineImage[];
}

export const images = () => read<Images>("/_portside/images");

/** `docker.io/library/web` of `docker.io/library/web:1`, of the first name. */
function repositoryOf(name: string): string {
  const digest = name.indexOf("@");
  const plain = digest < 0 ? name : name.slice(0, digest);
  const colon = plain.lastIndexOf(":");
  return colon > plain.lastIndexOf("/") ? plain.slice(0, colon) : plain;
}

export interface Repository {
  name: string;
  images: MachineImage[];
}

/** Images by the repositories of their names; one with names in two is in both, one without a name under "". */
export function repositoriesOf(all: readonly MachineImage[]): Repository[] {
  const found = new Map<string, MachineImage[]>();
  for (const image of all) {
    for (const name of new Set(image.names.length ? image.names.map(repositoryOf) : [""])) {
      found.set(name, [...(found.get(name) ?? []), image]);
    }
  }
  return [...found].map(([name, images]) => ({ name, images })).sort((a, b) => a.name.localeCompare(b.name));
}
