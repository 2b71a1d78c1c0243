/** All storage: volumes of EBS and their snapshots, file systems of EFS, Docker volumes, and what goes with its task. */

import Button from "@cloudscape-design/components/button";
import Checkbox from "@cloudscape-design/components/checkbox";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import Link from "@cloudscape-design/components/link";
import Select from "@cloudscape-design/components/select";
import SpaceBetween from "@cloudscape-design/components/space-between";
import { useState } from "react";
import { remove } from "../api/call";
import { type Live, useLive } from "../api/live";
import { FULLNESS_MS, measured, SIZED_KINDS, type Snapshot, snapshots, type Volume, VOLUME_KINDS, volumes, zones } from "../api/storage";
import { quoted } from "../command";
import { useHere } from "../context";
import { named, secondsOf, time } from "../format";
import { Act } from "../parts/act";
import { AttachVolume, DetachVolume } from "../parts/attach-volume";
import { Full } from "../parts/full";
import { List } from "../parts/list";
import { CreateMountTarget } from "../parts/mount-target";
import { Status } from "../parts/status";
import { taskOf, UsedBy } from "../parts/used-by";

export function Volumes() {
  const { about, region } = useHere();
  const all = useLive(() => volumes(region, about.account, false), { kinds: VOLUME_KINDS }, [region]);
  const looked = useLive(() => volumes(region, about.account, true), { kinds: SIZED_KINDS, everyMs: FULLNESS_MS }, [region]);
  const live: Live<Volume[]> = { value: all.value && measured(all.value, looked.value ?? []), error: all.error ?? looked.error };
  const some = (...kinds: Volume["kind"][]): Live<Volume[]> => ({
    ...live,
    value: live.value?.filter((each) => kinds.includes(each.kind)),
  });
  return (
    <SpaceBetween size="l">
      <Header variant="h1">Volumes</Header>
      <BlockStorage live={some("ebs")} />
      <Snapshots />
      <FileSystems live={some("efs")} />
      <DockerVolumes live={some("docker")} />
      <TaskStorage live={some("ephemeral", "task", "host")} />
    </SpaceBetween>
  );
}

const title = (each: Volume) => named(each.name, each.id);

const users = (each: Volume) => <UsedBy users={each.usedBy.map(taskOf)} other={each.instance ? `Instance ${each.instance}` : undefined} />;

function BlockStorage({ live }: { live: Live<Volume[]> }) {
  const [isNew, setNew] = useState(false);
  const [copied, setCopied] = useState<Volume>();
  const [deleted, setDeleted] = useState<Volume>();
  const [attached, setAttached] = useState<Volume>();
  const [detached, setDetached] = useState<Volume>();
  const [description, setDescription] = useState("");
  return (
    <>
      <List<Volume>
        title="EBS volumes"
        noun="EBS volume"
        live={live}
        keyOf={(each) => each.id}
        actions={<Button onClick={() => setNew(true)}>Create volume</Button>}
        columns={[
          { id: "id", header: "Volume", cell: title, sortingField: "id", isRowHeader: true },
          { id: "status", header: "State", cell: (each) => <Status of={each.status?.toUpperCase().replaceAll("-", "_")} /> },
          { id: "type", header: "Type", cell: (each) => each.type ?? "–", sortingField: "type" },
          { id: "zone", header: "Zone", cell: (each) => each.zones?.join(", ") ?? "–" },
          { id: "full", header: "Used", cell: (each) => <Full of={each} />, minWidth: 150 },
          { id: "users", header: "Used by", cell: users },
          { id: "said", header: "Said", cell: (each) => (each.isReadOnly ? "Read-only: its file system met an error" : each.reason || "–") },
          {
            id: "change",
            header: "Change",
            minWidth: 160,
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button variant="inline-link" ariaLabel={`Snapshot of ${each.id}`} onClick={() => setCopied(each)}>
                  Snapshot
                </Button>
                {each.status === "available" && (
                  <Button variant="inline-link" ariaLabel={`Attach ${each.id}`} onClick={() => setAttached(each)}>
                    Attach
                  </Button>
                )}
                {each.instance && (
                  <Button variant="inline-link" ariaLabel={`Detach ${each.id}`} onClick={() => setDetached(each)}>
                    Detach
                  </Button>
                )}
                <Button variant="inline-link" ariaLabel={`Delete ${each.id}`} onClick={() => setDeleted(each)}>
                  Delete
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {isNew && <CreateVolume onClose={() => setNew(false)} />}
      {attached && <AttachVolume volume={attached} onClose={() => setAttached(undefined)} />}
      {detached && <DetachVolume volume={detached} onClose={() => setDetached(undefined)} />}
      {copied && (
        <Act
          title={`Snapshot of ${copied.id}`}
          word="Create"
          service="ec2"
          operation="CreateSnapshot"
          parameters={{ VolumeId: copied.id, Description: description || undefined }}
          onClose={() => setCopied(undefined)}
        >
          <FormField label="Description">
            <Input value={description} onChange={({ detail }) => setDescription(detail.value)} />
          </FormField>
        </Act>
      )}
      {deleted && (
        <Act
          title={`Delete ${deleted.id}?`}
          word="Delete"
          service="ec2"
          operation="DeleteVolume"
          parameters={{ VolumeId: deleted.id }}
          onClose={() => setDeleted(undefined)}
        >
          What is on it is lost; its snapshots stay. One that is attached can not be deleted.
        </Act>
      )}
    </>
  );
}

const TYPES = ["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"].map((value) => ({ value, label: value }));

function CreateVolume({ onClose, snapshot }: { onClose: () => void; snapshot?: Snapshot }) {
  const { region } = useHere();
  const known = useLive(() => zones(region), { kinds: [] }, [region]);
  const [chosen, setChosen] = useState("");
  const [size, setSize] = useState(String(snapshot?.VolumeSize ?? 8));
  const [type, setType] = useState("gp3");
  const [name, setName] = useState("");
  const zone = chosen || known.value?.[0]?.ZoneName || "";
  const isSize = /^\d{1,5}$/.test(size) && Number(size) > 0;
  return (
    <Act
      title={snapshot ? `Create a volume of ${snapshot.SnapshotId}` : "Create a volume"}
      word="Create"
      service="ec2"
      operation="CreateVolume"
      parameters={{
        AvailabilityZone: zone,
        Size: Number(size),
        VolumeType: type,
        SnapshotId: snapshot?.SnapshotId,
        TagSpecifications: name ? [{ ResourceType: "volume", Tags: [{ Key: "Name", Value: name }] }] : undefined,
      }}
      isReady={isSize && zone !== ""}
      onClose={onClose}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <FormField label="Zone">
        <Select
          selectedOption={zone ? { value: zone, label: zone } : null}
          options={known.value?.map((each) => ({ value: each.ZoneName, label: each.ZoneName })) ?? []}
          onChange={({ detail }) => setChosen(detail.selectedOption.value ?? "")}
        />
      </FormField>
      <FormField label="Size in GiB" errorText={isSize ? undefined : "A whole number"}>
        <Input value={size} onChange={({ detail }) => setSize(detail.value)} inputMode="numeric" />
      </FormField>
      <FormField label="Type">
        <Select
          selectedOption={TYPES.find((each) => each.value === type) ?? null}
          options={TYPES}
          onChange={({ detail }) => setType(detail.selectedOption.value ?? "gp3")}
        />
      </FormField>
    </Act>
  );
}

function Snapshots() {
  const { region } = useHere();
  const live = useLive(() => snapshots(region), { kinds: ["ebs_snapshot"] }, [region]);
  const [used, setUsed] = useState<Snapshot>();
  const [deleted, setDeleted] = useState<Snapshot>();
  return (
    <>
      <List<Snapshot>
        title="Snapshots"
        noun="snapshot"
        live={live}
        keyOf={(each) => each.SnapshotId}
        columns={[
          { id: "id", header: "Snapshot", cell: (each) => each.SnapshotId, sortingField: "SnapshotId", isRowHeader: true },
          { id: "state", header: "State", cell: (each) => <Status of={each.State.toUpperCase()} /> },
          { id: "progress", header: "Progress", cell: (each) => each.Progress || "–" },
          { id: "volume", header: "Of", cell: (each) => each.VolumeId, sortingField: "VolumeId" },
          { id: "size", header: "Size", cell: (each) => `${each.VolumeSize} GiB`, sortingField: "VolumeSize" },
          { id: "at", header: "Begun", cell: (each) => time(each.StartTime), sortingField: "StartTime" },
          { id: "description", header: "Description", cell: (each) => each.Description || "–" },
          {
            id: "change",
            header: "Change",
            minWidth: 160,
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button variant="inline-link" ariaLabel={`Volume of ${each.SnapshotId}`} onClick={() => setUsed(each)}>
                  Volume
                </Button>
                <Button variant="inline-link" ariaLabel={`Delete ${each.SnapshotId}`} onClick={() => setDeleted(each)}>
                  Delete
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {used && <CreateVolume snapshot={used} onClose={() => setUsed(undefined)} />}
      {deleted && (
        <Act
          title={`Delete ${deleted.SnapshotId}?`}
          word="Delete"
          service="ec2"
          operation="DeleteSnapshot"
          parameters={{ SnapshotId: deleted.SnapshotId }}
          onClose={() => setDeleted(undefined)}
        >
          No volume can be made of it any more; those that were made of it stay.
        </Act>
      )}
    </>
  );
}

function FileSystems({ live }: { live: Live<Volume[]> }) {
  const { to } = useHere();
  const [isNew, setNew] = useState(false);
  const [mounted, setMounted] = useState<Volume>();
  const [deleted, setDeleted] = useState<Volume>();
  return (
    <>
      <List<Volume>
        title="EFS file systems"
        noun="file system"
        live={live}
        keyOf={(each) => each.id}
        actions={<Button onClick={() => setNew(true)}>Create file system</Button>}
        columns={[
          {
            id: "id",
            header: "File system",
            cell: (each) => <Link href={to(["volumes", each.id])}>{title(each)}</Link>,
            sortingField: "id",
            isRowHeader: true,
          },
          { id: "full", header: "Holds", cell: (each) => <Full of={each} /> },
          { id: "zones", header: "Mount targets in", cell: (each) => each.zones?.join(", ") || "None" },
          {
            id: "points",
            header: "Access points",
            cell: (each) => each.accessPoints?.map((one) => `${one.id} at ${one.path}`).join(", ") || "None",
          },
          { id: "users", header: "Used by", cell: users },
          {
            id: "change",
            header: "Change",
            minWidth: 190,
            cell: (each) => (
              <SpaceBetween direction="horizontal" size="s">
                <Button variant="inline-link" ariaLabel={`Mount target of ${each.id}`} onClick={() => setMounted(each)}>
                  Mount target
                </Button>
                <Button variant="inline-link" ariaLabel={`Delete ${each.id}`} onClick={() => setDeleted(each)}>
                  Delete
                </Button>
              </SpaceBetween>
            ),
          },
        ]}
      />
      {isNew && <CreateFileSystem onClose={() => setNew(false)} />}
      {mounted && <CreateMountTarget of={mounted} onClose={() => setMounted(undefined)} />}
      {deleted && (
        <Act
          title={`Delete ${deleted.id}?`}
          word="Delete"
          service="efs"
          operation="DeleteFileSystem"
          parameters={{ FileSystemId: deleted.id }}
          onClose={() => setDeleted(undefined)}
        >
          What is in it is lost. One that has mount targets can not be deleted.
        </Act>
      )}
    </>
  );
}

function CreateFileSystem({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [isEncrypted, setEncrypted] = useState(false);
  // One form makes one file system, however often it is sent.
  const [token] = useState(() => `console-${Date.now()}`);
  return (
    <Act
      title="Create a file system"
      word="Create"
      service="efs"
      operation="CreateFileSystem"
      parameters={{
        CreationToken: token,
        Encrypted: isEncrypted || undefined,
        Tags: name ? [{ Key: "Name", Value: name }] : undefined,
      }}
      onClose={onClose}
    >
      <FormField label="Name">
        <Input value={name} onChange={({ detail }) => setName(detail.value)} />
      </FormField>
      <Checkbox checked={isEncrypted} onChange={({ detail }) => setEncrypted(detail.checked)}>
        Marked as encrypted
      </Checkbox>
    </Act>
  );
}

function DockerVolumes({ live }: { live: Live<Volume[]> }) {
  const [deleted, setDeleted] = useState<Volume>();
  return (
    <>
      <List<Volume>
        title="Docker volumes"
        noun="Docker volume"
        live={live}
        keyOf={(each) => each.id}
        description="Of container instances, that outlive tasks"
        columns={[
          { id: "name", header: "Volume", cell: title, sortingField: "name", isRowHeader: true },
          { id: "instance", header: "Instance", cell: (each) => each.instance ?? "–", sortingField: "instance" },
          { id: "driver", header: "Driver", cell: (each) => each.driver ?? "–" },
          { id: "full", header: "Used", cell: (each) => <Full of={each} /> },
          { id: "created", header: "Created", cell: (each) => time(secondsOf(each.createdAt)), sortingField: "createdAt" },
          { id: "users", header: "Used by", cell: (each) => <UsedBy users={each.usedBy.map(taskOf)} /> },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Delete ${each.name}`} onClick={() => setDeleted(each)}>
                Delete
              </Button>
            ),
          },
        ]}
      />
      {deleted && (
        <Act
          title={`Delete ${deleted.name}?`}
          word="Delete"
          operation=""
          parameters={{}}
          own={{
            run: () => remove(`/_portside/volumes/${encodeURIComponent(deleted.id)}`),
            command: `portside volume rm ${quoted(deleted.id)}`,
          }}
          onClose={() => setDeleted(undefined)}
        >
          What is in it is lost. One that a task has can not be deleted.
        </Act>
      )}
    </>
  );
}

const KINDS: Record<string, string> = { ephemeral: "All that the task can write", task: "A volume of the task", host: "A path of the instance" };

function TaskStorage({ live }: { live: Live<Volume[]> }) {
  return (
    <List<Volume>
      title="With tasks"
      noun="volume of tasks"
      plural="volumes of tasks"
      live={live}
      keyOf={(each) => `${each.kind} ${each.id}`}
      empty="No task runs"
      description="What goes when its task goes, and paths of container instances"
      columns={[
        { id: "name", header: "Name", cell: (each) => each.name || each.id, sortingField: "name", isRowHeader: true },
        { id: "kind", header: "What", cell: (each) => KINDS[each.kind], sortingField: "kind" },
        { id: "full", header: "Used", cell: (each) => <Full of={each} />, minWidth: 150 },
        {
          id: "at",
          header: "Mounted",
          cell: (each) => each.mountPoints?.map((one) => `${one.container}: ${one.path}${one.readOnly ? ", read-only" : ""}`).join("; ") || "–",
        },
        { id: "users", header: "Used by", cell: users },
      ]}
    />
  );
}
