/** The forms that attach a volume of EBS to an instance of its zone, and take it away again. */

import Alert from "@cloudscape-design/components/alert";
import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import Select from "@cloudscape-design/components/select";
import { useState } from "react";
import { instances } from "../api/ec2";
import { useLive } from "../api/live";
import type { Volume } from "../api/storage";
import { useHere } from "../context";
import { Act } from "./act";

export function AttachVolume({ volume, onClose }: { volume: Volume; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(() => instances(region), { kinds: ["instance"] }, [region]);
  const [instance, setInstance] = useState("");
  const [device, setDevice] = useState("/dev/sdf");
  const [error, setError] = useState<Error>();
  const isDevice = device.startsWith("/dev/");
  const isOfDevice = error && /device|Attachment point/i.test(error.message);
  const options = (known.value ?? [])
    .filter((each) => volume.zones?.includes(each.Placement?.AvailabilityZone ?? "") && each.State?.Name === "running")
    .map((each) => ({ value: each.InstanceId, label: each.InstanceId, description: `${each.InstanceType}, ${each.PrivateIpAddress ?? ""}` }));
  return (
    <Act
      title={`Attach ${volume.id}`}
      word="Attach"
      service="ec2"
      operation="AttachVolume"
      parameters={{ VolumeId: volume.id, InstanceId: instance, Device: device }}
      isReady={instance !== "" && isDevice}
      onError={setError}
      onClose={onClose}
    >
      {known.error && <Alert type="error">{known.error.message}</Alert>}
      <FormField label="Instance" description={`One that runs in ${volume.zones?.join(", ") ?? "its zone"}`} errorText={isOfDevice ? undefined : error?.message}>
        <Select
          selectedOption={options.find((each) => each.value === instance) ?? null}
          options={options}
          onChange={({ detail }) => {
            setInstance(detail.selectedOption.value ?? "");
            setError(undefined);
          }}
          placeholder="Choose one"
          empty="No instance runs in the zone of the volume"
        />
      </FormField>
      <FormField label="Device" errorText={isOfDevice ? error.message : isDevice ? undefined : "/dev/sdf to /dev/sdp"}>
        <Input
          value={device}
          onChange={({ detail }) => {
            setDevice(detail.value);
            setError(undefined);
          }}
        />
      </FormField>
    </Act>
  );
}

export function DetachVolume({ volume, onClose }: { volume: Volume; onClose: () => void }) {
  return (
    <Act
      title={`Detach ${volume.id} from ${volume.instance}?`}
      word="Detach"
      service="ec2"
      operation="DetachVolume"
      parameters={{ VolumeId: volume.id, InstanceId: volume.instance }}
      onClose={onClose}
    >
      It goes once nobody uses {volume.device} any more. What is on it stays.
    </Act>
  );
}
