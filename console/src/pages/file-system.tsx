/** One file system of EFS: its mount targets and access points, which are made and deleted here. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { type AccessPoint, accessPoints, fileSystem, type MountTarget, mountTargets } from "../api/efs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { named, time } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { CreateMountTarget, EditMountTargetGroups } from "../parts/mount-target";
import { Status } from "../parts/status";
import { Tags } from "../parts/tags";

export function FileSystemPage({ id }: { id: string }) {
  const { region } = useHere();
  const live = useLive(() => fileSystem(region, id), { kinds: ["file_system"] }, [region, id]);
  if (live.error) return <Alert type="error">{live.error.message}</Alert>;
  const found = live.value;
  return (
    <SpaceBetween size="l">
      <Header variant="h1">{named(found?.Name, id)}</Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="State">
            <Status of={found?.LifeCycleState.toUpperCase()} />
          </Fact>
          <Fact label="Created">{time(found?.CreationTime)}</Fact>
          <Fact label="Throughput">{found?.ThroughputMode ?? "–"}</Fact>
          <Fact label="Marked as encrypted">{found ? (found.Encrypted ? "Yes" : "No") : "–"}</Fact>
        </ColumnLayout>
      </Container>
      <MountTargets of={id} />
      <AccessPoints of={id} />
      <Tags service="efs" of={id} name={found?.Name || id} kinds={["file_system"]} />
    </SpaceBetween>
  );
}

function MountTargets({ of }: { of: string }) {
  const { region, to } = useHere();
  const live = useLive(() => mountTargets(region, of), { kinds: ["mount_target", "eni"] }, [region, of]);
  const [isNew, setNew] = useState(false);
  const [changed, setChanged] = useState<MountTarget>();
  const [deleted, setDeleted] = useState<MountTarget>();
  const zones = live.value?.flatMap((each) => each.AvailabilityZoneName ?? []) ?? [];
  return (
    <>
      <List<MountTarget>
        title="Mount targets"
        noun="mount target"
        live={live}
        keyOf={(each) => each.MountTargetId}
        actions={<Button onClick={() => setNew(true)}>Create mount target</Button>}
        columns={[
          { id: "id", header: "Mount target", cell: (each) => each.MountTargetId, sortingField: "MountTargetId", isRowHeader: true },
          { id: "state", header: "State", cell: (each) => <Status of={each.LifeCycleState.toUpperCase()} /> },
          { id: "zone", header: "Zone", cell: (each) => each.AvailabilityZoneName ?? "–", sortingField: "AvailabilityZoneName" },
          { id: "subnet", header: "Subnet", cell: (each) => each.SubnetId },
          {
            id: "address",
            header: "Address",
            cell: (each) =>
              each.NetworkInterfaceId ? <Link href={to(["networks", each.NetworkInterfaceId])}>{each.IpAddress}</Link> : (each.IpAddress ?? "–"),
          },
          {
            id: "groups",
            header: "Security groups",
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="xs">
                {each.securityGroups.map((group) => (
                  <Link key={group} href={to(["security-groups", group])}>
                    {group}
                  </Link>
                ))}
              </SpaceBetween>
            ),
          },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button
                  variant="inline-link"
                  ariaLabel={`Security groups of ${each.MountTargetId}`}
                  onClick={() => setChanged(each)}
                >
                  Security groups
                </Button>
                <Button variant="inline-link" ariaLabel={`Delete ${each.MountTargetId}`} onClick={() => setDeleted(each)}>
                  Delete
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {isNew && <CreateMountTarget of={{ id: of, zones }} onClose={() => setNew(false)} />}
      {changed && <EditMountTargetGroups target={changed} onClose={() => setChanged(undefined)} />}
      {deleted && (
        <Act
          title={`Delete ${deleted.MountTargetId}?`}
          word="Delete"
          service="efs"
          operation="DeleteMountTarget"
          parameters={{ MountTargetId: deleted.MountTargetId }}
          onClose={() => setDeleted(undefined)}
        >
          Tasks that begin in {deleted.AvailabilityZoneName ?? "its zone"} can not mount the file system any more. What is in it stays.
        </Act>
      )}
    </>
  );
}

function AccessPoints({ of }: { of: string }) {
  const { region } = useHere();
  const live = useLive(() => accessPoints(region, of), { kinds: ["access_point"] }, [region, of]);
  const [isNew, setNew] = useState(false);
  const [deleted, setDeleted] = useState<AccessPoint>();
  return (
    <>
      <List<AccessPoint>
        title="Access points"
        noun="access point"
        live={live}
        keyOf={(each) => each.AccessPointId}
        actions={<Button onClick={() => setNew(true)}>Create access point</Button>}
        columns={[
          {
            id: "id",
            header: "Access point",
            cell: (each) => named(each.Name, each.AccessPointId),
            sortingField: "AccessPointId",
            isRowHeader: true,
          },
          { id: "state", header: "State", cell: (each) => <Status of={each.LifeCycleState.toUpperCase()} /> },
          { id: "path", header: "Directory", cell: (each) => each.RootDirectory?.Path ?? "/" },
          { id: "user", header: "Acts as", cell: (each) => (each.PosixUser ? `${each.PosixUser.Uid}:${each.PosixUser.Gid}` : "The client's user") },
          {
            id: "made",
            header: "Directory made as",
            cell: ({ RootDirectory: root }) =>
              root?.CreationInfo ? `${root.CreationInfo.OwnerUid}:${root.CreationInfo.OwnerGid} ${root.CreationInfo.Permissions}` : "Not made",
          },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Delete ${each.AccessPointId}`} onClick={() => setDeleted(each)}>
                Delete
              </Button>
            ),
          },
        ]}
      />
      {isNew && <CreateAccessPoint of={of} onClose={() => setNew(false)} />}
      {deleted && (
        <Act
          title={`Delete ${deleted.AccessPointId}?`}
          word="Delete"
          service="efs"
          operation="DeleteAccessPoint"
          parameters={{ AccessPointId: deleted.AccessPointId }}
          onClose={() => setDeleted(undefined)}
        >
          Tasks that name it do not start any more. The directory and what is in it stay.
        </Act>
      )}
    </>
  );
}

/** `1000:1000`; undefined if it is not. */
function userOf(text: string): { Uid: number; Gid: number } | undefined {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  return uid === undefined || gid === undefined ? undefined : { Uid: Number(uid), Gid: Number(gid) };
}

function CreateAccessPoint({ of, onClose }: { of: string; onClose: () => void }) {
  // One form makes one access point, however often it is sent.
  const [token] = useState(() => `console-${Date.now()}`);
  const [name, setName] = useState("");
  const [path, setPath] = useState("/");
  const [user, setUser] = useState("");
  const [owner, setOwner] = useState("");
  const [permissions, setPermissions] = useState("0755");
  const acts = userOf(user);
  const owns = userOf(owner);
  const isMode = /^[0-7]{3,4}$/.test(permissions);
  const pair = "A user and a group by number: 1000:1000";
  return (
    <Act
      title={`Access point of ${of}`}
      word="Create"
      service="efs"
      operation="CreateAccessPoint"
      parameters={{
        ClientToken: token,
        FileSystemId: of,
        PosixUser: acts,
        RootDirectory: {
          Path: path,
          ...(owns && { CreationInfo: { OwnerUid: owns.Uid, OwnerGid: owns.Gid, Permissions: permissions } }),
        },
        Tags: name ? [{ Key: "Name", Value: name }] : undefined,
      }}
      isReady={path.startsWith("/") && (user === "" || acts !== undefined) && (owner === "" || (owns !== undefined && isMode))}
      onClose={onClose}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Directory" errorText={path.startsWith("/") ? undefined : "From the root: /web"}>
        <Input value={path} onChange={({ detail }) => setPath(detail.value)} />
      </FormField>
      <FormField
        label="Acts as"
        description="User and group of all that is done through it; none: the client's own"
        errorText={user === "" || acts ? undefined : pair}
      >
        <Input value={user} placeholder="1000:1000" onChange={({ detail }) => setUser(detail.value)} />
      </FormField>
      <FormField
        label="Owner of the directory"
        description="With whom it is made if it is not there; none: it is not made"
        errorText={owner === "" || owns ? undefined : pair}
      >
        <Input value={owner} placeholder="1000:1000" onChange={({ detail }) => setOwner(detail.value)} />
      </FormField>
      {owner !== "" && (
        <FormField label="Permissions of the directory" errorText={isMode ? undefined : "Octal: 0755"}>
          <Input value={permissions} onChange={({ detail }) => setPermissions(detail.value)} />
        </FormField>
      )}
    </Act>
  );
}
