/** Whether a service may end a task when it scales in or deploys. */

import FormField from "@cloudscape-design/components/form-field";
import Input from "@cloudscape-design/components/input";
import { useState } from "react";
import { type Failed, refusedBy } from "../api/ecs";
import { isUpTo } from "../typed";
import { Act } from "./act";

const MINUTES_MOST = 2880;

export function ProtectTask({ cluster, id, isProtected, onClose }: { cluster: string; id: string; isProtected: boolean; onClose: () => void }) {
  const [minutes, setMinutes] = useState("120");
  const isCount = isUpTo(minutes, MINUTES_MOST);
  return (
    <Act<Failed>
      title={isProtected ? "Take the protection off this task?" : "Protect this task?"}
      word={isProtected ? "Take it off" : "Protect"}
      operation="UpdateTaskProtection"
      parameters={{ cluster, tasks: [id], protectionEnabled: !isProtected, expiresInMinutes: isProtected ? undefined : Number(minutes) }}
      isReady={isProtected || isCount}
      onClose={onClose}
      onDone={refusedBy}
    >
      {isProtected ? (
        "Its service may end it then, when it scales in or deploys."
      ) : (
        <FormField
          label="For how many minutes"
          description="Until then its service does not end it when it scales in or deploys"
          errorText={isCount ? undefined : `1 to ${MINUTES_MOST}`}
        >
          <Input value={minutes} inputMode="numeric" onChange={({ detail }) => setMinutes(detail.value)} />
        </FormField>
      )}
    </Act>
  );
}
