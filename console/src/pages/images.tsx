/** The images that the machine holds, by repository: their layers, and which tasks and services have them. */

import Alert from "@cloudscape-design/components/alert";
import Button from "@cloudscape-design/components/button";
import ColumnLayout from "@cloudscape-design/components/column-layout";
import Container from "@cloudscape-design/components/container";
import Header from "@cloudscape-design/components/header";
import Link from "@cloudscape-design/components/link";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Table from "@cloudscape-design/components/table";
import { useState } from "react";
import { remove } from "../api/call";
import { type Live, useLive } from "../api/live";
import { FULLNESS_MS, type Images as Held, images, type MachineImage, repositoriesOf, type Repository } from "../api/storage";
import { useHere } from "../context";
import { bytes, counted, secondsOf, time } from "../format";
import { Act } from "../parts/act";
import { Fact } from "../parts/fact";
import { List } from "../parts/list";
import { UsedBy } from "../parts/used-by";

const UNNAMED = "(no name)";

/** Podman and others may change them, too, which commits nothing. */
const useImages = (on: string) => useLive<Held>(images, { kinds: ["task", "service"], everyMs: FULLNESS_MS }, [on]);

const short = (image: MachineImage) => image.id.slice(0, 12);

/** Layers that several images have lie on the disk once. */
function sizeOf(all: readonly MachineImage[]): number {
  const layers = new Map(all.flatMap((each) => each.layers).map((each) => [each.digest, each.sizeBytes]));
  return [...layers.values()].reduce((sum, each) => sum + each, 0);
}

export function Images() {
  const { region, to } = useHere();
  const live = useImages(region);
  const of: Live<Repository[]> = { value: live.value && repositoriesOf(live.value.images), error: live.error };
  const all: Live<MachineImage[]> = { value: live.value?.images, error: live.error };
  const used = (each: Repository) => each.images.filter((one) => one.usedBy.length > 0).length;
  return (
    <SpaceBetween size="l">
      <Header variant="h1" description="Those of this machine, which all accounts and regions share. More come by portside image pull, load and build">
        Images
      </Header>
      <Container>
        <ColumnLayout columns={3} variant="text-grid" minColumnWidth={150}>
          <Fact label="Images">{live.value?.images.length ?? "–"}</Fact>
          <Fact label="On the disk, layers that are shared once">{live.value ? bytes(sizeOf(live.value.images)) : "–"}</Fact>
          <Fact label="The disk is full by">{live.value ? `${live.value.diskPercent.toFixed(0)} %` : "–"}</Fact>
        </ColumnLayout>
      </Container>
      <List<Repository>
        title="Repositories"
        noun="repository"
        plural="repositories"
        live={of}
        keyOf={(each) => each.name}
        columns={[
          { id: "name", header: "Repository", cell: (each) => each.name || UNNAMED, sortingField: "name", isRowHeader: true },
          { id: "images", header: "Images", cell: (each) => each.images.length },
          { id: "used", header: "In use", cell: used },
          { id: "size", header: "Size", cell: (each) => bytes(sizeOf(each.images)) },
        ]}
      />
      <ImageList live={all} link={(each) => <Link href={to(["images", each.id])}>{short(each)}</Link>} />
    </SpaceBetween>
  );
}

function ImageList({ live, link }: { live: Live<MachineImage[]>; link: (image: MachineImage) => React.ReactNode }) {
  const [deleted, setDeleted] = useState<MachineImage>();
  return (
    <>
      <List<MachineImage>
        title="Images"
        noun="image"
        live={live}
        keyOf={(each) => each.id}
        columns={[
          { id: "id", header: "Image", cell: link, isRowHeader: true },
          { id: "names", header: "Names", cell: (each) => each.names.join(", ") || UNNAMED },
          { id: "size", header: "Size", cell: (each) => bytes(each.sizeBytes), sortingField: "sizeBytes" },
          { id: "layers", header: "Layers", cell: (each) => each.layers.length },
          { id: "origin", header: "Came by", cell: (each) => each.origin ?? "another program", sortingField: "origin" },
          { id: "used", header: "Last used", cell: (each) => time(secondsOf(each.lastUsedAt)), sortingField: "lastUsedAt" },
          { id: "users", header: "Used by", cell: (each) => <UsedBy users={each.usedBy} /> },
          {
            id: "change",
            header: "Change",
            cell: (each) => (
              <Button variant="inline-link" ariaLabel={`Delete ${each.names[0] ?? short(each)}`} onClick={() => setDeleted(each)}>
                Delete
              </Button>
            ),
          },
        ]}
      />
      {deleted && <DeleteImage image={deleted} onClose={() => setDeleted(undefined)} />}
    </>
  );
}

function DeleteImage({ image, onClose, onDone }: { image: MachineImage; onClose: () => void; onDone?: () => void }) {
  return (
    <Act<object>
      title={`Delete ${image.names[0] ?? short(image)}?`}
      word="Delete"
      operation=""
      parameters={{}}
      own={{ run: () => remove(`/_portside/images/${image.id}`), command: `portside image rm ${short(image)}` }}
      onClose={onClose}
      onDone={onDone}
    >
      It goes from the machine with all of its names ({image.names.join(", ") || "it has none"}), for podman, too. One that a task or a service has
      can not be deleted.
    </Act>
  );
}

export function ImagePage({ id }: { id: string }) {
  const { to } = useHere();
  const live = useImages(id);
  const [isDeleting, setDeleting] = useState(false);
  const image = live.value?.images.find((each) => each.id === id);
  if (live.error || (live.value && !image)) {
    return <Alert type="error">{live.error?.message ?? `There is no image ${id} on this machine.`}</Alert>;
  }
  const others = (digest: string) => {
    const all = live.value?.images.filter((each) => each.id !== id && each.layers.some((layer) => layer.digest === digest)) ?? [];
    return all.length ? counted(all.length, "image") : "None";
  };
  return (
    <SpaceBetween size="l">
      <Header
        variant="h1"
        actions={
          <Button disabled={!image} onClick={() => setDeleting(true)}>
            Delete
          </Button>
        }
      >
        {image?.names[0] ?? id.slice(0, 12)}
      </Header>
      <Container>
        <ColumnLayout columns={4} variant="text-grid" minColumnWidth={150}>
          <Fact label="Names">{image?.names.join(", ") || UNNAMED}</Fact>
          <Fact label="Size">{image ? bytes(image.sizeBytes) : "–"}</Fact>
          <Fact label="Made">{time(secondsOf(image?.createdAt))}</Fact>
          <Fact label="Came">{image?.acquiredAt ? `${time(secondsOf(image.acquiredAt))}, ${image.origin}` : "By another program"}</Fact>
          <Fact label="Last used">{time(secondsOf(image?.lastUsedAt))}</Fact>
          <Fact label="Used by">{image ? <UsedBy users={image.usedBy} /> : "–"}</Fact>
          <Fact label="Digest">{image?.digest ?? "–"}</Fact>
        </ColumnLayout>
      </Container>
      <Table
        header={
          <Header variant="h2" counter={image && `(${image.layers.length})`} description="The lowest first">
            Layers
          </Header>
        }
        items={image?.layers ?? []}
        empty="It has none"
        wrapLines
        columnDefinitions={[
          { id: "digest", header: "Layer", cell: (each) => each.digest, isRowHeader: true },
          { id: "size", header: "Size", cell: (each) => bytes(each.sizeBytes), width: 130 },
          {
            id: "others",
            header: "Others that have it",
            width: 200,
            cell: (each) => others(each.digest),
          },
        ]}
      />
      {isDeleting && image && (
        <DeleteImage
          image={image}
          onClose={() => setDeleting(false)}
          onDone={() => {
            location.hash = to(["images"]);
          }}
        />
      )}
    </SpaceBetween>
  );
}
