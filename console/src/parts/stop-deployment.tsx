/** A deployment that goes on is stopped, and the service goes back to the revision before it. */

import Alert from "@cloudscape-design/components/alert";
import { call } from "../api/call";
import { useLive } from "../api/live";
import { useHere } from "../context";
import { Act } from "./act";

export function StopDeployment({ cluster, service, onClose }: { cluster: string; service: string; onClose: () => void }) {
  const { region } = useHere();
  const known = useLive(
    async () =>
      (
        await call<{ serviceDeployments: { serviceDeploymentArn: string }[] }>("ecs", "ListServiceDeployments", region, {
          cluster,
          service,
          status: ["PENDING", "IN_PROGRESS"],
        })
      ).serviceDeployments[0]?.serviceDeploymentArn ?? null,
    { kinds: ["service", "service_deployment"] },
    [region, cluster, service],
  );
  return (
    <Act
      title={`Roll back ${service}?`}
      word="Roll back"
      operation="StopServiceDeployment"
      parameters={{ serviceDeploymentArn: known.value ?? undefined, stopType: "ROLLBACK" }}
      isReady={Boolean(known.value)}
      onClose={onClose}
    >
      {known.error && <Alert type="error">{known.error.message}</Alert>}
      {known.value === null
        ? "No deployment goes on."
        : "The deployment is stopped, its tasks are ended, and those of the revision before it are started again."}
    </Act>
  );
}
