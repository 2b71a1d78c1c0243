/** What a cluster is made of: which capacity providers it has, and which of them tasks go to by default. */

import Alert from "@cloudscape-design/components/alert";
import Spinner from "@cloudscape-design/components/spinner";
import { call } from "../api/call";
import { clusters } from "../api/ecs";
import { useLive } from "../api/live";
import { useHere } from "../context";
import type { Members } from "../model";
import { OperationForm } from "../parts/operation-form";
import type { Offer } from "../parts/shape-form";

const FIRST = { "": ["capacityProviders", "defaultCapacityProviderStrategy"] };

export function CapacityProvidersForm({ cluster }: { cluster: string }) {
  const { region, to } = useHere();
  const begun = useLive<{ initial: Members; offers: Offer[] }>(
    async () => {
      const [all, providers] = await Promise.all([
        clusters(region),
        call<{ capacityProviders: { name: string }[] }>("ecs", "DescribeCapacityProviders", region),
      ]);
      const found = all.find((each) => each.clusterName === cluster);
      if (!found) throw new Error(`There is no cluster ${cluster} in ${region}.`);
      return {
        initial: {
          cluster,
          capacityProviders: found.capacityProviders ?? [],
          defaultCapacityProviderStrategy: found.defaultCapacityProviderStrategy ?? [],
        },
        offers: providers.capacityProviders.map((each) => ({ value: each.name })),
      };
    },
    { kinds: [] },
    [region, cluster],
  );
  if (begun.error) return <Alert type="error">{begun.error.message}</Alert>;
  if (!begun.value) return <Spinner size="large" />;
  const { initial, offers } = begun.value;
  const back = to(["clusters", cluster]);
  return (
    <OperationForm
      title={`Capacity providers of ${cluster}`}
      word="Save"
      operation="PutClusterCapacityProviders"
      initial={initial}
      first={FIRST}
      offers={(value) => ({
        capacityProviders: offers,
        "defaultCapacityProviderStrategy.capacityProvider": Array.isArray(value.capacityProviders)
          ? value.capacityProviders.map((each) => ({ value: String(each) }))
          : [],
      })}
      // Lists that are empty are asked to be: both have to be there.
      optional={["capacityProviders", "defaultCapacityProviderStrategy"]}
      parameters={(value) => ({
        cluster,
        capacityProviders: value.capacityProviders ?? [],
        defaultCapacityProviderStrategy: value.defaultCapacityProviderStrategy ?? [],
      })}
      cancel={back}
      onDone={() => back}
    />
  );
}
